package sip

import (
	"fmt"
	"slices"
	"time"
)

// alone tells whether nobody has the caller, and somebody may.
func (c *Call) alone() bool {
	return c.taker == nil && (c.State == Offering || c.State == Waiting) && (c.answered() || c.Offer != "")
}

// takeCall makes a supervisor the taker. What had the caller before is let go
// politely; its own hanging up at the same moment changes nothing.
func (c *Call) takeCall(l *leg, by string) error {
	switch {
	case l == c.taker:
		return nil
	case l.State != Confirmed:
		return fmt.Errorf("%w: the supervisor's phone has not answered yet", ErrNotNow)
	case c.State == Releasing: // who had the caller is leaving: barge in, and be the successor
		return c.switchMode(l, ModeBarge, by)
	case c.taker == nil && !c.alone():
		return fmt.Errorf("%w: the caller made no offer that could be answered", ErrNotNow)
	}
	was := l.Join.Mode
	l.taking = true
	c.g.opts.Journal.Commit(func(bool) {
		c.post(func() {
			switch {
			case l.Join.Over || l.State != Confirmed || l == c.taker:
			case c.State == Bridged:
				c.replaceTaker(l)
			case c.State == Relieving: // the taker is on the line and not there
				c.vigil.left = c.taker
				c.become(l, takerAnswered)
			case c.alone():
				c.become(l, takerAnswered)
			}
			// Releasing: the taker has hung up meanwhile, and l is the successor.
		})
	}, c.entry("supervisor.mode", modeData{joinData: c.joinData(l, ModeTaker), Was: was, ChangedBy: by, Why: "take-over"}))
	return nil
}

// replaceTaker puts a supervisor in the taker's place.
func (c *Call) replaceTaker(l *leg) {
	old := c.taker
	c.become(l, takerReplaced)
	old.Left = transferSucceeded
	c.dismiss(old, `SIP;cause=200;text="taken over by a supervisor"`)
	c.drop(old)
	c.reap(old)
}

// promote makes a supervisor who barged in the taker of a caller whom nobody has.
func (c *Call) promote(l *leg, why string) {
	c.record("supervisor.mode", modeData{joinData: c.joinData(l, ModeTaker), Was: l.Join.Mode, Why: why})
	c.become(l, takerAnswered)
}

// become bridges the caller with a supervisor; by is takerAnswered,
// takerReplaced or, for one who succeeds a taker, no trigger at all.
func (c *Call) become(l *leg, by trigger) {
	for _, o := range slices.Clone(c.offers) {
		c.giveUp(o)
	}
	c.ready = nil
	c.offers, c.plan, c.transfer, c.relief = nil, nil, nil, nil
	l.taking = false
	l.Join.Mode, l.Role, l.Rescue = ModeTaker, RoleTaker, c.queued()
	c.taker, c.early, c.answer200 = l, nil, nil
	c.media.WatchCodes(l.ID, nil) // a taker's codes are other ones
	first := !c.answered()
	if by != "" {
		c.fire(by)
	} else {
		c.bridge()
	}
	if s, err := parseSDP([]byte(l.Remote)); err == nil && !first {
		c.fitCaller(l, s)
	}
	c.assisted(l)
}

// successor is the supervisor who has the caller when the taker leaves: one
// who is about to take over, or the one who barged in first. Whose phone has
// fallen silent is none: the caller would be left with nobody.
func (c *Call) successor() *leg {
	var first *leg
	for _, l := range c.legs {
		if l == c.taker || !c.barges(l) && !l.taking || c.fellSilent(l) {
			continue
		}
		if l.taking {
			return l
		}
		if first == nil || l.Join.Joined.Before(first.Join.Joined) {
			first = l
		}
	}
	return first
}

// barges tells whether l is a supervisor who speaks with everybody.
func (c *Call) barges(l *leg) bool {
	return l.supervises() && l.State == Confirmed && !l.Join.Over && !l.Join.Joined.IsZero() && l.Join.Mode == ModeBarge
}

// fellSilent tells whether nothing comes from a leg any more that came before:
// its phone was unplugged, or crashed.
func (c *Call) fellSilent(l *leg) bool {
	s := together(c.media.Stats(l.ID))
	return s.Unreachable != "" || s.Received > 0 && !s.Pauses && time.Since(s.LastRecv) > flowing
}

// succeed gives the caller, whom a taker left, to the supervisor who is on the
// line with them: not the queue, and no prompt.
func (c *Call) succeed() {
	r := c.pending
	c.pending = nil
	l := c.successor()
	c.record("supervisor.mode", modeData{joinData: c.joinData(l, ModeTaker), Was: l.Join.Mode, Why: "the taker left"})
	c.become(l, "")
	c.resume(r.leg)
	c.letGo(r)
	c.reap(r.leg)
}
