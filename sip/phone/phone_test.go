package phone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/goleak"

	"holdline/sip/simnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a caller at 10.0.0.1 and a taker at 10.0.0.2 on one network.
type pair struct {
	t             *testing.T
	net           *simnet.Net
	caller, taker *Phone
	ctx           context.Context
}

// between runs a test in virtual time.
func between(t *testing.T, seed uint64, test func(*pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		p := &pair{t: t, net: simnet.New(seed), ctx: ctx}
		p.caller, p.taker = p.phone("10.0.0.1", "caller"), p.phone("10.0.0.2", "taker")
		test(p)
	})
}

func (p *pair) phone(host, user string) *Phone {
	p.t.Helper()
	conn, err := p.net.ListenUDP(host + ":5060")
	p.fatal(err)
	phone, err := New(Options{
		Conn: conn, User: user,
		Media: func() (net.PacketConn, error) { return p.net.ListenUDP(host + ":0") },
	})
	p.fatal(err)
	p.t.Cleanup(func() { _ = phone.Close() })
	return phone
}

func (p *pair) fatal(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// offer lets the caller call and the taker see it.
func (p *pair) offer(v Invite) (out, in *Call) {
	p.t.Helper()
	v.Dest = p.taker.Addr()
	out, err := p.caller.Call(p.ctx, v)
	p.fatal(err)
	in, err = p.taker.Accept(p.ctx)
	p.fatal(err)
	return out, in
}

// talk brings a call to the point where both can speak.
func (p *pair) talk() (out, in *Call) {
	p.t.Helper()
	out, in = p.offer(Invite{})
	p.fatal(in.Answer(nil))
	p.status(200)(out.WaitAnswer(p.ctx))
	p.fatal(in.WaitAck(p.ctx))
	return out, in
}

func (p *pair) status(want int) func(*gosip.Response, error) {
	p.t.Helper()
	return func(res *gosip.Response, err error) {
		p.t.Helper()
		p.fatal(err)
		if res.StatusCode != want {
			p.t.Fatalf("answered %d, want %d", res.StatusCode, want)
		}
	}
}

func (p *pair) ended(c *Call, remote bool, cause string) {
	p.t.Helper()
	end, err := c.WaitEnd(p.ctx)
	p.fatal(err)
	if end.Remote != remote || end.Cause != cause {
		p.t.Errorf("ended %+v, want remote=%v %s", end, remote, cause)
	}
}

// ladder compares what was sent, whoever sent it.
func (p *pair) ladder(want ...string) {
	p.t.Helper()
	got := p.net.Ladder(map[string]string{"10.0.0.1": "caller", "10.0.0.2": "taker"})
	if got = strings.TrimSpace(got); got != strings.Join(want, "\n") {
		p.t.Errorf("ladder:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestPlainCall(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{RequestURI: "urn:service:sos", Headers: [][2]string{{"Subject", "fire, smoke"}}})
		if got := value(in.Invite, "Subject"); got != "fire, smoke" || in.Invite.Recipient.String() != "urn:service:sos" {
			t.Errorf("INVITE %q with subject %q", in.Invite.Recipient.String(), got)
		}
		p.fatal(in.Ring())
		p.status(180)(out.WaitProvisional(p.ctx))
		p.fatal(in.Answer(nil))
		p.status(200)(out.WaitAnswer(p.ctx))
		p.fatal(in.WaitAck(p.ctx))
		p.status(200)(out.Bye(p.ctx))
		p.ended(in, true, "BYE")
		p.ended(out, false, "BYE")
		time.Sleep(time.Minute) // nothing is sent again
		p.ladder("caller -> taker INVITE", "taker -> caller 100 INVITE", "taker -> caller 180 INVITE",
			"taker -> caller 200 INVITE", "caller -> taker ACK", "caller -> taker BYE", "taker -> caller 200 BYE")
		want := []string{"> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE"}
		if got := p.caller.Ladder(); !slices.Equal(got, want) {
			t.Errorf("trace %v, want %v", got, want)
		}
	})
}

func TestByeOfTheTakerBeforeTheAck(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{NoAutoAck: true})
		p.fatal(in.Answer(nil))
		p.status(200)(in.Bye(p.ctx))
		p.ended(out, true, "BYE")
		if err := out.Ack(nil); err != nil {
			t.Error(err)
		}
		p.fatal(in.WaitAck(p.ctx))
		time.Sleep(time.Minute)
		p.ladder("caller -> taker INVITE", "taker -> caller 100 INVITE", "taker -> caller 200 INVITE",
			"taker -> caller BYE", "caller -> taker 200 BYE", "caller -> taker ACK")
	})
}

func TestByesCross(t *testing.T) {
	between(t, 1, func(p *pair) {
		p.net.SetBoth("10.0.0.1", "10.0.0.2", simnet.Link{Latency: 20 * time.Millisecond})
		out, in := p.talk()
		done := make(chan error)
		go func() { _, err := in.Bye(p.ctx); done <- err }()
		p.status(200)(out.Bye(p.ctx))
		p.fatal(<-done)
		p.status(481)(out.Request(p.ctx, Request{Method: "BYE"})) // afterwards nobody knows the call
	})
}

func TestReject(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{})
		p.fatal(in.Reject(486, [2]string{"Retry-After", "5"}))
		res, err := out.WaitAnswer(p.ctx)
		p.status(486)(res, err)
		if value(res, "Retry-After") != "5" {
			t.Error("the header is missing")
		}
		p.ended(out, true, "rejected")
		p.ended(in, false, "rejected")
		time.Sleep(time.Minute)
		p.ladder("caller -> taker INVITE", "taker -> caller 100 INVITE", "taker -> caller 486 INVITE", "caller -> taker ACK")
	})
}

func TestRedirect(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{})
		p.fatal(in.Redirect("sip:pos-2@10.0.0.3"))
		res, err := out.WaitAnswer(p.ctx)
		p.status(302)(res, err)
		if got := value(res, "Contact"); got != "<sip:pos-2@10.0.0.3>" {
			t.Errorf("Contact %q", got)
		}
	})
}

func TestCancel(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{})
		p.fatal(in.Ring())
		p.status(180)(out.WaitProvisional(p.ctx))
		out.Cancel()
		p.status(487)(out.WaitAnswer(p.ctx))
		p.ended(in, true, "CANCEL")
		p.ended(out, false, "CANCEL")
		time.Sleep(time.Minute)
		p.ladder("caller -> taker INVITE", "taker -> caller 100 INVITE", "taker -> caller 180 INVITE",
			"caller -> taker CANCEL", "taker -> caller 200 CANCEL", "taker -> caller 487 INVITE", "caller -> taker ACK")
	})
}

func TestCancelWaitsForAProvisionalResponse(t *testing.T) {
	between(t, 1, func(p *pair) {
		p.net.SetBoth("10.0.0.1", "10.0.0.2", simnet.Link{Latency: 20 * time.Millisecond})
		out, err := p.caller.Call(p.ctx, Invite{Dest: p.taker.Addr()})
		p.fatal(err)
		out.Cancel()
		if n := p.caller.Count(true, "CANCEL"); n != 0 {
			t.Errorf("%d CANCELs before any response", n)
		}
		p.status(487)(out.WaitAnswer(p.ctx))
	})
}

func TestCancelCrossesAnswer(t *testing.T) {
	between(t, 1, func(p *pair) {
		p.net.SetBoth("10.0.0.1", "10.0.0.2", simnet.Link{Latency: 20 * time.Millisecond})
		out, in := p.offer(Invite{})
		p.fatal(in.Ring())
		p.status(180)(out.WaitProvisional(p.ctx))
		p.fatal(in.Answer(nil))
		out.Cancel()
		p.status(200)(out.WaitAnswer(p.ctx))
		p.fatal(in.WaitAck(p.ctx))
		p.ended(in, true, "BYE")
		p.ended(out, false, "CANCEL")
	})
}

func TestReinviteFromBothSides(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.talk()
		hold := bytes.Replace(out.LocalSDP(), []byte("a=sendrecv"), []byte("a=sendonly"), 1)
		p.status(200)(out.Reinvite(p.ctx, hold))
		if !bytes.Equal(in.RemoteSDP(), hold) || !bytes.Contains(out.RemoteSDP(), []byte("a=recvonly")) {
			t.Errorf("hold was answered\n%s", out.RemoteSDP())
		}
		p.status(200)(in.Reinvite(p.ctx, nil))
		time.Sleep(time.Minute)
		if a, b := p.caller.Count(true, "ACK"), p.taker.Count(true, "ACK"); a != 2 || b != 1 {
			t.Errorf("%d and %d ACKs", a, b)
		}
		if req := <-in.Requests(); req.Method != "INVITE" {
			t.Errorf("got %s", req.Method)
		}
	})
}

func TestRequestsInTheDialog(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.talk()
		for _, m := range []string{"OPTIONS", "INFO", "UPDATE", "MESSAGE"} {
			p.status(200)(out.Request(p.ctx, Request{Method: m}))
		}
		p.status(405)(out.Request(p.ctx, Request{Method: "PUBLISH"}))
		in.OnRequest(func(req *gosip.Request) *Reply {
			switch string(req.Method) {
			case "INFO":
				return &Reply{Code: 503}
			case "MESSAGE":
				go func() {
					time.Sleep(3 * time.Second)
					if err := p.taker.Respond(req, Reply{Code: 202}); err != nil {
						t.Error(err)
					}
				}()
				return &Reply{}
			}
			return nil
		})
		p.status(503)(out.Request(p.ctx, Request{Method: "INFO"}))
		p.status(202)(out.Request(p.ctx, Request{Method: "MESSAGE"}))
		if n := p.caller.Count(true, "MESSAGE"); n != 1+3 { // the second at 0, 0.5 and 1.5 s (timer E)
			t.Errorf("%d MESSAGEs", n)
		}
		p.status(200)(p.caller.Request(p.ctx, p.taker.Addr(), "sip:taker@10.0.0.2", Request{Method: "OPTIONS"}))
	})
}

func TestLateOffer(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{LateOffer: true})
		if len(in.Invite.Body()) != 0 {
			t.Fatal("the INVITE has a body")
		}
		p.fatal(in.Answer(nil))
		p.status(200)(out.WaitAnswer(p.ctx))
		p.fatal(in.WaitAck(p.ctx))
		if len(in.RemoteSDP()) == 0 || !bytes.Equal(in.RemoteSDP(), out.LocalSDP()) {
			t.Errorf("the ACK carried %q", in.RemoteSDP())
		}
	})
}

func TestMultipartAndVideo(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{Parts: []Part{{ContentType: "application/pidf+xml", ContentID: "loc@x", Body: []byte("<presence/>")}}})
		parts := Parts(in.Invite)
		if len(parts) != 2 || string(parts[1].Body) != "<presence/>" || parts[1].ContentID != "loc@x" {
			t.Fatalf("parts %+v", parts)
		}
		if !bytes.Equal(in.RemoteSDP(), out.LocalSDP()) {
			t.Error("the session description was not found among the parts")
		}
		in2 := "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n" +
			"m=video 4000 RTP/AVP 99\r\nm=audio 4002 RTP/AVP 9 8 96\r\na=rtpmap:96 telephone-event/8000\r\n"
		_, other := p.offer(Invite{Body: []byte(in2)})
		p.fatal(other.Answer(nil))
		got := string(other.LocalSDP())
		if !strings.Contains(got, "m=video 0 RTP/AVP 99\r\nm=audio ") || !strings.Contains(got, " RTP/AVP 8 96\r\n") {
			t.Errorf("answer:\n%s", got)
		}
	})
}

func TestAudioAndDigits(t *testing.T) {
	between(t, 1, func(p *pair) {
		p.net.SetBoth("10.0.0.1", "10.0.0.2", simnet.Link{Latency: 5 * time.Millisecond})
		out, in := p.talk()
		start := time.Now()
		p.fatal(out.Play(p.ctx, Tone(440, time.Second)))
		if d := time.Since(start); d != time.Second {
			t.Errorf("a second of audio took %v", d)
		}
		p.fatal(out.Dial(p.ctx, "*1"))
		heard := in.Heard()
		if len(heard) != 50+2*8 {
			t.Fatalf("%d packets heard", len(heard))
		}
		for i := 1; i < len(heard); i++ {
			if heard[i].SequenceNumber != heard[i-1].SequenceNumber+1 || heard[i].At.Sub(heard[i-1].At) != FrameTime {
				t.Fatalf("packet %d: %v after %v", i, heard[i], heard[i-1])
			}
		}
		if d := heard[50]; !d.Marker || d.PayloadType != eventType || d.Payload[0] != 10 || d.Timestamp != heard[49].Timestamp+frameSize {
			t.Errorf("the first event is %+v", d)
		}
		if !bytes.Equal(heard[0].Payload, Tone(440, FrameTime)) {
			t.Error("other audio arrived than was played")
		}
		first, err := in.WaitRTP(p.ctx, func(r RTPPacket) bool { return r.PayloadType == eventType })
		if err != nil || first.SequenceNumber != heard[50].SequenceNumber {
			t.Errorf("WaitRTP: %v, %v", first, err)
		}
		time.Sleep(time.Second)
		p.fatal(out.Play(p.ctx, Tone(440, 2*FrameTime)))
		last := in.Heard()[66:]
		if len(last) != 2 || !last[0].Marker || last[1].Marker || last[0].Timestamp < heard[65].Timestamp+8000 {
			t.Errorf("after a pause: %+v", last)
		}
		if err := out.Dial(p.ctx, "x"); err == nil {
			t.Error("x was dialled")
		}
	})
}

func TestTimeouts(t *testing.T) {
	between(t, 1, func(p *pair) {
		p.taker.SetDeaf(true)
		start := time.Now()
		out, err := p.caller.Call(p.ctx, Invite{Dest: p.taker.Addr()})
		p.fatal(err)
		if _, err := out.WaitAnswer(p.ctx); !errors.Is(err, ErrTimeout) || time.Since(start) != 32*time.Second {
			t.Errorf("INVITE: %v after %v", err, time.Since(start))
		}
		p.ended(out, true, "timeout")
		if n := p.taker.Count(false, "INVITE"); n != 7 {
			t.Errorf("%d INVITEs, want 7 (timer A)", n)
		}
		start = time.Now()
		_, err = p.caller.Request(p.ctx, p.taker.Addr(), "sip:taker@10.0.0.2", Request{Method: "OPTIONS"})
		if !errors.Is(err, ErrTimeout) || time.Since(start) != 32*time.Second {
			t.Errorf("OPTIONS: %v after %v", err, time.Since(start))
		}
		if n := p.taker.Count(false, "OPTIONS"); n != 11 {
			t.Errorf("%d OPTIONS, want 11 (timer E)", n)
		}
	})
}

func TestAnswerIsRepeatedUntilTheAck(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, in := p.offer(Invite{NoAutoAck: true})
		p.fatal(in.Answer(nil))
		p.status(200)(out.WaitAnswer(p.ctx))
		time.Sleep(8 * time.Second) // sent at 0, 0.5, 1.5, 3.5, 7.5
		if n := p.caller.Count(false, "200 INVITE"); n != 5 {
			t.Errorf("%d answers, want 5", n)
		}
		p.fatal(out.Ack(nil))
		time.Sleep(time.Minute)
		if n := p.caller.Count(false, "200 INVITE"); n != 5 {
			t.Errorf("%d answers after the ACK, want 5", n)
		}
	})
}

// TestLossyNetwork runs whole calls where every fifth datagram is lost and
// others come twice or late: RFC 3261's timers must carry them through.
func TestLossyNetwork(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			between(t, seed, func(p *pair) {
				p.net.SetBoth("10.0.0.1", "10.0.0.2", simnet.Link{
					Latency: 20 * time.Millisecond, Loss: 0.2, Duplicate: 0.1, Reorder: 0.1, Hold: 100 * time.Millisecond,
				})
				out, in := p.talk()
				p.status(200)(out.Reinvite(p.ctx, nil))
				p.status(200)(in.Bye(p.ctx))
				p.ended(out, true, "BYE")

				out, in = p.offer(Invite{})
				out.Cancel()
				p.status(487)(out.WaitAnswer(p.ctx))
				p.ended(in, true, "CANCEL")
				out, in = p.offer(Invite{})
				p.fatal(in.Reject(603))
				p.status(603)(out.WaitAnswer(p.ctx))
			})
		})
	}
}

func TestRealSockets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	open := func() (net.PacketConn, error) { return net.ListenPacket("udp4", "127.0.0.1:0") }
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			phone := func(user string) *Phone {
				o := Options{User: user, Media: open}
				var err error
				if transport == "udp" {
					o.Conn, err = open()
				} else {
					o.Listener, err = net.Listen("tcp4", "127.0.0.1:0")
				}
				if err != nil {
					t.Fatal(err)
				}
				p, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = p.Close() })
				return p
			}
			p := &pair{t: t, caller: phone("caller"), taker: phone("taker"), ctx: ctx}
			out, in := p.talk()
			p.fatal(out.Play(ctx, Tone(440, 3*FrameTime)))
			if _, err := in.WaitRTP(ctx, nil); err != nil {
				t.Error(err)
			}
			p.status(200)(in.Bye(ctx))
			p.ended(out, true, "BYE")
		})
	}
}

func TestCloseWakesEverybody(t *testing.T) {
	between(t, 1, func(p *pair) {
		out, _ := p.offer(Invite{})
		results := make(chan error)
		go func() { _, err := p.caller.Accept(p.ctx); results <- err }()
		go func() { _, err := out.WaitAnswer(p.ctx); results <- err }()
		go func() { _, err := out.WaitEnd(p.ctx); results <- err }()
		synctest.Wait()
		p.fatal(p.caller.Close())
		for range 3 {
			if err := <-results; !errors.Is(err, ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		if err := p.caller.SendRaw("10.0.0.2:5060", []byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("sending: %v", err)
		}
	})
}

func TestMalformedMessages(t *testing.T) {
	between(t, 1, func(p *pair) {
		for _, raw := range []string{
			"", "\r\n\r\n", "INVITE\r\n\r\n", "INVITE sip:x SIP/2.0\r\nCall-ID: 1\r\n\r\n",
			"SIP/2.0 200 OK\r\nCSeq: x\r\n\r\n", "\x00\xff", "BYE sip:x SIP/2.0\r\nVia\r\n\r\n",
		} {
			p.fatal(p.caller.SendRaw(p.taker.Addr(), []byte(raw)))
		}
		_, err := p.taker.Accept(p.ctx) // the one that can be read as a call
		p.fatal(err)
		p.talk()
		if _, err := New(Options{}); err == nil {
			t.Error("a phone without a socket was made")
		}
	})
}
