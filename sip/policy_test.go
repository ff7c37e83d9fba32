package sip

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdline/policy"
)

// TestReleaseKeepsItsFacts: what a verdict was made of is in the journal, and
// the same policy comes to the same verdict from it.
func TestReleaseKeepsItsFacts(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.pass(3 * time.Second)
		_, err := w.guard.MarkIntake(w.ctx, caller.ID(), map[policyField]string{policy.Nature: "fire"}, "cad")
		w.must(err)
		w.hangsUp(pos)
		w.up(caller, "caller")
		facts := last[releaseData](w, caller.ID(), "release.requested").Facts
		if facts == nil {
			t.Fatal("the record holds no facts")
		}
		if facts.Kind != policy.Emergency || facts.Service == "" || facts.Release != policy.ReleaseBye || facts.Position != "pos-1" ||
			facts.Talk < 3*time.Second || facts.At.IsZero() || facts.Intake[policy.Nature].Source != "http" {
			t.Errorf("facts %+v", facts)
		}
		text, err := json.Marshal(facts)
		w.must(err)
		var read policy.Facts
		w.must(json.Unmarshal(text, &read))
		v, d := policy.Builtin().Judge(read), last[verdictData](w, caller.ID(), "release.intercepted")
		if v.Decision != d.Decision || v.Rule != d.Rule || v.Why != d.Why || v.Policy != d.Policy {
			t.Errorf("journal %+v, judged again %+v", d, v)
		}
		w.hangsUp(caller)
	})
}

// TestRuleThatFailsIsJournaled: it is skipped, and the caller is kept.
func TestRuleThatFailsIsJournaled(t *testing.T) {
	p, err := policy.Parse("p.yaml", []byte(`
rules:
  - {name: broken, when: 1 % rescues == 0, verdict: intercept, why: x}
  - {name: rest, verdict: allow, why: anything goes}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := usualSettings()
	s.Judge = p.Judge
	inWorld(t, s, []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		w.up(caller, "caller")
		d := last[verdictData](w, caller.ID(), "release.intercepted")
		want := []policy.Skipped{{Rule: "broken", Error: "runtime error: integer divide by zero"}}
		if diff := cmp.Diff(want, d.Skipped); diff != "" || d.Rule != policy.RuleFailSafe {
			t.Errorf("rule %s, skipped -want +got:\n%s", d.Rule, diff)
		}
		w.hears(caller, "prompt")
		w.hangsUp(caller)
	})
}
