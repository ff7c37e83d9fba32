package sip

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdline/sip/phone"
)

// A taker asks for help: all supervisors ring, the first to answer whispers to
// the taker, the others fall silent, and nothing is held against anybody.
func TestAssistBringsASupervisor(t *testing.T) {
	for name, ask := range map[string]func(*world, *phone.Call){
		"http": func(w *world, c *phone.Call) {
			v, err := w.guard.Assist(w.ctx, c.ID(), AssistRequest{By: "pos-1", Note: "two patients"})
			w.must(err)
			if v.Kind != AssistJoin || strings.Join(v.Called, " ") != "chief deputy" || v.Alert == "" || v.Call.ID != c.ID() {
				w.t.Errorf("assist is %+v", v)
			}
		},
		"dtmf": func(w *world, c *phone.Call) { w.dialsKeys(c, 1, "*0") },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, supervised(), []string{"caller", "pos-1", "sup-1", "sup-2"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				ask(w, caller)
				other := w.rings("sup-2")
				w.must(other.Ring())
				sup := w.answers("sup-1")
				if got := headerOf(sup.Invite, "subject"); got != "pos-1 asks for help" {
					t.Errorf("the supervisor reads %q", got)
				}
				w.ended(other, "sup-2", "CANCEL", true)
				if got := w.attending(caller, 2); got != "whisper" {
					if got = w.attending(caller, 3); got != "whisper" {
						t.Errorf("the supervisor attends as %q", got)
					}
				}
				w.kept(caller.ID(), "alert.raised", "assist.requested", "supervisor.joined", "assist.ended")
				if d := last[alertData](w, caller.ID(), "alert.raised"); d.Cause != "assist" || d.Position != "pos-1" {
					t.Errorf("alert.raised has %+v", d)
				}
				if d := last[assistData](w, caller.ID(), "assist.ended"); d.With != "chief" || d.How != "a supervisor came" {
					t.Errorf("assist.ended has %+v", d)
				}
				w.notKept(caller.ID(), "release.requested")

				ask2, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{By: "pos-1"})
				w.must(err)
				alerts := 0
				for _, k := range w.journal.of(caller.ID()) {
					if k == "alert.raised" {
						alerts++
					}
				}
				if alerts != 1 || strings.Join(ask2.Called, " ") != "deputy" {
					t.Errorf("asking again: %d alerts, called %v", alerts, ask2.Called)
				}
				w.up(pos, "pos-1")
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// Nobody answers: the alert stays, and says so.
func TestAssistThatNobodyAnswers(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "sup-1", "sup-2"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		_, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{By: "pos-1"})
		w.must(err)
		w.must(w.rings("sup-1").Reject(486))
		w.settle()
		w.notKept(caller.ID(), "assist.ended")
		w.must(w.rings("sup-2").Ring())
		w.pass(40 * time.Second)
		w.kept(caller.ID(), "alert.raised", "assist.requested", "supervisor.failed", "supervisor.failed", "assist.ended", "alert.raised")
		w.hangsUp(caller)
		w.nothingLeft()
	})
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		w.settle()
		if _, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{}); !errors.Is(err, ErrNotNow) {
			t.Errorf("help for a call that nobody has: %v", err)
		}
		w.answers("pos-1")
		if _, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{Kind: "shout"}); !errors.Is(err, ErrMode) {
			t.Errorf("a kind there is not: %v", err)
		}
		v, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{By: "pos-1"})
		w.must(err)
		if len(v.Called) != 0 || last[alertData](w, caller.ID(), "alert.raised").Cause != "assist" {
			t.Errorf("without supervisors: %+v", v)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A handover: the caller stays with the taker until somebody answers; then the
// taker is let go as after a transfer.
func TestAssistHandsTheCallerOver(t *testing.T) {
	s := supervised()
	s.Fallback = []Tier{
		{To: []string{uriFor("fallback")}, Strategy: RingAll, Ring: 10 * time.Second},
		{To: []string{"pos-1", "pos-2", uriFor("fallback2")}, Strategy: RingAll, Ring: 10 * time.Second},
	}
	inWorld(t, s, []string{"caller", "pos-1", "pos-2", "fallback", "fallback2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		_, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{Kind: AssistHandover, By: "pos-1"})
		w.must(err)
		w.must(w.rings("fallback").Ring())
		w.hears(caller, "leg 1")
		w.pass(11 * time.Second)
		other := w.rings("pos-2")
		w.must(other.Ring())
		next := w.rings("fallback2")
		if got := headerOf(next.Invite, "reason"); !strings.Contains(got, "handed over by pos-1") {
			t.Errorf("the next taker reads %q", got)
		}
		w.hears(caller, "leg 1")
		w.must(next.Answer(sdp("fallback2")))
		w.must(next.WaitAck(w.ctx))
		w.hears(caller, "leg 4")
		w.ended(other, "pos-2", "CANCEL", true)
		w.ended(pos, "pos-1", "BYE", true)
		w.notKept(caller.ID(), "release.intercepted")
		w.kept(caller.ID(), "assist.requested", "assist.ended", "call.answered")
		w.hangsUp(caller)
		w.ended(next, "fallback2", "BYE", true)
		w.nothingLeft()
	})
}

// Nobody takes the call over: it stays with the taker, and supervisors are told.
func TestHandoverThatNobodyAnswers(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		_, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{Kind: AssistHandover, By: "pos-1"})
		w.must(err)
		w.must(w.rings("fallback").Reject(486))
		w.settle()
		w.up(pos, "pos-1")
		w.hears(caller, "leg 1")
		if d := last[alertData](w, caller.ID(), "alert.raised"); d.Cause != "assist" || d.After == "" {
			t.Errorf("alert.raised has %+v", d)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A taker who asks to be relieved and hangs up before anybody answers: the
// caller is kept, and goes to whoever is being called.
func TestTakerLeavesBeforeTheHandover(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		_, err := w.guard.Assist(w.ctx, caller.ID(), AssistRequest{Kind: AssistHandover, By: "pos-1"})
		w.must(err)
		next := w.rings("fallback")
		w.must(next.Ring())
		w.settle()
		w.hangsUp(pos)
		w.hears(caller, "prompt")
		w.must(next.Answer(sdp("fallback")))
		w.must(next.WaitAck(w.ctx))
		w.hears(caller, "leg 2")
		w.kept(caller.ID(), "release.intercepted", "rescue.answered")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}
