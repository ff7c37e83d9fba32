package sip

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdline/policy"
	"holdline/sip/phone"
)

// callsBack begins a callback to the phone of "caller" and returns what came of it.
func (w *world) callsBack() (id string, result chan CallbackResult) {
	w.t.Helper()
	result = make(chan CallbackResult, 2)
	id, err := w.guard.CallBack(CallbackRequest{
		Item: "lost@x", Number: "5045550100", To: uriFor("caller"), From: "sip:5045550000@psap.example",
		EmergencyID: "urn:emergency:uid:callid:abc:x", Note: "callback owed: hung up on pos-1",
		Done: func(r CallbackResult) { result <- r },
	})
	w.must(err)
	return id, result
}

// cameOf returns how a callback ended.
func (w *world) cameOf(result chan CallbackResult) CallbackResult {
	w.t.Helper()
	w.settle()
	select {
	case r := <-result:
		return r
	default:
		w.t.Fatalf("nobody was told\n%s", w.ladder())
		return CallbackResult{}
	}
}

// TestCallback: first a call taker, then the caller; both hear each other, and
// either may end it.
func TestCallback(t *testing.T) {
	for _, first := range []string{"caller", "fallback"} {
		t.Run(first+" hangs up", func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "fallback"}, func(w *world) {
				id, result := w.callsBack()
				taker := w.answers("fallback")
				if from := headerOf(taker.Invite, "from"); !strings.Contains(from, `"CALLBACK 5045550100" <sip:5045550100@`) {
					t.Errorf("the call taker sees %s", from)
				}
				for _, h := range [][2]string{{"priority", "psap-callback"}, {"reason", "callback owed: hung up on pos-1"}, {"call-info", "callid:abc"}} {
					if got := headerOf(taker.Invite, h[0]); !strings.Contains(got, h[1]) {
						t.Errorf("%s: %q", h[0], got)
					}
				}
				caller := w.rings("caller")
				if got := headerOf(caller.Invite, "priority"); got != "psap-callback" {
					t.Errorf("the caller's INVITE has Priority %q", got)
				}
				if from := headerOf(caller.Invite, "from"); !strings.Contains(from, "5045550000@psap.example") {
					t.Errorf("the caller sees %s", from)
				}
				w.must(caller.Ring())
				w.pass(5 * time.Second)
				w.must(caller.Answer(sdp("caller")))
				w.must(caller.WaitAck(w.ctx))
				r := w.cameOf(result)
				if !r.Reached || r.Call != id || r.Position != uriFor("fallback") {
					t.Errorf("result %+v", r)
				}
				w.hears(taker, "leg 1")
				w.kept(id, "callback.offered", "callback.answered", "callback.dialled")
				w.notKept(id, "call.offered")
				legs := map[string]*phone.Call{"caller": caller, "fallback": taker}
				w.hangsUp(legs[first])
				delete(legs, first)
				for who, leg := range legs {
					w.ended(leg, who, "BYE", true)
				}
				w.kept(id, "call.ended")
				w.nothingLeft()
				if len(result) != 0 {
					t.Error("told twice")
				}
			})
		})
	}
}

// TestCallbackThatReachesNobody: each way in which it can fail ends both legs
// and is told.
func TestCallbackThatReachesNobody(t *testing.T) {
	for name, tc := range map[string]struct {
		play func(w *world)
		why  string
	}{
		"no call taker": {func(w *world) { w.must(w.rings("fallback").Reply(phone.Reply{Code: 486})) }, "every position refused"},
		"the caller is busy": {func(w *world) {
			taker := w.answers("fallback")
			w.must(w.rings("caller").Reply(phone.Reply{Code: 486}))
			w.ended(taker, "fallback", "BYE", true)
		}, "the caller's side answered 486"},
		"the caller does not answer": {func(w *world) {
			taker, caller := w.answers("fallback"), w.rings("caller")
			w.must(caller.Ring())
			w.pass(41 * time.Second)
			w.ended(caller, "caller", "CANCEL", true)
			w.ended(taker, "fallback", "BYE", true)
		}, "the caller did not answer"},
		"the call taker hangs up first": {func(w *world) {
			taker, caller := w.answers("fallback"), w.rings("caller")
			w.must(caller.Ring())
			w.settle()
			w.hangsUp(taker)
			w.ended(caller, "caller", "CANCEL", true)
		}, "bye"},
		"the caller answers as the call taker hangs up": {func(w *world) {
			taker, caller := w.answers("fallback"), w.rings("caller")
			w.net.SetLink("", "", simnetLink(50*time.Millisecond))
			gone := make(chan error, 1)
			go func() { _, err := taker.Bye(w.ctx); gone <- err }()
			w.pass(20 * time.Millisecond)
			w.must(caller.Answer(sdp("caller"))) // before the CANCEL is there
			w.must(<-gone)
			w.pass(time.Second)
			w.ended(caller, "caller", "BYE", true)
		}, "bye"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "fallback"}, func(w *world) {
				id, result := w.callsBack()
				tc.play(w)
				if r := w.cameOf(result); r.Reached || !strings.Contains(r.Why, tc.why) {
					t.Errorf("result %+v, want %q", r, tc.why)
				}
				w.kept(id, "call.ended")
				w.nothingLeft()
			})
		})
	}
}

// TestCallbackIsRefused where it cannot lead anywhere.
func TestCallbackIsRefused(t *testing.T) {
	inWorld(t, usualSettings(), nil, func(w *world) {
		if _, err := w.guard.CallBack(CallbackRequest{To: "nonsense", From: "sip:a@b"}); err == nil {
			t.Error("a callback to nonsense")
		}
		w.guard.Drain()
		if _, err := w.guard.CallBack(CallbackRequest{To: "sip:a@b", From: "sip:a@b"}); !errors.Is(err, ErrDraining) {
			t.Errorf("while draining: %v", err)
		}
		if n := w.guard.Stats().Offered[policy.Admin]; n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}
