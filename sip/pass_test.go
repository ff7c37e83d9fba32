package sip

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/phone"
)

// A registration passes with us in its Path, so that a call to the phone
// comes back through us and is guarded (RFC 3327).
func TestRegistrationAndTheCallThatFollows(t *testing.T) {
	s := usualSettings()
	s.Positions = []Position{{ID: "pos-1", URI: "sip:pos-1@pbx.example"}}
	s.Routes = []Route{
		{Match: "sip:pos-*@*", To: []string{"{user}"}, Ring: 15 * time.Second},
		{Match: "sip:pbx.example", To: []string{"sip:" + hosts["caller"]}},
	}
	inWorld(t, s, []string{"caller", "pos-1", "fallback"}, func(w *world) {
		var registered *gosip.Request
		pbx, err := w.net.ListenUDP("10.0.0.50:5060")
		w.must(err)
		p, err := phone.New(phone.Options{Conn: pbx, User: "pbx", OnRequest: func(_ *phone.Call, r *gosip.Request) *phone.Reply {
			registered = r
			return &phone.Reply{Code: 200, Headers: [][2]string{{"Path", get(r, "path")}, {"Contact", get(r, "contact") + ";expires=60"}}}
		}})
		w.must(err)
		w.phones["pbx"] = p
		next := s
		next.Routes = []Route{s.Routes[0], {Match: "sip:pbx.example", To: []string{"sip:10.0.0.50:5060"}}}
		w.must(w.guard.Reload(next))

		contact := "<" + uriFor("pos-1") + ";x=y>"
		res, err := w.phone("pos-1").Request(w.ctx, guardAddr, "sip:pbx.example", phone.Request{Method: "REGISTER", Headers: [][2]string{{"Contact", contact}, {"Authorization", "Digest x=\"y\""}}})
		if err != nil || res.StatusCode != 200 || !strings.HasPrefix(get(res, "contact"), contact) {
			t.Fatalf("REGISTER: %v, %v", res, err)
		}
		if get(registered, "path") != "<sip:"+guardAddr+";lr>" || get(registered, "contact") != contact || registered.Recipient.String() != "sip:pbx.example" ||
			get(registered, "authorization") != `Digest x="y"` || !strings.Contains(get(registered, "supported"), "path") {
			t.Errorf("the registrar got\n%s", registered)
		}

		call, err := p.Call(w.ctx, phone.Invite{
			Dest: guardAddr, RequestURI: uriFor("pos-1") + ";x=y", To: "<sip:911@pbx.example>",
			Headers: [][2]string{{"Route", get(registered, "path")}}, Body: sdp("caller"), ContentType: "application/sdp",
		})
		w.must(err)
		pos := w.answers("pos-1")
		if got := pos.Invite.Recipient.String(); got != uriFor("pos-1")+";x=y" {
			t.Errorf("the phone was called as %s", got)
		}
		w.hangsUp(pos)
		w.up(call, "pbx")
		w.answers("fallback")
		w.hears(call, "leg 2")
	})
}

func TestOutOfDialogRequestsPassByRoute(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		for _, method := range []string{"MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS", "NOTIFY"} {
			before := w.phone("pos-1").Count(false, method)
			res, err := w.phone("caller").Request(w.ctx, guardAddr, "sip:911@x", phone.Request{Method: method, Headers: [][2]string{{"X-A", "b"}, {"Event", "presence"}}, Body: []byte("hi"), ContentType: "text/plain"})
			if err != nil || res.StatusCode >= 300 && res.StatusCode != 405 {
				t.Errorf("%s: %v, %v", method, res, err)
			}
			if w.phone("pos-1").Count(false, method) != before+1 {
				t.Errorf("%s did not arrive\n%s", method, w.ladder())
			}
		}
		if res, err := w.phone("caller").Request(w.ctx, guardAddr, "sip:nobody@x", phone.Request{Method: "MESSAGE"}); err != nil || res.StatusCode != 404 {
			t.Errorf("MESSAGE to nobody: %v, %v", res, err)
		}
	})
}

// A target that answers no OPTIONS is passed over at once, and comes back.
func TestWatchedTargets(t *testing.T) {
	s := usualSettings()
	s.Watch = Watch{Interval: 10 * time.Second, Failures: 2}
	inWorld(t, s, []string{"caller", "pos-1", "pos-2", "pos-3", "fallback"}, func(w *world) {
		w.phone("pos-1").SetDeaf(true)
		w.pass(2 * time.Minute)
		reach := func() Reach { return w.guard.Positions()[0].Reach }
		if reach() != Dead {
			t.Fatalf("pos-1 is %s\n%s", reach(), w.ladder())
		}
		before := w.phone("pos-1").Count(false, "INVITE")
		caller := w.calls("caller")
		w.answers("pos-2")
		w.hears(caller, "leg 1")
		w.phone("pos-1").SetDeaf(false)
		w.pass(time.Minute)
		if reach() != Alive || w.phone("pos-1").Count(false, "INVITE") != before {
			t.Errorf("pos-1 is %s", reach())
		}
		w.hangsUp(caller)
		caller = w.calls("caller")
		w.answers("pos-1")
		w.hangsUp(caller)
	})
}

// names is a resolver for tests.
type names map[string][]string

func (n names) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	var out []*net.SRV
	for _, target := range n["_"+service+"._"+proto+"."+name] {
		out = append(out, &net.SRV{Target: target + ".", Port: 5060})
	}
	if out == nil {
		return "", nil, errors.New("no such name")
	}
	return "", out, nil
}

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, a := range n[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, errors.New("no such name")
	}
	return out, nil
}

// The first server of a name is down: the next one gets the call (RFC 3263 section 4.3).
func TestFailoverBetweenTheServersOfAName(t *testing.T) {
	s := usualSettings()
	s.Positions[0].URI = "sip:pos-1@desks.example"
	inWorld(t, s, []string{"caller", "pos-1", "pos-2", "pos-3"}, func(w *world) {
		w.guard.opts.Resolver = names{"_sip._udp.desks.example": {"a.example", "b.example"}, "a.example": {"10.0.0.13"}, "b.example": {"10.0.0.11"}}
		w.phone("pos-3").SetDeaf(true)
		caller := w.calls("caller")
		w.answers("pos-1")
		w.hears(caller, "leg 2")
		w.hangsUp(caller)
		w.ended(w.calls("caller", func(v *phone.Invite) { v.RequestURI = "sip:nobody@x" }), "caller", "rejected", true)
		w.nothingLeft()
	})
}

// A caller behind NAT is answered where the packets come from.
func TestCallerBehindNAT(t *testing.T) {
	s := usualSettings()
	s.NAT = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	inWorld(t, s, []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.Headers = [][2]string{{"Contact", "<sip:caller@192.168.1.7:5060>"}} })
		pos := w.answers("pos-1")
		_, err := w.guard.MarkIntake(w.ctx, caller.ID(), map[policyField]string{"incident": "1"}, "t")
		w.must(err)
		w.hangsUp(pos)
		w.ended(caller, "caller", "BYE", true)
	})
}

// A strict router wants itself as the request URI (RFC 3261 section 12.2.1.1).
func TestStrictRoutingPeer(t *testing.T) {
	d := Dialog{CallID: "x", Target: "sip:peer@10.0.0.1", RouteSet: []string{"<sip:strict@10.0.0.2>", "<sip:loose@10.0.0.3;lr>"}, Socket: guardAddr, Network: "udp"}
	req, err := d.request("BYE", 2)
	if err != nil {
		t.Fatal(err)
	}
	if req.Recipient.String() != "sip:strict@10.0.0.2" || strings.Join(getAll(req, "route"), ",") != "<sip:loose@10.0.0.3;lr>,<sip:peer@10.0.0.1>" {
		t.Errorf("got %s with Route %q", req.Recipient.String(), getAll(req, "route"))
	}
}

// A call server may challenge: the caller gets the challenge as it is, and the
// INVITE with credentials passes. A desk that challenges is passed over.
func TestChallengesOfACallServerPass(t *testing.T) {
	s := usualSettings()
	s.Routes = append([]Route{{Match: "sip:911@pbx.example", To: []string{"sip:10.0.0.12:5060"}}}, s.Routes...)
	s.Positions = s.Positions[:1]
	inWorld(t, s, []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
		const challenge = `Digest realm="pbx", nonce="n"`
		calls := func(more ...[2]string) *phone.Call {
			return w.calls("caller", func(v *phone.Invite) { v.RequestURI, v.Headers, v.CallID = "sip:911@pbx.example", more, "same" })
		}
		first := calls()
		w.must(w.rings("pos-2").Reject(407, [2]string{"Proxy-Authenticate", challenge}))
		res, err := first.WaitAnswer(w.ctx)
		if err != nil || res.StatusCode != 407 || get(res, "proxy-authenticate") != challenge {
			t.Fatalf("the caller got %v, %v", res, err)
		}
		again := calls([2]string{"Proxy-Authorization", `Digest response="r"`})
		server := w.answers("pos-2")
		if got := headerOf(server.Invite, "proxy-authorization"); got != `Digest response="r"` {
			t.Errorf("credentials: %q", got)
		}
		w.hears(again, "leg 1")
		w.hangsUp(again)

		desk := w.calls("caller")
		w.must(w.rings("pos-1").Reject(401, [2]string{"WWW-Authenticate", challenge}))
		w.answers("fallback")
		w.up(desk, "caller")
		w.hangsUp(desk)
		w.nothingLeft()
	})
}
