package sip

import (
	"strings"
	"testing"
	"time"
)

// Whoever hangs up while a supervisor only listens or whispers is judged as
// always: the caller is rescued, and the supervisor stays with them.
func TestTakersByeWhileSupervised(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		v, sup := w.supervises(caller, ModeListen, "sup-1")
		w.hangsUp(pos)
		w.hears(caller, "prompt")
		w.up(sup, "supervisor")
		w.kept(caller.ID(), "release.intercepted", "rescue.offered")
		w.must(w.rings("fallback").Ring())

		// Now the supervisor serves the caller: by switching to barge.
		got, err := w.guard.SetMode(w.ctx, caller.ID(), v.ID, ModeBarge, "chief")
		w.must(err)
		if got.Mode != ModeBarge {
			t.Errorf("after the switch: %+v", got)
		}
		w.hears(caller, "leg 2")
		w.kept(caller.ID(), "supervisor.joined", "release.intercepted", "supervisor.mode", "rescue.answered")
		if v, _ := w.guard.Get(caller.ID()); v.State != string(Bridged) || v.Taker != uriFor("sup-1") {
			t.Errorf("the call is %s with %s", v.State, v.Taker)
		}

		// And is a taker like any other from now on.
		w.hangsUp(sup)
		w.hears(caller, "prompt")
		w.up(caller, "caller")
		if d := last[leftData](w, caller.ID(), "supervisor.left"); d.How != "left the caller" || d.Mode != ModeTaker {
			t.Errorf("supervisor.left has %+v", d)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A supervisor who has barged in keeps the caller when the taker leaves: no
// queue, no prompt, and nothing against the taker.
func TestSupervisorSucceedsTheTaker(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback", "sup-1", "sup-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		_, first := w.supervises(caller, ModeBarge, "sup-1")
		w.pass(time.Second)
		_, second := w.supervises(caller, ModeBarge, "sup-2")
		if w.attending(caller, 2) != "barge" || w.attending(caller, 3) != "barge" {
			t.Fatalf("two supervisors attend as %q and %q", w.attending(caller, 2), w.attending(caller, 3))
		}
		w.hangsUp(pos)
		w.hears(caller, "leg 2")
		w.up(first, "sup-1")
		w.up(second, "sup-2")
		w.notKept(caller.ID(), "release.intercepted")
		w.notKept(caller.ID(), "rescue.offered")
		w.notKept(caller.ID(), "alert.raised")
		w.kept(caller.ID(), "release.requested", "release.allowed", "supervisor.mode", "call.answered")
		if got := w.roles(caller); got != "barger caller taker" {
			t.Errorf("roles are %s", got)
		}
		w.hangsUp(first) // and the next one has the caller
		w.hears(caller, "leg 3")
		w.hangsUp(second)
		w.hears(caller, "prompt")
		w.kept(caller.ID(), "release.intercepted")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestTakeOver(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		v, sup := w.supervises(caller, ModeListen, "sup-1")
		taken, err := w.guard.TakeOver(w.ctx, caller.ID(), v.ID, "chief")
		w.must(err)
		if taken.Mode != ModeTaker {
			t.Errorf("the take-over is answered with %+v", taken)
		}
		w.hears(caller, "leg 2")
		w.ended(pos, "pos-1", "BYE", true)
		if got := headerOf(pos.End().By, "reason"); !strings.Contains(got, "taken over by a supervisor") {
			t.Errorf("the BYE to the taker says %q", got)
		}
		w.up(sup, "supervisor")
		w.kept(caller.ID(), "supervisor.joined", "supervisor.mode", "call.answered")
		w.notKept(caller.ID(), "release.intercepted")
		if n := w.phone("caller").Count(false, "INVITE"); n != 0 {
			t.Errorf("the caller was re-invited %d times", n)
		}

		// The caller renegotiates: answered by us, as the sessions differ.
		res, err := caller.Reinvite(w.ctx, sdpWith("caller", "8 101", "sendrecv"))
		if err != nil || res.StatusCode != 200 {
			t.Errorf("re-INVITE was answered %v, %v", res, err)
		}
		w.up(sup, "supervisor")

		// Leaving by command is a release like any other.
		if _, err := w.guard.Leave(w.ctx, caller.ID(), v.ID, "chief"); err != nil {
			t.Errorf("leaving: %v", err)
		}
		w.hears(caller, "prompt")
		w.ended(sup, "sup-1", "BYE", true)
		w.kept(caller.ID(), "release.requested", "release.intercepted")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// The taker hangs up at the moment the supervisor takes over: each gets its
// answer, and the supervisor has the caller.
func TestTakeOverCrossesTheTakersBye(t *testing.T) {
	for _, slow := range []bool{false, true} {
		inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback", "sup-1"}, func(w *world) {
			caller := w.calls("caller")
			pos := w.answers("pos-1")
			v, sup := w.supervises(caller, ModeListen, "sup-1")
			w.journal.slow = slow
			w.net.SetLink("", "", simnetLink(10*time.Millisecond))
			gone := make(chan error, 1)
			go func() { _, err := pos.Bye(w.ctx); gone <- err }()
			w.pass(5 * time.Millisecond)
			_, err := w.guard.TakeOver(w.ctx, caller.ID(), v.ID, "chief")
			w.must(err)
			w.pass(time.Second)
			w.must(<-gone)
			w.hears(caller, "leg 2")
			w.up(caller, "caller")
			w.up(sup, "supervisor")
			w.notKept(caller.ID(), "release.intercepted")
			w.hangsUp(caller)
			w.nothingLeft()
		})
	}
}

// A taker who is on the line and not there is being relieved: a supervisor who
// barges in, or takes over, has the caller at once, as if the queue had answered.
func TestSupervisorServesWhoIsLeftAlone(t *testing.T) {
	for _, how := range []string{"barge", "take over"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, watchful(), []string{"caller", "pos-1", "fallback", "sup-1"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				w.talks(caller.ID(), 0)
				taker := w.talks(caller.ID(), 1)
				w.pass(7 * time.Second)
				v, sup := w.supervises(caller, ModeListen, "sup-1")
				taker.hushes()
				w.pass(91 * time.Second)
				w.isIn(caller.ID(), "relieving")
				ringing := w.rings("fallback")
				w.must(ringing.Ring())
				var err error
				if how == "barge" {
					_, err = w.guard.SetMode(w.ctx, caller.ID(), v.ID, ModeBarge, "chief")
				} else {
					_, err = w.guard.TakeOver(w.ctx, caller.ID(), v.ID, "chief")
				}
				w.must(err)
				w.hears(caller, "leg 2")
				w.isIn(caller.ID(), "bridged")
				w.ended(pos, "pos-1", "BYE", true)
				w.ended(ringing, "fallback", "CANCEL", true)
				w.up(sup, "supervisor")
				w.kept(caller.ID(), "release.intercepted", "rescue.offered", "supervisor.mode", "rescue.answered")
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// Somebody answers a handover while the taker's BYE is judged, and a supervisor
// has barged in: the supervisor has the caller, and who answered is told.
func TestSupervisorSucceedsBeforeWhoAnswered(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "fallback", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		_, sup := w.supervises(caller, ModeBarge, "sup-1")
		_, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{Kind: AssistHandover, By: "pos-1"})
		w.must(err)
		next := w.rings("fallback")
		w.must(next.Ring())
		w.settle()
		w.journal.slow = true // the verdict takes 50 ms
		gone := make(chan error, 1)
		go func() { _, err := pos.Bye(w.ctx); gone <- err }()
		w.pass(10 * time.Millisecond)
		w.must(next.Answer(sdp("fallback")))
		w.pass(time.Second)
		w.must(<-gone)
		w.hears(caller, "leg 2")
		w.up(sup, "supervisor")
		w.ended(next, "fallback", "BYE", true)
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A supervisor who barges into a callback that nobody takes makes it: the
// caller is dialled for them.
func TestSupervisorTakesACallback(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "fallback", "sup-1"}, func(w *world) {
		id, result := w.callsBack()
		ringing := w.rings("fallback")
		w.must(ringing.Ring())
		_, err := w.guard.Join(w.ctx, id, JoinRequest{Mode: ModeBarge, Target: uriFor("sup-1"), By: "chief"})
		w.must(err)
		sup := w.answers("sup-1")
		caller := w.rings("caller")
		w.must(caller.Answer(sdp("caller")))
		w.must(caller.WaitAck(w.ctx))
		if r := w.cameOf(result); !r.Reached || r.Position != uriFor("sup-1") {
			t.Errorf("result %+v", r)
		}
		w.ended(ringing, "fallback", "CANCEL", true)
		w.hangsUp(caller)
		w.ended(sup, "sup-1", "BYE", true)
		w.nothingLeft()
	})
}
