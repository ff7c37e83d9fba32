package pattern_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdline/policy"
	"holdline/policy/pattern"
)

// noon is when every story begins.
func noon() time.Time { return time.Date(2026, 8, 14, 12, 0, 0, 0, time.UTC) }

// story is records in short: "seconds kind call {data}", one a line.
func story(t testing.TB, lines string) []policy.Record {
	t.Helper()
	var out []policy.Record
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		word := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if word[0] == "" {
			continue
		}
		var seconds float64
		if _, err := fmt.Sscan(word[0], &seconds); err != nil || len(word) < 3 {
			t.Fatalf("%q: %v", line, err)
		}
		r := policy.Record{
			Seq: uint64(len(out) + 1), Time: noon().Add(time.Duration(seconds * float64(time.Second))),
			Kind: word[1], Call: strings.Trim(word[2], "-"), Data: json.RawMessage("{}"),
		}
		if len(word) == 4 {
			r.Data = json.RawMessage(word[3])
		}
		if !json.Valid(r.Data) {
			t.Fatalf("%q is not JSON", r.Data)
		}
		out = append(out, r)
	}
	return out
}

// counts are what was counted: "agent signal hits/n", the default being 0/1.
func counts(b *pattern.Bank) map[string]string {
	out := map[string]string{}
	for _, a := range b.State().Agents {
		for _, s := range a.Signals {
			out[a.Agent+" "+s.Signal] = fmt.Sprintf("%.0f/%.0f", s.Hits, s.N)
		}
	}
	return out
}

// honest is what is counted of a call of eve that nobody could complain of.
func honest(more map[string]string) map[string]string {
	out := map[string]string{
		"eve needed": "0/1", "eve redial": "0/1", "eve intercepted": "0/1", "eve gave-up": "0/1",
		"eve unentered": "0/1", "eve dead-air": "0/1", "eve declined": "0/1", "eve dispositions": "0/1",
	}
	for k, v := range more {
		if out[k] = v; v == "" {
			delete(out, k)
		}
	}
	return out
}

// The pieces that stories are made of.
const (
	taken = `
		0 call.offered c1 {"leg": "a", "agent": "eve", "position": "p1", "kind": "emergency", "from": "<sip:+15045550123@x>"}
		5 call.answered c1 {"leg": "a", "agent": "eve", "position": "p1"}
`
	kept = `
		15 release.requested c1 {"leg": "a", "agent": "eve", "how": "bye", "class": "operator", "facts": {"kind": "emergency"}}
		15 release.intercepted c1 {"leg": "a", "agent": "eve", "decision": "intercept"}
		16 rescue.offered c1 {"leg": "b", "agent": "bob"}
		20 rescue.answered c1 {"leg": "b", "agent": "bob"}
`
	letGo = `
		14 intake.marked c1 {"field": "disposition", "value": "misdial", "by": "eve"}
		15 release.requested c1 {"leg": "a", "agent": "eve", "how": "bye", "facts": {"kind": "emergency"}}
		15 release.allowed c1 {"leg": "a", "agent": "eve", "decision": "allow"}
		15 call.ended c1 {"by": "position"}
`
	again = `
		120 call.offered c2 {"leg": "a", "agent": "bob", "kind": "emergency", "from": "<tel:504-555-0123>"}
		125 call.answered c2 {"leg": "a", "agent": "bob"}
`
)

// TestSignals: what each signal counts, and what it does not.
func TestSignals(t *testing.T) {
	bob := map[string]string{"bob declined": "0/1"}
	with := func(more ...map[string]string) map[string]string {
		all := honest(nil)
		for _, m := range more {
			for k, v := range m {
				if all[k] = v; v == "" {
					delete(all, k)
				}
			}
		}
		return all
	}
	for name, row := range map[string]struct {
		records string
		want    map[string]string
	}{
		"help was sent, and the taker left": {taken + `
			40 intake.marked c1 {"field": "incident", "by": "cad"}
			60 release.requested c1 {"leg": "a", "agent": "eve", "how": "bye", "facts": {"kind": "emergency"}}
			60 release.allowed c1 {"leg": "a", "agent": "eve", "decision": "allow"}
			60 call.ended c1 {"by": "position"}`, with()},
		"the caller hung up after intake": {taken + `
			40 intake.marked c1 {"field": "location", "by": "eve"}
			60 call.ended c1 {"by": "caller"}
			3000 node.started -`, with(map[string]string{"eve unentered": "1/1"})},
		"left, and the caller needed help": {
			taken + kept + `
			50 intake.marked c1 {"field": "incident", "by": "cad"}`,
			with(bob, map[string]string{"eve needed": "1/1", "eve intercepted": "1/1", "eve redial": "", "eve unentered": "", "eve dispositions": ""}),
		},
		"left, and there was nothing": {
			taken + kept + `
			50 intake.marked c1 {"field": "disposition", "by": "bob", "value": "pocket-dial"}
			51 call.ended c1 {"by": "caller"}
			3000 node.started -`,
			with(map[string]string{
				"eve intercepted": "1/1", "eve unentered": "", "eve dispositions": "", "bob needed": "0/1", "bob redial": "0/1", "bob intercepted": "0/1",
				"bob gave-up": "0/1", "bob unentered": "0/1", "bob dead-air": "0/1", "bob declined": "0/1", "bob dispositions": "1/1",
			}),
		},
		"left, and entered what was heard afterwards": {
			taken + kept + `
			50 intake.marked c1 {"field": "incident", "by": "eve"}
			3000 call.failed - {}
			90000 node.started -`,
			with(bob, map[string]string{"eve intercepted": "1/1", "eve unentered": "", "eve dispositions": ""}),
		},
		"called it a misdial, and the caller needed help": {
			taken + letGo + again + `
			160 intake.marked c2 {"field": "location", "by": "bob"}
			161 intake.marked c2 {"field": "callback", "by": "bob"}
			162 intake.marked c2 {"field": "nature", "by": "bob"}`,
			with(bob, map[string]string{"eve needed": "1/1", "eve redial": "1/1", "eve dispositions": "1/1"}),
		},
		"a misdial, and nothing more": {taken + letGo + "\n3000 node.started -", with(map[string]string{"eve dispositions": "1/1"})},
		"another caller is no redial": {
			taken + letGo + strings.Replace(again, "0123", "9999", 1) + "\n3000 node.started -",
			with(bob, map[string]string{"eve dispositions": "1/1"}),
		},
		"after ten minutes it is no redial": {taken + letGo + `
			616 call.offered c2 {"leg": "a", "agent": "bob", "kind": "emergency", "from": "<sip:+15045550123@x>"}
			3000 node.started -`, with(map[string]string{"eve dispositions": "1/1"})},
		"the caller gave up and dialled again": {
			taken + "30 call.ended c1 {\"by\": \"caller\"}" + again,
			with(bob, map[string]string{"eve gave-up": "1/1"}),
		},
		"talked, and nothing came of it": {
			taken + "90 call.ended c1 {\"by\": \"caller\"}\n3000 node.started -",
			with(map[string]string{"eve unentered": "1/1"}),
		},
		"talked, and it was entered late": {taken + "90 call.ended c1 {\"by\": \"caller\"}\n" + `
			400 intake.marked c1 {"field": "incident", "by": "cad"}
			3000 node.started -`, with()},
		"declined": {
			`
			0 call.offered c1 {"leg": "a", "agent": "eve", "kind": "emergency"}
			2 call.failed c1 {"leg": "a", "agent": "eve", "code": 486, "class": "operator"}
			2 call.offered c1 {"leg": "b", "agent": "bob"}
			4 call.answered c1 {"leg": "b", "agent": "bob"}`,
			map[string]string{"eve declined": "1/1", "bob declined": "0/1"},
		},
		"rang out": {`
			0 call.offered c1 {"leg": "a", "agent": "eve", "kind": "emergency"}
			15 call.failed c1 {"leg": "a", "agent": "eve", "reason": "rang out"}`, map[string]string{"eve declined": "1/1"}},
		"sent elsewhere": {`
			0 call.offered c1 {"leg": "a", "agent": "eve", "kind": "emergency"}
			1 call.failed c1 {"leg": "a", "agent": "eve", "code": 302}`, map[string]string{"eve declined": "1/1"}},
		"a phone that is down declines nothing": {`
			0 call.offered c1 {"leg": "a", "agent": "eve", "kind": "emergency"}
			2 call.failed c1 {"leg": "a", "agent": "eve", "reason": "silent: no response at all"}
			3 call.failed c1 {"leg": "a", "agent": "eve", "code": 503}`, map[string]string{}},
		"silent": {taken + `
			30 alert.raised c1 {"cause": "dead-air", "agent": "eve"}
			40 intake.marked c1 {"field": "incident", "by": "cad"}
			60 call.ended c1 {"by": "caller"}`, with(map[string]string{"eve dead-air": "1/1"})},
		"held and left, and came back": {taken + `
			90 release.requested c1 {"leg": "a", "agent": "eve", "how": "held", "class": "operator", "facts": {"kind": "emergency"}}
			90 release.intercepted c1 {"leg": "a", "agent": "eve", "decision": "intercept"}
			99 intake.marked c1 {"field": "incident", "by": "eve"}
			120 call.ended c1 {"by": "caller"}`, with(map[string]string{"eve dead-air": "1/1"})},
		"no media is nobody's deed": {taken + `
			90 release.requested c1 {"leg": "a", "agent": "eve", "how": "no-media", "class": "technical", "facts": {"kind": "emergency"}}
			90 release.intercepted c1 {"leg": "a", "agent": "eve", "decision": "intercept"}
			99 intake.marked c1 {"field": "incident", "by": "eve"}
			120 call.ended c1 {"by": "caller"}`, with()},
		"transferred": {
			taken + `
			30 call.answered c1 {"leg": "t"}
			31 release.requested c1 {"leg": "a", "agent": "eve", "how": "bye", "facts": {"kind": "emergency", "transfer": "succeeded"}}
			31 release.allowed c1 {"leg": "a", "agent": "eve", "decision": "allow"}`,
			with(map[string]string{"eve transfers": "0/1", "eve unentered": "", "eve dispositions": ""}),
		},
		"REFER and BYE at once": {
			taken + `
			31 release.requested c1 {"leg": "a", "agent": "eve", "how": "bye", "facts": {"kind": "emergency", "transfer": "pending"}}
			31 release.intercepted c1 {"leg": "a", "agent": "eve", "decision": "intercept"}`,
			map[string]string{"eve transfers": "1/1", "eve intercepted": "1/1", "eve redial": "0/1", "eve gave-up": "0/1", "eve dead-air": "0/1", "eve declined": "0/1"},
		},
		"transfer in a circle": {
			taken + `31 alert.raised c1 {"cause": "transfer-circle", "agent": "eve", "class": "operator"}`,
			map[string]string{"eve transfers": "1/1", "eve declined": "0/1"},
		},
		"somebody else sat there when it was answered: neither is accused": {
			`
			0 call.offered c1 {"leg": "a", "agent": "eve", "position": "p1", "kind": "emergency"}
			5 call.answered c1 {"leg": "a", "agent": "eve", "agentSeated": "mallory", "position": "p1"}
			15 release.requested c1 {"leg": "a", "agent": "eve", "how": "bye"}
			15 release.intercepted c1 {"leg": "a", "agent": "eve", "decision": "intercept"}`,
			map[string]string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pattern.New(pattern.Options{})
			for _, r := range story(t, row.records) {
				b.Apply(r)
			}
			if diff := cmp.Diff(row.want, counts(b)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOwnWord: what a taker says of themselves, by a header or a code, shields
// nobody from what the next call shows; against a taker who said nothing the
// word of another is enough.
func TestOwnWord(t *testing.T) {
	left := func(before string) string {
		return taken + before + `
			15 release.requested c1 {"leg": "a", "agent": "eve", "how": "bye", "class": "operator", "facts": {"kind": "emergency"}}
			15 release.allowed c1 {"leg": "a", "agent": "eve", "decision": "review"}
			15 call.ended c1 {"by": "position"}` + again
	}
	const claimed = "\n14 intake.marked c1 {\"field\": \"incident\", \"source\": \"header\", \"by\": \"p1\"}\n"
	for name, row := range map[string]struct {
		records string
		want    string
	}{
		"claimed an incident, and there was none until the caller dialled again": {
			left(claimed) + `160 intake.marked c2 {"field": "incident", "source": "http", "by": "cad"}`, "1/1",
		},
		"claimed an incident, and so did the next taker: word against word": {
			left(claimed) + "160 intake.marked c2 {\"field\": \"incident\", \"source\": \"header\", \"by\": \"bob\"}\n90000 node.started -", "0/1",
		},
		"said nothing, and the next taker did": {
			left("") + `160 intake.marked c2 {"field": "incident", "source": "header", "by": "bob"}`, "1/1",
		},
		"CAD says so too": {
			left(claimed+"14.5 intake.marked c1 {\"field\": \"incident\", \"source\": \"http\", \"by\": \"cad\"}\n") +
				`160 intake.marked c2 {"field": "incident", "source": "http", "by": "cad"}`, "0/1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pattern.New(pattern.Options{Proves: func(source string) bool { return source == "http" }})
			for _, r := range story(t, row.records) {
				b.Apply(r)
			}
			if got := counts(b)["eve needed"]; got != row.want {
				t.Errorf("needed is %s, want %s", got, row.want)
			}
		})
	}
}

// TestNotCounted: calls that are nobody's to answer for, and takers who are not
// known, are counted nowhere.
func TestNotCounted(t *testing.T) {
	bad := taken + kept + "50 intake.marked c1 {\"field\": \"incident\", \"by\": \"cad\"}\n60 call.ended c1 {\"by\": \"caller\"}\n9000 node.started -"
	nobody := map[string]string{}
	for name, row := range map[string]struct {
		records string
		want    map[string]string
	}{
		"test call":           {strings.Replace(bad, "emergency", "test", 1), nobody},
		"administrative call": {strings.Replace(bad, "emergency", "admin", 1), nobody},
		"callback":            {strings.Replace(bad, "emergency", "callback", 1), nobody},
		"surge mode":          {"-1 surge.started - {}\n" + bad, nobody},
		"surge mode from the middle on": {
			strings.Replace(bad, "15 release.requested", "14 surge.started - {}\n15 release.requested", 1),
			map[string]string{"eve declined": "0/1"},
		},
		"surge mode as policy saw it": {
			strings.Replace(bad, `"facts": {`, `"facts": {"surge": true, `, 1),
			map[string]string{"eve declined": "0/1"},
		},
		"nobody knows who sat there": {strings.NewReplacer("eve", "", "bob", "").Replace(bad), nobody},
		"a technical loss": {
			strings.Replace(bad, `"how": "bye", "class": "operator"`, `"how": "no answer to a request", "class": "technical"`, 1),
			map[string]string{"eve declined": "0/1", "eve dead-air": "0/1"},
		},
		"perhaps a technical loss": {
			strings.Replace(bad, `"class": "operator"`, `"class": "unknown"`, 1),
			map[string]string{"eve declined": "0/1", "eve dead-air": "0/1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pattern.New(pattern.Options{})
			for _, r := range story(t, row.records) {
				b.Apply(r)
			}
			got := counts(b)
			maps.DeleteFunc(got, func(k, _ string) bool { return strings.HasPrefix(k, "bob") })
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
