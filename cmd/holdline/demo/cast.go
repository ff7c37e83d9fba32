package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/sip/phone"
)

// How long the people of the demo take. Together they make a call of about
// thirteen seconds.
const (
	positionRings = 600 * time.Millisecond
	positionStays = 3 * time.Second // after which the position hangs up
	callerListens = 1500 * time.Millisecond
	fallbackRings = 3 * time.Second
	callerWaits   = 2500 * time.Millisecond // into the fallback taker's words
	politePause   = 300 * time.Millisecond
)

// cast are the phones of the demo.
type cast struct {
	caller, position, fallback *phone.Phone
}

func openCast(log *zap.Logger) (*cast, error) {
	c := &cast{}
	for _, p := range []struct {
		phone **phone.Phone
		user  string
	}{{&c.caller, "caller"}, {&c.position, "pos-1"}, {&c.fallback, "fallback"}} {
		conn, err := listenPacket()
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		if *p.phone, err = phone.New(phone.Options{Conn: conn, User: p.user, Media: listenPacket, Log: log}); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func listenPacket() (net.PacketConn, error) {
	conn, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a loopback socket: %w", err)
	}
	return conn, nil
}

func (c *cast) close() error {
	var errs []error
	for _, p := range []*phone.Phone{c.caller, c.position, c.fallback} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// speak lets a phone say its lines one after the other, then what comes from
// more, and send silence in between, as an open microphone does, until the
// call ends. more may be nil.
func speak(ctx context.Context, call *phone.Call, more <-chan []byte, lines ...[]byte) error {
	quiet := silence(phone.FrameTime)
	for {
		next := quiet
		if len(lines) > 0 {
			next, lines = lines[0], lines[1:]
		} else {
			select {
			case next = <-more:
			case <-call.Ended():
				return nil
			default:
			}
		}
		if err := call.Play(ctx, next); err != nil {
			return fmt.Errorf("speaking: %w", err)
		}
	}
}

// number is the caller's: each call is another person's, or Holdline would see
// somebody who was dropped call again, and keep the position away from them.
func (s *story) number() string { return fmt.Sprintf("504555%04d", 100+s.round%100) }

// dial makes the 911 call as an NG9-1-1 network would: to the emergency
// service, with the location in the INVITE.
func (s *story) dial(ctx context.Context, dest string) (*phone.Call, error) {
	return s.cast.caller.Call(ctx, phone.Invite{
		Dest: dest, RequestURI: "urn:service:sos", To: "<urn:service:sos>",
		From:    `"Dana Caller" <sip:` + s.number() + `@127.0.0.1>`,
		Headers: [][2]string{{"Geolocation", "<cid:location@demo>"}, {"Geolocation-Routing", "yes"}},
		Parts: []phone.Part{{ContentType: "application/pidf+xml", ContentID: "location@demo", Body: []byte(
			`<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:` + s.number() + `@demo">` +
				`<tuple id="t1"><status><geopriv xmlns="urn:ietf:params:xml:ns:pidf:geopriv10"><location-info>` +
				`<civicAddress xmlns="urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"><country>US</country>` +
				`<RD>Oak</RD><STS>Street</STS><HNO>1240</HNO><FLR>3</FLR></civicAddress>` +
				`</location-info><usage-rules/></geopriv></status></tuple></presence>`)}},
	})
}

// calls is the caller's part: dial, speak, listen, until the call ends.
func (s *story) calls(ctx context.Context, call *phone.Call) error {
	res, err := call.WaitAnswer(ctx)
	if err != nil {
		return fmt.Errorf("the caller was not answered: %w", err)
	}
	if res.StatusCode != 200 {
		return fmt.Errorf("the caller was refused: %d %s", res.StatusCode, res.Reason)
	}
	more := make(chan []byte, 1)
	go s.hear(ctx, call, more)
	said := time.Now().Add(callerListens)
	s.tell.tell(said, theCaller, "%q", callerVoice().words)
	return speak(ctx, call, more, silence(callerListens), callerVoice().audio)
}

// positionActs is the position's part: answer, greet, and hang up on the
// caller in the middle of a sentence.
func (s *story) positionActs(ctx context.Context) error {
	call, err := s.cast.position.Accept(ctx)
	if err != nil {
		return fmt.Errorf("the position was not called: %w", err)
	}
	defer call.Close()
	if err := s.answer(ctx, call, positionRings); err != nil {
		return fmt.Errorf("the position: %w", err)
	}
	s.tell.tell(time.Now(), thePosition, "answers: %q", positionVoice().words)
	go func() { s.background(speak(ctx, call, nil, silence(politePause), positionVoice().audio)) }()
	if err := wait(ctx, positionStays); err != nil {
		return err
	}
	s.hungUp(time.Now())
	s.tell.shout(time.Now(), thePosition, "hangs up: sends BYE, %.0f s after answering", positionStays.Seconds())
	res, err := call.Bye(ctx)
	if err != nil || res.StatusCode != 200 {
		return fmt.Errorf("the position's BYE was not answered 200: %v, %w", res, err)
	}
	s.tell.tell(time.Now(), holdline, "lets the position go (200 OK); the caller does not notice")
	return nil
}

// fallbackActs is the fallback taker's part: answer, help, mark the intake,
// and end the call as it should be ended.
func (s *story) fallbackActs(ctx context.Context) error {
	call, err := s.cast.fallback.Accept(ctx)
	if err != nil {
		return fmt.Errorf("the fallback taker was not called: %w", err)
	}
	defer call.Close()
	s.tell.tell(time.Now(), theFallback, "rings, and shows %s", shown(call.Invite))
	if err := s.answer(ctx, call, fallbackRings); err != nil {
		return fmt.Errorf("the fallback taker: %w", err)
	}
	s.tell.tell(time.Now(), theFallback, "answers: %q", fallbackVoice().words)
	go func() { s.background(speak(ctx, call, nil, silence(politePause), fallbackVoice().audio)) }()
	if err := wait(ctx, politePause+fallbackVoice().lasts()+politePause); err != nil {
		return err
	}
	if err := s.markIntake(ctx); err != nil {
		return err
	}
	if err := wait(ctx, politePause); err != nil {
		return err
	}
	if _, err := call.WaitRTP(ctx, func(p phone.RTPPacket) bool { return s.fromCaller[frameOf(p)] }); err != nil {
		return fmt.Errorf("the fallback taker does not hear the caller: %w", err)
	}
	s.tell.tell(time.Now(), theFallback, "ends the call: sends BYE")
	if res, err := call.Bye(ctx); err != nil || res.StatusCode != 200 {
		return fmt.Errorf("the fallback taker's BYE was not answered 200: %v, %w", res, err)
	}
	return nil
}

// shown is what a phone's display makes of a rescued call.
func shown(invite *gosip.Request) string {
	from, reason := "", ""
	if h := invite.GetHeader("From"); h != nil {
		from, _, _ = strings.Cut(h.Value(), ";tag=")
	}
	if h := invite.GetHeader("Reason"); h != nil {
		reason = "; Reason: " + h.Value()
	}
	return from + reason
}

func (s *story) answer(ctx context.Context, call *phone.Call, after time.Duration) error {
	if err := call.Ring(); err != nil {
		return err
	}
	if err := wait(ctx, after); err != nil {
		return err
	}
	if err := call.Answer(nil); err != nil {
		return err
	}
	return call.WaitAck(ctx)
}

// markIntake says through the console what the fallback taker has taken down,
// as a CAD system would.
func (s *story) markIntake(ctx context.Context) error {
	body, err := json.Marshal(map[string]string{
		"location": "1240 Oak Street, floor 3", "callback": s.number(), "nature": "structure fire", "by": "fallback taker",
	})
	if err != nil {
		return fmt.Errorf("writing the intake: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	address := s.house.consoleURL() + "v1/calls/" + url.PathEscape(s.call.ID()) + "/intake"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("writing the intake: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.house.http.Do(req)
	if err != nil {
		return fmt.Errorf("marking the intake: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	err = errors.Join(err, res.Body.Close())
	if err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("marking the intake: %s: %s: %w", res.Status, answer, err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
