package sip

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip/edge"
)

func itoa(n int) string { return strconv.Itoa(n) }

// onInvite starts a call (RFC 3261 section 13.3.1).
func (g *Guard) onInvite(req *gosip.Request, tx *gosip.ServerTx) {
	if g.spirals(req) {
		g.pass(req, tx)
		return
	}
	if get(req, "join") != "" && g.supervisorJoins(req, tx) || g.supervisorDials(req, tx) {
		return
	}
	if code := g.rejects(req); code != 0 {
		g.refuse(req, tx, code)
		return
	}
	for _, name := range []string{"replaces", "join"} {
		if v := get(req, name); v != "" {
			if n, ok := parseNamed(v); ok && g.find(n.callID, n.toTag) != nil {
				g.onReplaces(req, tx, v, name == "join")
				return
			}
		}
	}
	uri := req.Recipient.String()
	routes := list(getAll(req, "route"))
	viaUs := len(routes) > 0 && g.isOurs(parseAddress(routes[0]).URI)
	route, ok := g.settings.Load().route(uri)
	if !ok && viaUs && !g.isOurs(uri) {
		route, ok = Route{Match: uri, To: []string{uri}, Kind: policy.Emergency}, true
	}
	if !ok {
		g.refuse(req, tx, 404)
		return
	}
	if route.Kind == policy.Emergency && g.fromPosition(req) && !strings.HasPrefix(strings.ToLower(uri), "urn:service:sos") {
		route.Kind = policy.Admin // one call taker asks another: nobody is in need on this leg
	}
	if route.Kind == policy.Admin && tooShort(req) {
		g.refuseShort(req, tx)
		return
	}
	c := g.newCall(req, tx, route)
	c.ViaUs = viaUs

	g.add(c)
	if err := tx.Respond(respond(req, 100, reasons[100], "")); err != nil {
		g.log.Debug("100 not sent", zap.Error(err))
	}
	g.oldAcks(c, req, tx)
	handle := c.handle // the transaction must not hold the call
	cancelled := func(r *gosip.Request) { handle.post(func(c *Call) { c.onCancel(r) }) }
	live := tx.OnCancel(cancelled)
	c.enter(c.start)
	if !live {
		cancelled(nil)
	}
}

// rejects tells why a new INVITE is not taken; 0 when it is.
func (g *Guard) rejects(req *gosip.Request) int {
	if g.Draining() {
		return 503
	}
	from, id := tag(get(req, "from")), get(req, "call-id")
	n, _, _ := cseq(req)
	g.mu.RLock()
	defer g.mu.RUnlock()
	if from != "" && g.byTag[from] != nil && g.byTag[from].ID == id {
		return 482 // our own INVITE came back to us
	}
	for _, c := range g.byID[id] {
		if from != "" && c.caller.Dialog.RemoteTag == from && c.inviteSeq == n && !c.over.Load() {
			return 482 // the same request over another path (RFC 3261 section 8.2.2.2)
		}
	}
	return 0
}

func (g *Guard) newCall(req *gosip.Request, tx *gosip.ServerTx, route Route) *Call {
	now := time.Now()
	id := get(req, "call-id")
	n, _, _ := cseq(req)
	c := &Call{
		g: g, invite: req, inviteTx: tx, inviteSeq: n,
		legs: map[string]*leg{},
		CallState: CallState{
			ID: id, Kind: route.Kind, Route: route, Started: now,
			From: parseAddress(get(req, "from")).without("tag").String(), To: get(req, "to"),
			Asserted: asserted(req), RequestURI: req.Recipient.String(), Priority: get(req, "resource-priority"),
			Intake: policy.Intake{}, State: Offering,
		},
	}
	c.handle = &handle{}
	c.handle.Store(c)
	c.log = g.log.With(zap.String("call", id))
	c.identify()
	c.caller = c.callerLeg(req)
	c.legs[c.caller.Dialog.LocalTag] = c.caller
	g.count(c.Kind, "", Offering)
	switch c.Kind {
	case policy.Emergency:
		g.stats.emergency.Add(1)
	case policy.Admin:
		g.stats.admin.Add(1)
	case policy.Test:
	}
	return c
}

// callerLeg is the dialog that the INVITE begins, with us as its UAS.
func (c *Call) callerLeg(req *gosip.Request) *leg {
	a := edge.ArrivalOf(req)
	source := a.Source
	if source == "" {
		source = req.Source()
	}
	n, _, _ := cseq(req)
	l := &leg{Leg: Leg{
		Role: RoleCaller, Target: c.From, State: Calling, Since: c.Started, Invite: n, Peer: source,
		Dialog: Dialog{
			CallID: c.ID, LocalTag: newToken(), RemoteTag: tag(get(req, "from")),
			Local:  parseAddress(get(req, "to")).without("tag").String(),
			Remote: parseAddress(get(req, "from")).without("tag").String(),
			// Our own numbers start well away from the caller's.
			LocalSeq: 1, RemoteSeq: n, Network: strings.ToLower(req.Transport()), Next: source,
			User: userOf(req.Recipient.String()), Target: "sip:" + source,
		},
	}}
	l.Dialog.FixedNext = inNetworks(c.g.settings.Load().NAT, source)
	l.Dialog.learn(req, "", true)
	l.allows(req)
	l.Dialog.Socket = a.Local
	if ap, err := netip.ParseAddrPort(a.Local); err != nil || ap.Addr().IsUnspecified() {
		if src, err := netip.ParseAddrPort(source); err == nil {
			if local, err := c.g.edge.Local(l.Dialog.Network, src); err == nil {
				l.Dialog.Socket = local.String()
			}
		}
	}
	return l
}

// start is a call's first event.
func (c *Call) start() {
	session, err := c.g.opts.Media.Open(c.ID, c.onMedia)
	if err != nil {
		c.log.Error("no media", zap.Error(err))
		c.g.degraded("media cannot be opened: " + err.Error())
		session = noMedia{}
	}
	c.media = session
	offer := sdpOf(c.invite)
	if offer == nil {
		offer = &session0
	}
	c.hear(c.caller, offer, nil)
	if len(offer.media) > 0 {
		c.Offer = c.caller.Remote
	}
	c.log.Info("call comes in", zap.String("kind", string(c.Kind)), zap.String("route", c.Route.Match), c.personal("from", c.From))
	c.lookBack()
	c.Place.Tier = -1
	c.offerOn()
	c.announce(c.g.opts.Began)
}

// personal is a log field that is left out unless personal data may be logged.
func (c *Call) personal(key, value string) zap.Field {
	if !c.g.settings.Load().PersonalData {
		return zap.Skip()
	}
	return zap.String(key, value)
}

// session0 is an SDP without streams: an INVITE that makes no offer.
var session0 = session{}

// inviteTo builds the INVITE of a taker's leg: the caller's own, header by
// header and part by part, but for what belongs to the new dialog.
func (c *Call) inviteTo(l *leg) (*gosip.Request, error) {
	req, err := l.Dialog.request("INVITE", l.Dialog.nextSeq())
	if err != nil {
		return nil, err
	}
	l.Invite = l.Dialog.LocalSeq
	if hops, err := strconv.Atoi(strings.TrimSpace(get(c.invite, "max-forwards"))); err == nil && hops > 0 {
		left := gosip.MaxForwardsHeader(hops - 1)
		req.ReplaceHeader(&left)
	}
	// The session timer of the first dialog is not the next one's.
	var except []string
	if l.Rescue {
		except = []string{"session-expires", "min-se"}
	}
	if l.Replaces != "" {
		except = append(except, "replaces", "require")
	}
	if l.ReferredBy != "" {
		except = append(except, "referred-by")
	}
	carry(c.invite, req, except...)
	c.rename(req)
	c.addIdentifiers(req)
	if l.Replaces != "" {
		req.AppendHeader(gosip.NewHeader("Replaces", l.Replaces))
		req.AppendHeader(gosip.NewHeader("Require", "replaces"))
	}
	if l.ReferredBy != "" {
		req.AppendHeader(gosip.NewHeader("Referred-By", l.ReferredBy))
	}
	if !strings.Contains(strings.ToLower(strings.Join(getAll(c.invite, "supported"), ",")), "replaces") {
		req.AppendHeader(gosip.NewHeader("Supported", "replaces")) // we do, whatever the caller does
	}
	if l.Rescue {
		c.explain(req, l)
	} else {
		c.remark(req, l)
	}
	if l.HandedBy != "" {
		l.explainHandover(req)
	}
	body := c.invite.Body()
	if offer, err := c.offering(); err == nil {
		contentType := get(c.invite, "content-type")
		sdp := c.tell(l, offer.prefer(c.InUse))
		if _, _, has := sdpPart(contentType, body); has {
			body = withSDP(contentType, body, sdp)
		} else if len(body) == 0 {
			req.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
			body = sdp
		}
	}
	if len(body) > 0 {
		req.SetBody(body)
	} else {
		req.SetBody(nil)
	}
	return req, nil
}

// relay builds the caller's answer from a taker's: the same status, headers
// and parts, our own dialog and ports.
func (c *Call) relay(res *gosip.Response, l *leg) *gosip.Response {
	out := respond(c.invite, res.StatusCode, res.Reason, c.caller.Dialog.LocalTag)
	if res.StatusCode < 300 {
		c.caller.Dialog.Features = features(res)
		out.AppendHeader(gosip.NewHeader("Contact", c.caller.Dialog.contact()))
	}
	carry(res, out)
	body := res.Body()
	if s := sdpOf(res); s != nil {
		body = withSDP(get(res, "content-type"), body, c.tell(c.caller, s))
	}
	out.SetBody(body)
	return out
}

// features are the Contact parameters that say what a peer is (isfocus,
// +sip.src, RFC 3840); q and expires belong to a registration.
func features(msg gosip.Message) string {
	c := list(getAll(msg, "contact"))
	if len(c) == 0 {
		return ""
	}
	return parseAddress(c[0]).without("expires").without("q").Params
}

// oldAcks reads the ACKs that the transaction layer keeps to itself: an ACK
// whose Via has no RFC 3261 branch matches the INVITE's transaction.
func (g *Guard) oldAcks(c *Call, req *gosip.Request, tx *gosip.ServerTx) {
	branch, _ := req.Via().Params.Get("branch")
	if strings.HasPrefix(branch, gosip.RFC3261BranchMagicCookie) {
		return
	}
	g.wg.Go(func() {
		for {
			select {
			case ack := <-tx.Acks():
				c.post(func() { c.onRequest(ack, tx) })
			case <-tx.Done():
				return
			}
		}
	})
}

// fromPosition tells whether a request was made by a configured position,
// by the address in its Contact and the one it came from.
func (g *Guard) fromPosition(req *gosip.Request) bool {
	contacts := list(getAll(req, "contact"))
	if len(contacts) == 0 {
		return false
	}
	uri := parseAddress(contacts[0]).URI
	return g.settings.Load().target(uri).Desk && strings.HasSuffix(deskKey(uri), "@"+req.Source())
}
