package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestEvasions plays the ways to leave a caller other than an early BYE, and
// endings that are legitimate, with SIPp at every end, against a guard with
// little patience.
func TestEvasions(t *testing.T) {
	relieved := []string{"call.answered", "alert.raised", "release.requested", "release.intercepted", "rescue.offered", "rescue.answered", "release.allowed", "call.ended"}
	for name, story := range map[string]struct {
		cast  cast
		how   string // the first release, and the cause of an alert unless alert says otherwise
		class string
		rule  string
		alert string
		want  []string
	}{
		"1 leaves at once": {
			cast: cast{caller: "caller-simple", pos1: "position-leaves-at-once", fallback: "position-completes"},
			how:  "bye", class: "operator", rule: "intake-incomplete", alert: "intercept",
			want: []string{"call.answered", "release.requested", "release.intercepted", "rescue.answered", "release.allowed", "call.ended"},
		},
		"4 redirects": {
			cast: cast{caller: "caller-simple", pos1: "position-redirects", pos2: "position-completes"},
			how:  "bye", class: "operator", rule: "intake-claimed",
			want: []string{"call.offered", "call.failed", "call.offered", "call.answered", "release.allowed", "call.ended"},
		},
		"5 transfers to a mobile phone": {
			cast: cast{caller: "caller-simple", pos1: "position-transfers-away", fallback: "position-completes"},
			how:  "bye", class: "operator", rule: "intake-incomplete", alert: "transfer-refused",
			want: []string{"call.answered", "alert.raised", "release.requested", "release.intercepted", "rescue.answered", "call.ended"},
		},
		"6 transfers and leaves": {
			cast: cast{caller: "caller-simple", pos1: "position-refers-and-leaves", fallback: "position-completes"},
			how:  "bye", class: "operator", rule: "transfer-pending", alert: "intercept",
			want: []string{"call.answered", "release.requested", "release.intercepted", "rescue.answered", "call.ended"},
		},
		"7 holds": {
			cast: cast{caller: "caller-held", pos1: "position-holds", fallback: "position-completes"},
			how:  "held", class: "operator", rule: "left-alone", want: relieved,
		},
		"8 is asleep": {
			cast: cast{caller: "caller-simple", pos1: "position-asleep", fallback: "position-completes"},
			how:  "dead-air", class: "unknown", rule: "left-alone", want: relieved,
		},
		"9 sends nothing": {
			cast: cast{caller: "caller-simple", pos1: "position-no-media", fallback: "position-completes"},
			how:  "no-media", class: "unknown", rule: "taker-gone", want: relieved,
		},
		"9 vanishes": {
			cast: cast{caller: "caller-simple", pos1: "position-vanishes", fallback: "position-completes"},
			how:  "vanished", class: "technical", rule: "taker-gone", want: relieved,
		},
		"11 moves its media away": {
			cast: cast{caller: "caller-held", pos1: "position-moves-media", fallback: "position-completes"},
			how:  "foreign-media", class: "operator", rule: "left-alone", want: relieved,
		},
		"18 sends noise": {
			cast: cast{caller: "caller-simple", pos1: "position-noise", fallback: "position-completes"},
			how:  "noise", class: "unknown", rule: "left-alone", want: relieved,
		},
		"19 forges": {
			cast: cast{caller: "caller-simple", pos1: "position-forges"},
			how:  "bye", class: "operator", rule: "disposition-given",
			want: []string{"call.answered", "request.refused", "release.requested", "release.allowed", "call.ended"},
		},
		"legitimate: after a transfer": {
			cast: cast{caller: "caller-simple", pos1: "position-transfers", pos2: "position-completes"},
			how:  "bye", class: "operator", rule: "transferred",
			want: []string{"call.answered", "call.offered", "call.answered", "release.requested", "release.allowed", "release.requested", "release.allowed", "call.ended"},
		},
		"legitimate: a test call": {
			cast: cast{caller: "caller-test", pos1: "position-hangs-up"},
			how:  "bye", class: "operator", rule: "test-call",
			want: []string{"call.answered", "call.ended"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, "sipp")
			records := playWith(t, "watchful.yaml", story.cast)
			if kinds := about(records); !inOrder(kinds, story.want) {
				t.Errorf("the records are %v, want among them %v", kinds, story.want)
			}
			if strings.HasPrefix(name, "legitimate") && slices.Contains(about(records), "release.intercepted") {
				t.Error("it was intercepted")
			}
			left := find(t, records, "release.requested").Data
			if left["how"] != story.how || left["class"] != story.class {
				t.Errorf("left by %v, class %v, evidence %v", left["how"], left["class"], left["evidence"])
			}
			rules, causes := judgedAndTold(records)
			if !slices.Contains(rules, story.rule) {
				t.Errorf("judged by %v, want %s", rules, story.rule)
			}
			alert := story.alert
			if alert == "" && story.how != "bye" {
				alert = story.how
			}
			if alert == "noise" { // a moment of noise is dead air until it has lasted
				alert = "intercept"
			}
			if alert != "" && !slices.Contains(causes, alert) {
				t.Errorf("alerts of %v, want %s", causes, alert)
			}
		})
	}
}

// judgedAndTold lists the rules of the verdicts and the causes of the alerts.
func judgedAndTold(records []record) (rules, causes []string) {
	for _, r := range records {
		if rule, ok := r.Data["rule"].(string); ok && strings.HasPrefix(r.Kind, "release.") {
			rules = append(rules, rule)
		}
		if cause, ok := r.Data["cause"].(string); ok && r.Kind == "alert.raised" {
			causes = append(causes, cause)
		}
	}
	return rules, causes
}
