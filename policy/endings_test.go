package policy

import (
	"testing"
	"time"
)

// TestLegitimateEndings: the rows of the guide's table that end with a release
// by the position. The caller's own hang-up, and a position whose caller was
// taken over with Replaces, are no releases and never reach a policy.
func TestLegitimateEndings(t *testing.T) {
	call := func(change func(*Facts)) Facts {
		f := Facts{Kind: Emergency, Service: "urn:service:sos", Release: ReleaseBye, Position: "pos-1", Agent: "ann", Talk: 17 * time.Second}
		change(&f)
		return f
	}
	disposition := func(value, source string) func(*Facts) {
		return func(f *Facts) { f.Intake = Intake{Disposition: {Value: value, By: "pos-1", Source: source}} }
	}
	tests := map[string]struct {
		facts Facts
		want  Decision
		rule  string
	}{
		"test call, the position itself ends it (i3 section 9)": {
			call(func(f *Facts) { f.Kind, f.Service, f.Talk = Test, "urn:service:test.sos", time.Second }), Allow, RuleTestCall,
		},
		"after a successful REFER (i3 section 4.7.2)": {call(func(f *Facts) { f.Transfer = "succeeded" }), Allow, RuleTransferred},
		"before it was answered: it must not leave":   {call(func(f *Facts) { f.Transfer = "pending" }), Intercept, RuleTransferPending},
		"after an error NOTIFY: it must not leave":    {call(func(f *Facts) { f.Transfer = "failed" }), Intercept, RuleIntakeIncomplete},
		"REFER and BYE at once, with intake complete": {
			call(func(f *Facts) { f.Transfer = "pending"; f.Intake = marked("incident=7") }), Intercept, RuleTransferPending,
		},
		"administrative line, outbound callback": {call(func(f *Facts) { f.Kind, f.Service = Admin, "sip:5045551000@psap" }), Allow, RuleAdminCall},
		"misdial, by a code":                     {call(disposition("misdial", "dtmf")), Allow, RuleDisposition},
		"pocket dial, by a code":                 {call(disposition("pocket-dial", "dtmf")), Allow, RuleDisposition},
		"open line, by the call-handling system": {call(disposition("open-line", "header")), Allow, RuleDisposition},
		"duplicate, from CAD":                    {call(disposition("duplicate", "http")), Allow, RuleIntakeComplete},
		"wrong number, in other letters":         {call(disposition("Wrong Number ", "info")), Allow, RuleDisposition},
		"a word that nobody knows, by the taker": {call(disposition("nothing", "header")), Review, RuleIntakeClaimed},
		"no word at all, by the taker":           {call(disposition("", "header")), Review, RuleIntakeClaimed},
		"emergency, by the taker: not waved off": {call(disposition("emergency", "dtmf")), Review, RuleIntakeClaimed},
		"prank, in other words":                  {call(disposition("Prank call", "http")), Review, RuleReviewed},
		"prank: allowed, always reviewed":        {call(disposition("prank", "dtmf")), Review, RuleReviewed},
		"prank, from CAD: reviewed all the same": {call(disposition("prank", "http")), Review, RuleReviewed},
		"an incident, from CAD":                  {call(func(f *Facts) { f.Intake = marked("incident=7") }), Allow, RuleIntakeComplete},
		"an incident, by the taker's header: never a proof": {
			call(func(f *Facts) { f.Intake = Intake{Incident: {Value: "7", Source: "header"}} }), Review, RuleIntakeClaimed,
		},
		"location, callback and nature, two by CAD and one by a code: no proof": {
			call(func(f *Facts) {
				f.Intake = marked("location=x", "callback=y")
				f.Intake[Nature] = Mark{Value: "z", Source: "dtmf"}
			}), Review, RuleIntakeClaimed,
		},
		"a location, by the taker's INFO: not even a claim": {
			call(func(f *Facts) { f.Intake = Intake{Location: {Value: "x", Source: "info"}} }), Intercept, RuleIntakeIncomplete,
		},
		"a short call without a word: shortness proves nothing": {
			call(func(f *Facts) { f.Talk = 15 * time.Second }), Intercept, RuleIntakeIncomplete,
		},
		"another centre, after the transfer, in the end": {
			call(func(f *Facts) { f.Outside, f.Position, f.Talk = true, "sip:911@psap-b", 90*time.Second }), Allow, RuleOtherCentre,
		},
		"another centre that hangs up at once": {
			call(func(f *Facts) { f.Outside, f.Position, f.Talk = true, "sip:911@psap-b", 9*time.Second }), Intercept, RuleIntakeIncomplete,
		},
		"another centre that is silent": {
			call(func(f *Facts) { f.Outside, f.Talk, f.Release = true, 90*time.Second, ReleaseDeadAir }), Intercept, RuleLeftAlone,
		},
		"surge mode relaxes the whole centre":           {call(func(f *Facts) { f.Surge = true }), Allow, RuleSurgeMode},
		"surge mode does not relax transfers":           {call(func(f *Facts) { f.Surge, f.Transfer = true, "pending" }), Intercept, RuleTransferPending},
		"a failure of phone or network: same guard":     {call(func(f *Facts) { f.Release = "session timer expired" }), Intercept, RuleIntakeIncomplete},
		"the fallback taker after a rescue: same guard": {call(func(f *Facts) { f.Rescues, f.Position = 1, "sip:f@x" }), Intercept, RuleIntakeIncomplete},
	}
	p := Builtin()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if v := p.Judge(tc.facts); v.Decision != tc.want || v.Rule != tc.rule {
				t.Errorf("%+v, want %s by %s", v, tc.want, tc.rule)
			}
		})
	}
}
