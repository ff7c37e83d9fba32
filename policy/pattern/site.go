package pattern

import (
	"maps"
	"math"
	"slices"
	"time"
)

// tally counts trials and hits. What is long ago counts less, so that both may
// be fractions.
type tally struct{ n, hits float64 }

func (t *tally) add(hit bool) {
	t.n++
	if hit {
		t.hits++
	}
}

func (t *tally) plus(u tally) { t.n += u.n; t.hits += u.hits }

func (t tally) times(f float64) tally { return tally{t.n * f, t.hits * f} }

// A week is cut into shifts, so that night is compared with night and Sunday
// with Sunday: six of four hours for working days and six for the weekend.
const shifts = 12

func (b *Bank) shift(at time.Time) int {
	at = at.In(b.o.Zone)
	s := at.Hour() / 4
	if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
		s += shifts / 2
	}
	return s
}

// site is what is known of a signal at this centre.
type site struct {
	design
	seen    int             // trials since the beginning
	takers  int             // who had any
	shift   [shifts]float64 // how the rate of a shift compares with that of the week
	hours   map[int64]tally // of everybody, by hour since 1970, as far back as memory
	allowed float64         // false alarms a month
}

// How the past is remembered.
const (
	memory    = 30 // days after which a trial counts half in what is usual
	window    = 31 // days for which hours are kept
	priorSize = 500.0
)

// learn makes the charts anew from all days that are over. Within a day they
// stay, so that it does not matter in which order the calls of different takers
// come.
func (b *Bank) learn() {
	names := slices.Sorted(maps.Keys(b.agents))
	for signal := range b.sites {
		b.sites[signal].learn(Signal(signal), b, names)
	}
}

func (s *site) learn(signal Signal, b *Bank, names []string) {
	known := facts()[signal]
	takers := make([]record, 0, len(names))
	var all tally
	var byShift [shifts]tally
	for _, name := range names {
		chart := &b.agents[name].charts[signal]
		var sum tally
		for k, t := range chart.past {
			sum.plus(t)
			byShift[k].plus(t)
		}
		if sum.n < 1 {
			continue
		}
		all.plus(sum)
		takers = append(takers, record{sum, chart.alarmed(b.today)})
	}
	s.takers = len(takers)
	mean, spread := usual(without(takers, known), known)
	for k, t := range byShift {
		rate := overall(all, mean)
		s.shift[k] = min(max((t.hits+2)/(t.n+2/rate)/rate, 0.25), 4)
	}
	perMonth := all.n / max(b.weight, 1e-9) * 365.25 / 12
	if !b.warm(s) || all.n == 0 {
		s.design = design{mean: mean, spread: spread, perMonth: perMonth}
		return
	}
	if s.ready && near(mean, s.mean) && near(spread, s.spread) && near(perMonth, s.perMonth) {
		return
	}
	s.design = newDesign(mean, spread, perMonth, s.allowed)
}

func overall(all tally, mean float64) float64 {
	return (all.hits + priorSize*mean) / (all.n + priorSize)
}

func near(a, b float64) bool { return math.Abs(a-b) <= 0.05*b }

// record is what a taker's calls showed, and whether there was a finding.
type record struct {
	tally
	alarmed bool
}

// few is the number of takers below which the worst of them is left out of what
// is usual altogether.
const few = 10

// without returns what the takers teach of what is usual. A wrongdoer must not
// teach the site that their habit is: nobody has more hits than three standard
// deviations beyond the mean would be, and those with a finding who have more
// do not teach at all. In a small centre the worst is left out.
func without(takers []record, known about) []tally {
	out := make([]tally, len(takers))
	for i, t := range takers {
		out[i] = t.tally
	}
	if len(takers) < 4 {
		return out
	}
	for range 5 { // the mean and the bound settle
		var all tally
		for _, t := range out {
			all.plus(t)
		}
		rate := (all.hits + 1) / (all.n + 1/known.prior)
		kept := out[:0:0]
		worst, at := math.Inf(-1), 0
		for i, t := range takers {
			deviation := math.Sqrt(t.n*rate + (t.n*rate*known.spread)*(t.n*rate*known.spread))
			excess := (t.hits - t.n*rate) / deviation
			if excess > worst {
				worst, at = excess, i
			}
			if excess > 3 {
				t.hits = t.n*rate + 3*deviation
				if t.alarmed {
					t.tally = tally{}
				}
			}
			kept = append(kept, t.tally)
		}
		if len(takers) < few {
			kept[at] = tally{}
		}
		out = kept
	}
	return slices.DeleteFunc(out, func(t tally) bool { return t.n == 0 })
}

// usual is the mean of honest takers' rates and how they spread around it, by
// the method of moments; what was assumed of the signal has the weight of
// priorSize calls of ten takers.
func usual(takers []tally, known about) (mean, spread float64) {
	all := tally{}
	squares := 0.0
	for _, t := range takers {
		all.plus(t)
		squares += t.n * t.n
	}
	mean = (all.hits + known.prior*priorSize) / (all.n + priorSize)
	spread = known.spread
	if n := float64(len(takers)); n > 1 && all.hits > 0 {
		rate, between := all.hits/all.n, 0.0
		for _, t := range takers {
			d := t.hits/t.n - rate
			between += t.n * d * d
		}
		variance := (between - (n-1)*rate*(1-rate)) / (all.n - squares/all.n)
		seen := max(variance, 0) / (rate * rate)
		spread = math.Sqrt((n*seen + 10*known.spread*known.spread) / (n + 10))
	}
	return mean, min(max(spread, known.least), 1.2)
}

// someCalls is how many calls' worth of what is usual evens out a few peers.
const someCalls = 50

// peers says how the rate of everybody else, in the hours of own, compares with
// what is usual: above one when these hours were bad for all. One bad call among
// all the others makes no bad hour.
func (s *site) peers(own []hour, times float64) float64 {
	usual := s.mean * times
	var others tally
	for _, h := range own {
		all := s.hours[h.at]
		others.n += all.n - h.all.n
		others.hits += all.hits - h.all.hits
	}
	rate := (max(others.hits-1, 0) + someCalls*usual) / (others.n + someCalls)
	return rate / usual
}
