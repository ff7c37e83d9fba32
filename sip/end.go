package sip

import (
	"sync/atomic"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/recorder"
)

// over is a call's end as seen from outside its goroutine.
type over struct{ atomic.Bool }

// finish is the end of the caller's leg, whoever brought it about: everybody
// else is let go, what is open is closed, and the records are completed.
func (c *Call) finish() {
	c.over.Store(true)
	stop(&c.retry)
	c.endVigil()
	c.g.queue.leave(c)
	by := c.ended.By
	if c.pending != nil {
		c.letGo(c.pending)
		if by == "" {
			c.ended.class, c.ended.evidence = c.pending.data.Class, c.pending.data.Evidence
			by, c.ended.Reason, c.ended.Bye = "position", c.pending.how, nil
			if c.pending.bye != nil {
				c.ended.Bye = c.pending.bye.req
			}
		}
		c.ended.By = by
		c.pending = nil
	}
	for _, l := range append([]*leg{}, c.offers...) {
		c.giveUp(l)
	}
	c.offers = nil
	c.endJoins()
	if c.taker != nil {
		c.bye(c.taker, c.ended.Bye)
		c.drop(c.taker)
		c.taker = nil
	}
	for _, l := range c.legs { // a transferor who has not hung up yet
		if l != c.caller && l.State == Confirmed {
			c.bye(l, nil)
			c.drop(l)
		}
	}
	c.endCaller(by)
	c.g.countEnd(c.Kind, by)
	entries := []recorder.Entry{c.entry("call.ended", c.endData())}
	c.g.opts.Journal.Append(entries...)
	c.announce(c.g.opts.Over)
	c.log.Info("call ended", zap.String("by", by), zap.String("reason", c.ended.Reason),
		zap.Duration("duration", time.Since(c.Started)), zap.Int("rescues", c.Rescues))
	c.closeMedia()
	c.after(crossing, func() { c.quiet = true; c.settled() })
	c.linger = c.after(64*t1+8*time.Second, func() { c.done = true })
	c.settled()
}

// endCaller ends the caller's own leg as far as the caller has not done so.
func (c *Call) endCaller(by string) {
	switch {
	case c.back != nil:
		c.back.end(c)
	case by == "caller":
		if !c.answered() && c.ended.Bye != nil && c.ended.Bye.Method == gosip.BYE { // RFC 3261 section 15.1.2
			_ = c.inviteTx.Respond(respond(c.invite, 487, reasons[487], c.caller.Dialog.LocalTag)) // they have left
		}
		c.caller.State = Over
		c.caller.acked() // a 2xx that is still repeated has nobody to reach
	case !c.answered():
		code := c.ended.Code
		if code == 0 {
			code = 480
		}
		res := c.ended.Refusal
		if res == nil {
			res = respond(c.invite, code, reasons[code], c.caller.Dialog.LocalTag)
		}
		c.caller.State = Over
		if err := c.inviteTx.Respond(res); err != nil {
			c.log.Debug("final answer not sent", zap.Error(err))
		}
	default:
		c.bye(c.caller, c.ended.Bye)
	}
	c.caller.Since = time.Now()
}

// crossing is how long a call that is over still takes what crossed its end.
const crossing = time.Second

// answered tells whether the caller got a 2xx.
func (c *Call) answered() bool { return !c.Answered.IsZero() }

// closeMedia ends media and then the recording, once all packets are with it.
func (c *Call) closeMedia() {
	rec := c.Recording
	c.media.Close(func() { c.post(func() { c.closeRecording(rec) }) })
}

// settled ends the goroutine when nothing is outstanding: no INVITE without a
// final answer, no unacknowledged 2xx, media closed.
func (c *Call) settled() {
	if c.State != Ended || !c.mediaOver || !c.quiet {
		return
	}
	for _, l := range c.legs {
		if l.open || l.strays || l.byeDue != nil || l.Role == RoleCaller && l.final != nil {
			return
		}
	}
	stop(&c.linger)
	c.done = true
}
