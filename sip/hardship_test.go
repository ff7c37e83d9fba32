package sip

import (
	"slices"
	"strings"
	"testing"
	"time"

	"holdline/sip/phone"
)

// TestAnswersWithoutMedia: a target that answers and names no media has not taken
// the caller; the next one is called, before the answer and after a rescue.
func TestAnswersWithoutMedia(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		empty := w.rings("pos-1")
		w.must(empty.Reply(phone.Reply{Code: 200}))
		pos := w.answers("pos-2")
		w.ended(empty, "pos-1", "BYE", true)
		d := last[failData](w, caller.ID(), "call.failed")
		if d.Class != Technical || d.Position != "pos-1" {
			t.Errorf("%+v", d)
		}
		w.hangsUp(pos)
		words := w.rings("fallback")
		w.must(words.Reply(phone.Reply{Code: 200, ContentType: "application/sdp", Body: []byte("garbage")}))
		w.answers("fallback")
		w.up(caller, "the caller")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// TestRedirectsInACircle: positions that name themselves, or each other, do not
// keep a caller from whoever comes next.
func TestRedirectsInACircle(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.must(w.rings("pos-1").Redirect(uriFor("pos-1"))) // to itself: as though it had declined
		w.must(w.rings("pos-2").Redirect(uriFor("pos-1")))
		w.must(w.rings("pos-1").Redirect(uriFor("pos-2"))) // once: it may know that the other is back
		w.must(w.rings("pos-2").Redirect(uriFor("pos-1")))
		w.answers("fallback")
		failed := 0
		for _, kind := range w.journal.of(caller.ID()) {
			if kind == "call.failed" {
				failed++
			}
		}
		if failed != 4 {
			t.Errorf("%d offers failed, want 4", failed)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// TestACallTakerInNeed: somebody who calls for help from a position's phone is a
// caller like any other.
func TestACallTakerInNeed(t *testing.T) {
	inWorld(t, usualSettings(), []string{"pos-1", "pos-2", "fallback"}, func(w *world) {
		caller := w.calls("pos-1", func(v *phone.Invite) { v.Headers = [][2]string{{"Contact", "<" + uriFor("pos-1") + ">"}} })
		w.must(w.rings("pos-1").Reject(486))
		w.hangsUp(w.answers("pos-2"))
		w.answers("fallback")
		w.up(caller, "the call taker in need")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// TestAnotherCentreEndsTheCall: a centre that is named on the list has had the
// caller for long enough, and may end the call; one that hangs up at once, and
// whoever answers where calls may go anywhere, may not.
func TestAnotherCentreEndsTheCall(t *testing.T) {
	for name, tc := range map[string]struct {
		allow []string
		talk  time.Duration
		kept  bool
	}{
		"named":                   {[]string{"pos-*", "sip:*@" + hosts["pos-2"]}, 40 * time.Second, false},
		"named, and gone at once": {[]string{"sip:*@" + hosts["pos-2"]}, 10 * time.Second, true},
		"anybody":                 {[]string{"*"}, 40 * time.Second, true},
		"anybody, in another way": {[]string{"sip:*"}, 40 * time.Second, true},
		"there is no list":        {nil, 40 * time.Second, true},
		"one of ours: as ever":    {[]string{"pos-2"}, 40 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := usualSettings()
			s.TransferTo = tc.allow
			if !strings.Contains(name, "ours") {
				s.Positions = slices.DeleteFunc(s.Positions, func(p Position) bool { return p.ID == "pos-2" })
			}
			inWorld(t, s, []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				w.refers(pos, "<"+uriFor("pos-2")+">")
				other := w.answers("pos-2")
				w.hangsUp(pos)
				w.pass(tc.talk)
				w.hangsUp(other)
				if f := last[releaseData](w, caller.ID(), "release.requested").Facts; f.Outside != (!tc.kept || tc.talk < 30*time.Second) {
					t.Errorf("facts %+v", f)
				}
				if tc.kept {
					w.answers("fallback")
					w.hangsUp(caller)
				} else {
					w.ended(caller, "caller", "BYE", true)
				}
				w.nothingLeft()
			})
		})
	}
}
