package pattern_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdline/policy"
	"holdline/policy/pattern"
)

// small is a site that is known soon.
func small() pattern.Options {
	return pattern.Options{WarmUpDays: 2, WarmUpTrials: 200, FalseAlarms: 1}
}

// call is one call of an agent at a time: taken, and left after 30 s. A bad one
// is left before intake, and the next taker finds that the caller needs help.
func call(id, agent string, at time.Time, bad bool) []pattern.Event {
	e := func(after int, e pattern.Event) pattern.Event {
		e.Time, e.Call = at.Add(time.Duration(after)*time.Second), id
		return e
	}
	out := []pattern.Event{
		e(0, pattern.Event{What: pattern.Offered, Leg: "a", Agent: agent, Kind: policy.Emergency, Caller: id}),
		e(5, pattern.Event{What: pattern.Answered, Leg: "a", Agent: agent}),
	}
	if !bad {
		return append(out,
			e(20, pattern.Event{What: pattern.Marked, Field: policy.Incident, By: "cad"}),
			e(30, pattern.Event{What: pattern.Released, Leg: "a", Agent: agent, Verdict: policy.Allow}),
			e(30, pattern.Event{What: pattern.Ended, By: "position"}))
	}
	return append(out,
		e(30, pattern.Event{What: pattern.Released, Leg: "a", Agent: agent, Verdict: policy.Intercept}),
		e(40, pattern.Event{What: pattern.Answered, Leg: "b"}), // by somebody who is not known
		e(60, pattern.Event{What: pattern.Marked, Field: policy.Incident, By: "cad"}),
		e(90, pattern.Event{What: pattern.Ended, By: "caller"}))
}

// learnt is a Bank that has seen three days of eight honest takers.
func learnt(t testing.TB) *pattern.Bank {
	t.Helper()
	b := pattern.New(small())
	n := 0
	for day := range 3 {
		for i := range 30 {
			for a := range 5 {
				n++
				at := noon().AddDate(0, 0, day).Add(time.Duration(i) * 5 * time.Minute)
				for _, e := range call(fmt.Sprint("old-", n), fmt.Sprint("agent-", a), at, false) {
					if found := b.Observe(e); found != nil {
						t.Fatal(found)
					}
				}
			}
		}
	}
	return b
}

func feed(b *pattern.Bank, events []pattern.Event) (all []policy.Finding) {
	for _, e := range events {
		all = append(all, b.Observe(e)...)
	}
	return all
}

// TestFinding: a taker who leaves callers in need is found within few of them,
// once, and everybody else is left alone.
func TestFinding(t *testing.T) {
	b := learnt(t)
	day := noon().AddDate(0, 0, 4)
	var found []policy.Finding
	for i := range 60 {
		at := day.Add(time.Duration(i) * 5 * time.Minute)
		for a := range 5 {
			found = append(found, feed(b, call(fmt.Sprintf("new-%d-%d", a, i), fmt.Sprint("agent-", a), at, a == 3 && i%6 == 0))...)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d findings: %+v", len(found), found)
	}
	f := found[0]
	e, ok := f.Data.(pattern.Evidence)
	if f.Agent != "agent-3" || f.Cause != pattern.Cause || !ok || e.Signal != "needed" || e.Hits > 5 || len(e.Calls) != e.Hits {
		t.Errorf("%+v", f)
	}
	if want := "pattern-needed-agent-3-" + e.Calls[len(e.Calls)-1]; f.ID != want || f.Call != e.Calls[len(e.Calls)-1] {
		t.Errorf("id %s, call %s", f.ID, f.Call)
	}
	for _, a := range b.State().Agents {
		for _, s := range a.Signals {
			if (a.Agent == "agent-3" && (s.Signal == "needed" || s.Signal == "intercepted")) != (s.Hits > 0) {
				t.Errorf("%s %+v", a.Agent, s)
			}
		}
	}
}

// TestWarmUp: nobody is judged before the centre is known, and it says so.
func TestWarmUp(t *testing.T) {
	b := pattern.New(small())
	var bad []pattern.Event
	for i := range 40 {
		bad = append(bad, call(fmt.Sprint("c", i), "eve", noon().Add(time.Duration(i)*time.Minute), true)...)
	}
	if found := feed(b, bad); found != nil {
		t.Error(found)
	}
	for _, s := range b.State().Signals {
		if s.State != pattern.Learning || s.Why == "" {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range learnt(t).State().Signals {
		if want := s.Signal != "transfers"; (s.State == pattern.Judging) != want {
			t.Errorf("%+v", s)
		}
	}
}

// TestBadHour: what befalls everybody in the same hours is nobody's pattern.
func TestBadHour(t *testing.T) {
	b := learnt(t)
	rng := rand.New(rand.NewPCG(1, 1))
	day := noon().AddDate(0, 0, 4)
	for i := range 60 {
		for a := range 5 {
			at := day.Add(time.Duration(i)*time.Minute + time.Duration(a)*time.Second)
			found := feed(b, call(fmt.Sprintf("new-%d-%d", a, i), fmt.Sprint("agent-", a), at, rng.IntN(5) == 0))
			if found != nil && i > 10 { // the very first cannot know of the others
				t.Fatalf("after %d calls each: %+v", i, found)
			}
		}
	}
}

// TestOrderBetweenAgents: within a day it does not matter in which order the
// calls of different takers come to be known.
func TestOrderBetweenAgents(t *testing.T) {
	for seed := range uint64(5) { // each learns twice from four days, which takes its time
		rng := rand.New(rand.NewPCG(seed, 0))
		day := noon().AddDate(0, 0, 4)
		var lines [4][][]pattern.Event // of calls
		for a := range lines {
			for i := range rng.IntN(13) {
				id := fmt.Sprintf("new-%d-%d", a, i)
				at := day.Add(time.Duration(i)*15*time.Minute + time.Duration(a)*time.Minute)
				lines[a] = append(lines[a], call(id, fmt.Sprint("agent-", a), at, rng.IntN(4) == 0))
			}
		}
		one, other := learnt(t), learnt(t)
		left := 0
		for _, line := range lines {
			left += len(line)
			for _, events := range line {
				feed(one, events)
			}
		}
		for rest := lines; left > 0; {
			if a := rng.IntN(len(rest)); len(rest[a]) > 0 {
				feed(other, rest[a][0])
				rest[a] = rest[a][1:]
				left--
			}
		}
		next := day.AddDate(0, 0, 1) // what the day has taught is the same, too
		one.Tick(next)
		other.Tick(next)
		if diff := cmp.Diff(charts(one), charts(other)); diff != "" {
			t.Fatal(diff)
		}
	}
}

// charts is the state without what depends on whether peers were seen to fare
// the same at the moment of a finding.
func charts(b *pattern.Bank) pattern.State {
	s := b.State()
	for i := range s.Agents {
		for k := range s.Agents[i].Signals {
			c := &s.Agents[i].Signals[k]
			*c = pattern.ChartState{Signal: c.Signal, N: c.N, Hits: c.Hits, Rate: c.Rate}
		}
	}
	for i := range s.Signals {
		s.Signals[i] = pattern.SignalState{Signal: s.Signals[i].Signal, Seen: s.Signals[i].Seen}
	}
	return s
}

// TestExcludedMoveNothing: whatever calls of other kinds, or of takers who are
// not known, show, no chart moves.
func TestExcludedMoveNothing(t *testing.T) {
	b := learnt(t)
	before := b.State()
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]policy.CallKind{policy.Admin, policy.Test, "callback", policy.Emergency}).Draw(t, "kind")
		agent := "agent-1"
		if kind == policy.Emergency {
			agent = ""
		}
		id := fmt.Sprint(rapid.Uint32().Draw(t, "call"))
		for _, e := range call(id, agent, noon().AddDate(0, 0, 2).Add(7*time.Hour), rapid.Bool().Draw(t, "bad")) {
			if e.What == pattern.Offered {
				e.Kind = kind
			}
			b.Observe(e)
		}
		if diff := cmp.Diff(before, b.State()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestReplay: following the same records again, or some of them twice, comes
// to the same.
func TestReplay(t *testing.T) {
	records := story(t, taken+kept+"50 intake.marked c1 {\"field\": \"incident\", \"by\": \"cad\"}\n60 call.ended c1 {\"by\": \"caller\"}"+again+letGo)
	one, twice := pattern.New(small()), pattern.New(small())
	for i, r := range records {
		one.Apply(r)
		twice.Apply(r)
		for _, old := range records[:i+1] {
			if found := twice.Apply(old); found != nil {
				t.Error(found)
			}
		}
	}
	if diff := cmp.Diff(one.State(), twice.State()); diff != "" {
		t.Error(diff)
	}
}

// TestTick: what did not happen is counted when it is due, once, and not before.
func TestTick(t *testing.T) {
	b := pattern.New(small())
	for _, r := range story(t, taken+letGo) {
		b.Apply(r)
	}
	if want := noon().Add(15*time.Second + 10*time.Minute); !b.Due().Equal(want) {
		t.Fatalf("due at %v", b.Due())
	}
	b.Tick(b.Due().Add(-time.Second))
	if got := counts(b)["eve redial"]; got != "" {
		t.Errorf("counted already: %s", got)
	}
	b.Tick(b.Due())
	if got := counts(b)["eve redial"]; got != "0/1" || !b.Due().IsZero() {
		t.Errorf("%s, due %v", got, b.Due())
	}
}

// TestKnobTurned: a running bank takes the knob over.
func TestKnobTurned(t *testing.T) {
	b := learnt(t)
	before := b.State().Signals[0]
	b.SetFalseAlarms(100)
	after := b.State()
	if after.FalseAlarms != 100 || after.Signals[0].Within >= before.Within || after.Signals[0].State != pattern.Judging {
		t.Errorf("%+v, was %+v", after.Signals[0], before)
	}
}
