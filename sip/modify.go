package sip

import (
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/edge"
)

// relayed is an in-dialog request that was passed on to the other side.
type relayed struct {
	from, to *leg
	req      *gosip.Request
	tx       *gosip.ServerTx
	out      *gosip.Request
	seq      uint32   // CSeq on to
	offer    *session // in req
	ack      *gosip.Request
	late     bool // the answer comes in the ACK
	done     bool // answered by us: what the other side says is late
	wait     *time.Timer
}

// onOffer takes re-INVITE and UPDATE. They pass to the other side; while the
// caller is alone, the caller's are answered by us.
func (c *Call) onOffer(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	switch {
	case (l != c.caller || c.Kind == policy.Admin) && tooShort(req):
		c.g.refuseShort(req, tx)
		return
	case l.supervises() && c.State != Ended && l.State == Confirmed:
		c.supervisorReoffer(l, req, tx)
		return
	case l == c.caller && c.taker != nil && c.taker.supervises() && c.State != Ended && c.answered():
		c.answerSelf(req, tx) // a supervisor's session is another one than the caller's
		return
	}
	if to := c.across(l); to != nil {
		c.forward(l, to, req, tx)
		return
	}
	if l == c.caller && c.State != Ended && (c.answered() || req.Method == gosip.UPDATE) {
		c.answerSelf(req, tx)
		return
	}
	c.g.refuse(req, tx, 481)
}

// onOther takes every other method. While the caller is alone it is answered
// politely: there is nobody to pass it to, and nothing of it may cost the call.
func (c *Call) onOther(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	if to := c.across(l); to != nil {
		c.forward(l, to, req, tx)
		return
	}
	switch req.Method {
	case gosip.REFER, gosip.SUBSCRIBE:
		c.g.refuse(req, tx, 480)
	default:
		c.ok(req, tx)
	}
}

// across is the leg on the other side of l; nil when nobody is there.
func (c *Call) across(l *leg) *leg {
	switch {
	case c.State == Ended:
		return nil
	case c.taker != nil && c.taker.hungUp != nil && (l == c.caller || l == c.taker):
		return nil // a browser has no dialog
	case l == c.caller && c.taker != nil:
		return c.taker
	case l == c.caller && !c.answered():
		return c.early
	case l == c.taker || l == c.early:
		return c.caller
	}
	return nil
}

// forward passes a request on in the dialog of the other side and its answers
// back.
func (c *Call) forward(from, to *leg, req *gosip.Request, tx *gosip.ServerTx) {
	seq := to.Dialog.nextSeq()
	out, err := to.Dialog.request(string(req.Method), seq)
	if err != nil {
		c.g.refuse(req, tx, 500)
		return
	}
	if hops, err := strconv.Atoi(strings.TrimSpace(get(req, "max-forwards"))); err == nil && hops > 0 {
		left := gosip.MaxForwardsHeader(hops - 1)
		out.ReplaceHeader(&left)
	}
	r := &relayed{from: from, to: to, req: req, tx: tx, out: out, seq: seq, offer: sdpOf(req)}
	r.late = r.offer == nil && req.Method == gosip.INVITE
	c.fill(out, req, to)
	c.rename(out)
	c.renameReferTo(out)
	c.renumberRAck(out, from, to)
	if req.Method == gosip.INVITE {
		if from.passing == nil {
			from.passing = map[uint32]*relayed{}
		}
		n, _, _ := cseq(req)
		from.passing[n] = r
		_ = tx.Respond(respond(req, 100, reasons[100], "")) // stops its repetition
		c.g.oldAcks(c, req, tx)
		tx.OnCancel(func(*gosip.Request) { c.post(func() { c.cancelRelayed(r) }) })
	}
	c.asks(r)
	c.send(to, out, func(res edge.Response) { c.onRelayed(r, res) })
}

// renumberRAck names the INVITE's number on the other side (RFC 3262 section 7.2).
func (c *Call) renumberRAck(out *gosip.Request, from, to *leg) {
	f := strings.Fields(get(out, "rack"))
	if len(f) != 3 || f[1] != strconv.FormatUint(uint64(from.Invite), 10) {
		return
	}
	f[1] = strconv.FormatUint(uint64(to.Invite), 10)
	for _, h := range out.Headers() {
		if longName(h.Name()) == "rack" {
			out.ReplaceHeader(gosip.NewHeader(h.Name(), strings.Join(f, " ")))
			return
		}
	}
}

// onRelayed passes an answer back.
func (c *Call) onRelayed(r *relayed, res edge.Response) {
	if res.Err != nil {
		if c.costsCaller(r, 408) && !r.done {
			c.answerAlone(r)
		} else if !r.done {
			c.told(r)
			c.relayFailed(r, 408)
		}
		if tellsGone(r.req.Method, 408) {
			c.gone(r.to, "no answer to "+string(r.req.Method))
		}
		return
	}
	code := res.StatusCode
	if code == 100 {
		return
	}
	if r.done || c.costsCaller(r, code) {
		c.late(r, code)
		return
	}
	if code >= 200 {
		c.told(r)
	}
	if code >= 200 && r.ack != nil {
		c.g.edge.Write(r.ack) // the 2xx again
		return
	}
	out := respond(r.req, code, res.Reason, r.from.Dialog.LocalTag)
	if code < 300 && (r.req.Method == gosip.INVITE || r.req.Method == gosip.UPDATE || r.req.Method == gosip.SUBSCRIBE) {
		r.to.Dialog.learn(res.Response, "", false)
		c.timed(r.to, res.Response, true)
		out.AppendHeader(gosip.NewHeader("Contact", r.from.Dialog.contact()))
	} else if code < 300 && r.req.Method == gosip.REFER {
		out.AppendHeader(gosip.NewHeader("Contact", r.from.Dialog.contact())) // RFC 3515 section 2.2 wants one
	}
	carry(res.Response, out)
	c.timed(r.from, out, false)
	body := res.Body()
	if s := sdpOf(res.Response); s != nil {
		body = withSDP(get(res, "content-type"), body, c.tell(r.from, s))
		c.agreed(r, s, code)
	}
	out.SetBody(body)
	switch {
	case r.req.Method == gosip.INVITE && code >= 200 && code < 300:
		if !r.late {
			c.ackRelayed(r, nil)
		}
		c.answer(r.from, r.tx, out, func() {})
	default:
		if err := r.tx.Respond(out); err != nil {
			c.log.Debug("answer not sent", zap.Error(err))
		}
	}
	if code >= 200 && code < 300 && r.to == c.caller {
		c.reachCaller()
	}
	c.answeredGone(r, code)
}

// late takes an answer that is not passed to the caller, who has one of ours
// or gets it now.
func (c *Call) late(r *relayed, code int) {
	if r.ack != nil && code >= 200 {
		c.g.edge.Write(r.ack) // the 2xx again
		return
	}
	if !r.done {
		c.answerAlone(r)
	}
	if r.req.Method == gosip.INVITE && code >= 200 && code < 300 {
		c.ackRelayed(r, nil)
	}
	c.answeredGone(r, code)
}

// answeredGone takes an answer that may say that its sender is gone.
func (c *Call) answeredGone(r *relayed, code int) {
	if tellsGone(r.req.Method, code) {
		c.gone(r.to, "answered "+strconv.Itoa(code)+" to "+string(r.req.Method))
	}
}

func (c *Call) relayFailed(r *relayed, code int) {
	if err := r.tx.Respond(respond(r.req, code, reasons[code], r.from.Dialog.LocalTag)); err != nil {
		c.log.Debug("answer not sent", zap.Error(err))
	}
}

// agreed applies an offer and its answer to media.
func (c *Call) agreed(r *relayed, answer *session, code int) {
	if code >= 300 {
		return
	}
	c.hear(r.to, answer, nil)
	if r.offer == nil {
		if r.to == c.taker && code >= 200 {
			c.takerSays(answer)
			c.look()
		}
		return // answer is an offer; the answer to it comes with the ACK
	}
	var use [][]media.Codec
	for i, o := range r.offer.remotes() {
		if i < len(answer.media) {
			use = append(use, negotiated(o.Codecs, answer.codecs(answer.media[i])))
		}
	}
	if r.from == c.taker {
		if was, err := parseSDP([]byte(r.from.Remote)); err == nil {
			c.moved(was, r.offer)
		}
	}
	c.hear(r.from, r.offer, use)
	if code >= 200 {
		c.bothSay(r, answer)
	}
	if r.from == c.caller {
		c.InUse, c.Offer = use, c.caller.Remote
		c.Held = false
		return
	}
	if r.to == c.caller {
		c.InUse = nil
		for _, m := range answer.media {
			c.InUse = append(c.InUse, answer.codecs(m))
		}
		c.Offer = c.caller.Remote
		c.Held = holds(r.offer)
	}
}

// bothSay notes what an offer and its answer say of who is heard. What the
// caller answers to a hold is no wish of theirs.
func (c *Call) bothSay(r *relayed, answer *session) {
	switch {
	case r.from == c.caller && r.to == c.taker:
		c.callerSays(r.offer)
		c.takerSays(answer)
	case r.from == c.taker:
		c.takerSays(r.offer)
	default:
		return
	}
	c.look()
}

// holds tells whether an offer puts its reader on hold.
func holds(s *session) bool {
	if deaf(s) {
		return true
	}
	for _, m := range s.media {
		if d := s.direction(m); d != "sendrecv" || s.connection(m).IsUnspecified() {
			return true
		}
	}
	return false
}

// answerSelf answers a caller who re-negotiates while waiting, with our own
// media: the prompt goes on.
func (c *Call) answerSelf(req *gosip.Request, tx *gosip.ServerTx) {
	res := respond(req, 200, reasons[200], c.caller.Dialog.LocalTag)
	res.AppendHeader(gosip.NewHeader("Contact", c.caller.Dialog.contact()))
	if se := get(req, "session-expires"); se != "" {
		// The caller keeps refreshing (RFC 4028 section 9).
		secs, _, _ := strings.Cut(se, ";")
		res.AppendHeader(gosip.NewHeader("Session-Expires", strings.TrimSpace(secs)+";refresher=uac"))
		res.AppendHeader(gosip.NewHeader("Require", "timer"))
	}
	offer := sdpOf(req)
	c.timed(c.caller, res, false)
	var body *session
	if offer != nil {
		body = offer.answer(c.InUse)
		var use [][]media.Codec
		for i, o := range offer.remotes() {
			use = append(use, negotiated(o.Codecs, body.codecs(body.media[i])))
		}
		c.hear(c.caller, offer, use)
		c.InUse, c.Offer = use, c.caller.Remote
		c.callerSays(offer)
	} else if req.Method == gosip.INVITE {
		body, _ = parseSDP([]byte(c.Offer))
	}
	if body != nil {
		res.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
		res.SetBody(c.tell(c.caller, body))
	}
	if req.Method == gosip.INVITE {
		c.answer(c.caller, tx, res, func() {})
		return
	}
	if err := tx.Respond(res); err != nil {
		c.log.Debug("200 not sent", zap.Error(err))
	}
}
