package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdline/policy"
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
				{Signal: "needed", N: 70, Hits: 14, Rate: 0.2, Peers: 0.02, Value: 1, Threshold: 4, Of: 3, HitsSince: 1, Calls: []string{"a/1@x"}, Alarm: time.Now().Add(-time.Hour)},
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
		"crossed the threshold on", `href="/calls/a%2F1@x"`, "so are the peers", "still learning what is usual",
		"not compared", `class="own" x="0" y="1" width="200"`, `class="peers" x="0" y="11" width="20"`, `x1="160" x2="160"`, "2.0 %",
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

// TestAgentsPageOfABank: who is found by the counting itself is pointed at,
// though the chart begins anew the moment it finds somebody.
func TestAgentsPageOfABank(t *testing.T) {
	bank := pattern.New(pattern.Options{WarmUpDays: 2, WarmUpTrials: 200})
	begin, found := time.Now().Add(-4*24*time.Hour), 0
	for day := range 5 {
		for i := range 30 {
			for a := range 5 {
				bad := day == 4 && a == 3 && i%3 == 0
				at := begin.AddDate(0, 0, day).Add(time.Duration(i-40) * 5 * time.Minute)
				for _, e := range observed(fmt.Sprintf("%d-%d-%d", day, i, a), fmt.Sprint("agent-", a), at, bad) {
					found += len(bank.Observe(e))
				}
			}
		}
	}
	if found == 0 {
		t.Fatal("the counting found nobody")
	}
	b := newBench(t, func(o *Options) { o.Patterns = bank })
	page := b.do("GET", "/agents", "").Body.String()
	if n := strings.Count(page, "look at these calls"); n != 1 {
		t.Errorf("%d call takers are pointed at, not one", n)
	}
	if first := strings.Index(page, "<h3>"); !strings.HasPrefix(page[first:], "<h3>agent-3 ") {
		t.Errorf("first is %.60s", page[first:])
	}
}

// observed is a call of an agent: passed on, or left with the caller in need.
func observed(id, agent string, at time.Time, bad bool) []pattern.Event {
	e := func(after int, e pattern.Event) pattern.Event {
		e.Time, e.Call = at.Add(time.Duration(after)*time.Second), id
		return e
	}
	marked := e(20, pattern.Event{What: pattern.Marked, Field: policy.Incident, By: "cad"})
	released := e(30, pattern.Event{What: pattern.Released, Leg: "a", Agent: agent, Verdict: policy.Allow})
	out := []pattern.Event{
		e(0, pattern.Event{What: pattern.Offered, Leg: "a", Agent: agent, Kind: policy.Emergency, Caller: id}),
		e(5, pattern.Event{What: pattern.Answered, Leg: "a", Agent: agent}),
	}
	if !bad {
		return append(out, marked, released, e(30, pattern.Event{What: pattern.Ended, By: "position"}))
	}
	released.Verdict, marked.Time = policy.Intercept, at.Add(time.Minute)
	return append(out, released, e(40, pattern.Event{What: pattern.Answered, Leg: "b"}), marked,
		e(90, pattern.Event{What: pattern.Ended, By: "caller"}))
}
