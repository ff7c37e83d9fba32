package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"holdline/policy"
	"holdline/policy/pattern"
)

// start is the first day of every simulation, a Monday.
func start() time.Time { return time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC) }

// taker is somebody with habits.
type taker struct {
	name     string
	shift    int // 0, 1 or 2: from midnight, eight, sixteen
	off      int // the first of two days off, 0 to 6
	forget   float64
	early    float64
	misjudge float64
	decline  float64
	dead     float64
	unheard  float64 // talks to a caller and enters nothing
	botch    float64 // leaves on a transfer that failed
	wrong    Pattern // "" for the honest

	calls, bad int      // so far
	kept       int      // bad calls up to the first that policy intercepted
	away       bool     // went home for good
	seen       [3]tally // what simpler counters see
}

// tally is hits of a simpler counter among n calls.
type tally struct{ n, hits int }

// centre is a run.
type centre struct {
	o      Options
	rng    *rand.Rand
	bank   *pattern.Bank // nil: only what simpler counters see
	takers []*taker
	queue  line
	number int // of the latest call
	found  func(policy.Finding)
	did    func(*taker, seen) // what simpler counters see of a call; may be nil
	days   [8]float64         // how the share of pocket dials swings by hours of the day
}

func newCentre(o Options, stream uint64) *centre {
	c := &centre{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, stream)),
		bank:  pattern.New(pattern.Options{FalseAlarms: o.FalseAlarms}),
		found: func(policy.Finding) {},
		days:  [8]float64{1.2, 1.3, 0.8, 0.7, 0.9, 1, 1.05, 1.05},
	}
	for i := range o.Takers {
		c.takers = append(c.takers, c.newTaker("taker-"+strconv.Itoa(i+1), i))
	}
	return c
}

// newTaker draws somebody's habits. Every rate has the mean of the options and
// differs by a gamma distribution.
func (c *centre) newTaker(name string, i int) *taker {
	return &taker{
		name: name, shift: i % 3, off: c.rng.IntN(7),
		forget: c.habit(c.o.Forget), early: c.habit(c.o.Early), misjudge: c.habit(c.o.Misjudge),
		decline: c.habit(c.o.Decline), dead: c.habit(0.002), unheard: c.habit(0.005), botch: c.habit(0.02),
	}
}

// habit is a rate around mean.
func (c *centre) habit(mean float64) float64 {
	if c.o.Spread == 0 {
		return mean
	}
	shape := 1 / (c.o.Spread * c.o.Spread)
	return min(mean*c.gamma(shape)/shape, 0.5)
}

// gamma draws from the gamma distribution of a shape and scale 1 (Marsaglia and
// Tsang 2000).
func (c *centre) gamma(shape float64) float64 {
	boost := 1.0
	if shape < 1 {
		boost = math.Pow(1-c.rng.Float64(), 1/shape)
		shape++
	}
	d := shape - 1.0/3
	for {
		x := c.rng.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-c.rng.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return boost * d * v
		}
	}
}

// day runs one day: everybody on duty takes their calls.
func (c *centre) day(n int) {
	c.dial(n)
	for end := start().AddDate(0, 0, n+1); c.queue.due(end); {
		c.happen(c.queue.pop())
	}
}

// dial puts the callers of a day into the line.
func (c *centre) dial(n int) {
	midnight := start().AddDate(0, 0, n)
	for _, t := range c.takers {
		if !t.works(n) {
			continue
		}
		begin := midnight.Add(time.Duration(t.shift) * 8 * time.Hour)
		for range c.o.Calls {
			at := begin.Add(time.Duration(c.rng.Int64N(int64(8 * time.Hour))))
			c.push(happening{at: at, caller: &caller{first: t, truth: unknown}})
		}
	}
}

// works tells whether a taker comes in on a day. Wrongdoers come every day.
func (t *taker) works(day int) bool { return !t.away && (t.wrong != "" || (day+7-t.off)%7 >= 2) }

// happen passes an event to the detectors, or begins a call.
func (c *centre) happen(h happening) {
	if h.caller != nil {
		c.begin(h.at, h.caller)
		return
	}
	for _, f := range c.bank.Observe(h.event) {
		c.found(f)
	}
}

// colleague is somebody else who is on duty at a time.
func (c *centre) colleague(of *taker, at time.Time) *taker {
	shift, day := at.Hour()/8, int(at.Sub(start()).Hours()/24)
	for range 200 {
		t := c.takers[c.rng.IntN(len(c.takers))]
		if t != of && t.shift == shift && t.works(day) {
			return t
		}
	}
	i := slices.IndexFunc(c.takers, func(t *taker) bool { return t != of && !t.away })
	return c.takers[i]
}

// happening is an event of a call, or a caller who dials.
type happening struct {
	at     time.Time
	event  pattern.Event
	caller *caller
}

// push puts h into the line. Nothing happens in a centre without detectors.
func (c *centre) push(h happening) {
	if c.bank != nil {
		c.queue.push(h)
	}
}

// line is what is to happen, the earliest first and of those at the same time
// the one that was put in first. The heap holds no pointers, which keeps it fast.
type line struct {
	heap  []place
	slots []happening
	free  []int32
	count uint64
}

type place struct {
	at    int64 // nanoseconds since 1970
	order uint64
	slot  int32
}

func (p place) before(q place) bool { return p.at < q.at || p.at == q.at && p.order < q.order }

// due tells whether something happens before a time.
func (l *line) due(before time.Time) bool {
	return len(l.heap) > 0 && l.heap[0].at < before.UnixNano()
}

func (l *line) push(h happening) {
	slot := int32(len(l.slots)) //nolint:gosec // far fewer happenings wait than fit
	if n := len(l.free); n > 0 {
		slot, l.free = l.free[n-1], l.free[:n-1]
		l.slots[slot] = h
	} else {
		l.slots = append(l.slots, h)
	}
	l.count++
	l.heap = append(l.heap, place{h.at.UnixNano(), l.count, slot})
	q := l.heap
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q[i].before(q[up]) {
			return
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

func (l *line) pop() happening {
	q := l.heap
	top, last := q[0], len(q)-1
	q[0] = q[last]
	q = q[:last]
	l.heap = q
	for i := 0; ; {
		low := i
		for k := 2*i + 1; k <= 2*i+2 && k < last; k++ {
			if q[k].before(q[low]) {
				low = k
			}
		}
		if low == i {
			break
		}
		q[i], q[low] = q[low], q[i]
		i = low
	}
	h := l.slots[top.slot]
	l.slots[top.slot] = happening{}
	l.free = append(l.free, top.slot)
	return h
}

// The chance of something.
func (c *centre) chance(p float64) bool { return p > 0 && c.rng.Float64() < p }

// between is a time from a to b, in seconds.
func (c *centre) between(a, b float64) time.Duration {
	return time.Duration((a + (b-a)*c.rng.Float64()) * float64(time.Second))
}
