package sip

import (
	"strings"
	"sync"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/sip/edge"
)

// forwarded is a request on its way through us, as a stateful proxy does it:
// the next way when one leads nowhere, answers back to where it came from,
// and for an INVITE the CANCEL that follows it (RFC 3261 section 16).
type forwarded struct {
	g   *Guard
	req *gosip.Request
	tx  *gosip.ServerTx
	uri string

	mu                                 sync.Mutex
	out                                *gosip.Request // as it was sent
	left                               []hopAddr      // ways that were not tried
	alive, over, cancelled, cancelSent bool
}

// passTo sends req to the first of hops and its answers back.
func (g *Guard) passTo(req *gosip.Request, tx *gosip.ServerTx, uri string, hops []hopAddr) {
	f := &forwarded{g: g, req: req, tx: tx, uri: uri}
	if req.Method == gosip.INVITE && !tx.OnCancel(func(*gosip.Request) { f.cancel() }) {
		return // cancelled before it went anywhere: the transaction has answered
	}
	f.send(hops)
}

func (f *forwarded) send(hops []hopAddr) {
	g, h := f.g, hops[0]
	socket, err := g.socketFor(h.network, h.addr)
	if err != nil {
		g.refuse(f.req, f.tx, 502)
		return
	}
	out, err := g.passed(f.req, f.uri, h, socket)
	if err != nil {
		g.refuse(f.req, f.tx, 416)
		return
	}
	f.mu.Lock()
	f.out, f.left = out, hops[1:]
	f.mu.Unlock()
	g.edge.Send(out, f.answered)
}

// answered takes one answer, or the reason why there is none. What follows
// from it is done without the lock: it may be answered at once.
func (f *forwarded) answered(r edge.Response) {
	if then := f.judge(r); then != nil {
		then()
	}
}

func (f *forwarded) judge(r edge.Response) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Err != nil {
		if f.over || f.cancelled {
			return nil
		}
		if left := f.left; len(left) > 0 && !f.alive {
			return func() { f.send(left) }
		}
		f.over = true
		return func() { f.g.refuse(f.req, f.tx, 408) }
	}
	f.alive = true
	answer := f.req.Method == gosip.INVITE && r.StatusCode >= 200 && r.StatusCode < 300
	switch {
	case f.cancelled && answer:
		return func() { f.hangUp(r.Response) }
	case f.cancelled:
		return f.cancelling()
	case r.StatusCode == 100, f.over && !answer: // the answer to an INVITE is repeated until its ACK
		return nil
	}
	f.over = r.StatusCode >= 200
	return func() {
		if err := f.tx.Respond(backwards(f.req, r.Response)); err != nil {
			f.g.log.Debug("answer not sent", zap.Error(err))
		}
	}
}

// cancel is the caller's CANCEL; the transaction layer has answered both it
// and the INVITE.
func (f *forwarded) cancel() {
	f.mu.Lock()
	f.cancelled = true
	then := f.cancelling()
	f.mu.Unlock()
	if then != nil {
		then()
	}
}

// cancelling sends our CANCEL, once it may be sent (RFC 3261 section 9.1).
// Callers hold mu.
func (f *forwarded) cancelling() func() {
	if f.over || !f.alive || f.cancelSent {
		return nil
	}
	f.cancelSent = true
	return func() { f.g.edge.Send(cancelOf(f.out), func(edge.Response) {}) }
}

// hangUp ends what was answered although it had been cancelled: whoever called
// was told so, and nobody else will acknowledge it.
func (f *forwarded) hangUp(res *gosip.Response) {
	from, to := parseAddress(get(f.req, "from")), parseAddress(get(res, "to"))
	n, _, _ := cseq(f.req)
	d := Dialog{
		CallID: get(f.req, "call-id"), LocalTag: tag(get(f.req, "from")), Local: from.without("tag").String(), Remote: to.without("tag").String(),
		LocalSeq: n, Target: f.uri, Network: strings.ToLower(f.out.Transport()), Next: f.out.Destination(),
	}
	d.Socket = f.out.Via().Host + ":" + itoa(f.out.Via().Port)
	d.learn(res, tag(get(res, "to")), false)
	ack, err := d.request("ACK", n)
	if err != nil {
		f.g.log.Debug("no ACK", zap.Error(err))
		return
	}
	f.g.edge.Write(ack)
	if bye, err := d.request("BYE", d.nextSeq()); err == nil {
		f.g.edge.Send(bye, func(edge.Response) {})
	}
}

// cancelOf is the CANCEL of an INVITE as we sent it (RFC 3261 section 9.1).
func cancelOf(inv *gosip.Request) *gosip.Request {
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
	n, _, _ := cseq(inv)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: n, MethodName: gosip.CANCEL})
	req.SetBody(nil)
	req.SetTransport(inv.Transport())
	req.SetDestination(inv.Destination())
	return req
}

// spirals tells whether an INVITE is one of our own that a call server has
// sent back through us to a phone that registered through us (RFC 3261
// section 16.3). Its call guards the leg already: here it only passes.
func (g *Guard) spirals(req *gosip.Request) bool {
	if !g.onward(req) {
		return false
	}
	from := tag(get(req, "from"))
	return from != "" && g.find(get(req, "call-id"), from) != nil
}

// onward tells whether a request names us in its Route only to be taken on,
// to the next Route or to a request URI that is not ours.
func (g *Guard) onward(req *gosip.Request) bool {
	routes := list(getAll(req, "route"))
	return len(routes) > 0 && g.isOurs(parseAddress(routes[0]).URI) && (len(routes) > 1 || !g.isOurs(req.Recipient.String()))
}

// throughUs tells whether an in-dialog request belongs to a dialog that only
// passes us: that of a spiral or a subscription. From the phone's side such a
// request has our own leg's tag; the Route behind ours shows that it is to
// come to that leg by way of the call server.
func (g *Guard) throughUs(req *gosip.Request) bool {
	if g.find(get(req, "call-id"), tag(get(req, "to"))) == nil {
		return req.Method != gosip.INVITE && req.Method != gosip.BYE || g.onward(req)
	}
	return len(list(getAll(req, "route"))) > 1 && g.onward(req)
}

// passAck passes the ACK of a 2xx on; it has no transaction (RFC 3261 section 16.11).
func (g *Guard) passAck(req *gosip.Request) {
	uri, hop, ok := g.way(req)
	if !ok || strings.TrimSpace(get(req, "max-forwards")) == "0" {
		return
	}
	g.resolve(hop, func(hops []hopAddr, err error) {
		if err != nil {
			g.log.Debug("ACK has nowhere to go", zap.Error(err))
			return
		}
		socket, err := g.socketFor(hops[0].network, hops[0].addr)
		if err != nil {
			return
		}
		if out, err := g.passed(req, uri, hops[0], socket); err == nil {
			g.edge.Write(out)
		}
	})
}
