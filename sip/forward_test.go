package sip

import (
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/phone"
	"holdline/sip/simnet"
)

// callServer plays a proxying call server, "fallback", that sends the rescue
// INVITE back through the guard to a phone that registered through it,
// "fallback2" (RFC 3327). back is the INVITE as the call server sends it.
func callServer(w *world) (caller, atServer, atPhone *phone.Call, back func(method, to string) string) {
	w.t.Helper()
	caller = w.calls("caller")
	w.hangsUp(w.answers("pos-1"))
	atServer = w.rings("fallback")
	inv := atServer.Invite
	back = func(method, to string) string {
		n, _, _ := cseq(inv)
		lines := []string{
			method + " " + uriFor("fallback2") + " SIP/2.0",
			"Via: SIP/2.0/UDP " + hosts["fallback"] + ";branch=z9hG4bKspiral" + strings.Replace(method, "CANCEL", "INVITE", 1),
			"Via: " + get(inv, "via"),
			"Record-Route: <sip:" + hosts["fallback"] + ";lr>",
			"Route: <sip:" + guardAddr + ";lr>",
			"From: " + get(inv, "from"), "To: " + get(inv, "to") + to, "Call-ID: " + get(inv, "call-id"),
			"CSeq: " + itoa(int(n)) + " " + method, "Contact: " + get(inv, "contact"), "Max-Forwards: 60", "X-Kept: as it was",
		}
		body := ""
		if method == "INVITE" {
			body = string(inv.Body())
			lines = append(lines, "Content-Type: "+get(inv, "content-type"))
		}
		return strings.Join(append(lines, "Content-Length: "+itoa(len(body)), "", body), "\r\n")
	}
	w.must(w.phone("fallback").SendRaw(guardAddr, []byte(back("INVITE", ""))))
	return caller, atServer, w.rings("fallback2"), back
}

// seen is the last message of a kind that a phone received.
func seen(w *world, who, what string) gosip.Message {
	w.t.Helper()
	w.settle()
	for _, m := range slices.Backward(w.phone(who).Trace()) {
		if msg, err := m.Parse(); err == nil && !m.Sent && m.Is(what) {
			return msg
		}
	}
	w.t.Fatalf("%s got no %s\n%s", who, what, w.ladder())
	return nil
}

var spiralCast = []string{"caller", "pos-1", "fallback", "fallback2"}

// The rescue INVITE goes to a call server and comes back on its way to a
// registered phone: it passes, and the call it belongs to goes on guarding.
func TestSpiralPassesThrough(t *testing.T) {
	inWorld(t, usualSettings(), spiralCast, func(w *world) {
		caller, atServer, sup, back := callServer(w)
		if get(sup.Invite, "x-kept") != "as it was" || get(sup.Invite, "max-forwards") != "59" || string(sup.Invite.Body()) != string(atServer.Invite.Body()) {
			t.Errorf("the phone got\n%s", sup.Invite)
		}
		if rr := list(getAll(sup.Invite, "record-route")); len(rr) != 2 || rr[0] != "<sip:"+guardAddr+";lr>" {
			t.Errorf("Record-Route is %q", rr)
		}
		if n := len(w.guard.List()); n != 1 {
			t.Errorf("%d calls where there is one", n)
		}
		w.must(sup.Reply(phone.Reply{Code: 183, Headers: [][2]string{{"X-Early", "1"}}}))
		if get(seen(w, "fallback", "183 INVITE"), "x-early") != "1" {
			t.Error("the provisional response lost a header")
		}
		w.must(sup.Answer(sdp("fallback2")))
		ok := seen(w, "fallback", "200 INVITE")
		if !strings.Contains(string(ok.Body()), "10.0.0.22") {
			t.Errorf("the answer became\n%s", ok)
		}
		to := ";tag=" + tag(get(ok, "to"))
		repeated := w.phone("fallback").Count(false, "200 INVITE")
		w.pass(time.Second)
		if w.phone("fallback").Count(false, "200 INVITE") == repeated {
			t.Error("a repeated answer is not passed on")
		}
		w.must(w.phone("fallback").SendRaw(guardAddr, []byte(back("ACK", to))))
		w.must(sup.WaitAck(w.ctx))
		w.must(w.phone("fallback").SendRaw(guardAddr, []byte(back("UPDATE", to)))) // from the call server's side
		seen(w, "fallback2", "UPDATE")
		seen(w, "fallback", "200 UPDATE")

		// From the phone's side a request comes to the call server first.
		sup.Close()
		w.must(w.phone("fallback2").SendRaw(guardAddr, []byte(strings.Join([]string{
			"BYE sip:" + guardAddr + " SIP/2.0", "Via: SIP/2.0/UDP " + hosts["fallback2"] + ";branch=z9hG4bKbye",
			"Route: <sip:" + guardAddr + ";lr>, <sip:" + hosts["fallback"] + ";lr>",
			"From: " + get(ok, "to"), "To: " + get(ok, "from"), "Call-ID: " + caller.ID(), "CSeq: 1 BYE", "Max-Forwards: 70", "Content-Length: 0", "", "",
		}, "\r\n"))))
		bye := seen(w, "fallback", "BYE")
		if route := get(bye, "route"); route != "<sip:"+hosts["fallback"]+";lr>" {
			t.Errorf("the call server got the BYE with Route %q", route)
		}
		w.up(caller, "caller")
		w.must(atServer.Answer(sdp("fallback2")))
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A call server cancels what came back: the phone stops ringing; one that has
// just answered is acknowledged and told that it is over.
func TestSpiralIsCancelled(t *testing.T) {
	for name, crosses := range map[string]bool{"while it rings": false, "as it is answered": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), spiralCast, func(w *world) {
				caller, atServer, sup, back := callServer(w)
				w.must(sup.Ring())
				w.settle()
				if crosses {
					w.net.SetBoth("10.0.0.9", "10.0.0.22", simnet.Link{Latency: 20 * time.Millisecond})
					w.must(sup.Answer(sdp("fallback2")))
				}
				w.must(w.phone("fallback").SendRaw(guardAddr, []byte(back("CANCEL", ""))))
				w.pass(time.Second)
				seen(w, "fallback", "487 INVITE")
				if crosses {
					w.must(sup.WaitAck(w.ctx))
					w.ended(sup, "fallback2", "BYE", true)
				} else {
					w.ended(sup, "fallback2", "CANCEL", true)
				}
				w.up(caller, "caller")
				w.must(atServer.Answer(sdp("fallback")))
				w.settle()
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// Draining takes no new calls, but a rescue that comes back is an old one's.
func TestSpiralWhileDraining(t *testing.T) {
	inWorld(t, usualSettings(), spiralCast, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.guard.Drain()
		w.hangsUp(pos)
		server := w.rings("fallback")
		raw := strings.Replace(server.Invite.String(), "INVITE "+server.Invite.Recipient.String(), "INVITE "+uriFor("fallback2"), 1)
		raw = strings.Replace(raw, "Via: ", "Via: SIP/2.0/UDP "+hosts["fallback"]+";branch=z9hG4bKd\r\nRoute: <sip:"+guardAddr+";lr>\r\nVia: ", 1)
		w.must(w.phone("fallback").SendRaw(guardAddr, []byte(raw)))
		w.must(w.rings("fallback2").Reject(486))
		seen(w, "fallback", "486 INVITE")
		w.must(server.Answer(sdp("fallback")))
		w.settle()
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// Our own INVITE that comes back without having been sent on is a loop.
func TestOurOwnInviteIsRefused(t *testing.T) {
	inWorld(t, usualSettings(), spiralCast, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		server := w.rings("fallback")
		w.must(w.phone("fallback").SendRaw(guardAddr, []byte(strings.Replace(server.Invite.String(), "Via: ", "Via: SIP/2.0/UDP "+hosts["fallback"]+";branch=z9hG4bKloop\r\nVia: ", 1))))
		seen(w, "fallback", "482 INVITE")
		w.must(server.Answer(sdp("fallback")))
		w.settle()
		w.hangsUp(caller)
		w.nothingLeft()
	})
}
