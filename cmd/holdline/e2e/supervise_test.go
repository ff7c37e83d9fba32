package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/zaf/g711"

	"holdline/cmd/holdline/config"
	"holdline/cmd/holdline/node"
	"holdline/sip/phone"
)

// The tones by which voices are told apart, in Hz. They have no harmonics of
// each other among them, and G.711 carries all.
const (
	callerTone     = 425.0
	takerTone      = 700.0
	supervisorTone = 1150.0
)

// studio is a whole Holdline in this process with phones that have voices.
type studio struct {
	t    *testing.T
	ctx  context.Context
	node *node.Node
	sip  string
	base string

	voices []float64 // the tones that are told apart
}

func newStudio(t *testing.T, change ...func(*config.Config)) *studio {
	t.Helper()
	if testing.Short() {
		t.Skip("takes real time")
	}
	ctx, cancel := context.WithTimeout(t.Context(), slow)
	t.Cleanup(cancel)
	s := &studio{t: t, ctx: ctx, voices: []float64{callerTone, takerTone, supervisorTone}}
	c := config.Default()
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	c.Node, c.Data = "studio", t.TempDir()
	c.SIP.Listen = []config.Listen{{Network: "udp", Addr: loopback}}
	c.Media.Ports = config.PortRange{}
	c.Routes = []config.Route{{Match: "urn:service:sos*", To: []string{"pos-1"}, Ring: config.Duration(15 * time.Second), Kind: "emergency"}}
	c.Fallback = []config.Tier{{To: []string{"sip:nobody@127.0.0.1:9"}, Strategy: "ring-all", Ring: config.Duration(20 * time.Second)}}
	c.Console.Listen = config.HostPort{AddrPort: loopback}
	for _, f := range change {
		f(&c)
	}
	n, err := node.Start(node.Options{Config: &c, Version: "test"})
	s.must(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	s.node, s.sip, s.base = n, n.SIPAddrs()[0].String(), "http://"+n.ConsoleAddr().String()
	return s
}

func (s *studio) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// takes answers the next call of a phone and speaks with a tone.
func (s *studio) takes(p *phone.Phone, tone float64) *phone.Call {
	s.t.Helper()
	c, err := p.Accept(s.ctx)
	s.must(err)
	s.must(c.Answer(nil))
	s.must(c.WaitAck(s.ctx))
	s.speaks(c, tone)
	return c
}

// calls makes a 911 call that position takes; both speak.
func (s *studio) calls(caller, position *phone.Phone) (call, taken *phone.Call) {
	s.t.Helper()
	call, err := caller.Call(s.ctx, phone.Invite{Dest: s.sip, RequestURI: "urn:service:sos", To: "<urn:service:sos>"})
	s.must(err)
	taken = s.takes(position, takerTone)
	_, err = call.WaitAnswer(s.ctx)
	s.must(err)
	s.speaks(call, callerTone)
	return call, taken
}

func (s *studio) speaks(c *phone.Call, tone float64) {
	go func() { _ = c.Play(s.ctx, phone.Tone(tone, time.Minute)) }() // ends with the call
}

// api sends a command and decodes the answer.
func (s *studio) api(method, path string, body, into any, want int) {
	s.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		s.must(err)
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(s.ctx, method, s.base+path, r)
	s.must(err)
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	s.must(err)
	if res.StatusCode != want {
		s.t.Fatalf("%s %s: %s %s", method, path, res.Status, text)
	}
	if into != nil {
		s.must(json.Unmarshal(text, into))
	}
}

func (s *studio) call(c *phone.Call, rest string) string {
	return "/v1/calls/" + url.PathEscape(c.ID()) + rest
}

// frames is how many packets are listened to at once: 300 ms.
const frames = 15

// hears waits until what a phone hears is these tones and no others.
func (s *studio) hears(who string, c *phone.Call, want ...float64) {
	s.t.Helper()
	var last [][]int16
	var got []float64
	after := len(c.Heard())
	ctx, cancel := context.WithTimeout(s.ctx, 15*time.Second)
	defer cancel()
	_, err := c.WaitRTP(ctx, func(p phone.RTPPacket) bool {
		if after--; after >= 0 {
			return false // from before
		}
		if samples := decoded(p); samples != nil {
			last = append(last, samples)
		}
		if len(last) < frames {
			return false
		}
		last = last[len(last)-frames:]
		got = tones(slices.Concat(last...), s.voices)
		return slices.Equal(got, want)
	})
	if err != nil {
		s.t.Fatalf("%s hears %v, want %v: %v", who, got, want, err)
	}
}

func decoded(p phone.RTPPacket) []int16 {
	var out []int16
	for _, b := range p.Payload {
		switch p.PayloadType {
		case 0:
			out = append(out, g711.DecodeUlawFrame(b))
		case 8:
			out = append(out, g711.DecodeAlawFrame(b))
		}
	}
	return out
}

// tones are those of the voices that are in the samples: Goertzel, at an
// amplitude of 1,000 or more.
func tones(samples []int16, voices []float64) []float64 {
	var out []float64
	for _, f := range voices {
		w := 2 * math.Cos(2*math.Pi*f/8000)
		var a, b float64
		for _, x := range samples {
			a, b = float64(x)+w*a-b, a
		}
		if power := a*a + b*b - w*a*b; 2*math.Sqrt(max(power, 0))/float64(len(samples)) > 1000 {
			out = append(out, f)
		}
	}
	return out
}

// continuous checks that what a phone received is one stream without a gap.
func (s *studio) continuous(who string, c *phone.Call) {
	s.t.Helper()
	heard := c.Heard()
	for i, p := range heard[1:] {
		before := heard[i]
		if p.SSRC != before.SSRC || p.SequenceNumber != before.SequenceNumber+1 {
			s.t.Fatalf("%s: packet %d is %x/%d after %x/%d", who, i+1, p.SSRC, p.SequenceNumber, before.SSRC, before.SequenceNumber)
		}
	}
}

// A supervisor's phone is brought in, listens, whispers, barges in and takes
// over, and everybody hears whom they should, by the sound.
func TestSupervisorIsHeard(t *testing.T) {
	t.Parallel()
	var pos, sup *phone.Phone
	s := newStudio(t, func(c *config.Config) {
		pos, sup = newPhone(t, "pos-1"), newPhone(t, "chief")
		c.Positions = []config.Position{{ID: "pos-1", URI: pos.URI(), Calls: 1, Agent: "agent-7"}}
	})
	caller := newPhone(t, "caller")
	call, taken := s.calls(caller, pos)
	s.hears("the caller", call, takerTone)
	s.hears("the taker", taken, callerTone)

	var part struct{ ID, State string }
	s.api("POST", s.call(call, "/join"), map[string]string{"mode": "listen", "target": sup.URI(), "by": "chief"}, &part, 201)
	listening := s.takes(sup, supervisorTone)
	s.hears("the listener", listening, callerTone, takerTone)
	s.hears("the caller", call, takerTone)
	s.hears("the taker", taken, callerTone)

	join := s.call(call, "/join/"+part.ID)
	s.api("PATCH", join, map[string]string{"mode": "whisper"}, nil, 200)
	s.hears("the taker", taken, callerTone, supervisorTone)
	s.hears("the caller", call, takerTone)
	s.hears("the whisperer", listening, callerTone, takerTone)

	s.api("PUT", join, map[string]string{"mode": "barge"}, nil, 200)
	s.hears("the caller", call, takerTone, supervisorTone)
	s.hears("the taker", taken, callerTone, supervisorTone)
	s.hears("the barger", listening, callerTone, takerTone)

	s.api("POST", s.call(call, "/takeover"), map[string]string{"join": part.ID}, nil, 200)
	if _, err := taken.WaitEnd(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.hears("the caller", call, supervisorTone)
	s.hears("the supervisor", listening, callerTone)
	s.continuous("the caller", call)

	if res, err := call.Bye(s.ctx); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	if _, err := listening.WaitEnd(s.ctx); err != nil {
		t.Fatal(err)
	}
}

// A supervisor's phone dials in and switches by keys; the caller waits alone
// and is served by barging in.
func TestSupervisorDialsInAndIsHeard(t *testing.T) {
	t.Parallel()
	var pos, sup *phone.Phone
	s := newStudio(t, func(c *config.Config) {
		pos, sup = newPhone(t, "pos-1"), newPhone(t, "chief")
		c.Positions = []config.Position{{ID: "pos-1", URI: pos.URI(), Calls: 1}}
		c.Supervisors.Phones = []config.SupervisorPhone{{ID: "chief", URI: sup.URI(), Networks: c.SIP.Trust}}
	})
	call, taken := s.calls(newPhone(t, "caller"), pos)
	dialled, err := sup.Call(s.ctx, phone.Invite{Dest: s.sip, RequestURI: "sip:listen*pos-1@" + s.sip})
	s.must(err)
	if _, err := dialled.WaitAnswer(s.ctx); err != nil {
		t.Fatal(err)
	}
	speak, quiet := context.WithCancel(s.ctx)
	go func() { _ = dialled.Play(speak, phone.Tone(supervisorTone, time.Minute)) }()
	s.hears("the listener", dialled, callerTone, takerTone)
	quiet()
	s.must(dialled.Dial(s.ctx, "*3")) // barge
	s.speaks(dialled, supervisorTone)
	s.hears("the caller", call, takerTone, supervisorTone)

	if res, err := taken.Bye(s.ctx); err != nil || res.StatusCode != 200 { // the supervisor keeps the caller
		t.Fatal(res, err)
	}
	s.hears("the caller", call, supervisorTone)
	s.hears("the supervisor", dialled, callerTone)
	if e := call.End(); e != nil {
		t.Fatalf("the caller's call ended: %+v", e)
	}
	s.continuous("the caller", call)
}

// A stock phone as the supervisor's: baresip answers by itself and hums.
func TestSupervisorWithBaresip(t *testing.T) {
	t.Parallel()
	need(t, "baresip")
	var pos *phone.Phone
	s := newStudio(t, func(c *config.Config) {
		pos = newPhone(t, "pos-1")
		c.Positions = []config.Position{{ID: "pos-1", URI: pos.URI(), Calls: 1}}
		c.Media.NAT = c.SIP.Trust // see anyAddress
	})
	const hum = 440
	s.voices = []float64{hum, takerTone}
	free := freePorts(t)
	baresip(t, "chief", free.pos1, free.pos2)
	listensUDP(t, free.pos1)
	call, taken := s.calls(newPhone(t, "caller"), pos)

	var part struct{ ID string }
	s.api("POST", s.call(call, "/join"), map[string]string{"mode": "barge", "target": fmt.Sprintf("sip:chief@127.0.0.1:%d", free.pos1)}, &part, 201)
	s.hears("the caller", call, hum, takerTone)
	s.api("PATCH", s.call(call, "/join/"+part.ID), map[string]string{"mode": "listen"}, nil, 200)
	s.hears("the caller", call, takerTone)
	s.api("POST", s.call(call, "/takeover"), map[string]string{"join": part.ID}, nil, 200)
	s.hears("the caller", call, hum)
	if _, err := taken.WaitEnd(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.continuous("the caller", call)
	s.api("DELETE", s.call(call, "/join/"+part.ID), nil, nil, 200)
	s.hears("the caller", call) // the prompt
}

// newPhone is a phone whose address a configuration needs.
func newPhone(t *testing.T, user string) *phone.Phone {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := phone.New(phone.Options{Conn: conn, User: user, Media: func() (net.PacketConn, error) {
		return net.ListenPacket("udp4", "127.0.0.1:0")
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
