package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParked has two calls at one desk: the one that is put on hold for the
// other is answered elsewhere, the other is none of the guard's business.
func TestParked(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	g := serveAs(t, "watchful.yaml")
	position := sipp(t, "position-parks", g.ports.pos1, 0, "-m", "2")
	fallback := sipp(t, "position-completes", g.ports.fallback, 0)
	first := sipp(t, "caller-held", g.ports.caller, g.ports.sip)
	position.dialog()
	second := sipp(t, "caller-simple", g.ports.pos2, g.ports.sip)
	for _, p := range []*party{first, fallback, second, position} {
		p.passes()
	}
	g.stop()
	records := g.journal()
	parked := find(t, records, "call.answered").Call
	served := slices.DeleteFunc(slices.Clone(records), func(r record) bool { return r.Call == parked })
	records = slices.DeleteFunc(records, func(r record) bool { return r.Call != parked })
	relieved(t, records, "parked", "operator", "left-alone")
	if _, causes := judgedAndTold(records); !slices.Contains(causes, "parked") {
		t.Errorf("alerts of %v, want parked", causes)
	}
	if kinds := about(served); !inOrder(kinds, []string{"call.answered", "release.requested", "release.allowed", "call.ended"}) ||
		slices.Contains(kinds, "release.intercepted") {
		t.Errorf("of the second call the records are %v", kinds)
	}
}

// TestTakenOver has a second phone take the caller over with Replaces
// (RFC 3891) and hang up: it is answerable as the first was.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	g := serveAs(t, "watchful.yaml")
	position := sipp(t, "position-asleep", g.ports.pos1, 0)
	fallback := sipp(t, "position-completes", g.ports.fallback, 0)
	caller := sipp(t, "caller-simple", g.ports.caller, g.ports.sip)
	callID, ours, theirs := position.dialog()
	taker := sipp(t, "position-takes-over", g.ports.pos2, g.ports.sip,
		"-rtp_echo", "-key", "replaces", fmt.Sprintf("%s;to-tag=%s;from-tag=%s", callID, ours, theirs))
	for _, p := range []*party{position, taker, fallback, caller} {
		p.passes()
	}
	g.stop()
	records := g.journal()
	relieved(t, records, "bye", "operator", "intake-incomplete")
	if left := find(t, records, "release.requested").Data; left["position"] != "pos-2" {
		t.Errorf("the release is %v's, want pos-2's", left["position"])
	}
}

// TestNeverRefreshed has a position let the session that it promised to
// refresh run out (RFC 4028), which takes a minute.
func TestNeverRefreshed(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	records := playWith(t, "watchful.yaml", cast{caller: "caller-held", pos1: "position-never-refreshes", fallback: "position-completes"})
	relieved(t, records, "session timer expired", "unknown", "intake-incomplete")
	after := find(t, records, "release.requested").Time.Sub(find(t, records, "call.answered").Time)
	if after < 58*time.Second || after > 66*time.Second {
		t.Errorf("the position was taken for gone after %v, want a minute", after)
	}
}

// relieved checks that the taker's leaving was told from an ending, and that
// somebody else served the caller to the end.
func relieved(t *testing.T, records []record, how, class, rule string) {
	t.Helper()
	want := []string{"call.answered", "release.requested", "release.intercepted", "rescue.offered", "rescue.answered", "release.allowed", "call.ended"}
	if kinds := about(records); !inOrder(kinds, want) {
		t.Errorf("the records are %v, want among them %v", kinds, want)
	}
	left := find(t, records, "release.requested").Data
	if left["how"] != how || left["class"] != class {
		t.Errorf("left by %v, class %v, evidence %v", left["how"], left["class"], left["evidence"])
	}
	if rules, _ := judgedAndTold(records); !slices.Contains(rules, rule) {
		t.Errorf("judged by %v, want %s", rules, rule)
	}
}

// ackOf is the guard's ACK among a position's messages.
var ackOf = regexp.MustCompile(`(?s)ACK sip:.*?\r?\n\r?\n`)

// dialog waits until a position has its first call and returns the dialog's
// Call-ID, the guard's tag and the position's, out of the position's messages.
func (p *party) dialog() (callID, ours, theirs string) {
	p.t.Helper()
	for deadline := time.Now().Add(slow); ; time.Sleep(50 * time.Millisecond) { // between two looks
		if ack := ackOf.FindString(p.file("messages")); ack != "" {
			field := func(name, pattern string) string {
				m := regexp.MustCompile(`(?im)^` + name + `:` + pattern).FindStringSubmatch(ack)
				if m == nil {
					p.t.Fatalf("the ACK has no %s\n%s", name, ack)
				}
				return strings.TrimSpace(m[1])
			}
			return field("Call-ID", `(.*)$`), field("From", `.*;tag=([^;\s]+)`), field("To", `.*;tag=([^;\s]+)`)
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the call is not up\n%s", p.file("messages"))
		}
	}
}
