package sip

import (
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/edge"
)

// onCancel is the caller hanging up before the answer. The transaction layer
// has answered 200 to the CANCEL and 487 to the INVITE; a 2xx of ours that
// crossed it was not sent.
func (c *Call) onCancel(req *gosip.Request) {
	if c.State == Ended {
		return
	}
	c.caller.State = Over
	c.ended.By, c.ended.Reason, c.ended.Bye = "caller", "cancel", req
	c.fire(callerLeft)
}

// giveUp lets an offered target go: CANCEL as soon as that is allowed, BYE if
// it answers all the same (RFC 3261 section 9.1).
func (c *Call) giveUp(l *leg) {
	stop(&l.ring)
	stop(&l.dead)
	c.vacate(l)
	switch {
	case !l.open && l.State == Confirmed: // it has answered, and is not needed
		c.bye(l, nil)
		c.drop(l)
		c.reap(l)
	case !l.open:
		if l.State == Confirmed { // it has answered, and was about to have the caller
			c.bye(l, nil)
			c.drop(l)
		}
		l.State, l.Since = Over, time.Now()
		c.reap(l)
	case l.alive:
		l.cancel = true // it keeps its media: its answer may cross, and be welcome
		c.sendCancel(l)
	default: // the first word it says is answered with CANCEL
		l.cancel = true
		c.dropMedia(l)
		silent := c.g.settings.Load().DeadAfter - time.Since(l.Since)
		if silent <= 0 {
			c.abandon(l)
			return
		}
		c.after(silent, func() { c.abandon(l) })
	}
}

// abandon stops calling a target that has said nothing for so long: a phone
// that comes back must not ring for an offer that is over. It gets a CANCEL
// against the letter of RFC 3261 section 9.1: it may ring while what it said
// was lost, and the INVITE, which a CANCEL must not overtake, is long gone.
// What it says all the same is known by its tag for as long as that can come.
func (c *Call) abandon(l *leg) {
	if !l.open || l.alive || l.sent == nil {
		return
	}
	l.strays = true
	l.sent.Abandon()
	c.sendCancel(l)
	c.after(64*t1, func() {
		l.strays = false
		c.reap(l)
	})
}

// sendCancel asks a target that rings to stop. It has the INVITE's branch
// (RFC 3261 section 9.1).
func (c *Call) sendCancel(l *leg) {
	if l.cancelSent || l.request == nil {
		return
	}
	l.cancelSent = true
	req := cancelOf(l.request)
	if c.taker != nil { // or the phone shows a missed call (RFC 3326 section 2)
		req.AppendHeader(gosip.NewHeader("Reason", `SIP;cause=200;text="Call completed elsewhere"`))
	} else if c.ended.Bye != nil {
		for _, v := range getAll(c.ended.Bye, "reason") {
			req.AppendHeader(gosip.NewHeader("Reason", v))
		}
	}
	c.send(l, req, func(edge.Response) {})
}

// cancelRelayed passes the CANCEL of a re-INVITE on.
func (c *Call) cancelRelayed(r *relayed) {
	tmp := &leg{Leg: Leg{Dialog: r.to.Dialog, Invite: r.seq, Peer: r.to.Peer}, request: r.out}
	c.sendCancel(tmp)
}
