// Package pattern finds call takers who leave callers again and again, and
// spares those who do not. It follows the journal, counts for each taker and
// signal what their calls show, learns what is usual among their peers, and
// raises a finding when somebody's calls can hardly be what is usual.
// docs/patterns.md says how it judges and what it cannot see.
//
// It is pure: records in, findings out, no clock and no input or output. The
// same records always give the same state.
package pattern

import (
	"fmt"
	"math"
	"sync"
	"time"

	"holdline/policy"
)

// Cause is the cause of every finding of this package.
const Cause = "pattern"

// Options say how a Bank judges. A zero value means the default.
type Options struct {
	// FalseAlarms is the one knob: how many findings about honest takers a
	// centre bears in a month, all signals together. Every threshold follows
	// from it. Default 1.
	FalseAlarms   float64
	Zone          *time.Location // of shifts; default UTC
	Short         time.Duration  // a release before this is a hurried one; default 20 s
	RedialWithin  time.Duration  // a call of the same caller within this is a redial; default 10 min
	Talked        time.Duration  // from this on something should come of a call; default 30 s
	EnteredWithin time.Duration  // how long after its end it may; default 10 min
	WarmUpDays    int            // days of learning before anybody is judged; default 3
	WarmUpTrials  int            // trials of a signal before it judges anybody; default 1,000
	WarmUpTakers  int            // takers they must be of; default 3
	// Proves tells whether what a source marks is more than the taker's own
	// word. nil: every source is believed.
	Proves func(source string) bool
}

func (o Options) complete() Options {
	set := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	number := func(v *int, n int) {
		if *v == 0 {
			*v = n
		}
	}
	if o.FalseAlarms <= 0 {
		o.FalseAlarms = 1
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	set(&o.Short, 20*time.Second)
	set(&o.RedialWithin, 10*time.Minute)
	set(&o.Talked, 30*time.Second)
	set(&o.EnteredWithin, 10*time.Minute)
	number(&o.WarmUpDays, 3)
	number(&o.WarmUpTrials, 1000)
	number(&o.WarmUpTakers, 3)
	return o
}

// Bank is the charts of every taker. Its methods may be called from any
// goroutine.
type Bank struct {
	mu      sync.Mutex
	o       Options
	calls   map[string]*call
	left    map[string][]*stint // by number: callers who may dial again
	pending waits
	order   uint64
	inSurge bool

	agents map[string]*agent
	sites  [signals]site
	today  int64 // days since 1970, UTC; 0 before the first record
	days   int   // that are over
	weight float64
	last   uint64 // seq of the newest record
	found  []policy.Finding
}

// New returns a Bank that knows nothing yet.
func New(o Options) *Bank {
	b := &Bank{o: o.complete(), calls: map[string]*call{}, left: map[string][]*stint{}, agents: map[string]*agent{}}
	for signal, known := range facts() {
		s := &b.sites[signal]
		s.hours = map[int64]tally{}
		s.mean, s.spread = known.prior, known.spread
		s.allowed = b.o.FalseAlarms * known.share
		for k := range s.shift {
			s.shift[k] = 1
		}
	}
	return b
}

// SetFalseAlarms turns the knob: charts are made anew, and what they hold stays.
func (b *Bank) SetFalseAlarms(perMonth float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if perMonth <= 0 || perMonth == b.o.FalseAlarms {
		return
	}
	b.o.FalseAlarms = perMonth
	for signal, known := range facts() {
		s := &b.sites[signal]
		s.allowed = perMonth * known.share
		s.perMonth = 0 // so that it counts as changed
	}
	b.learn()
}

// Apply takes the next record of the journal.
func (b *Bank) Apply(r policy.Record) []policy.Finding {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Seq != 0 && r.Seq <= b.last {
		return nil
	}
	b.last = max(b.last, r.Seq)
	b.proceed(r.Time)
	if e, ok := b.read(r); ok {
		b.observe(e)
	}
	return b.found
}

// Due is when the next thing that did not happen will be counted.
func (b *Bank) Due() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pending) == 0 {
		return time.Time{}
	}
	return b.pending[0].due
}

// Tick counts what has not come to light until now.
func (b *Bank) Tick(now time.Time) []policy.Finding {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proceed(now)
	return b.found
}

func dayOf(t time.Time) int64 { return int64(math.Floor(float64(t.Unix()) / 86400)) }

// newDay closes the days before the one of at, and learns from them.
func (b *Bank) newDay(at time.Time) {
	day := dayOf(at)
	if b.today == 0 {
		b.today = day
	}
	if day <= b.today {
		return
	}
	gone := day - b.today
	b.today = day
	b.days += int(gone)
	fade := math.Pow(0.5, 1.0/memory)
	faded := math.Pow(fade, float64(gone))
	b.weight = (b.weight + 1) * faded
	for _, a := range b.agents {
		for i := range a.charts {
			c := &a.charts[i]
			for k := range c.past {
				c.past[k].plus(c.today[k])
				c.past[k] = c.past[k].times(faded)
				c.today[k] = tally{}
			}
		}
	}
	b.learn()
	b.sweep(day)
}

// sweep forgets hours that nobody is compared with any more, and calls whose
// end was never recorded.
func (b *Bank) sweep(day int64) {
	for i := range b.sites {
		for h := range b.sites[i].hours {
			if day-h/24 > window {
				delete(b.sites[i].hours, h)
			}
		}
	}
	for _, c := range b.calls {
		if !c.over && day-dayOf(c.seen) > 1 {
			c.over = true
			b.forget(c)
		}
	}
}

// warm tells whether enough of a signal was seen to judge anybody by it.
func (b *Bank) warm(s *site) bool {
	return b.days >= b.o.WarmUpDays && s.seen >= b.o.WarmUpTrials && s.takers >= b.o.WarmUpTakers
}

// Evidence is what a finding carries beside its words.
type Evidence struct {
	Signal    string    `json:"signal"`
	Hits      int       `json:"hits"`      // calls that showed it
	Of        int       `json:"of"`        // calls counted, from the first of them on
	Peers     float64   `json:"peersRate"` // among other takers at these hours
	Since     time.Time `json:"since"`
	Value     float64   `json:"value"`
	Threshold float64   `json:"threshold"`
	Calls     []string  `json:"calls"` // the latest of them
}

// words say it for a supervisor.
func words(agent string, signal Signal, hits, n int, peers float64) string {
	known := facts()[signal]
	return fmt.Sprintf("%d of the last %d %s of %s %s; peers at these hours: %s",
		hits, n, known.of, agent, known.text, oneIn(peers))
}

// oneIn says a rate so that it can be pictured.
func oneIn(rate float64) string {
	if rate >= 0.1 {
		return fmt.Sprintf("%.0f in 100", rate*100)
	}
	n := 1 / max(rate, 1e-6)
	for _, step := range []float64{5, 10, 50, 100, 500, 1000} {
		if n < step*20 || step == 1000 {
			return fmt.Sprintf("1 in %.0f", max(math.Round(n/step)*step, step))
		}
	}
	return ""
}
