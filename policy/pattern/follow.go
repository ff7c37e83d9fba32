package pattern

import (
	"slices"
	"time"

	"holdline/policy"
)

// call is a call in progress, or one of which something may still come to
// light.
type call struct {
	id      string
	from    string // number of the caller, "" when callers cannot be told apart
	stints  []*stint
	follows []*stint // of earlier calls of this caller, to whom this one is a redial
	asking  map[string]asking
	exempt  bool // nothing of it is counted: a test, an administrative call, or in surge mode
	over    bool
	waits   int // how often it is waited for what may come to light
	seen    time.Time
}

// stint is the part of a call that one taker had.
type stint struct {
	call     *call
	agent    string // "" when unknown: never counted
	position string
	leg      string
	from, to time.Time // to is zero while it lasts
	marks    set       // made while it lasted, or later by the same taker
	claims   set       // the same, and those for which there is only a taker's word
	waved    bool      // a disposition says that no help was asked for
	dead     bool      // there was silence
	how      parting   // how it ended
	kept     bool      // the caller was kept when the taker left
	redials  []*call   // of the caller, shortly after it ended
	counted  uint16    // signals for which it was counted already
	extended int       // how often it was waited for longer
}

// parting is how a stint ended.
type parting int

const (
	handedOver parting = iota // somebody else took the caller, or a failure ended it
	left                      // the taker left without anything that gets the caller help
	helped                    // the taker left after intake
	hungUp                    // the caller did
)

// patience is how often, at most, a stint waits another RedialWithin because
// the caller is still with somebody.
const patience = 6

// Observe takes the next event. Apply is the same for records.
func (b *Bank) Observe(e Event) []policy.Finding {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proceed(e.Time)
	return b.observe(e)
}

// proceed counts what has not come to light until now, and begins a new day.
func (b *Bank) proceed(now time.Time) {
	b.found = nil
	b.expire(now)
	b.newDay(now)
}

func (b *Bank) observe(e Event) []policy.Finding {
	if e.What == Surge {
		b.surge(e.Surge)
		return b.found
	}
	c := b.calls[e.Call]
	if c == nil {
		if e.What != Offered {
			return b.found
		}
		c = b.newCall(e)
	}
	c.seen = e.Time
	switch e.What {
	case Answered:
		b.answered(c, e)
	case Failed:
		b.failed(c, e)
	case Released:
		b.released(c, e)
	case Marked:
		b.marked(c, e)
	case Silent:
		if s := c.stint(e.Leg, e.Agent); s != nil {
			s.dead = true
		}
	case Astray:
		if s := c.stint(e.Leg, e.Agent); s != nil {
			b.count(s, Transfers, true, e.Time)
		}
	case Ended:
		b.ended(c, e)
	default:
	}
	return b.found
}

func (b *Bank) surge(on bool) {
	b.inSurge = on
	if !on {
		return
	}
	for _, c := range b.calls {
		c.exempt = c.exempt || !c.over
	}
}

// newCall begins to follow a call. When the caller was left, or gave up, a
// moment ago, it is a redial.
func (b *Bank) newCall(e Event) *call {
	c := &call{id: e.Call, exempt: b.inSurge || e.Kind != policy.Emergency}
	b.calls[e.Call] = c
	if c.exempt {
		return c
	}
	if c.from = e.Caller; c.from == "" {
		return c
	}
	for _, s := range b.left[c.from] {
		if s.call.exempt {
			continue
		}
		c.follows = append(c.follows, s)
		s.redials = append(s.redials, c)
		switch {
		case s.how == hungUp:
			b.count(s, GaveUp, true, e.Time)
		case s.to.Sub(s.from) < b.o.Short:
			b.count(s, Redial, true, e.Time)
		}
	}
	return c
}

// current is the stint that lasts; nil while nobody has the caller.
func (c *call) current() *stint {
	if n := len(c.stints); n > 0 && c.stints[n-1].to.IsZero() {
		return c.stints[n-1]
	}
	return nil
}

// stint finds one by its leg, or else the last one of an agent.
func (c *call) stint(leg, agent string) *stint {
	for _, v := range slices.Backward(c.stints) {
		if s := v; leg != "" && s.leg == leg || leg == "" && s.agent == agent {
			return s
		}
	}
	return nil
}

// answered begins a stint. One that lasted until now was handed over.
func (b *Bank) answered(c *call, e Event) {
	if s := c.current(); s != nil {
		s.to = e.Time
		b.passed(s, e.Time)
	}
	s := &stint{call: c, agent: e.Agent, position: e.Position, leg: e.Leg, from: e.Time}
	c.stints = append(c.stints, s)
	b.count(s, Declined, false, e.Time)
}

func (b *Bank) failed(c *call, e Event) {
	if e.Refused {
		b.count(&stint{call: c, agent: e.Agent, position: e.Position}, Declined, true, e.Time)
	}
}

// count is a trial of a signal with the taker of a stint, at most one for each
// stint. Takers who are not known are not counted, and neither is what is exempt.
func (b *Bank) count(s *stint, signal Signal, hit bool, at time.Time) {
	if s.counted&(1<<signal) != 0 || s.agent == "" || s.call.exempt {
		return
	}
	s.counted |= 1 << signal
	b.trial(trial{signal, s.agent, s.position, s.call.id, at, hit})
}

// passed counts a stint whose taker was right to leave: the caller is with
// somebody else, or hung up, or has got help.
func (b *Bank) passed(s *stint, at time.Time) {
	for _, signal := range []Signal{Needed, Redial, Intercepted, GaveUp} {
		b.count(s, signal, false, at)
	}
	b.count(s, DeadAir, s.dead, at)
}

// released takes a verdict. What a failure ended counts for nobody.
func (b *Bank) released(c *call, e Event) {
	c.exempt = c.exempt || e.Surge
	s := c.stint(e.Leg, e.Agent)
	if s == nil {
		return
	}
	if e.Transfer != "" {
		b.count(s, Transfers, e.Transfer != "succeeded", e.Time)
	}
	if !s.to.IsZero() {
		return // it was over: a late BYE after a transfer, or one that crossed
	}
	s.to = e.Time
	switch {
	case e.Technical:
		b.count(s, DeadAir, s.dead, e.Time)
		return
	case e.Transfer == "succeeded":
		b.passed(s, e.Time)
		return
	}
	s.kept = e.Verdict == policy.Intercept
	b.count(s, Intercepted, s.kept, e.Time)
	b.count(s, GaveUp, false, e.Time)
	b.count(s, DeadAir, s.dead, e.Time)
	if s.to.Sub(s.from) >= b.o.Short {
		b.count(s, Redial, false, e.Time)
	}
	if c.marks().help() {
		s.how = helped
		b.passed(s, e.Time)
		return
	}
	s.how = left
	b.wait(s, false)
}

// claims is what is said of the call, by whomever.
func (c *call) claims() set {
	var m set
	for _, s := range c.stints {
		m |= s.claims
	}
	return m
}

// marks is what is established on the call, by whomever.
func (c *call) marks() set {
	var m set
	for _, s := range c.stints {
		m |= s.marks
	}
	return m
}

// marked notes what was established, and by whom: a mark that somebody makes
// after they left, entering late what they heard, is theirs.
func (b *Bank) marked(c *call, e Event) {
	if len(c.stints) == 0 {
		return
	}
	s := c.stints[len(c.stints)-1]
	for _, earlier := range c.stints {
		if e.By != "" && (e.By == earlier.agent || e.By == earlier.position) {
			s = earlier
		}
	}
	s.waved = s.waved || e.Field == policy.Disposition
	if s.claims |= bit(e.Field); !e.Claimed || e.Field == policy.Disposition {
		s.marks |= bit(e.Field)
	}
	if s.claims.help() {
		b.neededHelp(c, s, e.Time)
	}
}

// neededHelp counts those who had left the caller whom the taker of s has helped
// now. The word of s is enough against whoever said nothing; against the word
// of another taker that they had helped, it takes a source that proves.
func (b *Bank) neededHelp(c *call, s *stint, at time.Time) {
	for _, earlier := range slices.Concat(c.stints, c.follows) {
		told := s.marks.help() || !earlier.claims.help()
		if told && earlier.how == left && (earlier.agent != s.agent || s.agent == "") && !earlier.to.After(s.from) {
			b.count(earlier, Needed, true, at)
		}
	}
}

// ended counts the last stint of a call.
func (b *Bank) ended(c *call, e Event) {
	c.over = true
	if s := c.current(); s != nil {
		s.to = e.Time
		if e.By == "caller" {
			b.hungUp(s, e.Time)
		}
	}
	if n := len(c.stints); n > 0 && c.stints[n-1].how != handedOver {
		b.closed(c, c.stints[n-1], e.Time)
	}
	b.forget(c)
}

// hungUp counts a stint that the caller ended.
func (b *Bank) hungUp(s *stint, at time.Time) {
	s.how = hungUp
	b.count(s, Intercepted, false, at)
	b.count(s, Redial, false, at)
	b.count(s, Needed, false, at)
	b.count(s, DeadAir, s.dead, at)
	if s.call.claims() != 0 {
		b.count(s, GaveUp, false, at)
		return
	}
	b.wait(s, false)
}

// closed counts what came of a call with the last taker who had it. One who
// was intercepted has been counted for that.
func (b *Bank) closed(c *call, s *stint, at time.Time) {
	if s.kept {
		return
	}
	m := c.marks()
	b.count(s, Dispositions, s.waved && !m.help(), at)
	switch {
	case m.entered() || s.to.Sub(s.from) < b.o.Talked:
		b.count(s, Unentered, false, at)
	default:
		b.wait(s, true)
	}
}
