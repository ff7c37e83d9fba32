package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// marked builds an intake in which the given fields are marked; "field=value"
// gives the value, which is "true" otherwise.
func marked(fields ...string) Intake {
	in := Intake{}
	for _, f := range fields {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			value = "true"
		}
		in[Field(name)] = Mark{Value: value, By: "tester", Source: "http"}
	}
	return in
}

func TestBuiltinVerdicts(t *testing.T) {
	tests := map[string]struct {
		kind   CallKind
		intake Intake
		want   Decision
		rule   string
		why    string
	}{
		"test call":                {Test, nil, Allow, RuleTestCall, "test calls are not guarded"},
		"admin call":               {Admin, nil, Allow, RuleAdminCall, "administrative calls are not guarded"},
		"nothing marked":           {Emergency, nil, Intercept, RuleIntakeIncomplete, "no intake: neither location, callback and nature are marked, nor an incident, nor a disposition"},
		"one of three":             {Emergency, marked("nature"), Intercept, RuleIntakeIncomplete, "nature is marked, location and callback are not"},
		"two of three":             {Emergency, marked("location", "callback"), Intercept, RuleIntakeIncomplete, "location and callback are marked, nature is not"},
		"dispatched alone":         {Emergency, marked("dispatched"), Intercept, RuleIntakeIncomplete, "no intake: neither location, callback and nature are marked, nor an incident, nor a disposition"},
		"all three":                {Emergency, marked("location", "callback", "nature"), Allow, RuleIntakeComplete, "location, callback and nature are marked"},
		"an incident":              {Emergency, marked("incident=2026-1187"), Allow, RuleIntakeComplete, "an incident was created"},
		"a disposition":            {Emergency, marked("disposition=misdial"), Allow, RuleIntakeComplete, "a disposition was given"},
		"prank":                    {Emergency, marked("disposition=prank"), Review, RuleReviewed, "the call was marked as a prank, which a supervisor always reviews"},
		"prank, any spelling":      {Emergency, marked("disposition= PraNK "), Review, RuleReviewed, "the call was marked as a prank, which a supervisor always reviews"},
		"prank with full intake":   {Emergency, marked("location", "callback", "nature", "disposition=prank"), Review, RuleReviewed, "the call was marked as a prank, which a supervisor always reviews"},
		"prankster is not prank":   {Emergency, marked("disposition=prankster"), Allow, RuleIntakeComplete, "a disposition was given"},
		"prank on an admin line":   {Admin, marked("disposition=prank"), Allow, RuleAdminCall, "administrative calls are not guarded"},
		"kind nobody has heard of": {CallKind("overflow"), nil, Intercept, RuleIntakeIncomplete, "no intake: neither location, callback and nature are marked, nor an incident, nor a disposition"},
	}
	p := Builtin()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := p.Judge(Facts{Kind: tc.kind, Release: ReleaseBye, Position: "pos-1", Intake: tc.intake})
			want := Verdict{Decision: tc.want, Rule: tc.rule, Why: tc.why, Policy: p.Digest()}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestJudgeProperties holds the promises that no combination of facts may break.
func TestJudgeProperties(t *testing.T) {
	p := Builtin()
	rapid.Check(t, func(t *rapid.T) {
		f := Facts{
			Kind:     rapid.SampledFrom([]CallKind{Emergency, Admin, Test, "", "other"}).Draw(t, "kind"),
			Release:  rapid.SampledFrom([]Release{ReleaseBye, "refer"}).Draw(t, "release"),
			Position: rapid.String().Draw(t, "position"),
			Rescues:  rapid.IntRange(0, 9).Draw(t, "rescues"),
			Intake:   Intake{},
		}
		for _, field := range rapid.SliceOfDistinct(rapid.SampledFrom(Fields()), func(f Field) Field { return f }).Draw(t, "fields") {
			f.Intake[field] = Mark{Value: rapid.SampledFrom([]string{"true", "x", "prank", "PRANK"}).Draw(t, "value")}
		}
		v := p.Judge(f)
		guarded := f.Kind != Test && f.Kind != Admin
		if got := v.Decision == Intercept; got != (guarded && !f.Intake.Complete()) {
			t.Fatalf("intercepted is %v with kind %q and intake %v", got, f.Kind, f.Intake)
		}
		if guarded && strings.EqualFold(f.Intake[Disposition].Value, "prank") && v.Decision != Review {
			t.Fatalf("a prank was not reviewed: %+v", v)
		}
		if v.Rule == "" || v.Why == "" || v.Policy != p.Digest() {
			t.Fatalf("verdict does not explain itself: %+v", v)
		}
		if again := p.Judge(f); !cmp.Equal(again, v) {
			t.Fatalf("judged twice: %+v, then %+v", v, again)
		}
		// More intake never makes a release worse for the position, prank aside.
		if v.Decision == Allow {
			f.Intake[Incident] = Mark{Value: "1"}
			if w := p.Judge(f); w.Decision != Allow {
				t.Fatalf("an incident turned %+v into %+v", v, w)
			}
		}
	})
}
