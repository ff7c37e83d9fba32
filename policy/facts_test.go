package policy

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestFactListIsWhole: every fact that conditions see is described, and none
// that they do not.
func TestFactListIsWhole(t *testing.T) {
	types := map[reflect.Kind]string{reflect.String: "string", reflect.Float64: "number", reflect.Int: "number", reflect.Bool: "bool"}
	seen := map[string]string{}
	var walk func(typ reflect.Type, over string)
	walk = func(typ reflect.Type, over string) {
		for f := range typ.Fields() {
			name := over + f.Tag.Get("expr")
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, name+".")
				continue
			}
			seen[name] = types[f.Type.Kind()]
		}
	}
	walk(reflect.TypeFor[view](), "")
	described := map[string]string{}
	for _, f := range FactList() {
		if _, twice := described[f.Name]; twice || f.Doc == "" {
			t.Errorf("%s is described twice or not at all", f.Name)
		}
		described[f.Name] = f.Type
		oneRule(t, f.Name+" == "+f.Name)
	}
	if d := cmp.Diff(seen, described); d != "" {
		t.Errorf("-seen +described:\n%s", d)
	}
}

// TestBuiltinIsTheSample: those who begin with configs/policy.yaml begin with
// what serves.
func TestBuiltinIsTheSample(t *testing.T) {
	sample, err := os.ReadFile("../configs/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(builtinYAML), string(sample)); d != "" {
		t.Errorf("policy/builtin.yaml and configs/policy.yaml differ:\n%s", d)
	}
	if _, err := Parse("builtin.yaml", builtinYAML); err != nil {
		t.Error(err)
	}
	if b := Builtin(); string(b.Source()) != string(builtinYAML) || b.Name() != BuiltinName {
		t.Errorf("the built-in policy is %s", b.Name())
	}
}

func TestFactsInTheJournal(t *testing.T) {
	f := Facts{
		Kind: Emergency, Service: "urn:service:sos", Release: ReleaseBye, Position: "pos-1", Talk: 12345678 * time.Microsecond,
		Transfer: "pending", TransferTo: "pos-2", TakerSpeech: Measured(0), At: time.Date(2026, 8, 14, 18, 0, 0, 0, time.FixedZone("", -5*3600)),
		Intake: Intake{Nature: {Value: "fire", By: "ann", Source: "http"}},
	}
	got, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"emergency","service":"urn:service:sos","release":"bye","position":"pos-1","talk":12.345678,` +
		`"transfer":"pending","transfer_to":"pos-2",` +
		`"intake":{"nature":{"value":"fire","by":"ann","source":"http","at":"0001-01-01T00:00:00Z"}},` +
		`"speech":{"taker":0},"at":"2026-08-14T18:00:00-05:00"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := json.Unmarshal([]byte(`{"talk":"long"}`), &f); err == nil {
		t.Error("facts with words for a number were read")
	}
}

// anyFacts draws facts, sensible and not.
func anyFacts(t *rapid.T) Facts {
	span := func(name string) Span {
		if !rapid.Bool().Draw(t, name+" known") {
			return Span{}
		}
		return Measured(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, name)))
	}
	f := Facts{
		Kind:             rapid.SampledFrom([]CallKind{Emergency, Admin, Test, "", "other"}).Draw(t, "kind"),
		Service:          rapid.SampledFrom([]string{"", "urn:service:sos", "urn:service:test.sos", "sip:911@x"}).Draw(t, "service"),
		Priority:         rapid.SampledFrom([]string{"", "esnet.1", "3"}).Draw(t, "priority"),
		Release:          rapid.SampledFrom([]Release{ReleaseBye, "session timer expired", ""}).Draw(t, "release"),
		Class:            rapid.SampledFrom([]string{"", "operator", "technical", "unknown"}).Draw(t, "class"),
		Position:         rapid.StringN(0, 20, -1).Draw(t, "position"),
		Agent:            rapid.SampledFrom([]string{"", "ann"}).Draw(t, "agent"),
		Talk:             time.Duration(rapid.Int64Range(-int64(time.Hour), int64(24*time.Hour)).Draw(t, "talk")),
		Rescues:          rapid.IntRange(0, 9).Draw(t, "rescues"),
		Transfer:         rapid.SampledFrom([]string{"", "pending", "failed"}).Draw(t, "transfer"),
		TransferReported: rapid.SampledFrom([]string{"", "sip:x@y"}).Draw(t, "reported"),
		Hold:             time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "hold")),
		Outside:          rapid.Bool().Draw(t, "outside"),
		Holding:          rapid.Bool().Draw(t, "holding"),
		CallerSpeech:     span("caller speech"),
		TakerSpeech:      span("taker speech"),
		Redials:          rapid.IntRange(0, 5).Draw(t, "redials"),
		Surge:            rapid.Bool().Draw(t, "surge"),
		Intake:           Intake{},
	}
	if rapid.Bool().Draw(t, "time known") {
		f.At = time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	}
	for _, field := range rapid.SliceOfDistinct(rapid.SampledFrom(Fields()), func(f Field) Field { return f }).Draw(t, "fields") {
		f.Intake[field] = Mark{
			Value:  rapid.SampledFrom([]string{"true", "x", "prank", " PRANK"}).Draw(t, "value"),
			Source: rapid.SampledFrom([]string{"http", "header", "dtmf", "cad"}).Draw(t, "source"), At: f.At,
		}
	}
	return f
}

// TestBuiltinProperties holds what no facts may change.
func TestBuiltinProperties(t *testing.T) {
	p := Builtin()
	hard := parse(t, "sources: {other: proves}\n"+string(builtinYAML[indexRules():]))
	rapid.Check(t, func(t *rapid.T) {
		f := anyFacts(t)
		for _, p := range []*Policy{p, hard} {
			v := p.Judge(f)
			switch v.Decision {
			case Allow, Intercept, Review:
			default:
				t.Fatalf("verdict %+v", v)
			}
			if !guarded(f.Kind) && v.Decision != Allow {
				t.Fatalf("a call that is not guarded: %+v", v)
			}
			if guarded(f.Kind) && !f.Surge && !f.Outside && !f.Intake.Complete() && v.Decision != Intercept {
				t.Fatalf("a caller was let go without intake: %+v", v)
			}
			if guarded(f.Kind) && f.Transfer == "pending" && v.Decision != Intercept {
				t.Fatalf("a caller was let go into a transfer that nobody answered: %+v", v)
			}
			if v.Rule == "" || v.Why == "" || v.Skipped != nil || v.Rule == RuleFailSafe {
				t.Fatalf("a verdict without an explanation: %+v", v)
			}
		}
		if a, b := hard.Judge(f), p.Judge(f); a.Decision != Allow && b.Decision == Allow || a.Decision == Intercept && b.Decision != Intercept {
			t.Fatalf("less trust made a verdict milder: %+v, %+v", a, b)
		}
		if v := p.Judge(f); v.Rule == RuleIntakeComplete && !p.Complete(f.Intake) {
			t.Fatalf("what is in the taker's own hands proved an intake: %+v", v)
		}
	})
}

// indexRules is where the rules of the built-in policy begin.
func indexRules() int {
	for i := range builtinYAML {
		if string(builtinYAML[i:i+7]) == "\nrules:" {
			return i
		}
	}
	return 0
}

// TestReplayedFacts: what the journal keeps gets the same verdict, years later.
func TestReplayedFacts(t *testing.T) {
	p := parse(t, `rules: [{name: it, verdict: review, why: "{talk} {hold} {hour} {weekday} {speech.caller} {speech.taker} {intake.nature.age} {redials}"}]`)
	rapid.Check(t, func(t *rapid.T) {
		f := anyFacts(t)
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		var back Facts
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if len(f.Intake) == 0 {
			back.Intake = f.Intake
		}
		if d := cmp.Diff(f, back); d != "" {
			t.Fatalf("-written +read:\n%s", d)
		}
		if a, b := p.Judge(f), p.Judge(back); !cmp.Equal(a, b) {
			t.Fatalf("judged %+v, and from the journal %+v", a, b)
		}
	})
}

// TestAnyPolicyProperties: whatever rules are put together, judging them gives
// a verdict that says who made it, and the explanation agrees with it.
func TestAnyPolicyProperties(t *testing.T) {
	conditions := []string{
		"", "surge", "talk < 20", `int(priority) > 2`, `1 % rescues == 0`, `kind == "test"`, "intake.complete", "intake.claimed",
		`speech.caller < 1 and speech.caller >= 0`, `intake.nature.age < 3`, `agent == "ann"`, `service matches "sos"`,
	}
	rapid.Check(t, func(t *rapid.T) {
		p := newPolicy("any", nil)
		p.sources = trusts{otherSource: rapid.SampledFrom([]Trust{Proves, Softens, Ignored}).Draw(t, "trust")}
		for i, n := 0, rapid.IntRange(0, 6).Draw(t, "rules"); i < n; i++ {
			r := rule{name: string(rune('a' + i)), decision: rapid.SampledFrom([]Decision{Allow, Intercept, Review}).Draw(t, "decision")}
			if text := rapid.SampledFrom(conditions).Draw(t, "when"); text != "" {
				e, fault := compile(text, true)
				if fault != nil {
					t.Fatalf("%s: %+v", text, fault)
				}
				r.when = e
			}
			p.rules = append(p.rules, r)
		}
		f := anyFacts(t)
		v := p.Judge(f)
		if v.Decision != Allow && v.Decision != Intercept && v.Decision != Review || v.Rule == "" || v.Why == "" {
			t.Fatalf("verdict %+v", v)
		}
		for _, s := range v.Skipped {
			if i := int(s.Rule[0] - 'a'); p.rules[i].decision == Intercept && guarded(f.Kind) && v.Decision != Intercept {
				t.Fatalf("a rule that could have kept the caller failed, and the caller was let go: %+v", v)
			}
		}
		x := p.Explain(f)
		for _, r := range x.Rules {
			if r.Holds && v.Rule != RuleFailSafe && r.Rule != v.Rule {
				t.Fatalf("%+v, but rule %s holds", v, r.Rule)
			}
		}
	})
}
