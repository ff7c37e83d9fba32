package sip

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/phone"
)

// i3Headers are what an NG9-1-1 INVITE carries besides what a dialog needs.
var i3Headers = [][2]string{
	{"Call-Info", "<urn:emergency:uid:callid:a56e556d871:bcf.example>;purpose=emergency-CallId"},
	{"Call-Info", "urn:emergency:uid:incidentid:a56e:bcf.example;purpose=emergency-IncidentId"},
	{"Call-Info", "<cid:1234567890@example.com>;purpose=EmergencyCallData.ProviderInfo"},
	{"Geolocation", "<cid:loc@example.com>"},
	{"Geolocation-Routing", "yes"},
	{"Resource-Priority", "esnet.1"},
	{"Identity", "eyJhbGciOiJFUzI1NiJ9..sig;info=<https://cert.example/c.pem>;alg=ES256;ppt=shaken"},
	{"P-Asserted-Identity", "\"Doe, Jane\" <tel:+15045550123>"},
	{"P-Preferred-Identity", "<sip:jane@example.com>"},
	{"Privacy", "none"},
	{"History-Info", "<sip:911@example.com>;index=1"},
	{"Diversion", "<sip:x@y>;reason=unconditional"},
	{"Reason", "Q.850;cause=16"},
	{"Referred-By", "<sip:r@example.com>"},
	{"Priority", "emergency"},
	{"Accept-Language", "en, es;q=0.8"},
	{"Session-ID", "a1b2c3;remote=00000000"},
	{"Alert-Info", "<http://x/ring.wav>"},
	{"s", "compact subject"},
	{"Supported", "timer, 100rel, geolocation"},
	{"Allow", "INVITE,ACK,BYE"},
	{"X-Vendor", "a,  b ;c=\"d\"\\"},
}

const pidf = `<presence entity="pres:a@b"><tuple id="t"/></presence>`

// What passes from one side to the other, but for what a B2BUA must own.
func passing(msg gosip.Message) (out []string) {
	for _, h := range headersOf(msg) {
		if n := longName(h.Name()); !owned[n] {
			out = append(out, n+": "+h.Value())
		}
	}
	return out
}

func TestAFullINVITEPassesUnchanged(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		body := "--b1\r\nContent-Type: application/sdp\r\n\r\n" + string(sdp("caller")) +
			"--b1\r\nContent-Type: application/pidf+xml\r\nContent-ID: <loc@example.com>\r\n\r\n" + pidf + "\r\n--b1--\r\n"
		caller := w.calls("caller", func(v *phone.Invite) {
			v.From = "\"J\\\"ane\" <sip:+15045550123@carrier.example;user=phone>;x=y"
			v.Headers = append([][2]string{}, i3Headers...)
			v.Body, v.ContentType = []byte(body), "multipart/mixed;boundary=b1"
		})
		pos := w.rings("pos-1")
		if diff := cmp.Diff(append(passing(caller.Invite), "supported: replaces"), passing(pos.Invite)); diff != "" {
			t.Errorf("headers changed (-in +out):\n%s", diff)
		}
		for _, h := range []string{"call-id", "to"} {
			if a, b := get(caller.Invite, h), get(pos.Invite, h); a != b {
				t.Errorf("%s was %q, is %q", h, a, b)
			}
		}
		if a, b := parseAddress(get(caller.Invite, "from")).without("tag"), parseAddress(get(pos.Invite, "from")).without("tag"); a != b {
			t.Errorf("From was %v, is %v", a, b)
		}
		if get(pos.Invite, "max-forwards") != "69" {
			t.Errorf("Max-Forwards is %s", get(pos.Invite, "max-forwards"))
		}
		want := strings.NewReplacer("IP4 10.0.0.1", "IP4 10.0.0.9", "audio 4000", "audio 20002").Replace(body)
		if got := string(pos.Invite.Body()); got != want {
			t.Errorf("body is\n%q\nwant\n%q", got, want)
		}
		w.must(pos.Reply(phone.Reply{Code: 183, Reason: "Early", Body: sdp("pos-1"), Headers: [][2]string{{"X-Early", "1"}}}))
		w.settle()
		res, err := caller.WaitProvisional(w.ctx)
		w.must(err)
		for res.StatusCode == 100 {
			res, err = caller.WaitProvisional(w.ctx)
			w.must(err)
		}
		if res.StatusCode != 183 || res.Reason != "Early" || get(res, "x-early") != "1" || !strings.Contains(string(res.Body()), "IP4 10.0.0.9") {
			t.Errorf("the caller got\n%s", res)
		}
		w.hears(caller, "leg 1")
		w.must(pos.Reply(phone.Reply{Code: 200, Body: sdp("pos-1"), Headers: [][2]string{{"X-Final", "2"}, {"P-Asserted-Identity", "<sip:pos@x>"}}}))
		final, err := caller.WaitAnswer(w.ctx)
		w.must(err)
		if get(final, "x-final") != "2" || get(final, "p-asserted-identity") != "<sip:pos@x>" {
			t.Errorf("the caller's 200 lost headers:\n%s", final)
		}
	})
}

func TestBothIdentifiersAreMadeWhereMissing(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		info := headerOf(pos.Invite, "call-info")
		if !strings.Contains(info, "<urn:emergency:uid:callid:") || !strings.Contains(info, ";purpose=emergency-CallId") ||
			!strings.Contains(info, "<urn:emergency:uid:incidentid:") || !strings.Contains(info, ";purpose=emergency-IncidentId") {
			t.Errorf("Call-Info is %q", info)
		}
		v, err := w.guard.Get(caller.ID())
		w.must(err)
		if same, err := w.guard.Get(v.EmergencyID); err != nil || same.ID != v.ID {
			t.Errorf("the call is not found by %s: %v", v.EmergencyID, err)
		}
	})
}

func TestInDialogRequestsPassBothWays(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		for _, method := range []string{"INFO", "MESSAGE", "OPTIONS", "NOTIFY", "UPDATE", "SUBSCRIBE", "PRACK"} {
			for _, dir := range []struct {
				name     string
				from, to *phone.Call
			}{{"in", caller, pos}, {"out", pos, caller}} {
				var got *gosip.Request
				dir.to.OnRequest(func(r *gosip.Request) *phone.Reply {
					got = r
					return &phone.Reply{Code: 200, Headers: [][2]string{{"X-Answer", method}}, Body: []byte("pong"), ContentType: "text/plain"}
				})
				sent := phone.Request{Method: method, Headers: [][2]string{{"X-Ask", "q"}, {"Event", "x"}}, ContentType: "text/plain", Body: []byte("ping")}
				res, err := dir.from.Request(w.ctx, sent)
				w.must(err)
				if got == nil || string(got.Method) != method || string(got.Body()) != "ping" || get(got, "x-ask") != "q" {
					t.Fatalf("%s %s arrived as\n%v\n%s", method, dir.name, got, w.ladder())
				}
				if res.StatusCode != 200 || get(res, "x-answer") != method || string(res.Body()) != "pong" {
					t.Errorf("%s %s was answered\n%s", method, dir.name, res)
				}
				dir.to.OnRequest(nil)
			}
		}
	})
}

func TestReinviteFromEitherSide(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		for _, c := range []struct {
			from, to *phone.Call
			name     string
		}{{caller, pos, "caller"}, {pos, caller, "pos-1"}} {
			res, err := c.from.Reinvite(w.ctx, sdpWith(c.name, "8", "sendrecv"))
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("re-INVITE from %s: %v %v\n%s", c.name, res, err, w.ladder())
			}
			if !strings.Contains(string(c.to.RemoteSDP()), "RTP/AVP 8\r\n") {
				t.Errorf("the other side of %s got\n%s", c.name, c.to.RemoteSDP())
			}
			w.settle()
		}
		w.pass(time.Minute) // nothing is repeated for ever
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestInviteWithoutAnOffer(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) {
			v.Body, v.ContentType, v.LateOffer, v.NoAutoAck = nil, "", true, true
		})
		pos := w.rings("pos-1")
		if len(pos.Invite.Body()) != 0 {
			t.Errorf("the position got an offer nobody made:\n%s", pos.Invite.Body())
		}
		w.must(pos.Answer(sdp("pos-1")))
		res, err := caller.WaitAnswer(w.ctx)
		w.must(err)
		if !strings.Contains(string(res.Body()), "10.0.0.9") {
			t.Errorf("the caller's offer is\n%s", res.Body())
		}
		w.pass(time.Second)
		w.must(caller.Ack(sdp("caller")))
		w.must(pos.WaitAck(w.ctx))
		w.settle()
		if s := w.media.of(caller.ID()); s.legs[media.Caller][0].RTP.String() != "10.0.0.1:4000" {
			t.Errorf("media knows the caller as %+v", s.legs[media.Caller])
		}
		w.hears(caller, "leg 1")
	})
}

func TestCallerCancels(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.rings("pos-1")
		w.must(pos.Ring())
		w.settle()
		caller.Cancel()
		w.pass(time.Second)
		w.ended(pos, "pos-1", "CANCEL", true)
		w.kept(caller.ID(), "call.offered", "call.ended")
		if e := last[endData](w, caller.ID(), "call.ended"); e.By != "caller" || e.Reason != "cancel" {
			t.Errorf("call.ended has %+v", e)
		}
		w.nothingLeft()
	})
}

func TestCancelCrossesTheAnswer(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.rings("pos-1")
		w.must(pos.Ring())
		w.settle()
		caller.Cancel()
		w.must(pos.Answer(sdp("pos-1")))
		w.must(pos.WaitAck(w.ctx))
		w.pass(time.Second)
		if e := pos.End(); e == nil {
			t.Fatalf("the position is left with a dead call\n%s", w.ladder())
		}
		w.nothingLeft()
	})
}

// Busy, refusing and silent targets are passed over quickly.
func TestTargetsThatFailArePassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		first  func(*world)
		within time.Duration
		reason string
	}{
		"busy":    {func(w *world) { w.must(w.rings("pos-1").Reject(486)) }, 100 * time.Millisecond, ""},
		"decline": {func(w *world) { w.must(w.rings("pos-1").Reject(603)) }, 100 * time.Millisecond, ""},
		"moved":   {func(w *world) { w.must(w.rings("pos-1").Redirect("sip:elsewhere@192.0.2.1")) }, 100 * time.Millisecond, ""},
		"silent":  {func(w *world) { w.phone("pos-1").SetDeaf(true) }, 2100 * time.Millisecond, "silent"},
		"rings":   {func(w *world) { w.must(w.rings("pos-1").Ring()) }, 15100 * time.Millisecond, "rang out"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
				if name == "silent" {
					c.first(w)
				}
				began := time.Now()
				caller := w.calls("caller")
				if name != "silent" {
					c.first(w)
				}
				w.answers("pos-2")
				if took := time.Since(began); took > c.within {
					t.Errorf("the next position was offered the call after %v", took)
				}
				w.hears(caller, "leg 2")
				w.kept(caller.ID(), "call.offered", "call.failed", "call.offered", "call.answered")
				if d := last[failData](w, caller.ID(), "call.failed"); !strings.HasPrefix(d.Reason, c.reason) {
					t.Errorf("reason %q", d.Reason)
				}
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

func TestWhenEveryPositionFailsTheQueueTakesTheCall(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.must(w.rings("pos-1").Reject(503))
		w.must(w.rings("pos-2").Reject(480))
		w.pass(time.Second)
		w.up(caller, "caller")
		w.answers("fallback")
		if res, err := caller.WaitAnswer(w.ctx); err != nil || res.StatusCode != 200 {
			t.Fatalf("the caller got %v, %v", res, err)
		}
		w.hears(caller, "leg 3")
		w.kept(caller.ID(), "call.failed", "call.failed", "alert.raised", "rescue.offered", "rescue.answered")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestOneCallAtATimePerPosition(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "caller2", "pos-1", "pos-2"}, func(w *world) {
		a := w.calls("caller")
		w.answers("pos-1")
		b := w.calls("caller2")
		w.answers("pos-2")
		w.hangsUp(a)
		w.hangsUp(b)
		c := w.calls("caller2")
		w.answers("pos-1")
		w.hangsUp(c)
		w.nothingLeft()
	})
}

// A caller who waits and speaks SIP is answered, and keeps the prompt.
func TestWaitingCallerIsAnswered(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		ringing := w.rings("fallback")
		w.must(ringing.Ring())
		res, err := caller.Reinvite(w.ctx, sdpWith("caller", "0 101", "sendrecv"))
		if err != nil || res.StatusCode != 200 || !strings.Contains(string(res.Body()), "m=audio 20000 RTP/AVP 0") {
			t.Fatalf("re-INVITE: %v %v\n%s", res, err, w.ladder())
		}
		for _, r := range []phone.Request{
			{Method: "UPDATE", Body: sdpWith("caller", "0 101", "sendrecv"), Headers: [][2]string{{"Session-Expires", "1800;refresher=uac"}, {"Supported", "timer"}}},
			{Method: "INFO", Body: []byte("Signal=1"), ContentType: "application/dtmf-relay"},
			{Method: "MESSAGE", Body: []byte("help"), ContentType: "text/plain"},
			{Method: "OPTIONS"},
		} {
			if res, err := caller.Request(w.ctx, r); err != nil || res.StatusCode != 200 {
				t.Errorf("%s: %v %v", r.Method, res, err)
			} else if r.Method == "UPDATE" && get(res, "session-expires") != "1800;refresher=uac" {
				t.Errorf("UPDATE: Session-Expires is %q", get(res, "session-expires"))
			}
		}
		w.hears(caller, "prompt")
		w.up(caller, "caller")
		w.pass(10 * time.Second)
		w.must(ringing.Answer(sdp("fallback")))
		w.hears(caller, "leg 2")
	})
}

func TestAdminCallsPassUnguarded(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-2"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.RequestURI, v.To = "sip:5551000@psap.example", "<sip:5551000@psap.example>" })
		pos := w.answers("pos-2")
		w.hangsUp(pos)
		w.ended(caller, "caller", "BYE", true)
		w.kept(caller.ID(), "call.offered", "call.answered", "release.requested", "release.allowed", "call.ended")
		refused := w.calls("caller", func(v *phone.Invite) { v.RequestURI, v.To = "sip:5551000@psap.example", "<sip:5551000@psap.example>" })
		w.must(w.rings("pos-2").Reject(486, [2]string{"Retry-After", "9"}))
		res, err := refused.WaitAnswer(w.ctx)
		if err != nil || res.StatusCode != 486 || get(res, "retry-after") != "9" {
			t.Errorf("a refused admin call was answered %v, %v", res, err)
		}
		w.nothingLeft()
	})
}

func TestTestCallsBypassGuardAndStatistics(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.RequestURI, v.To = "urn:service:test.sos", "<urn:service:test.sos>" })
		pos := w.answers("pos-1")
		w.hangsUp(pos)
		w.ended(caller, "caller", "BYE", true)
		if s := w.guard.Stats(); s.Offered[policy.Emergency] != 0 || s.Allowed != 0 || s.Ended["position"] != 0 {
			t.Errorf("a test call is in the statistics: %+v", s)
		}
		w.nothingLeft()
	})
}

func TestUntrustedSourcesGetNothing(t *testing.T) {
	inWorld(t, usualSettings(), []string{"stranger", "pos-1"}, func(w *world) {
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		defer cancel()
		w.calls("stranger")
		if res, err := w.phone("stranger").Request(ctx, guardAddr, "sip:"+guardAddr, phone.Request{Method: "OPTIONS"}); err == nil {
			t.Errorf("a stranger was answered %v", res)
		}
		w.pass(time.Minute)
		if n := len(w.journal.all()); n != 0 {
			t.Errorf("a stranger left %d records", n)
		}
		if got := w.phone("stranger").Trace(); slices.ContainsFunc(got, func(m phone.Message) bool { return !m.Sent }) {
			t.Error("a stranger got a message")
		}
	})
}

func TestDrainRefusesNewCallsOnly(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "caller2", "pos-1", "fallback"}, func(w *world) {
		options := func() int {
			res, err := w.phone("caller2").Request(w.ctx, guardAddr, "sip:"+guardAddr, phone.Request{Method: "OPTIONS"})
			w.must(err)
			return res.StatusCode
		}
		if got := options(); got != 200 {
			t.Errorf("OPTIONS: %d", got)
		}
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.guard.Drain()
		if got := options(); got != 503 {
			t.Errorf("OPTIONS while draining: %d", got)
		}
		if res, err := w.calls("caller2").WaitAnswer(w.ctx); err != nil || res.StatusCode != 503 {
			t.Errorf("a new call while draining: %v, %v", res, err)
		}
		w.hangsUp(pos) // the guard still guards
		w.answers("fallback")
		w.hears(caller, "leg 2")
		w.hangsUp(caller)
		w.pass(time.Minute)
		if n := w.guard.InProgress(); n != 0 {
			t.Errorf("%d calls in progress", n)
		}
	})
}

// raw sends bytes from the caller's socket and returns the status of the answer; 0 for none.
func (w *world) raw(text string) int {
	w.t.Helper()
	p := w.phone("caller")
	before := len(p.Trace())
	w.must(p.SendRaw(guardAddr, []byte(strings.ReplaceAll(text, "\n", "\r\n"))))
	w.pass(100 * time.Millisecond)
	for _, m := range p.Trace()[before:] {
		if msg, err := m.Parse(); err == nil && !m.Sent {
			if res, ok := msg.(*gosip.Response); ok && res.StatusCode != 100 {
				return res.StatusCode
			}
		}
	}
	return 0
}

func TestBadRequestsGetAClearAnswer(t *testing.T) {
	head := func(line, extra string) string {
		return line + "\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK" + newToken() + "\nMax-Forwards: 70\nFrom: <sip:a@b>;tag=1\nTo: <sip:911@x>\nCall-ID: " + newToken() + "\n" + extra + "Content-Length: 0\n\n"
	}
	for name, c := range map[string]struct {
		text string
		code int
	}{
		"version":         {head("OPTIONS sip:x@10.0.0.9 SIP/7.0", "CSeq: 1 OPTIONS\n"), 505},
		"cseq method":     {head("OPTIONS sip:x@10.0.0.9 SIP/2.0", "CSeq: 1 INVITE\n"), 400},
		"no cseq":         {head("OPTIONS sip:x@10.0.0.9 SIP/2.0", ""), 400},
		"cseq too large":  {head("OPTIONS sip:x@10.0.0.9 SIP/2.0", "CSeq: 36893488147419103232 OPTIONS\n"), 400},
		"unknown method":  {head("NEWMETHOD sip:x@10.0.0.9 SIP/2.0", "CSeq: 1 NEWMETHOD\n"), 405},
		"no hops left":    {strings.Replace(head("INVITE sip:911@10.0.0.9 SIP/2.0", "CSeq: 1 INVITE\n"), "Max-Forwards: 70", "Max-Forwards: 0", 1), 483},
		"hops not number": {strings.Replace(head("INVITE sip:911@10.0.0.9 SIP/2.0", "CSeq: 1 INVITE\n"), "Max-Forwards: 70", "Max-Forwards: many", 1), 400},
		"negative length": {strings.Replace(head("INVITE sip:911@10.0.0.9 SIP/2.0", "CSeq: 1 INVITE\n"), "Content-Length: 0", "Content-Length: -999", 1), 400},
		"truncated body":  {strings.Replace(head("INVITE sip:911@10.0.0.9 SIP/2.0", "CSeq: 1 INVITE\n"), "Content-Length: 0", "Content-Length: 999", 1), 400},
		"no route":        {head("INVITE sip:nobody@10.0.0.9 SIP/2.0", "CSeq: 1 INVITE\n"), 404},
		"unknown dialog":  {strings.Replace(head("BYE sip:x@10.0.0.9 SIP/2.0", "CSeq: 1 BYE\n"), "To: <sip:911@x>", "To: <sip:911@x>;tag=zz", 1), 481},
		"stray cancel":    {head("CANCEL sip:x@10.0.0.9 SIP/2.0", "CSeq: 1 CANCEL\n"), 481},
		"spaces in uri":   {head("INVITE sip:911 @10.0.0.9 SIP/2.0", "CSeq: 1 INVITE\n"), 400},
		"ack to nothing":  {head("ACK sip:x@10.0.0.9 SIP/2.0", "CSeq: 1 ACK\n"), 0},
		"stray response":  {head("SIP/2.0 200 OK", "CSeq: 1 INVITE\n"), 0},
		"garbage":         {"\x00\x01\x02 hello", 0},
		"keep-alive":      {"\n\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller"}, func(w *world) {
				if got := w.raw(c.text); got != c.code {
					t.Errorf("answered %d, want %d", got, c.code)
				}
				w.nothingLeft()
			})
		})
	}
}

// Old and careless peers: no Via branch, no To tag in BYE.
func TestTolerance(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		send := func(text string) {
			w.must(w.phone("caller").SendRaw(guardAddr, []byte(strings.ReplaceAll(text, "\n", "\r\n"))))
		}
		common := "Via: SIP/2.0/UDP 10.0.0.1:5060\nf: sip:old@10.0.0.1;tag=1\nt: sip:911@10.0.0.9%s\ni: old-1\nm: sip:old@10.0.0.1\nMax-Forwards: 70\n"
		body := string(sdp("caller"))
		invite := "INVITE sip:911@10.0.0.9 SIP/2.0\n" + fmt.Sprintf(common, "") + "CSeq: 1 INVITE\nc: application/sdp\nl: " + itoa(len(body)) + "\n\n"
		w.must(w.phone("caller").SendRaw(guardAddr, []byte(strings.ReplaceAll(invite, "\n", "\r\n")+body)))
		pos := w.answers("pos-1")
		v, err := w.guard.Get("old-1")
		w.must(err)
		if v.State != string(Bridged) {
			t.Fatalf("the call is %s", v.State)
		}
		var toTag string
		for _, m := range w.phone("caller").Trace() {
			if msg, err := m.Parse(); err == nil && m.Is("200 INVITE") {
				toTag = tag(get(msg, "to"))
			}
		}
		send("ACK sip:911@10.0.0.9 SIP/2.0\n" + fmt.Sprintf(common, ";tag="+toTag) + "CSeq: 1 ACK\nl: 0\n\n")
		w.settle()
		before := w.phone("caller").Count(false, "200 INVITE")
		w.pass(10 * time.Second)
		if n := w.phone("caller").Count(false, "200 INVITE"); n != before {
			t.Errorf("the 200 is repeated after its ACK: %d, then %d\n%s", before, n, w.ladder())
		}
		send("BYE sip:911@10.0.0.9 SIP/2.0\n" + fmt.Sprintf(common, "") + "CSeq: 2 BYE\nl: 0\n\n")
		w.ended(pos, "pos-1", "BYE", true)
		w.nothingLeft()
	})
}

// The same request over two paths is one call (RFC 3261 section 8.2.2.2).
func TestMergedRequest(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		text := func(branch string) string {
			return "INVITE sip:911@10.0.0.9 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK" + branch + "\nMax-Forwards: 70\nFrom: <sip:a@b>;tag=1\nTo: <sip:911@x>\nCall-ID: merged\nCSeq: 1 INVITE\nContact: <sip:a@10.0.0.1>\nContent-Length: 0\n\n"
		}
		w.raw(text("one"))
		if got := w.raw(text("two")); got != 482 {
			t.Errorf("answered %d, want 482", got)
		}
	})
}

// Loss of 20 % in both directions changes nothing but the time it takes.
func TestLossyNetwork(t *testing.T) {
	for seed := range uint64(20) {
		inSeededWorld(t, seed, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
			w.lossy(0.2)
			caller := w.calls("caller")
			pos := w.rings("pos-1")
			w.must(pos.Answer(sdp("pos-1")))
			w.must(pos.WaitAck(w.ctx))
			w.pass(10 * time.Second)
			res, err := pos.Bye(w.ctx)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("BYE: %v, %v\n%s", res, err, w.ladder())
			}
			rescue := w.rings("fallback")
			w.must(rescue.Answer(sdp("fallback")))
			w.must(rescue.WaitAck(w.ctx))
			w.pass(10 * time.Second)
			w.up(caller, "caller")
			if got := w.media.hears(caller.ID()); !strings.HasPrefix(got, "leg ") || got == "leg 1" {
				t.Fatalf("the caller hears %s\n%s", got, w.ladder())
			}
			if res, err := caller.Bye(w.ctx); err != nil || res.StatusCode != 200 && res.StatusCode != 481 {
				t.Fatalf("the caller's BYE: %v, %v\n%s", res, err, w.ladder())
			}
			w.nothingLeft()
		})
	}
}

// A host name where an address is usual: media goes where signalling comes from.
func TestSessionWithAHostName(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) {
			v.Body = []byte(strings.Replace(string(sdp("caller")), "c=IN IP4 10.0.0.1", "c=IN IP4 phone.example", 1))
		})
		w.answers("pos-1")
		if r := w.media.of(caller.ID()).legs[media.Caller][0]; r.RTP.String() != "10.0.0.1:4000" || r.Muted {
			t.Errorf("media goes to %+v", r)
		}
	})
}

// A re-INVITE and a BYE without a To tag belong to the call that is up.
func TestRequestsWithoutAToTagBelongToTheirCall(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		text := func(method string, n int, body string) string {
			return method + " urn:service:sos SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK" + newToken() + "\nMax-Forwards: 70\nFrom: <sip:a@10.0.0.1>;tag=1\nTo: urn:service:sos\nCall-ID: careless\nCSeq: " + itoa(n) + " " + method +
				"\nContact: <sip:a@10.0.0.1:5060>\nContent-Type: application/sdp\nContent-Length: " + itoa(len(body)) + "\n\n"
		}
		send := func(method string, n int, body string) {
			raw := strings.ReplaceAll(text(method, n, body), "\n", "\r\n") + body
			w.must(w.phone("caller").SendRaw(guardAddr, []byte(raw)))
		}
		send("INVITE", 1, string(sdp("caller")))
		pos := w.answers("pos-1")
		send("ACK", 1, "")
		w.settle()
		send("INVITE", 2, string(sdpWith("caller", "8", "sendrecv")))
		w.pass(time.Second)
		if n := w.phone("pos-1").Count(false, "INVITE"); n != 2 {
			t.Errorf("the position got %d INVITEs, want the call and its re-INVITE\n%s", n, w.ladder())
		}
		send("ACK", 2, "")
		send("BYE", 3, "")
		w.ended(pos, "pos-1", "BYE", true)
		w.nothingLeft()
	})
}
