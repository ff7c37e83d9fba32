package sip

import (
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
	"holdline/sip/phone"
)

// TestNoAnswerOfATakersCostsTheCaller: what would make the caller's phone end
// the call does not get there (RFC 3261 section 12.2.1.2, RFC 5057 section 5.1).
func TestNoAnswerOfATakersCostsTheCaller(t *testing.T) {
	for method, codes := range map[string][]int{
		"INVITE": {404, 408, 410, 416, 480, 481, 482, 483, 484, 485, 502, 604},
		"UPDATE": {404, 408, 481, 604},
		"INFO":   {408, 481},
	} {
		for _, code := range codes {
			t.Run(method+" "+itoa(code), func(t *testing.T) {
				inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
					caller := w.calls("caller")
					pos := w.answers("pos-1")
					pos.OnRequest(func(r *gosip.Request) *phone.Reply { return &phone.Reply{Code: code} })
					body := sdp("caller")
					if method == "INFO" {
						body = nil
					}
					res, err := w.asks(caller, method, body)
					if err != nil || res.StatusCode != 200 {
						t.Fatalf("%s: %v, %v", method, res, err)
					}
					if body != nil && !strings.Contains(string(res.Body()), "IP4 10.0.0.9") {
						t.Errorf("answered with\n%s", res.Body())
					}
					w.up(caller, "caller")
				})
			})
		}
	}
}

// asks sends a request in a call's dialog; a re-INVITE is acknowledged too.
func (w *world) asks(c *phone.Call, method string, body []byte) (*gosip.Response, error) {
	if method == "INVITE" {
		return c.Reinvite(w.ctx, body)
	}
	return c.Request(w.ctx, phone.Request{Method: method, Body: body})
}

// TestRefusalsPassToTheCaller: what leaves the call as it is passes.
func TestRefusalsPassToTheCaller(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		for method, code := range map[string]int{"INVITE": 488, "UPDATE": 405, "INFO": 415, "SUBSCRIBE": 481, "NOTIFY": 481} {
			pos.OnRequest(func(r *gosip.Request) *phone.Reply { return &phone.Reply{Code: code} })
			if res, err := w.asks(caller, method, sdp("caller")); err != nil || res.StatusCode != code {
				t.Errorf("%s: %v, %v", method, res, err)
			}
			w.settle()
			w.hears(caller, "leg 1")
		}
	})
}

// TestACallIsNotItsSubscriptions: 481 to a NOTIFY, or no answer to an INFO, is
// no sign that somebody has left, on neither side (RFC 5057 section 5.1).
func TestACallIsNotItsSubscriptions(t *testing.T) {
	for _, method := range []string{"NOTIFY", "SUBSCRIBE", "MESSAGE"} {
		inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
			caller := w.calls("caller")
			pos := w.answers("pos-1")
			for _, dir := range []struct{ from, to *phone.Call }{{caller, pos}, {pos, caller}} {
				dir.to.OnRequest(func(r *gosip.Request) *phone.Reply { return &phone.Reply{Code: 481} })
				_, err := dir.from.Request(w.ctx, phone.Request{Method: method})
				w.must(err)
				w.pass(time.Second)
				w.up(caller, "caller")
				w.hears(caller, "leg 1")
			}
		})
	}
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.phone("caller").SetDeaf(true) // and silent, as a caller who types is
		if res, err := pos.Request(w.ctx, phone.Request{Method: "INFO"}); err == nil && res.StatusCode != 408 {
			t.Errorf("INFO was answered %d", res.StatusCode)
		}
		w.phone("caller").SetDeaf(false)
		w.pass(time.Second)
		w.up(caller, "caller")
		w.hears(caller, "leg 1")
	})
}

// TestCallerIsAnsweredForATakerWhoLeaves: a re-INVITE that the taker owes an
// answer to when it leaves is answered by us.
func TestCallerIsAnsweredForATakerWhoLeaves(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		pos.OnRequest(func(r *gosip.Request) *phone.Reply { return &phone.Reply{} })
		answered := make(chan *gosip.Response, 1)
		go func() {
			res, err := caller.Reinvite(w.ctx, sdpWith("caller", "8", "sendrecv"))
			if err != nil {
				t.Error(err)
			}
			answered <- res
		}()
		w.settle()
		w.hangsUp(pos)
		w.settle()
		select {
		case res := <-answered:
			if res.StatusCode != 200 {
				t.Errorf("answered %d", res.StatusCode)
			}
		default:
			t.Fatalf("the caller still waits\n%s", w.ladder())
		}
		if next := w.answers("fallback"); !strings.Contains(string(next.Invite.Body()), "RTP/AVP 8\r\n") {
			t.Errorf("the next taker is offered\n%s", next.Invite.Body())
		}
		w.hears(caller, "leg 2")
	})
}

// TestSilentTakerDoesNotCostTheCaller: an UPDATE that refreshes the session is
// answered before the caller's phone takes the silence for the end.
func TestSilentTakerDoesNotCostTheCaller(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		w.phone("pos-1").SetDeaf(true)
		res, err := caller.Request(w.ctx, phone.Request{Method: "UPDATE", Body: sdp("caller")})
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("UPDATE: %v, %v\n%s", res, err, w.ladder())
		}
		w.answers("fallback") // when the UPDATE to the taker has failed for good
		w.up(caller, "caller")
	})
}

// TestTakerLeavesBeforeTheLateAnswer: a taker whose offer the caller has not
// answered yet leaves. The caller's answer is waited for: it is what the next
// one is offered, and where the caller is heard.
func TestTakerLeavesBeforeTheLateAnswer(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) {
			v.Body, v.ContentType, v.LateOffer, v.NoAutoAck = nil, "", true, true
		})
		pos := w.rings("pos-1")
		w.must(pos.Answer(sdp("pos-1")))
		_, err := caller.WaitAnswer(w.ctx)
		w.must(err)
		left := make(chan error, 1)
		go func() { _, err := pos.Bye(w.ctx); left <- err }()
		w.pass(time.Second)
		w.must(caller.Ack(sdp("caller")))
		w.must(pos.WaitAck(w.ctx))
		w.must(<-left)
		if next := w.answers("fallback"); !strings.Contains(string(next.Invite.Body()), "m=audio") {
			t.Errorf("the next taker is offered\n%s", next.Invite.Body())
		}
		if s := w.media.of(caller.ID()); s.legs[media.Caller][0].RTP.String() != "10.0.0.1:4000" {
			t.Errorf("media knows the caller as %+v", s.legs[media.Caller])
		}
		w.hears(caller, "leg 2")
	})
}

// TestCallerLeavesWhileItRings: BYE in an early dialog ends the INVITE as well
// (RFC 3261 section 15.1.2).
func TestCallerLeavesWhileItRings(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		w.must(w.rings("pos-1").Ring())
		w.settle()
		_, err := caller.Bye(w.ctx)
		w.must(err)
		if res, err := caller.WaitAnswer(w.ctx); err != nil || res.StatusCode != 487 {
			t.Errorf("the INVITE was answered %v, %v", res, err)
		}
	})
}
