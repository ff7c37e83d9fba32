package phone

import (
	"context"
	"errors"
	"fmt"

	gosip "github.com/emiago/sipgo/sip"
)

// Invite is a call to be made. Only Dest is needed.
type Invite struct {
	Dest       string      // host:port it is sent to
	RequestURI string      // "": sip:911@ and Dest
	To         string      // To value without tag; "": the request URI
	From       string      // From value without tag; "": the phone's own URI
	CallID     string      // "": a new one
	Headers    [][2]string // in order
	// Parts makes the body multipart/mixed: the session description first,
	// then these.
	Parts []Part
	// Body and ContentType replace the phone's own offer and Parts.
	Body        []byte
	ContentType string
	LateOffer   bool // no offer: the 2xx brings it, the ACK answers it
	NoAutoAck   bool // the test sends the ACK itself with Ack
}

// Call sends an INVITE and returns at once. ctx bounds only the sending.
func (p *Phone) Call(ctx context.Context, v Invite) (*Call, error) {
	if v.RequestURI == "" {
		v.RequestURI = "sip:911@" + v.Dest
	}
	if v.To == "" {
		v.To = "<" + v.RequestURI + ">"
	}
	if v.From == "" {
		v.From = "<sip:" + p.opts.User + "@" + p.Addr() + ">"
	}
	if v.CallID == "" {
		v.CallID = newTag() + "@" + p.host()
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: calling %s: %w", p.opts.User, v.Dest, err)
	}
	c := p.newCall(false)
	body, contentType, err := c.inviteBody(v)
	if err != nil {
		return nil, fmt.Errorf("%s: calling %s: %w", p.opts.User, v.Dest, err)
	}
	tag := newTag()
	c.noAutoAck = v.NoAutoAck
	c.dialog = dialog{
		callID: v.CallID, localTag: tag, local: v.From + ";tag=" + tag, remote: v.To,
		target: v.RequestURI, cseq: 1, peer: v.Dest,
	}
	raw, branch := p.build(outgoing{
		method: "INVITE", uri: v.RequestURI, from: c.dialog.local, to: v.To, callID: v.CallID, cseq: 1,
		headers: v.Headers, contentType: contentType, body: body,
	})
	msg, err := p.parser.ParseSIP(raw)
	if err != nil {
		c.closeMedia()
		return nil, fmt.Errorf("%s: calling %s: %w", p.opts.User, v.Dest, err)
	}
	c.Invite, _ = msg.(*gosip.Request)
	p.mu.Lock()
	defer p.mu.Unlock()
	c.inviteVia = topVia(msg)
	p.calls[callKey(v.CallID, tag)] = c
	c.client = p.startClient("INVITE", branch, v.Dest, raw, c.inviteResponse)
	c.client.failed = func(error) { c.finish(true, "timeout", nil) }
	if err := c.client.err; err != nil { // nothing was sent
		delete(p.calls, callKey(v.CallID, tag))
		return nil, err
	}
	return c, nil
}

// inviteBody is the offer, alone or with the other parts.
func (c *Call) inviteBody(v Invite) (body []byte, contentType string, err error) {
	if v.Body != nil {
		if isSDP(v.ContentType, v.Body) {
			c.localSDP = v.Body
		}
		return v.Body, v.ContentType, nil
	}
	var sdp []byte
	if !v.LateOffer {
		if sdp, err = c.offer(); err != nil {
			return nil, "", err
		}
	}
	if len(v.Parts) == 0 {
		return sdp, "", nil
	}
	parts := v.Parts
	if sdp != nil {
		parts = append([]Part{{ContentType: "application/sdp", Body: sdp}}, parts...)
	}
	contentType, body = Multipart(parts...)
	return body, contentType, nil
}

// inviteResponse sees every response to the INVITE. Callers hold mu.
func (c *Call) inviteResponse(res *gosip.Response) {
	switch {
	case res.StatusCode < 200:
		if res.StatusCode > 100 {
			c.learn(res)
			c.provisionals.put(res)
		}
		if c.cancelled {
			c.sendCancel() // it had to wait for a provisional response
		}
	case res.StatusCode < 300:
		c.confirmed(res)
	default:
		cause := "rejected"
		if c.cancelled {
			cause = "CANCEL"
		}
		c.finish(!c.cancelled, cause, nil)
	}
}

// confirmed handles a 2xx to the INVITE, the first time and again. A call that
// was cancelled too late is acknowledged and ended (RFC 3261 section 9.1).
// Callers hold mu.
func (c *Call) confirmed(res *gosip.Response) {
	if c.answer == nil {
		c.answer = res
		if early := param(c.dialog.remote, "tag"); early != "" && early != toTagOf(res) {
			c.dialog.remote, c.dialog.routes = value(c.Invite, "To", "t"), nil // another branch of a fork answered
		}
		c.learn(res)
		switch {
		case c.cancelled:
			c.acknowledge(1, nil)
			c.leaving = true
			c.start(Request{Method: "BYE"})
			c.finish(false, "CANCEL", nil)
		case !c.noAutoAck:
			c.acknowledge(1, c.lateAnswer(res))
		}
		return
	}
	if c.acks[1] != nil && toTagOf(res) == toTagOf(c.answer) {
		c.acknowledge(1, nil)
	}
}

// lateAnswer is what the ACK carries when the 2xx brought the offer. Callers
// hold mu.
func (c *Call) lateAnswer(res *gosip.Response) []byte {
	if c.localSDP != nil || c.remoteSDP == nil || c.Invite.Body() != nil {
		return nil
	}
	sdp, err := c.answerTo(sdpOf(res))
	if err != nil {
		return nil // the phone has no media: the ACK goes without
	}
	return sdp
}

// Ack acknowledges the 2xx; for calls made with NoAutoAck. sdp may be nil.
func (c *Call) Ack(sdp []byte) error {
	p := c.phone
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.answer == nil {
		return errors.New("phone: nothing to acknowledge yet")
	}
	c.acknowledge(1, sdp)
	return nil
}

var errAnswered = errors.New("the INVITE has its final response")

// WaitProvisional returns the next provisional response above 100 that was
// not returned before. It fails when the INVITE is answered first.
func (c *Call) WaitProvisional(ctx context.Context) (*gosip.Response, error) {
	res, err := c.provisionals.get(ctx, c.client.result, errAnswered)
	if err != nil {
		return nil, fmt.Errorf("%s: waiting for a provisional response: %w", c.phone.opts.User, err)
	}
	return res, nil
}

// WaitAnswer waits for the final response to the INVITE, whatever it is.
func (c *Call) WaitAnswer(ctx context.Context) (*gosip.Response, error) {
	return c.client.wait(ctx)
}

// Cancel cancels the call: at once, or as soon as a provisional response has
// come (RFC 3261 section 9.1). WaitAnswer returns what the INVITE is answered.
// A 2xx that crosses is acknowledged and followed by a BYE.
func (c *Call) Cancel() {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	c.cancelled = true
	if c.client.provisional {
		c.sendCancel()
	}
}

// sendCancel sends the CANCEL, once, unless it is too late. Callers hold mu.
func (c *Call) sendCancel() {
	if c.client.final || c.cancelSent {
		return
	}
	c.cancelSent = true
	p := c.phone
	raw, branch := p.build(outgoing{
		method: "CANCEL", uri: requestURI(c.client.raw), via: c.inviteVia, routes: values(c.Invite, "Route"),
		from: c.dialog.local, to: value(c.Invite, "To", "t"), callID: c.dialog.callID, cseq: 1,
	})
	p.startClient("CANCEL", branch, c.client.dest, raw, nil)
}
