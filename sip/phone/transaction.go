package phone

import (
	"context"
	"fmt"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// repeater is a timer that sends again until it is stopped or its time is up.
type repeater struct {
	timer    *time.Timer
	interval time.Duration
	longest  time.Duration
	end      time.Time
	stopped  bool
}

// repeat calls again after first, then at doubling intervals of at most
// longest, and expired once after limit. Both run with mu held. Callers hold mu.
func (p *Phone) repeat(first, longest, limit time.Duration, again, expired func()) *repeater {
	r := &repeater{interval: first, longest: longest, end: time.Now().Add(limit)}
	fire := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.stopped || p.closed {
			return
		}
		left := time.Until(r.end)
		if left <= 0 {
			p.stop(r)
			expired()
			return
		}
		again()
		r.interval = min(2*r.interval, r.longest)
		r.timer.Reset(min(r.interval, left))
	}
	r.timer = time.AfterFunc(min(first, limit), fire)
	p.timers[r] = struct{}{}
	return r
}

// after calls f once with mu held. Callers hold mu.
func (p *Phone) after(d time.Duration, f func()) { p.repeat(d, d, d, func() {}, f) }

// stop ends a repeater. Callers hold mu.
func (p *Phone) stop(r *repeater) {
	if r != nil && !r.stopped {
		r.stopped = true
		r.timer.Stop()
		delete(p.timers, r)
	}
}

// clientTx is a client transaction (RFC 3261 section 17.1).
type clientTx struct {
	phone       *Phone
	method      string
	dest        string
	raw         []byte
	resend      *repeater
	ack         []byte // what answered a final response to an INVITE other than 2xx
	provisional bool
	final       bool
	result      chan struct{} // closed with the final response or the error
	response    *gosip.Response
	err         error
	// watch, which may be nil, sees every response, also those that are sent
	// again, with mu held.
	watch func(*gosip.Response)
	// forget lets the transaction absorb what comes again for a while (timers
	// D and K), then removes it.
	forget func()
	// failed, which may be nil, is told that no final response came, with mu held.
	failed func(error)
}

func clientKey(branch, method string) string { return branch + " " + method }

// startClient sends a request. Callers hold mu.
func (p *Phone) startClient(method, branch, dest string, raw []byte, watch func(*gosip.Response)) *clientTx {
	tx := &clientTx{phone: p, method: method, dest: dest, raw: raw, watch: watch, result: make(chan struct{})}
	key := clientKey(branch, method)
	p.clients[key] = tx
	tx.forget = func() { p.after(64*p.opts.T1, func() { delete(p.clients, key) }) }
	limit := 64 * p.opts.T1
	longest := t2
	if method == "INVITE" {
		longest = limit // timer A has no bound
	}
	again := func() { _ = p.send(dest, raw) } // the next one may pass
	first := p.opts.T1
	if p.wire.reliable() {
		first = limit
	}
	tx.resend = p.repeat(first, longest, limit, again, func() { tx.fail(ErrTimeout) })
	if err := p.send(dest, raw); err != nil {
		tx.fail(err)
	}
	return tx
}

func (tx *clientTx) fail(err error) {
	if tx.final {
		return
	}
	tx.final, tx.err = true, err
	tx.phone.stop(tx.resend)
	tx.forget()
	close(tx.result)
	if tx.failed != nil {
		tx.failed(err)
	}
}

// wait returns the final response.
func (tx *clientTx) wait(ctx context.Context) (*gosip.Response, error) {
	select {
	case <-tx.result:
		if tx.err != nil {
			return nil, fmt.Errorf("%s: %s to %s: %w", tx.phone.opts.User, tx.method, tx.dest, tx.err)
		}
		return tx.response, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %s to %s: %w", tx.phone.opts.User, tx.method, tx.dest, ctx.Err())
	case <-tx.phone.done:
		return nil, ErrClosed
	}
}

// response finds the transaction of a response by its branch (section 17.1.3).
func (p *Phone) response(res *gosip.Response) {
	_, method := cseqOf(res)
	p.mu.Lock()
	defer p.mu.Unlock()
	tx := p.clients[clientKey(param(topVia(res), "branch"), method)]
	if tx == nil {
		return
	}
	tx.receive(res)
}

// receive runs the transaction. Callers hold mu.
func (tx *clientTx) receive(res *gosip.Response) {
	p := tx.phone
	switch {
	case res.StatusCode < 200:
		if tx.final {
			return
		}
		if tx.method == "INVITE" {
			p.stop(tx.resend) // section 17.1.1.2: proceeding, the ringing time is the test's
		} else {
			tx.resend.interval = t2 // timer E
		}
		tx.provisional = true
	case !tx.final:
		tx.final, tx.response = true, res
		p.stop(tx.resend)
		tx.forget()
		defer close(tx.result) // after watch, so that the call is up to date
	}
	if tx.method == "INVITE" && res.StatusCode >= 300 {
		if tx.ack == nil {
			tx.ack = p.ackFor(tx.raw, res)
		}
		_ = p.send(tx.dest, tx.ack) // should it be lost, the response comes again
	}
	if tx.watch != nil {
		tx.watch(res)
	}
}

// ackFor builds the ACK of a final response other than 2xx: it belongs to the
// INVITE's transaction (RFC 3261 section 17.1.1.3).
func (p *Phone) ackFor(invite []byte, res *gosip.Response) []byte {
	msg, err := p.parser.ParseSIP(invite)
	if err != nil {
		return nil // the phone wrote it itself
	}
	number, _ := cseqOf(res)
	raw, _ := p.build(outgoing{
		method: "ACK", uri: requestURI(invite), via: topVia(msg), routes: values(msg, "Route"),
		from: value(msg, "From"), to: value(res, "To", "t"), callID: callIDOf(res), cseq: number,
	})
	return raw
}

// requestURI is the second word of a request, as it was written.
func requestURI(raw []byte) string {
	line, _, _ := strings.Cut(string(raw), "\r\n")
	if f := strings.Fields(line); len(f) == 3 {
		return f[1]
	}
	return ""
}

// serverTx is a server transaction (RFC 3261 section 17.2), and for an INVITE
// also the sender of its 2xx (section 13.3.1.4).
type serverTx struct {
	phone  *Phone
	source string
	req    *gosip.Request
	tag    string // To tag of our responses
	last   []byte // what a request that comes again is answered with
	status int
	resend *repeater
}

// serverKey names the transaction that a request belongs to; requests without
// a branch of RFC 3261 are told apart as RFC 2543 did.
func serverKey(req *gosip.Request, method string) string {
	via := topVia(req)
	if branch := param(via, "branch"); strings.HasPrefix(branch, "z9hG4bK") {
		sentBy, _, _ := strings.Cut(via, ";")
		return branch + " " + sentBy + " " + method
	}
	number, _ := cseqOf(req)
	return fmt.Sprintf("%s %s %d %s", callIDOf(req), fromTagOf(req), number, method)
}

// respond sends a response and, for a final one to an INVITE, sends it again
// until the ACK. Callers hold mu.
func (tx *serverTx) respond(r Reply) error {
	p := tx.phone
	if tx.status >= 200 {
		return fmt.Errorf("%s: %s is answered %d already", p.opts.User, tx.req.Method, tx.status)
	}
	tx.last, tx.status = tx.text(r), r.Code
	err := p.send(tx.source, tx.last)
	if tx.req.Method == "INVITE" && r.Code >= 200 && (r.Code < 300 || !p.wire.reliable()) {
		again := func() { _ = p.send(tx.source, tx.last) } // the next one may pass
		tx.resend = p.repeat(p.opts.T1, t2, 64*p.opts.T1, again, func() {})
	}
	return err
}

// text writes a response (RFC 3261 section 8.2.6).
func (tx *serverTx) text(r Reply) []byte {
	var b strings.Builder
	reason := r.Reason
	if reason == "" {
		reason = reasons[r.Code]
	}
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", r.Code, reason)
	for _, v := range values(tx.req, "Via", "v") {
		fmt.Fprintf(&b, "Via: %s\r\n", v)
	}
	for _, v := range values(tx.req, "Record-Route") {
		fmt.Fprintf(&b, "Record-Route: %s\r\n", v)
	}
	to := value(tx.req, "To", "t")
	if r.Code > 100 && param(to, "tag") == "" {
		to += ";tag=" + tx.tag
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n",
		value(tx.req, "From", "f"), to, callIDOf(tx.req), value(tx.req, "CSeq"))
	if r.Code > 100 && r.Code < 300 && !has(r.Headers, "Contact") {
		fmt.Fprintf(&b, "Contact: <%s>\r\n", tx.phone.URI())
	}
	writeRest(&b, r.Headers, r.ContentType, r.Body)
	return []byte(b.String())
}

// reasons are the reason phrases of the responses that tests use.
var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
	200: "OK", 202: "Accepted", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily",
	400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 407: "Proxy Authentication Required",
	408: "Request Timeout", 420: "Bad Extension", 422: "Session Interval Too Small",
	480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
	486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending",
	500: "Server Internal Error", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
}
