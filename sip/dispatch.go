package sip

import (
	"slices"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/sip/edge"
)

// allow are the methods that are understood; anything else inside a dialog
// passes all the same.
const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, NOTIFY, SUBSCRIBE, REFER, REGISTER, PUBLISH"

// dispatch gives a request to whom it belongs. It runs in a goroutine of the
// request's own and must not block.
func (g *Guard) dispatch(req *gosip.Request, tx *gosip.ServerTx) {
	if req.Method == gosip.ACK {
		if g.onward(req) && g.throughUs(req) {
			g.passAck(req)
		} else {
			g.inDialog(req, tx)
		}
		tx.Terminate()
		return
	}
	if code := unacceptable(req); code != 0 {
		if code == 400 {
			g.intrusion(g.knownCall(req), req, tx, code, malformed)
		} else {
			g.refuse(req, tx, code)
		}
		return
	}
	if v := getAll(req, "proxy-require"); len(v) > 0 && req.Method != gosip.INVITE && tag(get(req, "to")) == "" {
		// RFC 3261 section 16.3. A call is taken all the same: somebody may need help.
		res := respond(req, 420, reasons[420], newToken())
		res.AppendHeader(gosip.NewHeader("Unsupported", strings.Join(list(v), ", ")))
		if err := tx.Respond(res); err != nil {
			g.log.Debug("420 not sent", zap.Error(err))
		}
		return
	}
	if tag(get(req, "to")) != "" {
		if g.throughUs(req) {
			g.pass(req, tx)
			return
		}
		g.inDialog(req, tx)
		return
	}
	if g.ongoing(req) { // careless peers leave the To tag out
		g.inDialog(req, tx)
		return
	}
	switch req.Method {
	case gosip.INVITE:
		g.onInvite(req, tx)
	case gosip.BYE:
		g.inDialog(req, tx) // careless peers leave the To tag out
	case gosip.CANCEL:
		g.refuse(req, tx, 481) // a CANCEL that matches is answered by its transaction
	case gosip.OPTIONS:
		if _, _, ok := g.way(req); ok && userOf(req.Recipient.String()) != "" {
			g.pass(req, tx)
			return
		}
		g.onOptions(req, tx)
	case gosip.REGISTER, gosip.SUBSCRIBE, gosip.NOTIFY, gosip.MESSAGE, gosip.PUBLISH, gosip.REFER, gosip.INFO:
		g.pass(req, tx)
	default:
		g.refuse(req, tx, 405)
	}
}

// ongoing tells whether a request without a To tag belongs to a call that is
// up: the caller's own Call-ID and tag, and a later number.
func (g *Guard) ongoing(req *gosip.Request) bool {
	from := tag(get(req, "from"))
	n, _, _ := cseq(req)
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, c := range g.byID[get(req, "call-id")] {
		if c.up.Load() && !c.over.Load() && n > c.inviteSeq && tag(get(c.invite, "from")) == from {
			return true
		}
	}
	return false
}

// unacceptable checks what any request must have (RFC 3261 section 8.1.1);
// 0 means it is well formed enough to be understood.
func unacceptable(req *gosip.Request) int {
	if !strings.EqualFold(req.SipVersion, "SIP/2.0") {
		return 505
	}
	if !edge.Known(strings.ToLower(req.Recipient.Scheme)) {
		return 416
	}
	if !single(req) || !hops(req) {
		return 400
	}
	n, method, ok := cseq(req)
	if !ok || n > 1<<31-1 || !strings.EqualFold(method, string(req.Method)) {
		return 400
	}
	if get(req, "call-id") == "" || !wellFormed(get(req, "from")) || !wellFormed(get(req, "to")) {
		return 400
	}
	if tag(get(req, "from")) == "" && tag(get(req, "to")) != "" {
		return 0 // RFC 2543 peers have no tags
	}
	if hops := get(req, "max-forwards"); hops != "" {
		v, err := strconv.ParseUint(strings.TrimSpace(hops), 10, 32)
		if err != nil || v > 255 {
			return 400
		}
		if v == 0 && tag(get(req, "to")) == "" && req.Method != gosip.OPTIONS {
			return 483 // an OPTIONS without hops left is for us (section 16.3)
		}
	}
	return 0
}

// single tells whether the headers that a request has once are there once:
// whoever sends two means to be understood differently by two elements
// (RFC 4475 sections 3.3.8 and 3.3.9).
func single(req *gosip.Request) bool {
	var seen [6]int
	for _, h := range req.Headers() {
		for i, name := range [...]string{"from", "to", "call-id", "cseq", "content-length", "max-forwards"} {
			if isNamed(h, name) {
				seen[i]++
			}
		}
	}
	return slices.Max(seen[:]) <= 1
}

// hops tells whether every Via could be read.
func hops(req *gosip.Request) bool {
	for _, h := range req.Headers() {
		if _, typed := h.(*gosip.ViaHeader); !typed && isNamed(h, "via") {
			return false
		}
	}
	return true
}

// wellFormed tells whether a From or To can be read at all.
func wellFormed(value string) bool {
	if value == "" || strings.Count(value, `"`)%2 != 0 && !strings.Contains(value, `\"`) {
		return false
	}
	a := parseAddress(value)
	scheme, rest, ok := strings.Cut(a.URI, ":")
	return ok && scheme != "" && rest != "" && !strings.ContainsAny(a.URI, " \t\"<>")
}

// refuse answers with an error of our own.
func (g *Guard) refuse(req *gosip.Request, tx *gosip.ServerTx, code int) {
	res := respond(req, code, reasons[code], newToken())
	switch code {
	case 405:
		res.AppendHeader(gosip.NewHeader("Allow", allow))
	case 503:
		res.AppendHeader(gosip.NewHeader("Retry-After", "5"))
	}
	if err := tx.Respond(res); err != nil {
		g.log.Debug("answer not sent", zap.Int("code", code), zap.Error(err))
	}
}

// inDialog posts a request to its call.
func (g *Guard) inDialog(req *gosip.Request, tx *gosip.ServerTx) {
	c := g.find(get(req, "call-id"), tag(get(req, "to")))
	posted := false
	if c != nil {
		posted = c.enter(func() { c.onRequest(req, tx) })
	}
	switch {
	case posted || req.Method == gosip.ACK:
	case c == nil && g.knownCall(req) != "":
		g.intrusion(g.knownCall(req), req, tx, 481, noDialog)
	default:
		g.refuse(req, tx, 481)
	}
}

// stray deals with responses that no transaction waits for. A 2xx to an
// INVITE that we gave up long ago still made the other side busy; it names
// our tag, so its call, if it is still known, can end it.
func (g *Guard) stray(res *gosip.Response) {
	_, method, ok := cseq(res)
	if !ok || method != "INVITE" || res.StatusCode == 100 || res.StatusCode > 299 {
		return
	}
	if c := g.find(get(res, "call-id"), tag(get(res, "from"))); c != nil {
		c.enter(func() { c.onStray(res) })
	}
}

// onRequest gives an in-dialog request to its verb.
func (c *Call) onRequest(req *gosip.Request, tx *gosip.ServerTx) {
	l := c.legOf(req)
	if l == nil {
		if req.Method != gosip.ACK {
			c.g.intrusion(c.ID, req, tx, 481, noDialog)
		}
		return
	}
	if c.forges(l, req) {
		c.forgery(req, tx)
		return
	}
	l.Peer = req.Source()
	if l.Dialog.FixedNext && len(l.Dialog.RouteSet) == 0 && inNetworks(c.g.settings.Load().NAT, l.Peer) {
		l.Dialog.Next = l.Peer // its binding has moved
	}

	if req.Method == gosip.ACK {
		c.onAck(l, req)
		return
	}
	n, _, _ := cseq(req)
	if n < l.Dialog.RemoteSeq && req.Method != gosip.BYE {
		c.g.refuse(req, tx, 500) // RFC 3261 section 12.2.2
		return
	}
	l.Dialog.RemoteSeq = max(n, l.Dialog.RemoteSeq)
	l.allows(req)
	switch req.Method {
	case gosip.BYE:
		c.onBye(l, req, tx)
	case gosip.REFER:
		c.onRefer(l, req, tx)
	case gosip.PRACK:
		c.onPrack(l, req, tx)
	case gosip.INVITE, gosip.UPDATE:
		l.Dialog.learn(req, "", false)
		c.onOffer(l, req, tx)
	case gosip.INFO:
		c.onInfo(l, req, tx)
	default:
		c.onOther(l, req, tx)
	}
}

// legOf finds the leg by our tag in To, or, without one, by the peer's.
func (c *Call) legOf(req *gosip.Request) *leg {
	local, remote := tag(get(req, "to")), tag(get(req, "from"))
	if local != "" {
		l := c.legs[local]
		if l != nil && l.State == Confirmed && l.Dialog.RemoteTag != "" && l.Dialog.RemoteTag != remote {
			return nil // our tag, but not its dialog (RFC 3261 section 12.2.2)
		}
		return l
	}
	for _, l := range c.legs {
		if l.Dialog.RemoteTag == remote {
			return l
		}
	}
	return nil
}
