package sip

import (
	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/sip/edge"
)

// onAck takes an ACK: of our 2xx, or of a re-INVITE that we passed on.
func (c *Call) onAck(l *leg, req *gosip.Request) {
	n, _, _ := cseq(req)
	first := l == c.caller && n == l.Invite
	if first && l.Acked {
		return // repeated
	}
	l.acked()
	r := l.passing[n]
	if r != nil {
		delete(l.passing, n)
		c.passAck(r, req)
	}
	if first && c.taker != nil && c.taker.lateAck {
		c.lateAnswer(req)
	}
	if s := sdpOf(req); s != nil && r == nil && !first {
		c.hear(l, s, nil)
	}
	if due := l.byeDue; due != nil {
		l.byeDue = nil
		c.send(l, due, func(edge.Response) {})
	}
	c.settled()
}

// lateAnswer takes the caller's answer to an offer that came in the taker's
// 2xx (RFC 3261 section 13.2.1, an INVITE without an offer).
func (c *Call) lateAnswer(ack *gosip.Request) {
	l := c.taker
	l.lateAck = false
	if s := sdpOf(ack); s != nil {
		c.InUse = nil
		for _, m := range s.media {
			c.InUse = append(c.InUse, s.codecs(m))
		}
		c.hear(c.caller, s, c.InUse)
		c.Offer = c.caller.Remote
	}
	c.acknowledge(l, ack)
	c.letBye(l)
}

// letBye takes the BYE of a taker who hung up before the caller's answer to its
// offer was there. Until then nobody else could be offered what the caller has.
func (c *Call) letBye(l *leg) {
	if h := l.held; h != nil {
		l.held = nil
		c.onBye(l, h.req, h.tx)
	}
}

// acknowledge sends the ACK of a target's 2xx, with the caller's answer if
// the offer was in the 2xx.
func (c *Call) acknowledge(l *leg, from *gosip.Request) {
	ack, err := l.Dialog.request("ACK", l.Invite)
	if err != nil {
		c.log.Warn("no ACK", zap.String("leg", l.label()), zap.Error(err))
		return
	}
	c.fill(ack, from, l)
	l.ack = ack
	c.aim(l, ack)
	c.g.edge.Write(ack)
}

// fill gives out the headers and the body of from, with our ports in its SDP.
func (c *Call) fill(out, from *gosip.Request, l *leg) {
	if from == nil {
		out.SetBody(nil)
		return
	}
	carry(from, out)
	body := from.Body()
	if s := sdpOf(from); s != nil {
		body = withSDP(get(from, "content-type"), body, c.tell(l, s))
	}
	if len(body) == 0 {
		body = nil
	}
	out.SetBody(body)
}

// passAck sends the ACK of a passed re-INVITE on, if it carries the answer.
func (c *Call) passAck(r *relayed, req *gosip.Request) {
	if !r.late {
		return
	}
	if s := sdpOf(req); s != nil {
		c.hear(r.from, s, nil)
		if r.from == c.caller {
			c.Offer = c.caller.Remote
		}
		if r.from == c.taker {
			c.takerSays(s)
			c.look()
		}
	}
	c.ackRelayed(r, req)
}

func (c *Call) ackRelayed(r *relayed, from *gosip.Request) {
	ack, err := r.to.Dialog.request("ACK", r.seq)
	if err != nil {
		return
	}
	c.fill(ack, from, r.to)
	r.ack = ack
	c.aim(r.to, ack)
	c.g.edge.Write(ack)
}

// ack2xx acknowledges a 2xx to an INVITE of our own inside a dialog.
func (c *Call) ack2xx(l *leg, seq uint32) {
	ack, err := l.Dialog.request("ACK", seq)
	if err != nil {
		return
	}
	ack.SetBody(nil)
	c.aim(l, ack)
	c.g.edge.Write(ack)
}
