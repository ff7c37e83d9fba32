package pattern

import (
	"time"

	"holdline/policy"
)

// chart is what is counted of one signal for one taker.
type chart struct {
	past  [shifts]tally // of days that are over, the older the less
	today [shifts]tally
	value float64
	since time.Time // of the first hit since the value was zero
	n     int       // trials since then
	hits  int
	calls []string // the calls of the latest of these hits
	run   []hour   // the hours since then
	now   hour     // all of the taker's trials in the newest hour
	last  time.Time
	alarm time.Time // of the latest finding
	like  bool      // over the threshold, but so is everybody in these hours
}

// hour is all that a taker did in an hour.
type hour struct {
	at  int64 // hours since 1970
	all tally
}

// agent is what is known of a taker.
type agent struct {
	charts   [signals]chart
	alarm    time.Time // of the latest finding
	gravest  Signal    // of that
	position string    // where they were last
}

// alarmed tells whether the taker has a finding that is not forgotten yet.
func (c *chart) alarmed(today int64) bool {
	return !c.alarm.IsZero() && today-dayOf(c.alarm) <= memory
}

// trial is a call, or an offer, that shows a signal or does not.
type trial struct {
	signal   Signal
	agent    string
	position string
	call     string
	at       time.Time
	hit      bool
}

// contributing is how many calls a finding names.
const contributing = 20

// trial counts one.
func (b *Bank) trial(t trial) {
	a := b.agents[t.agent]
	if a == nil {
		a = &agent{}
		b.agents[t.agent] = a
	}
	a.position = t.position
	s, c := &b.sites[t.signal], &a.charts[t.signal]
	k := b.shift(t.at)
	s.seen++
	c.today[k].add(t.hit)
	c.last = t.at
	h := t.at.Unix() / 3600
	sum := s.hours[h]
	sum.add(t.hit)
	s.hours[h] = sum
	if c.now.at != h {
		c.now = hour{at: h}
	}
	c.now.all.add(t.hit)
	if s.ready && c.step(s, k, t, h) {
		b.find(a, c, t, k)
	}
}

// step moves the chart by one trial and tells whether it is over the threshold.
func (c *chart) step(s *site, k int, t trial, h int64) bool {
	up, down := s.steps(s.shift[k])
	if !t.hit {
		if c.value == 0 {
			return false
		}
		if c.value -= down; c.value <= 0 {
			c.reset()
			return false
		}
	} else {
		if c.value == 0 {
			c.since = t.at
		}
		c.value = min(c.value+up, 2*s.threshold)
		c.hits++
		if c.calls = append(c.calls, t.call); len(c.calls) > contributing {
			c.calls = c.calls[1:]
		}
	}
	c.n++
	if last := len(c.run) - 1; last < 0 || c.run[last].at != h {
		c.run = append(c.run, hour{at: h})
	}
	c.run[len(c.run)-1].all = c.now.all
	return t.hit && c.value >= s.threshold
}

func (c *chart) reset() {
	c.value, c.since, c.n, c.hits, c.calls, c.like = 0, time.Time{}, 0, 0, nil, false
	c.run = c.run[:0]
}

// quiet is how long after a finding no lesser one is raised about the same
// taker: what they did shows in several signals, and is one thing to look into.
const quiet = 24 * time.Hour

// find raises a finding, unless everybody fares the same in these hours.
func (b *Bank) find(a *agent, c *chart, t trial, k int) {
	s := &b.sites[t.signal]
	times := s.shift[k]
	if bad := s.peers(c.run, times); bad > 1 && s.evidence(times*bad, c.hits, c.n) < s.threshold {
		c.like = true
		return
	}
	c.alarm = t.at
	f := finding(s, c, t, times)
	c.reset()
	if t.at.Sub(a.alarm) < quiet && a.gravest <= t.signal {
		return
	}
	a.alarm, a.gravest = t.at, t.signal
	b.found = append(b.found, f)
}

// finding is what a supervisor is told.
func finding(s *site, c *chart, t trial, times float64) policy.Finding {
	return policy.Finding{
		ID:    "pattern-" + t.signal.String() + "-" + t.agent + "-" + t.call,
		Cause: Cause, Call: t.call, Position: t.position, Agent: t.agent,
		Why: words(t.agent, t.signal, c.hits, c.n, s.mean*times),
		Data: Evidence{
			Signal: t.signal.String(), Hits: c.hits, Of: c.n, Peers: s.mean * times, Since: c.since,
			Value: c.value, Threshold: s.threshold, Calls: append([]string(nil), c.calls...),
		},
	}
}
