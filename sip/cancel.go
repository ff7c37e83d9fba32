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

	c.drop(l)

	if !l.open {
		l.State, l.Since = Over, time.Now()
		c.reap(l)
		return
	}
	l.cancel = true
	if l.alive {
		c.sendCancel(l)
	}
}

// sendCancel asks a target that rings to stop. It has the INVITE's branch
// (RFC 3261 section 9.1).
func (c *Call) sendCancel(l *leg) {
	if l.cancelSent || l.request == nil {
		return
	}
	l.cancelSent = true
	inv := l.request
	req := gosip.NewRequest(gosip.CANCEL, *inv.Recipient.Clone())
	via := *inv.Via()
	req.AppendHeader(&via)
	for _, h := range inv.Headers() {
		switch longName(h.Name()) {
		case "route", "from", "to", "call-id":
			req.AppendHeader(gosip.NewHeader(h.Name(), h.Value()))
		case "max-forwards":
			hops := gosip.MaxForwardsHeader(70)
			req.AppendHeader(&hops)
		}
	}
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: l.Invite, MethodName: gosip.CANCEL})
	if c.taker != nil { // or the phone shows a missed call (RFC 3326 section 2)
		req.AppendHeader(gosip.NewHeader("Reason", `SIP;cause=200;text="Call completed elsewhere"`))
	} else if c.ended.Bye != nil {
		for _, v := range getAll(c.ended.Bye, "reason") {
			req.AppendHeader(gosip.NewHeader("Reason", v))
		}
	}
	req.SetBody(nil)
	req.SetTransport(inv.Transport())
	req.SetDestination(inv.Destination())
	c.send(l, req, func(edge.Response) {})
}

// cancelRelayed passes the CANCEL of a re-INVITE on.
func (c *Call) cancelRelayed(r *relayed) {
	tmp := &leg{Leg: Leg{Dialog: r.to.Dialog, Invite: r.seq, Peer: r.to.Peer}, request: r.out}
	c.sendCancel(tmp)
}
