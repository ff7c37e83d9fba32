package simulate

import (
	"math"
	"slices"
	"strconv"
	"time"

	"holdline/policy"
	"holdline/policy/pattern"
)

// Counters are simpler ways to look for the same people: one count, one chart,
// the whole allowance of false alarms for it, and what is usual known to the
// last digit instead of learnt. They see a centre without Holdline.
func Counters() []string {
	return []string{
		"calls under 20 s",
		"released by the taker before location and nature",
		"released under 20 s, and the caller dials again",
	}
}

// hits is what each counter counts in a call.
func (s seen) hits() [3]bool {
	return [3]bool{s.short, s.released, s.short && s.released && s.redialled}
}

// Quiet is what the honest centre showed.
type Quiet struct {
	Days     int            `json:"days"`
	Calls    int            `json:"calls"`
	PerMonth float64        `json:"falseAlarmsPerMonth"` // findings, all of them about honest takers
	Signals  map[string]int `json:"bySignal"`
	Counters []CounterRates `json:"counters"`
}

// CounterRates is what one simpler counter has to live with.
type CounterRates struct {
	Name     string  `json:"name"`
	Mean     float64 `json:"mean"`   // of honest takers' rates
	Spread   float64 `json:"spread"` // standard deviation over mean
	PerMonth float64 `json:"callsPerMonth"`
}

// Honest runs the centre with nobody doing wrong.
func Honest(o Options) Quiet {
	c := newCentre(o, 1)
	q := Quiet{Days: o.Days, Signals: map[string]int{}}
	found := 0
	c.did = func(t *taker, s seen) {
		for i, hit := range s.hits() {
			t.seen[i].n++
			if hit {
				t.seen[i].hits++
			}
		}
	}
	for day := range o.Learn + o.Days {
		if day == o.Learn {
			c.found = func(f policy.Finding) { found++; q.Signals[signalOf(f)]++ }
			c.number = 0
		}
		c.day(day)
	}
	months := float64(o.Days) / (365.25 / 12)
	q.Calls, q.PerMonth = c.number, float64(found)/months
	for i, name := range Counters() {
		q.Counters = append(q.Counters, c.rates(i, name, float64(o.Learn+o.Days)))
	}
	return q
}

func signalOf(f policy.Finding) string {
	if e, ok := f.Data.(pattern.Evidence); ok {
		return e.Signal
	}
	return ""
}

// rates are the mean and the spread of what honest takers' calls show.
func (c *centre) rates(i int, name string, days float64) CounterRates {
	n, sum, squares, noise := 0.0, 0.0, 0.0, 0.0
	all := 0
	for _, t := range c.takers {
		if t.seen[i].n == 0 {
			continue
		}
		rate := float64(t.seen[i].hits) / float64(t.seen[i].n)
		n++
		sum += rate
		squares += rate * rate
		noise += rate * (1 - rate) / float64(t.seen[i].n)
		all += t.seen[i].n
	}
	mean := sum / n
	variance := max(squares/n-mean*mean-noise/n, 0)
	return CounterRates{name, mean, max(math.Sqrt(variance)/mean, 0.02), float64(all) / days * 365.25 / 12}
}

// Caught is how long wrongdoers of a pattern went on.
type Caught struct {
	Pattern   Pattern        `json:"pattern"`
	Runs      int            `json:"runs"`
	Kept      Quantiles      `json:"firstKept"` // bad calls up to the first whose caller policy kept; 0 runs: none ever
	Calls     Quantiles      `json:"calls"`     // calls taken up to the finding
	Bad       Quantiles      `json:"badCalls"`  // of them
	InShift   float64        `json:"inOneShift"`
	Signals   map[string]int `json:"bySignal"`
	Counters  []Quantiles    `json:"counters"` // calls taken up to each counter's alarm
	PerShift  int            `json:"callsPerShift"`
	MaxShifts int            `json:"maxShifts"` // after which a run is given up
}

// Quantiles are of the runs that came to an end; Never counts the others, which
// are longer than all of them.
type Quantiles struct {
	Median float64 `json:"median"` // infinite runs are -1
	P90    float64 `json:"p90"`
	Never  int     `json:"never"`
}

func quantiles(values []int, runs int) Quantiles {
	slices.Sort(values)
	at := func(q float64) float64 {
		if i := int(q * float64(runs)); i < len(values) {
			return float64(values[i])
		}
		return -1
	}
	return Quantiles{at(0.5), at(0.9), runs - len(values)}
}

// maxShifts is how many shifts a run goes on at most.
const maxShifts = 10

// MaxCounterShifts is the same for the counters.
const MaxCounterShifts = 30

// Wrong lets wrongdoers come to the centre, one for thirty takers at a time, and
// stay until they are found out.
func Wrong(o Options, p Pattern) Caught {
	c := newCentre(o, 2+uint64(slices.Index(Patterns(), p)))
	w := &wrongs{c: c, pattern: p, byName: map[string]*taker{}, signals: map[string]int{}}
	c.found = w.found
	for day := 0; day < o.Learn || w.finished < o.Runs; day++ {
		if day >= o.Learn {
			w.arrive()
		}
		c.day(day)
		w.leave(o)
	}
	out := Caught{Pattern: p, Runs: o.Runs, Signals: w.signals, PerShift: o.Calls, MaxShifts: maxShifts}
	within := 0
	for _, n := range w.calls {
		if n <= o.Calls {
			within++
		}
	}
	out.InShift = float64(within) / float64(o.Runs)
	out.Calls, out.Bad = quantiles(w.calls, o.Runs), quantiles(w.bad, o.Runs)
	out.Kept = quantiles(w.kept, o.Runs)
	return out
}

// wrongs are the wrongdoers of a run.
type wrongs struct {
	c                *centre
	pattern          Pattern
	byName           map[string]*taker // who is at work
	came, finished   int
	calls, bad, kept []int
	signals          map[string]int
}

// arrive lets wrongdoers come, until one of thirty takers is one.
func (w *wrongs) arrive() {
	for len(w.byName) < max(1, w.c.o.Takers/30) && w.came < w.c.o.Runs {
		t := w.c.newTaker("wrong-"+strconv.Itoa(w.came+1), w.came)
		t.wrong = w.pattern
		w.c.takers = append(w.c.takers, t)
		w.byName[t.name] = t
		w.came++
	}
}

func (w *wrongs) found(f policy.Finding) {
	t := w.byName[f.Agent]
	if t == nil {
		return
	}
	delete(w.byName, f.Agent)
	t.away = true
	w.finished++
	w.calls, w.bad = append(w.calls, t.calls), append(w.bad, t.bad)
	w.keep(t)
	w.signals[signalOf(f)]++
}

// keep notes when the first of their callers was kept.
func (w *wrongs) keep(t *taker) {
	if t.kept > 0 {
		w.kept = append(w.kept, t.kept)
	}
}

// leave sends those home whom nobody finds out.
func (w *wrongs) leave(o Options) {
	for name, t := range w.byName {
		if t.calls >= maxShifts*o.Calls {
			delete(w.byName, name)
			t.away = true
			w.finished++
			w.keep(t)
		}
	}
	w.c.takers = slices.DeleteFunc(w.c.takers, func(t *taker) bool { return t.away })
}

// Counted lets wrongdoers take calls until each of the simpler counters, set as
// q says that they must be, has raised its alarm, and returns after how many
// calls each did.
func Counted(o Options, p Pattern, q Quiet) []Quantiles {
	c := newCentre(o, 100+uint64(slices.Index(Patterns(), p)))
	c.bank = nil
	calls, fresh := make([][]int, len(q.Counters)), make([]pattern.Counter, len(q.Counters))
	for i, r := range q.Counters {
		fresh[i] = pattern.NewCounter(r.Mean, r.Spread, r.PerMonth, o.FalseAlarms)
	}
	for run := range o.Runs {
		t := c.newTaker("wrong", run)
		t.wrong = p
		charts, running := make([]*pattern.Counter, len(q.Counters)), len(q.Counters)
		for i, chart := range fresh {
			charts[i] = &chart
		}
		n := 0
		c.did = func(of *taker, s seen) {
			if of != t {
				return
			}
			n++
			for i, hit := range s.hits() {
				if charts[i] != nil && charts[i].Count(hit) {
					calls[i] = append(calls[i], n)
					charts[i] = nil
					running--
				}
			}
		}
		at := start().Add(time.Duration(t.shift) * 8 * time.Hour)
		for running > 0 && n < MaxCounterShifts*o.Calls {
			c.begin(at.Add(time.Duration(c.rng.Int64N(int64(8*time.Hour)))), &caller{first: t, truth: unknown})
		}
	}
	var out []Quantiles
	for _, n := range calls {
		out = append(out, quantiles(n, o.Runs))
	}
	return out
}
