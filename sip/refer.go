package sip

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip/edge"
)

// transfer is a taker's REFER that Holdline performs itself (RFC 3515): the
// caller stays where they are until the target has answered.
type transfer struct {
	by, to *leg
	id     uint32 // CSeq of the REFER, named in its NOTIFYs
	quiet  bool   // Refer-Sub: false (RFC 4488): no NOTIFYs
}

// What became of a transfer, as policy is told.
const (
	transferPending   = "pending"
	transferSucceeded = "succeeded"
	transferFailed    = "failed"
)

const (
	transferRing = 30 * time.Second // how long a transfer's target may ring
	transferBye  = 10 * time.Second // a transferor who does not hang up after success is let go
)

// onRefer starts a transfer. REFER from the caller's side, and on calls that
// are not guarded, passes like any other request.
func (c *Call) onRefer(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	if l == c.taker && c.State == Relieving {
		c.lifeSign(req)
	}
	if l != c.taker || c.State != Bridged || !c.guardedKind() {
		c.onOther(l, req, tx)
		return
	}
	to := list(getAll(req, "refer-to"))
	if len(to) != 1 {
		c.g.refuse(req, tx, 400) // RFC 3515 section 2.4.2
		return
	}
	if c.transfer != nil {
		c.g.refuse(req, tx, 491)
		return
	}
	target, replaces := c.referTarget(parseAddress(to[0]).URI)
	if !c.mayTransfer(l, target) {
		c.g.refuse(req, tx, 403)
		return
	}
	n, _, _ := cseq(req)
	t := &transfer{by: l, id: n, quiet: strings.EqualFold(strings.TrimSpace(get(req, "refer-sub")), "false")}
	res := respond(req, 202, reasons[202], l.Dialog.LocalTag)
	res.AppendHeader(gosip.NewHeader("Contact", l.Dialog.contact()))
	if t.quiet {
		res.AppendHeader(gosip.NewHeader("Refer-Sub", "false"))
	}
	if err := tx.Respond(res); err != nil {
		c.log.Debug("202 not sent", zap.Error(err))
	}
	c.transfer = t
	c.notify(t, 100, reasons[100])
	leg := c.newOffer(target)
	leg.Replaces, leg.ReferredBy = replaces, get(req, "referred-by")
	if leg.ReferredBy == "" {
		leg.ReferredBy = "<" + l.URI + ">"
	}
	t.to = leg
	c.log.Info("transfer", zap.String("by", l.Target), zap.String("leg", leg.Target), zap.Bool("attended", replaces != ""))
	c.begin(leg, transferRing, nil)
}

// referTarget takes a Refer-To URI apart: whom to call, and the dialog to
// replace there (RFC 3891), under the names its own user agent knows it by.
func (c *Call) referTarget(uri string) (target, string) {
	bare, headers, _ := strings.Cut(uri, "?")
	replaces := ""
	for h := range strings.SplitSeq(headers, "&") {
		k, v, _ := strings.Cut(h, "=")
		if strings.EqualFold(k, "replaces") {
			if text, err := url.PathUnescape(v); err == nil {
				replaces = text
			}
		}
	}
	if replaces != "" {
		if translated, peer := c.g.translate(replaces); peer != nil {
			t := c.g.settings.Load().target(peer.Target)
			t.URI, t.Limit = peer.Dialog.Target, 0 // its desk is taken by the very call that is replaced
			return t, translated
		}
		return target{Name: bare, URI: bare, Key: deskKey(bare)}, replaces
	}
	s := c.g.settings.Load()
	t := s.target(bare)
	if r, ok := s.route(bare); ok && !t.Desk && len(r.To) > 0 && c.g.isOurs(bare) {
		first := r.To[0]
		if first == "{user}" {
			first = userOf(bare)
		}
		t = s.target(first)
	}
	return t, ""
}

// notify tells the transferor how the transfer goes: a message/sipfrag body
// (RFC 3515 section 2.4.4). A final status ends the subscription.
func (c *Call) notify(t *transfer, code int, reason string) {
	if t.quiet || t.by.State != Confirmed {
		return
	}
	req, err := t.by.Dialog.request("NOTIFY", t.by.Dialog.nextSeq())
	if err != nil {
		return
	}
	state := "active;expires=60"
	if code >= 200 {
		state = "terminated;reason=noresource"
	}
	req.AppendHeader(gosip.NewHeader("Event", "refer;id="+strconv.FormatUint(uint64(t.id), 10)))
	req.AppendHeader(gosip.NewHeader("Subscription-State", state))
	req.AppendHeader(gosip.NewHeader("Content-Type", "message/sipfrag;version=2.0"))
	req.SetBody(fmt.Appendf(nil, "SIP/2.0 %d %s\r\n", code, reason))
	c.send(t.by, req, func(edge.Response) {})
}

// handOver completes a transfer: the target has answered and is the taker.
// The transferor's BYE is now legitimate (i3 section 4.7.2).
func (c *Call) handOver(l *leg, res *gosip.Response) {
	t := c.transfer
	c.transfer = nil
	old := c.taker
	c.offers = without(c.offers, l)
	stop(&l.ring)
	c.taker, c.early = l, nil
	l.Outside = c.g.settings.Load().otherCentre(l)
	c.answer200 = res
	c.fire(takerReplaced)
	if old != nil {
		old.Left, old.failed, old.wentTo = transferSucceeded, "", l.Target
		c.Transferred = append(c.Transferred, old.deskKey())
		c.notify(t, 200, reasons[200])
		c.after(transferBye, func() {
			if old.State == Confirmed {
				c.bye(old, nil)
				c.drop(old)
				c.reap(old)
			}
		})
	}
}

// transferFailed tells the transferor; the call stays with them.
func (c *Call) transferFailed(why failure) {
	t := c.transfer
	c.transfer = nil
	t.by.failed = t.to.Target
	code, reason := why.Code, why.Reason
	if code == 0 {
		code, reason = 408, reasons[408]
	}
	c.notify(t, code, reason)
}

// leftAfterTransfer takes the BYE of a transferor whose transfer succeeded.
func (c *Call) leftAfterTransfer(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	l.byeSeen = true
	r := &release{leg: l, bye: &held{req, tx}, how: "bye"}
	r.data = c.releaseFacts(r, time.Now())
	f := c.facts(r, time.Now())
	r.data.Facts = &f
	v := c.verdict(f)
	if v.Decision == policy.Intercept { // a policy without a rule for it: there is nobody to keep any more
		v = policy.Verdict{Decision: policy.Allow, Rule: policy.RuleTransferred, Why: "somebody else has the caller", Policy: v.Policy}
	}
	c.countVerdict(v.Decision)
	c.record("release.requested", r.data)
	c.record("release.allowed", c.verdictData(r, v))
	c.letGo(r)
	c.reap(l)
}

func without(legs []*leg, l *leg) []*leg {
	var out []*leg
	for _, x := range legs {
		if x != l {
			out = append(out, x)
		}
	}
	return out
}
