package simulate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdline/policy"
	"holdline/policy/pattern"
)

func centreOf(takers int) Options {
	o := Default()
	o.Policy, o.Takers, o.Learn, o.Days, o.Runs = policy.Builtin(), takers, 4, 10, 6
	return o
}

// TestAims: the first caller of either pattern is kept, unless the wrongdoer
// knows the code that passes for an ending, and most are found within a shift.
func TestAims(t *testing.T) {
	o := centreOf(36)
	for _, p := range []Pattern{NewOrleans, Coded} {
		got := Wrong(o, p)
		if p == Coded {
			if got.Kept.Never != o.Runs {
				t.Errorf("%s: the built-in policy believes a disposition, and yet %+v", p, got.Kept)
			}
		} else if got.Kept != (Quantiles{1, 1, 0}) {
			t.Errorf("%s: not the first caller was kept: %+v", p, got.Kept)
		}
		if got.Calls.Median <= 0 || got.Calls.Median > 100 || got.Calls.Never > 1 { // a small centre, and one in thirteen does wrong
			t.Errorf("%s: %+v", p, got)
		}
	}
}

// TestHonest: the same seed is the same centre, and the honest are left alone.
func TestHonest(t *testing.T) {
	o := centreOf(12)
	one := Honest(o)
	if diff := cmp.Diff(one, Honest(o)); diff != "" {
		t.Error(diff)
	}
	if one.PerMonth > 3.1 || one.Calls < o.Days*o.Takers*o.Calls*5/8 { // one finding in ten days
		t.Errorf("%+v", one)
	}
	for i, c := range one.Counters {
		if c.Mean <= 0 || c.Mean > 0.6 || c.Name != Counters()[i] {
			t.Errorf("%+v", c)
		}
	}
	o.Seed = 2
	if cmp.Equal(one, Honest(o)) {
		t.Error("another seed is the same centre")
	}
}

// TestThroughTheJournal: the events that a simulation gives the detectors are
// what the records of the same calls would say.
func TestThroughTheJournal(t *testing.T) {
	o := centreOf(9)
	c := newCentre(o, 1)
	c.takers[0].wrong = NewOrleans
	records := pattern.New(pattern.Options{FalseAlarms: o.FalseAlarms})
	seq, found := uint64(0), 0
	for day := range 6 {
		c.dial(day)
		for end := start().AddDate(0, 0, day+1); c.queue.due(end); {
			h := c.queue.pop()
			if h.caller != nil {
				c.begin(h.at, h.caller)
				continue
			}
			want := c.bank.Observe(h.event)
			var got []policy.Finding
			for _, r := range recordsOf(h.event) {
				seq++
				r.Seq = seq
				got = append(got, records.Apply(r)...)
			}
			found += len(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v: %s", h.event, diff)
			}
		}
	}
	if diff := cmp.Diff(c.bank.State(), records.State()); diff != "" {
		t.Error(diff)
	}
	if found == 0 {
		t.Error("nobody was found")
	}
}

// recordsOf is what package sip writes to the journal when this happens.
func recordsOf(e pattern.Event) []policy.Record {
	d := map[string]any{"leg": e.Leg, "agent": e.Agent, "position": e.Position}
	r := func(kind string, more map[string]any) policy.Record {
		for k, v := range d {
			if _, ok := more[k]; !ok {
				more[k] = v
			}
		}
		data, _ := json.Marshal(more)
		return policy.Record{Time: e.Time, Call: e.Call, Kind: kind, Data: data}
	}
	switch e.What {
	case pattern.Offered:
		return []policy.Record{r("call.offered", map[string]any{"kind": e.Kind, "from": fmt.Sprintf("<sip:+1%s@example.net>;tag=x", e.Caller)})}
	case pattern.Answered:
		return []policy.Record{r("call.answered", map[string]any{})}
	case pattern.Failed:
		return []policy.Record{r("call.failed", map[string]any{"code": 486})}
	case pattern.Marked:
		return []policy.Record{r("intake.marked", map[string]any{"field": e.Field, "by": e.By})}
	case pattern.Silent:
		return []policy.Record{r("alert.raised", map[string]any{"cause": "dead-air"})}
	case pattern.Ended:
		return []policy.Record{r("call.ended", map[string]any{"by": e.By})}
	case pattern.Released:
		how, kind := "bye", "release.allowed"
		if e.Technical {
			how = "no answer to a request"
		}
		if e.Verdict == policy.Intercept {
			kind = "release.intercepted"
		}
		facts := policy.Facts{Kind: policy.Emergency, Transfer: e.Transfer}
		return []policy.Record{
			r("release.requested", map[string]any{"how": how, "facts": facts}),
			r(kind, map[string]any{"decision": e.Verdict}),
		}
	default:
		return nil
	}
}

func TestCheck(t *testing.T) {
	if err := Default().Check(); err != nil {
		t.Error(err)
	}
	bad := Options{Takers: 1, Calls: 0, Learn: 1, Days: 0, Runs: 0, Pocket: 0.9, Spread: -1}
	err := bad.Check()
	if err == nil {
		t.Fatal("it is good")
	}
	for _, flag := range []string{"--takers is 1", "--calls is 0", "--days", "--runs", "--pocket-dials is 0.9", "--spread", "--false-alarms", "--bad-rate is 0"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("%q is not in %v", flag, err)
		}
	}
}
