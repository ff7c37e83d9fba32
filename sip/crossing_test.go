package sip

import (
	"testing"

	gosip "github.com/emiago/sipgo/sip"
)

// TestCallerHungUpFirst: the taker's BYE overtakes the caller's between the
// socket and the call. The caller has left: nobody is kept, and the taker is
// not blamed. A BYE of the caller's that never gets to the call, such as a
// forged one, lets nobody go.
func TestCallerHungUpFirst(t *testing.T) {
	for name, comes := range map[string]bool{"it is on its way": true, "it was none": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				c := w.guard.lookup(caller.ID())
				c.byes.note(c.caller.Dialog.LocalTag)
				taker := make(chan struct{})
				go func() { defer close(taker); w.hangsUp(pos) }()
				w.settle()
				w.notKept(caller.ID(), "release.requested")
				if comes {
					w.hangsUp(caller)
				}
				w.pass(2 * overtaking)
				<-taker
				if !comes {
					w.kept(caller.ID(), "release.intercepted")
					return
				}
				w.notKept(caller.ID(), "release.intercepted")
				w.notKept(caller.ID(), "alert.raised")
				w.kept(caller.ID(), "release.allowed")
				if e := last[endData](w, caller.ID(), "call.ended"); e.By != "caller" {
					t.Errorf("call.ended has %+v", e)
				}
			})
		})
	}
}

// TestByesInOrder: what the socket hands over is noted in its order, once, and
// for calls that are there.
func TestByesInOrder(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		c := w.guard.lookup(caller.ID())
		bye := func(id, to string) *gosip.Request {
			req := gosip.NewRequest(gosip.BYE, gosip.Uri{Scheme: "sip", Host: "x"})
			req.AppendHeader(gosip.NewHeader("Call-ID", id))
			req.AppendHeader(gosip.NewHeader("To", "<sip:x@y>;tag="+to))
			return req
		}
		a, b := c.caller.Dialog.LocalTag, c.taker.Dialog.LocalTag
		for _, to := range []string{b, a, b} {
			w.guard.byeCame(bye(caller.ID(), to))
		}
		w.guard.byeCame(bye("nobody", a))
		if !c.byes.before(b, a) || c.byes.before(a, b) || len(c.byes.tags) != 2 {
			t.Errorf("noted: %v", c.byes.tags)
		}
	})
}
