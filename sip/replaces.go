package sip

import (
	"net/url"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
)

// named is a dialog as Replaces and Join name it (RFC 3891 section 6.1,
// RFC 3911 section 7.1), from the view of whoever is asked to give it up.
type named struct {
	callID, toTag, fromTag string
	earlyOnly              bool
}

func parseNamed(v string) (named, bool) {
	id, params, _ := strings.Cut(v, ";")
	n := named{callID: strings.TrimSpace(id)}
	n.toTag, _ = param(";"+params, "to-tag")
	n.fromTag, _ = param(";"+params, "from-tag")
	_, n.earlyOnly = param(";"+params, "early-only")
	return n, n.callID != "" && n.toTag != "" && n.fromTag != ""
}

// dialogNamed finds the leg of ours that n names: our own tag is its to-tag.
func (g *Guard) dialogNamed(n named) (*Call, string) {
	if c := g.find(n.callID, n.toTag); c != nil {
		return c, n.toTag
	}
	return nil, ""
}

const translateTime = 200 * time.Millisecond

// translate turns a Replaces value that names a dialog with us into the one
// that names the dialog on our other side, and returns the leg there. It asks
// another call's goroutine; peer is nil when no such dialog stands.
func (g *Guard) translate(replaces string) (string, *leg) {
	n, ok := parseNamed(replaces)
	if !ok {
		return "", nil
	}
	other, tag := g.dialogNamed(n)
	if other == nil {
		return "", nil
	}
	type answer struct {
		text string
		peer *leg
	}
	done := make(chan answer, 1)
	posted := other.post(func() {
		l := other.legs[tag]
		if l == nil || l.Dialog.RemoteTag != n.fromTag {
			done <- answer{}
			return
		}
		peer := other.across(l)
		if peer == nil {
			done <- answer{}
			return
		}
		peer.Left = transferSucceeded // it will be replaced by its own user agent
		copied := *peer
		done <- answer{peer.Dialog.CallID + ";to-tag=" + peer.Dialog.RemoteTag + ";from-tag=" + peer.Dialog.LocalTag, &copied}
	})
	if !posted {
		return "", nil
	}
	select {
	case a := <-done:
		return a.text, a.peer
	case <-time.After(translateTime): // two calls that ask each other
		return "", nil
	case <-g.stopped:
		return "", nil
	}
}

// onReplaces takes an INVITE that takes a dialog of ours over (RFC 3891): the
// sender becomes the taker in place of another, or the caller moves to another
// device. Join is the same while the caller is alone; beside a taker only the
// phone of a supervisor may (supervisorJoins).
func (g *Guard) onReplaces(req *gosip.Request, tx *gosip.ServerTx, value string, join bool) {
	n, ok := parseNamed(value)
	if !ok {
		g.refuse(req, tx, 400)
		return
	}
	c, tag := g.dialogNamed(n)
	posted := c != nil && c.post(func() { c.takeOver(req, tx, tag, n, join) })
	if !posted {
		g.refuse(req, tx, 481)
	}
}

func (c *Call) takeOver(req *gosip.Request, tx *gosip.ServerTx, tagOfLeg string, n named, join bool) {
	l := c.legs[tagOfLeg]
	offer := sdpOf(req)
	switch {
	case l == nil || l.Dialog.RemoteTag != n.fromTag || c.State == Ended:
		c.g.refuse(req, tx, 481)
		return
	case l.State != Confirmed && l != c.caller || n.earlyOnly:
		c.g.refuse(req, tx, 486) // RFC 3891 section 3: early-only and the dialog is confirmed
		return
	case offer == nil:
		c.g.refuse(req, tx, 488)
		return
	case join && (l != c.caller || c.taker != nil):
		c.g.refuseSupervisor(req, tx)
		return
	}
	if l == c.caller && !join {
		c.moveCaller(req, tx, offer)
		return
	}
	c.newTaker(req, tx, offer, l)
}

// uasLeg is the dialog of an INVITE that we answer ourselves.
func (c *Call) uasLeg(req *gosip.Request, role Role) *leg {
	l := c.callerLeg(req)
	l.Role, l.State = role, Confirmed
	l.Target = parseAddress(get(req, "from")).URI
	if contacts := list(getAll(req, "contact")); len(contacts) > 0 {
		l.URI = parseAddress(contacts[0]).URI
	}
	if t := c.g.settings.Load().deskOf(l.URI, l.Peer, l.Target); t.Desk {
		l.Target, l.Agent, l.Desk = t.Name, t.Agent, true
		if c.g.desks.take(t.Key, 0) {
			l.Key = t.Key
		}
	}
	l.Dialog.CallID = get(req, "call-id")
	c.legs[l.Dialog.LocalTag] = l
	c.g.addLeg(c, l)
	return l
}

// newTaker puts the sender of req in a taker's place.
func (c *Call) newTaker(req *gosip.Request, tx *gosip.ServerTx, offer *session, gone *leg) {
	l := c.uasLeg(req, RoleTaker)
	c.hear(l, offer, nil)
	answer := offer.answer(c.InUse)
	c.hear(l, offer, c.usable(offer, answer))
	res := c.accept(req, l, answer)
	c.log.Info("taker replaced", zap.String("leg", l.label()), zap.String("was", gone.Target))
	for _, o := range append([]*leg{}, c.offers...) {
		c.giveUp(o)
	}
	c.offers, c.plan = nil, nil
	old := c.taker
	c.taker, c.early = l, nil
	l.Rescue = c.queued()
	c.answer200 = nil
	if c.State == Waiting {
		c.fire(takerAnswered)
	} else {
		c.fire(takerReplaced)
	}
	c.answer(l, tx, res, func() { c.lost(l, "never acknowledged") })
	if old != nil && old != l {
		c.bye(old, nil) // RFC 3891 section 3
		c.drop(old)
		c.reap(old)
	}
}

// moveCaller puts the sender of req in the caller's place: the same call on
// another device. Media stays where it is; only its far end moves.
func (c *Call) moveCaller(req *gosip.Request, tx *gosip.ServerTx, offer *session) {
	old := c.caller
	l := c.uasLeg(req, RoleCaller)
	l.ID, l.Ports, l.hasMedia, l.Target = media.Caller, old.Ports, true, old.Target
	answer := offer.answer(c.InUse)
	use := c.usable(offer, answer)
	c.hear(l, offer, use)
	c.InUse, c.Offer = use, l.Remote
	c.caller = l
	c.log.Info("caller moved to another device")
	res := c.accept(req, l, answer)
	c.answer(l, tx, res, c.callerSilent)
	old.Role = "former caller"
	c.bye(old, nil)
	old.hasMedia = false
	c.reap(old)
}

// accept is our own 200 to an offer.
func (c *Call) accept(req *gosip.Request, l *leg, answer *session) *gosip.Response {
	res := respond(req, 200, reasons[200], l.Dialog.LocalTag)
	res.AppendHeader(gosip.NewHeader("Contact", l.Dialog.contact()))
	res.AppendHeader(gosip.NewHeader("Allow", allow))
	res.AppendHeader(gosip.NewHeader("Supported", "replaces, join"))
	res.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
	res.SetBody(c.tell(l, answer))
	return res
}

func (c *Call) usable(offer, answer *session) [][]media.Codec {
	var use [][]media.Codec
	for i, o := range offer.remotes() {
		use = append(use, negotiated(o.Codecs, answer.codecs(answer.media[i])))
	}
	return use
}

// rename replaces in a passed request the dialogs that Replaces, Join,
// Target-Dialog and Refer-To name on one side by their names on the other.
func (c *Call) rename(out *gosip.Request) {
	for _, h := range out.Headers() {
		switch longName(h.Name()) {
		case "replaces", "join", "target-dialog":
			if text, peer := c.g.translateFor(c, h.Value()); peer {
				out.ReplaceHeader(gosip.NewHeader(h.Name(), text))
			}
		}
	}
}

// translateFor is translate for a dialog that may be c's own: c's goroutine,
// in which it runs, is not asked.
func (g *Guard) translateFor(c *Call, value string) (string, bool) {
	n, ok := parseNamed(value)
	if !ok {
		return "", false
	}
	if l := c.legs[n.toTag]; l != nil {
		peer := c.across(l)
		if peer == nil || l.Dialog.RemoteTag != n.fromTag {
			return "", false
		}
		return peer.Dialog.CallID + ";to-tag=" + peer.Dialog.RemoteTag + ";from-tag=" + peer.Dialog.LocalTag, true
	}
	text, peer := g.translate(value)
	return text, peer != nil
}

// renameReferTo does the same inside a Refer-To URI.
func (c *Call) renameReferTo(out *gosip.Request) {
	for _, h := range out.Headers() {
		if longName(h.Name()) != "refer-to" {
			continue
		}
		a := parseAddress(h.Value())
		bare, headers, ok := strings.Cut(a.URI, "?")
		if !ok {
			return
		}
		fields := strings.Split(headers, "&")
		for i, f := range fields {
			k, v, _ := strings.Cut(f, "=")
			text, err := url.PathUnescape(v)
			if !strings.EqualFold(k, "replaces") || err != nil {
				continue
			}
			if renamed, ok := c.g.translateFor(c, text); ok {
				fields[i] = k + "=" + strings.ReplaceAll(url.QueryEscape(renamed), "+", "%20")
			}
		}
		a.URI = bare + "?" + strings.Join(fields, "&")
		out.ReplaceHeader(gosip.NewHeader(h.Name(), a.String()))
		return
	}
}
