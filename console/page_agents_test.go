package console

import (
	"strings"
	"testing"
	"time"

	"holdline/policy/pattern"
)

// counted is a state of patterns in which one call taker stands out.
type counted struct{ state pattern.State }

func (c counted) State() pattern.State { return c.state }

func busyState() pattern.State {
	return pattern.State{
		FalseAlarms: 1, Days: 30, WarmUpDays: 14,
		Signals: []pattern.SignalState{
			{Signal: "needed", What: "calls that left a caller in need", State: pattern.Judging, Seen: 900, Takers: 12, Rate: 0.02},
			{Signal: "short", What: "calls that were short", State: pattern.Learning, Why: "so far 3 of 14 days", Seen: 9, Takers: 2},
		},
		Agents: []pattern.AgentState{
			{Agent: "ann", Signals: []pattern.ChartState{{Signal: "needed", N: 80, Hits: 2, Rate: 0.025, Peers: 0.02, Value: 0.5, Threshold: 4}}},
			{Agent: "eve<b>", Signals: []pattern.ChartState{
				{Signal: "needed", N: 70, Hits: 14, Rate: 0.2, Peers: 0.02, Value: 9, Threshold: 4, Of: 40, HitsSince: 12, Calls: []string{"a/1@x"}},
				{Signal: "short", N: 9, Hits: 1, Rate: 0.11},
			}},
			{Agent: "zoe", Signals: []pattern.ChartState{{Signal: "needed", N: 60, Hits: 12, Rate: 0.2, Peers: 0.02, Value: 5, Threshold: 4, Shared: true}}},
		},
	}
}

// TestAgentsPage: whose calls stand out comes first, in words that speak of
// calls; what everybody shares and what is still being learnt is held against
// nobody.
func TestAgentsPage(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Patterns = counted{busyState()} })
	res := b.do("GET", "/agents", "")
	page := res.Body.String()
	if res.Code != 200 {
		t.Fatalf("%d %s", res.Code, page)
	}
	eve, ann, zoe := strings.Index(page, "<h3>eve&lt;b&gt;"), strings.Index(page, "<h3>ann"), strings.Index(page, "<h3>zoe")
	if eve < 0 || ann < eve || zoe < ann {
		t.Errorf("order of call takers: eve %d, ann %d, zoe %d", eve, ann, zoe)
	}
	for _, part := range []string{
		"hardly chance: 12 of 40 calls", `href="/calls/a%2F1@x"`, "so are the peers", "still learning what is usual",
		"not compared", `class="own" x="0" y="1" width="200"`, `class="peers" x="0" y="11" width="20"`, `x1="89" x2="89"`, "2.0 %",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not on the page", part)
		}
	}
	if n := strings.Count(page, "look at these calls"); n != 1 {
		t.Errorf("%d call takers are pointed at, not one", n)
	}
}

// TestTV: the screen on the wall counts, and names nobody.
func TestTV(t *testing.T) {
	b := newBench(t)
	alone := callView("one@x", "waiting")
	alone.Waiting = time.Now().Add(-75 * time.Second)
	with := callView("two@x", "bridged")
	b.board.set(alone, with)
	b.journal.add("one@x", "alert.raised", `{"id":"a/7","cause":"intercept","why":"nothing is marked"}`)
	res := b.do("GET", "/tv", "")
	page := res.Body.String()
	if res.Code != 200 {
		t.Fatalf("%d %s", res.Code, page)
	}
	for _, part := range []string{`<div class="tile first urgent"><dt>Callers alone</dt><dd>1`, "longest", ">1:1", "<dt>Calls with somebody</dt><dd>1<"} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not on the screen:\n%s", part, page)
		}
	}
	for _, secret := range []string{with.From, with.Taker, with.Agent, "one@x", "two@x"} {
		if secret != "" && strings.Contains(page, secret) {
			t.Errorf("%q is on the wall", secret)
		}
	}
}
