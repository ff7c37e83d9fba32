package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parse returns a policy that must be good.
func parse(t testing.TB, src string) *Policy {
	t.Helper()
	p, err := Parse("policy.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// oneRule is a policy of one rule with a condition.
func oneRule(t testing.TB, when string) *Policy {
	t.Helper()
	return parse(t, "rules:\n  - name: it\n    when: '"+strings.ReplaceAll(when, "'", "''")+"'\n    verdict: allow\n    why: it holds\n")
}

func TestConditions(t *testing.T) {
	at := time.Date(2026, 8, 14, 23, 30, 0, 0, time.FixedZone("CDT", -5*3600)) // a Friday
	facts := Facts{
		Kind: Emergency, Service: "urn:service:sos.fire", Priority: "esnet.1", Release: "session timer expired",
		Class: "technical", Position: "pos-1", Agent: "ann", Talk: 12500 * time.Millisecond, Rescues: 1, Transfer: "failed", TransferTo: "pos-2", TransferReported: "sip:b@x", Outside: true,
		Hold: 3 * time.Second, Holding: true, Redials: 2, Surge: true, At: at,
		CallerSpeech: Measured(0),
		Intake: Intake{
			Nature: {Value: " Fire ", By: "ann", Source: "dtmf", At: at.Add(-2 * time.Second)},
		},
	}
	hold := []string{
		`kind == "emergency"`, `kind in ["emergency", "admin"]`, `service startsWith "urn:service:sos"`, `service matches "^urn:.*\\.fire$"`,
		`priority == "esnet.1"`, `hasPrefix(priority, "esnet")`, `release != "bye"`, `class == "technical"`, `position == "pos-1" and agent == "ann"`,
		`talk == 12.5`, `talk < 20 and talk >= 12`, `rescues > 0`, `transfer == "failed" and transfer_to == "pos-2"`, `transfer_reported == "sip:b@x" and outside`, `hold == 3 and holding`,
		`redials >= 2`, `surge`, `hour == 23`, `hour >= 22 or hour < 6`, `weekday == "friday"`, `not (weekday in ["saturday", "sunday"])`,
		`intake.nature.marked and not intake.location.marked`, `lower(trim(intake.nature.value)) == "fire"`,
		`intake.nature.source == "dtmf" and intake.nature.by == "ann" and intake.nature.trust == "softens"`,
		`intake.nature.age == 2`, `intake.location.age == -1`, `intake.location.source == ""`, `not intake.complete`,
		`intake.summary == "nature is marked, location and callback are not"`,
		`speech.caller == 0`, `speech.taker == -1`, `speech.caller < 1 and speech.caller >= 0`, `max(talk, hold) > 12`, `talk > 10 ? surge : holding`,
	}
	for _, when := range hold {
		if v := oneRule(t, when).Judge(facts); v.Rule != "it" || v.Skipped != nil {
			t.Errorf("%s does not hold: %+v", when, v)
		}
		if v := oneRule(t, "not ("+when+")").Judge(facts); v.Rule != RuleFailSafe || v.Decision != Intercept {
			t.Errorf("not (%s) holds: %+v", when, v)
		}
	}
}

func TestUnknownFacts(t *testing.T) {
	for _, when := range []string{
		`hour == -1`, `weekday == ""`, `speech.caller == -1 and speech.taker == -1`, `agent == ""`, `talk == 0`, `not surge`, `redials == 0`,
		`intake.summary startsWith "no intake"`, `intake.incident.age == -1`, `priority == ""`,
	} {
		if v := oneRule(t, when).Judge(Facts{Kind: Emergency, Release: ReleaseBye}); v.Rule != "it" {
			t.Errorf("%s does not hold when nothing is known: %+v", when, v)
		}
	}
}

// TestEveryPolicyEndsFailSafe: what no rule speaks of keeps the caller.
func TestEveryPolicyEndsFailSafe(t *testing.T) {
	p := oneRule(t, "intake.complete")
	for kind, want := range map[CallKind]Decision{Emergency: Intercept, "": Intercept, "overflow": Intercept, Test: Allow, Admin: Allow} {
		v := p.Judge(Facts{Kind: kind, Release: ReleaseBye})
		if v.Decision != want || v.Rule != RuleFailSafe || v.Why == "" || v.Policy != p.Digest() {
			t.Errorf("kind %q: %+v, want %s", kind, v, want)
		}
	}
}

// TestRulesThatFail: a rule that cannot be evaluated is skipped, named, and
// never costs a caller.
func TestRulesThatFail(t *testing.T) {
	const fails = "int(priority) > 3" // of a priority that is not a number
	const letGo = "  - {name: rest, verdict: allow, why: anything goes}\n"
	const keeps = "  - {name: rest, verdict: intercept, when: kind != \"test\", why: nothing goes}\n"
	rules := func(verdict, rest string) string {
		return "rules:\n  - {name: broken, verdict: " + verdict + ", when: " + fails + ", why: x}\n" + rest
	}
	tests := map[string]struct {
		src  string
		kind CallKind
		want Decision
		rule string
	}{
		"an allowing rule is skipped":          {rules("allow", keeps), Emergency, Intercept, "rest"},
		"a later rule may let go":              {rules("allow", letGo), Emergency, Allow, "rest"},
		"nothing else decides":                 {rules("allow", "  - {name: never, when: surge, verdict: allow, why: x}\n"), Emergency, Intercept, RuleFailSafe},
		"an intercepting rule keeps":           {rules("intercept", letGo), Emergency, Intercept, RuleFailSafe},
		"and the reason of a later one stands": {rules("intercept", keeps), Emergency, Intercept, "rest"},
		"a reviewing rule is made up for":      {rules("review", letGo), Emergency, Review, RuleFailSafe},
		"and takes nothing from a keeping one": {rules("review", keeps), Emergency, Intercept, "rest"},
		"nor reviews an administrative call":   {rules("review", letGo), Admin, Allow, "rest"},
		"but not on a test call":               {rules("intercept", letGo), Test, Allow, "rest"},
		"nor on an administrative one":         {rules("intercept", letGo), Admin, Allow, "rest"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			src := tc.src
			if tc.kind == Test { // else the file itself is refused
				src = strings.Replace(src, fails, `kind == "test" and `+fails, 1)
			}
			p, err := Parse("p.yaml", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			v := p.Judge(Facts{Kind: tc.kind, Release: ReleaseBye, Priority: "wps.a"})
			if v.Decision != tc.want || v.Rule != tc.rule || v.Why == "" {
				t.Errorf("verdict %+v, want %s by %s", v, tc.want, tc.rule)
			}
			if len(v.Skipped) != 1 || v.Skipped[0].Rule != "broken" || !strings.Contains(v.Skipped[0].Error, "invalid operation: int(wps.a)") {
				t.Errorf("skipped: %+v", v.Skipped)
			}
			if good := p.Judge(Facts{Kind: tc.kind, Release: ReleaseBye, Priority: "1"}); good.Skipped != nil {
				t.Errorf("skipped although it can be evaluated: %+v", good)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	tests := map[string]string{
		"plain words":                              "plain words",
		"kept after {talk} s, {rescues} rescues":   "kept after 12.3 s, 1 rescues",
		"{agent} {{at}} {position}":                "ann {at} pos-1",
		"{holding} {intake.location.value}":        "false 12 Main St",
		`{transfer == "" ? "no {transfer}" : ""}!`: "no {transfer}!",
		"{int(priority)} is not a number":          "? is not a number",
		"{transfer}":                               "rule it",
		"{intake.nature.value}":                    strings.Repeat("é", 500),
	}
	for why, want := range tests {
		p := parse(t, "rules:\n  - name: it\n    verdict: allow\n    why: '"+why+"'\n")
		v := p.Judge(Facts{
			Kind: Emergency, Position: "pos-1", Agent: "ann", Talk: 12345 * time.Millisecond, Rescues: 1, Priority: "x",
			Intake: Intake{Location: {Value: "12 Main St"}, Nature: {Value: "x" + strings.Repeat("é", 600)}},
		})
		if strings.HasPrefix(v.Why, "xé") && len(v.Why) <= maxWhy && strings.ToValidUTF8(v.Why, "") == v.Why {
			continue // cut, and still text
		}
		if v.Why != want || v.Decision != Allow {
			t.Errorf("%s: %q, want %q", why, v.Why, want)
		}
	}
}

func TestTrust(t *testing.T) {
	const rules = `
rules:
  - {name: complete, when: intake.complete, verdict: allow, why: "{intake.summary}"}
  - {name: claimed, when: intake.claimed, verdict: review, why: "{intake.summary}"}
  - {name: rest, when: kind == "emergency", verdict: intercept, why: "{intake.summary}"}
`
	by := func(sources ...string) Intake {
		in := Intake{}
		for i, f := range []Field{Location, Callback, Nature}[:len(sources)] {
			in[f] = Mark{Value: "x", Source: sources[i]}
		}
		return in
	}
	disposition := func(source string) Intake { return Intake{Disposition: {Value: "misdial", Source: source}} }
	const soft = "sources: {http: proves, header: softens, dtmf: softens, speech: ignored}"
	tests := map[string]struct {
		sources string
		intake  Intake
		rule    string
		why     string
	}{
		"systems prove when left out":        {"", by("http", "eido", "webhook"), "complete", "location, callback and nature are marked"},
		"the taker's hands do not":           {"", by("http", "http", "dtmf"), "claimed", "location, callback and nature are marked"},
		"nor where only others are named":    {"sources: {http: proves}", disposition("header"), "claimed", "a disposition was given"},
		"unless it is said of them":          {"sources: {info: proves}", disposition("info"), "complete", "a disposition was given"},
		"or of all that are not named":       {"sources: {other: proves}", by("header", "dtmf", "speech"), "complete", "location, callback and nature are marked"},
		"http proves":                        {soft, by("http", "http", "http"), "complete", "location, callback and nature are marked"},
		"a source of its own proves":         {soft, disposition("cad"), "complete", "a disposition was given"},
		"unless others are said not to":      {"sources: {other: ignored, http: proves}", disposition("cad"), "rest", whyIncomplete(0)},
		"one soft mark is enough to soften":  {soft, by("http", "http", "dtmf"), "claimed", "location, callback and nature are marked"},
		"a code softens":                     {soft, disposition("dtmf"), "claimed", "a disposition was given"},
		"ignored marks are not there":        {soft, by("http", "http", "speech"), "rest", "location and callback are marked, nature is not"},
		"soft marks are named when not done": {soft, by("dtmf"), "rest", "location is marked, callback and nature are not"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := parse(t, tc.sources+rules)
			v := p.Judge(Facts{Kind: Emergency, Release: ReleaseBye, Intake: tc.intake})
			if v.Rule != tc.rule || v.Why != tc.why {
				t.Errorf("%+v, want %s: %s", v, tc.rule, tc.why)
			}
			if got, want := p.Complete(tc.intake), tc.rule == "complete"; got != want {
				t.Errorf("Complete is %v", got)
			}
		})
	}
	ignored := parse(t, "sources: {speech: ignored}\nrules: [{name: it, when: not intake.nature.marked, verdict: allow, why: '{intake.nature.value}.'}]")
	if v := ignored.Judge(Facts{Kind: Emergency, Intake: Intake{Nature: {Value: "x", Source: "speech"}}}); v.Why != "." {
		t.Errorf("an ignored mark is seen: %+v", v)
	}
}

// TestBuiltinWithOtherSources: a centre where no system reports may say that
// the call taker's word proves, and the rules do what is expected then.
func TestBuiltinWithOtherSources(t *testing.T) {
	in := Intake{Incident: {Value: "7", Source: "header"}}
	f := Facts{Kind: Emergency, Release: ReleaseBye, Intake: in}
	p := parse(t, strings.Replace(string(builtinYAML), "header: softens", "header: proves", 1))
	if v := p.Judge(f); v.Decision != Allow || v.Rule != RuleIntakeComplete || v.Why != "an incident was created" {
		t.Errorf("%+v", v)
	}
	v := Builtin().Judge(f)
	if v.Decision != Review || v.Rule != RuleIntakeClaimed || v.Why != "an incident was created, but only by the call taker's own word" {
		t.Errorf("as it comes: %+v", v)
	}
}

func TestTimezone(t *testing.T) {
	const rules = "\nrules: [{name: it, when: hour == 19 and weekday == \"thursday\", verdict: allow, why: x}]"
	f := Facts{Kind: Emergency, At: time.Date(2026, 8, 14, 0, 30, 0, 0, time.UTC)}
	if v := parse(t, "timezone: America/Chicago"+rules).Judge(f); v.Rule != "it" {
		t.Errorf("in Chicago: %+v", v)
	}
	if v := parse(t, rules).Judge(f); v.Rule == "it" {
		t.Errorf("as it came: %+v", v)
	}
}

func TestDigest(t *testing.T) {
	const base = "timezone: America/Chicago\nsources: {http: proves}\nrules:\n  - {name: a, when: talk > 20, verdict: allow, why: x}\n"
	d := parse(t, base).Digest()
	if len(d) != 64 || d != parse(t, base).Digest() {
		t.Fatalf("digest %q, want the same 64 hex digits each time", d)
	}
	same := "# a comment\nrules:\n  - why: 'x'\n    verdict: \"allow\"\n    name: a\n    when: talk > 20   # another\nsources:\n  http: proves\ntimezone: America/Chicago\n"
	if got := parse(t, same).Digest(); got != d {
		t.Errorf("comments and layout change the digest: %s", got)
	}
	for _, change := range [][2]string{
		{"talk > 20", "talk > 21"},
		{"allow", "review"},
		{"name: a", "name: b"},
		{"why: x", "why: y"},
		{"http: proves", "http: softens"},
		{"Chicago", "New_York"},
		{"rules:\n", "rules:\n  - {name: c, when: surge, verdict: allow, why: x}\n"},
	} {
		if got := parse(t, strings.Replace(base, change[0], change[1], 1)).Digest(); got == d {
			t.Errorf("%s instead of %s has the same digest", change[1], change[0])
		}
	}
}

func TestExplain(t *testing.T) {
	p := parse(t, `
rules:
  - {name: first, when: int(priority) > 3, verdict: allow, why: x}
  - {name: second, when: talk < 20 and intake.location.value == "x" or talk < 3, verdict: allow, why: x}
  - {name: third, when: kind != "test", verdict: review, why: "{talk}"}
  - {name: fourth, verdict: allow, why: x}
`)
	f := Facts{Kind: Emergency, Priority: "high", Talk: 12 * time.Second}
	got := p.Explain(f)
	want := Explanation{
		Verdict: p.Judge(f),
		Rules: []RuleResult{
			{
				Rule: "first", Decision: Allow, When: "int(priority) > 3", Reached: true, Error: "invalid operation: int(high)",
				Saw: []Seen{{"priority", "high"}},
			},
			{
				Rule: "second", Decision: Allow, When: `talk < 20 and intake.location.value == "x" or talk < 3`, Reached: true,
				Saw: []Seen{{"talk", 12.0}, {"intake.location.value", ""}},
			},
			{Rule: "third", Decision: Review, When: `kind != "test"`, Reached: true, Holds: true, Saw: []Seen{{"kind", "emergency"}}},
			{Rule: "fourth", Decision: Allow},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got.Verdict.Rule != "third" {
		t.Errorf("verdict %+v", got.Verdict)
	}
}
