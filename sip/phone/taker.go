package phone

import (
	"context"
	"errors"
	"fmt"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"
)

// request handles a request from the wire: ACK, one that came again, CANCEL,
// one inside a dialog, a new call, or any other.
func (p *Phone) request(req *gosip.Request, source string) {
	switch string(req.Method) {
	case "ACK":
		p.ack(req)
		return
	case "CANCEL":
		p.cancel(req, source)
		return
	}
	tx, fresh := p.serve(req, source)
	if !fresh {
		return
	}
	switch tag := toTagOf(req); {
	case tag != "":
		p.mu.Lock()
		c := p.calls[callKey(callIDOf(req), tag)]
		p.mu.Unlock()
		p.inDialog(c, req, tx)
	case req.Method == "INVITE":
		p.ringing(req, tx)
	default:
		p.outside(req, tx)
	}
}

// serve finds the transaction of a request; one that came again is answered
// as before.
func (p *Phone) serve(req *gosip.Request, source string) (tx *serverTx, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := serverKey(req, string(req.Method))
	if tx = p.servers[key]; tx != nil {
		if tx.last != nil {
			_ = p.send(source, tx.last) // should it be lost, the request comes again
		}
		return tx, false
	}
	tx = &serverTx{phone: p, source: source, req: req, tag: newTag()}
	p.servers[key] = tx
	return tx, true
}

// ringing makes a call of a new INVITE.
func (p *Phone) ringing(req *gosip.Request, tx *serverTx) {
	c := p.newCall(true)
	c.Invite, c.server = req, tx
	c.dialog = dialog{
		callID: callIDOf(req), localTag: tx.tag,
		local: value(req, "To", "t") + ";tag=" + tx.tag, remote: value(req, "From", "f"),
		routes: list(req, "Record-Route"), peer: tx.source,
	}
	if contact := list(req, "Contact", "m"); len(contact) > 0 {
		c.dialog.target = uriOf(contact[0])
	}
	p.mu.Lock()
	p.calls[callKey(c.dialog.callID, tx.tag)] = c
	c.heed(req)
	if !p.opts.No100 {
		p.try(tx, Reply{Code: 100})
	}
	p.mu.Unlock()
	p.incoming.put(c)
}

// try responds where nobody can be told that it failed. Callers hold mu.
func (p *Phone) try(tx *serverTx, r Reply) {
	if err := tx.respond(r); err != nil {
		p.log.Debug("response not sent", zap.Int("status", r.Code), zap.Error(err))
	}
}

// ack ends the repetition of what it acknowledges: by branch for a rejection,
// by dialog and CSeq for a 2xx.
func (p *Phone) ack(req *gosip.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if tx := p.servers[serverKey(req, "INVITE")]; tx != nil && tx.status >= 300 {
		p.stop(tx.resend)
		return
	}
	c := p.calls[callKey(callIDOf(req), toTagOf(req))]
	if c == nil {
		return
	}
	c.heed(req) // the answer to a late offer
	number, _ := cseqOf(req)
	for _, tx := range p.servers {
		n, method := cseqOf(tx.req)
		if method == "INVITE" && n == number && callIDOf(tx.req) == callIDOf(req) && fromTagOf(tx.req) == fromTagOf(req) {
			p.stop(tx.resend)
		}
	}
	if first, _ := cseqOf(c.Invite); c.Incoming && first == number && !c.isAcked {
		c.isAcked = true
		close(c.acked)
	}
}

// cancel handles a CANCEL (RFC 3261 section 9.2).
func (p *Phone) cancel(req *gosip.Request, source string) {
	tx, fresh := p.serve(req, source)
	if !fresh {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	invite := p.servers[serverKey(req, "INVITE")]
	if invite == nil {
		p.try(tx, Reply{Code: 481})
		return
	}
	tx.tag = invite.tag
	p.try(tx, Reply{Code: 200})
	if invite.status >= 200 {
		return // it crossed our answer
	}
	p.try(invite, Reply{Code: 487})
	if c := p.calls[callKey(callIDOf(req), invite.tag)]; c != nil {
		c.finish(true, "CANCEL", req)
	}
}

// outside answers a request that belongs to no dialog.
func (p *Phone) outside(req *gosip.Request, tx *serverTx) {
	r := p.ask(nil, req)
	if r == nil {
		switch string(req.Method) {
		case "OPTIONS", "MESSAGE", "NOTIFY", "INFO":
			r = &Reply{Code: 200}
		case "BYE", "UPDATE", "PRACK":
			r = &Reply{Code: 481}
		default:
			r = &Reply{Code: 405}
		}
	}
	p.reply(tx, *r)
}

// ask lets the test answer.
func (p *Phone) ask(c *Call, req *gosip.Request) *Reply {
	if c != nil {
		p.mu.Lock()
		hook := c.hook
		p.mu.Unlock()
		if hook != nil {
			if r := hook(req); r != nil {
				return r
			}
		}
	}
	if p.opts.OnRequest != nil {
		return p.opts.OnRequest(c, req)
	}
	return nil
}

func (p *Phone) reply(tx *serverTx, r Reply) {
	if r.Code == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.try(tx, r)
}

// Respond answers a request that a hook left unanswered with the zero Reply.
func (p *Phone) Respond(req *gosip.Request, r Reply) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	tx := p.servers[serverKey(req, string(req.Method))]
	if tx == nil {
		return fmt.Errorf("%s: answering %s: no such request was received", p.opts.User, req.Method)
	}
	return tx.respond(r)
}

// inDialog answers a request of a call; c is nil when there is no such call.
func (p *Phone) inDialog(c *Call, req *gosip.Request, tx *serverTx) {
	r := p.ask(c, req)
	p.mu.Lock()
	switch {
	case c == nil || c.end != nil:
		if r == nil {
			r = &Reply{Code: 481}
		}
		c = nil
	case r == nil:
		r = c.usual(req)
	}
	if c != nil && req.Method == "BYE" && r.Code < 300 {
		c.finish(true, "BYE", req)
	}
	if r.Code != 0 {
		p.try(tx, *r)
	}
	p.mu.Unlock()
	if c != nil {
		select {
		case c.requests <- req:
		default: // nobody reads them
		}
	}
}

// usual is what a phone answers by itself. Callers hold mu.
func (c *Call) usual(req *gosip.Request) *Reply {
	switch string(req.Method) {
	case "BYE":
		return &Reply{Code: 200}
	case "INVITE", "UPDATE":
		if contact := list(req, "Contact", "m"); len(contact) > 0 {
			c.dialog.target = uriOf(contact[0]) // target refresh (RFC 3261 section 12.2.2)
		}
		return c.reoffered(req)
	case "REFER":
		return &Reply{Code: 202}
	case "OPTIONS", "INFO", "MESSAGE", "NOTIFY", "PRACK", "SUBSCRIBE":
		return &Reply{Code: 200}
	}
	return &Reply{Code: 405}
}

// reoffered answers a re-INVITE or UPDATE. Callers hold mu.
func (c *Call) reoffered(req *gosip.Request) *Reply {
	c.heed(req)
	offer := sdpOf(req)
	if offer == nil && req.Method == "UPDATE" {
		return &Reply{Code: 200} // a session refresh
	}
	sdp := c.localSDP
	var err error
	if offer != nil && c.phone.opts.Media != nil {
		sdp, err = c.answerTo(offer)
	}
	if err != nil || sdp == nil {
		return &Reply{Code: 488}
	}
	return &Reply{Code: 200, Body: sdp}
}

// Reply answers the INVITE in any way.
func (c *Call) Reply(r Reply) error {
	p := c.phone
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.server == nil {
		return errors.New("phone: this call was not received")
	}
	if isSDP(r.ContentType, r.Body) {
		c.localSDP = r.Body
	}
	if err := c.server.respond(r); err != nil {
		return err
	}
	if r.Code >= 300 {
		c.finish(false, "rejected", nil)
	}
	return nil
}

// Ring sends 180 Ringing.
func (c *Call) Ring() error { return c.Reply(Reply{Code: 180}) }

// Progress sends 183 Session Progress with that session description, or the
// phone's own when sdp is nil.
func (c *Call) Progress(sdp []byte) error { return c.replyWith(183, sdp) }

// Answer sends 200 with that session description, or the phone's own answer
// (its offer, if the INVITE had none) when sdp is nil. It is sent again until
// the ACK comes.
func (c *Call) Answer(sdp []byte) error { return c.replyWith(200, sdp) }

func (c *Call) replyWith(code int, sdp []byte) error {
	if sdp == nil {
		var err error
		if sdp, err = c.ownAnswer(); err != nil {
			return fmt.Errorf("%s: answering: %w", c.phone.opts.User, err)
		}
	}
	return c.Reply(Reply{Code: code, Body: sdp})
}

// ownAnswer is the phone's answer to the INVITE's offer, or an offer.
func (c *Call) ownAnswer() ([]byte, error) {
	offer := sdpOf(c.Invite)
	if offer == nil {
		return c.offer()
	}
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	return c.answerTo(offer)
}

// Reject answers the INVITE with a failure.
func (c *Call) Reject(code int, headers ...[2]string) error {
	return c.Reply(Reply{Code: code, Headers: headers})
}

// Redirect answers the INVITE 302 to those contacts.
func (c *Call) Redirect(contacts ...string) error {
	var h [][2]string
	for _, uri := range contacts {
		h = append(h, [2]string{"Contact", "<" + uri + ">"})
	}
	return c.Reply(Reply{Code: 302, Headers: h})
}

// WaitAck waits until our 2xx is acknowledged.
func (c *Call) WaitAck(ctx context.Context) error {
	select {
	case <-c.acked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: waiting for ACK: %w", c.phone.opts.User, ctx.Err())
	case <-c.phone.done:
		return ErrClosed
	}
}
