package sip

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdline/policy"
)

// knows makes the guard know of earlier calls.
func (w *world) knows(e Earlier) {
	w.guard.opts.Earlier = func(CallerID, time.Time) Earlier { return e }
}

const droppedNote = "redial: call 2 of this caller; 30s ago pos-1 left before intake was complete"

// TestRedialGoesToSomebodyElse: not to the position that dropped the caller,
// nor to the agent who did at another desk, and whoever gets the call can see
// what happened.
func TestRedialGoesToSomebodyElse(t *testing.T) {
	for name, tc := range map[string]struct {
		avoid []string
		next  string
	}{
		"the desk":                {[]string{"target pos-1"}, "pos-2"},
		"the agent":               {[]string{"agent ann"}, "pos-2"},
		"by its address":          {[]string{"target " + uriFor("pos-1")}, "pos-2"},
		"both desks of the route": {[]string{"target pos-1", "agent bob"}, "fallback"},
		"nobody":                  {nil, "pos-1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := usualSettings()
			s.RedialPrefix = "REDIAL "
			inWorld(t, s, []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
				w.knows(Earlier{Redials: 1, Avoid: tc.avoid, Note: droppedNote})
				caller := w.calls("caller")
				taker := w.answers(tc.next)
				invite := taker.Invite
				if r := headerOf(invite, "reason"); !strings.Contains(r, droppedNote) {
					t.Errorf("Reason: %s", r)
				}
				if from := headerOf(invite, "from"); strings.Contains(from, "REDIAL") != (tc.avoid != nil && tc.next != "fallback") {
					t.Errorf("From: %s", from)
				}
				offer := w.firstOffer(caller.ID())
				if offer.Redials != 1 || offer.Note != droppedNote || !slices.Equal(offer.Avoid, w.guard.lookup(caller.ID()).Avoid) {
					t.Errorf("call.offered %+v", offer)
				}
				w.hangsUp(taker)
				facts := last[releaseData](w, caller.ID(), "release.requested").Facts
				if facts.Redials != 1 {
					t.Errorf("facts: %d redials", facts.Redials)
				}
				w.hangsUp(caller)
			})
		})
	}
}

// firstOffer is the data of a call's first call.offered.
func (w *world) firstOffer(id string) offerData {
	for _, e := range w.journal.all() {
		if e.Call == id && e.Kind == "call.offered" {
			return e.Data.(offerData)
		}
	}
	w.t.Fatalf("no call.offered\n%s", w.ladder())
	return offerData{}
}

// TestRedialIsNeverLost: when nobody else answers, those who dropped the caller
// are better than nobody.
func TestRedialIsNeverLost(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		w.knows(Earlier{Redials: 1, Avoid: []string{"target pos-1", "target pos-2"}, Note: droppedNote})
		caller := w.calls("caller")
		w.pass(time.Second)
		taker := w.answers("pos-1") // fallback is silent, twice
		w.up(caller, "caller")
		waited := last[answerData](w, caller.ID(), "rescue.answered").WaitingMS
		if waited > 10_000 {
			t.Errorf("the caller waited %d ms", waited)
		}
		w.hangsUp(caller)
		w.ended(taker, "pos-1", "BYE", true)
	})
}

// TestAQueueIsNotOneTaker: a fallback target that is no desk may be many
// people, and goes on being offered redialling callers.
func TestAQueueIsNotOneTaker(t *testing.T) {
	s := usualSettings()
	s.Routes = []Route{{Match: "urn:service:sos*", To: []string{"pos-1"}}}
	inWorld(t, s, []string{"caller", "fallback"}, func(w *world) {
		w.knows(Earlier{Redials: 1, Avoid: []string{"target " + uriFor("fallback"), "target pos-1"}})
		caller := w.calls("caller")
		w.answers("fallback")
		w.hangsUp(caller)
	})
}

// TestLookingBackMayFail: a bug in it costs the caller nothing.
func TestLookingBackMayFail(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		w.guard.opts.Earlier = func(CallerID, time.Time) Earlier { panic("bug") }
		caller := w.calls("caller")
		w.answers("pos-1")
		w.hangsUp(caller)
	})
}

// seats is who sits where, for a guard that asks.
type seats map[string]string

func (w *world) seat(s seats) {
	w.guard.opts.AgentAt = func(p string) (string, bool) { a, ok := s[p]; return a, ok }
	w.must(w.guard.Reload(*w.guard.settings.Load()))
}

// TestWhoSatThereCounts: signing out, or somebody else's sign-in, while a call
// rings changes nothing; where nobody was known, who answers counts.
func TestWhoSatThereCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		before, during seats
		agent, seated  string
	}{
		"as configured":                {seats{}, seats{}, "ann", ""},
		"signed in":                    {seats{"pos-1": "cay"}, seats{"pos-1": "cay"}, "cay", ""},
		"signs out as it rings":        {seats{"pos-1": "cay"}, seats{"pos-1": ""}, "cay", ""},
		"answers as somebody else":     {seats{"pos-1": "cay"}, seats{"pos-1": "dee"}, "cay", "dee"},
		"signs in as it rings":         {seats{"pos-1": ""}, seats{"pos-1": "dee"}, "dee", ""},
		"nobody, and nobody comes":     {seats{"pos-1": ""}, seats{"pos-1": ""}, "", ""},
		"the other desk does not tell": {seats{"pos-2": "cay"}, seats{"pos-2": "cay"}, "ann", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
				w.seat(tc.before)
				caller := w.calls("caller")
				taker := w.rings("pos-1")
				w.seat(tc.during)
				w.must(taker.Answer(sdp("pos-1")))
				w.must(taker.WaitAck(w.ctx))
				w.settle()
				a := last[answerData](w, caller.ID(), "call.answered")
				if a.Agent != tc.agent || a.Seated != tc.seated {
					t.Errorf("call.answered: %q, seated %q", a.Agent, a.Seated)
				}
				w.seat(seats{"pos-1": "eve"}) // and after the answer nothing does
				w.hangsUp(taker)
				r := last[releaseData](w, caller.ID(), "release.requested")
				if r.Agent != tc.agent || r.Facts.Agent != tc.agent || r.Facts.Class != string(r.Class) {
					t.Errorf("release.requested: %q, facts %q", r.Agent, r.Facts.Agent)
				}
				if told := strings.Contains(strings.Join(r.Evidence, "\n"), "signed in when it was answered"); told != (tc.seated != "") {
					t.Errorf("evidence: %q", r.Evidence)
				}
				w.hangsUp(caller)
			})
		})
	}
}

// TestATransferThatSIPDoesNotShow: what the call-handling system says of a
// transfer lets nobody go, and accuses nobody.
func TestATransferThatSIPDoesNotShow(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		taker := w.answers("pos-1")
		w.must(w.guard.Transferred(w.ctx, caller.ID(), "sip:7@county.example"))
		w.hangsUp(taker)
		r, v := last[releaseData](w, caller.ID(), "release.requested"), last[verdictData](w, caller.ID(), "release.intercepted")
		if r.Class != Unclear || r.Facts.TransferReported != "sip:7@county.example" || v.Rule != policy.RuleIntakeIncomplete {
			t.Errorf("class %q, facts %+v, rule %q", r.Class, r.Facts, v.Rule)
		}
		w.answers("fallback")
		if r := last[releaseData](w, caller.ID(), "release.requested"); len(r.Evidence) != 2 {
			t.Errorf("evidence %q", r.Evidence)
		}
		w.hangsUp(caller)
		if err := w.guard.Transferred(w.ctx, caller.ID(), "x"); !errors.Is(err, ErrNoCall) {
			t.Errorf("of a call that is over: %v", err)
		}
	})
}

// TestTheSameAgentElsewhere: who dropped the caller is not offered the same
// call at the desk they go to next.
func TestTheSameAgentElsewhere(t *testing.T) {
	s := usualSettings()
	s.Fallback = []Tier{{To: []string{"pos-2", "pos-3"}, Strategy: InOrder, Ring: 20 * time.Second}}
	inWorld(t, s, []string{"caller", "pos-1", "pos-2", "pos-3"}, func(w *world) {
		w.seat(seats{"pos-1": "cay", "pos-2": "", "pos-3": "fay"})
		caller := w.calls("caller")
		taker := w.answers("pos-1")
		w.seat(seats{"pos-1": "", "pos-2": "cay", "pos-3": "fay"})
		w.hangsUp(taker)
		w.answers("pos-3")
		if n := w.journal.of(caller.ID()); !slices.Contains(n, "rescue.answered") {
			t.Errorf("%v", n)
		}
		w.hangsUp(caller)
	})
}

// TestSurgeRelaxesTheGuard: for as long as it is on.
func TestSurgeRelaxesTheGuard(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		over := time.Now().Add(time.Minute)
		w.guard.opts.Surge = func(at time.Time) bool { return at.Before(over) }
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		w.ended(caller, "caller", "BYE", true)
		v := last[verdictData](w, caller.ID(), "release.allowed")
		if v.Rule != "surge-mode" {
			t.Errorf("rule %s", v.Rule)
		}
		w.pass(time.Minute)
		caller = w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		w.up(caller, "caller")
		w.hangsUp(caller)
	})
}

// TestTransferIsToldAfterItsSuccess: policy is told whom a transfer went to
// also when it has succeeded.
func TestTransferIsToldAfterItsSuccess(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.refers(pos, "<"+uriFor("pos-2")+">")
		w.answers("pos-2")
		w.hangsUp(pos)
		facts := last[releaseData](w, caller.ID(), "release.requested").Facts
		want := policy.Facts{Transfer: transferSucceeded, TransferTo: "pos-2"}
		if d := cmp.Diff(want, policy.Facts{Transfer: facts.Transfer, TransferTo: facts.TransferTo}); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		w.hangsUp(caller)
	})
}
