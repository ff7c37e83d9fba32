package sip

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/edge"
)

func (g *Guard) socketFor(network, next string) (string, error) {
	dest, err := netip.ParseAddrPort(next)
	if err != nil {
		return "", fmt.Errorf("next hop %q: %w", next, err)
	}
	local, err := g.edge.Local(network, dest)
	if err != nil {
		return "", err
	}
	return local.String(), nil
}

// onInviteResponse takes every answer of a target, late ones too.
func (c *Call) onInviteResponse(l *leg, r edge.Response) {
	if r.Err != nil {
		if l.open {
			l.open = false
			c.failed(l, failure{Reason: r.Err.Error()})
			l.State = Over
			c.reap(l)
		}
		return
	}
	res := r.Response
	l.alive = true
	stop(&l.dead)
	l.Peer = res.Source()
	switch {
	case res.StatusCode < 200:
		c.progress(l, res)
	case res.StatusCode < 300:
		c.accepted(l, res)
	case res.StatusCode == 422 && c.tryLonger(l, res):
	case c.challenged(l, res):
	default:
		l.open = false
		l.State = Over
		c.follow(l, res)
		c.failed(l, failure{Code: res.StatusCode, Reason: res.Reason, res: res})
		if l.held != nil {
			c.g.refuse(l.held.req, l.held.tx, 481)
			l.held = nil
		}
		c.reap(l)
	}
}

// progress passes on what a ringing target says.
func (c *Call) progress(l *leg, res *gosip.Response) {
	if l.cancel {
		c.sendCancel(l)
		return
	}
	if res.StatusCode == 100 || l.State == Confirmed {
		return
	}
	l.State = Early
	l.Dialog.learn(res, tag(get(res, "to")), true)
	if c.transfer != nil && c.transfer.to == l {
		c.notify(c.transfer, res.StatusCode, res.Reason)
	}
	if c.answered() || c.back != nil {
		c.prack(l, res)
		return // the caller hears the prompt
	}
	s := sdpOf(res)
	if s != nil && (c.early == nil || c.early == l) {
		c.hear(l, s, nil)
		c.settle(s)
		c.startRecording()
		c.media.Bridge(l.ID)
	}
	if c.early == nil {
		c.early = l
	}
	c.caller.State = Early
	out := c.relay(res, l)
	c.renumberRSeq(out, res, l)
	if err := c.inviteTx.Respond(out); err != nil {
		c.log.Debug("progress not sent", zap.Error(err))
	}
}

// accepted takes a 2xx. The first one that comes while the caller waits wins;
// every other is acknowledged and ended at once.
func (c *Call) accepted(l *leg, res *gosip.Response) {
	if l.State == Confirmed || l.State == Over && !l.open {
		c.repeated2xx(l, res)
		return
	}
	l.open = false
	l.State, l.Since = Confirmed, time.Now()
	l.Dialog.learn(res, tag(get(res, "to")), true)
	l.allows(res)
	c.timed(l, res, true)
	i := slices.Index(c.offers, l)
	if i >= 0 && c.Offer != "" && l.Remote == "" && !c.namesMedia(res) {
		c.acknowledge(l, nil)
		c.bye(l, nil)
		c.failed(l, failure{Reason: "it answered the offer of media with nothing"})
		c.reap(l)
		return
	}
	if i >= 0 && c.transfer != nil && c.transfer.to == l && c.State == Bridged {
		c.acknowledge(l, nil)
		c.handOver(l, res)
		return
	}
	if i >= 0 && c.State == Bridged && c.relief != nil && slices.Contains(c.relief.legs, l) {
		c.acknowledge(l, nil)
		c.relieved(l, res)
		return
	}
	alone := c.taker == nil && (c.State == Offering || c.State == Waiting)
	wins := alone && (i >= 0 || c.welcome(l)) || c.State == Relieving && i >= 0
	if c.State == Releasing && i >= 0 && c.ready == nil && l.held == nil {
		c.acknowledge(l, nil)
		stop(&l.ring)
		c.ready, c.answer200 = l, res // if the taker's release is intercepted, this is who has the caller
		return
	}
	l.lateAck = wins && c.Offer == "" && !c.answered() && sdpOf(res) != nil
	if !l.lateAck {
		c.acknowledge(l, nil)
	}
	if !wins {
		c.offers = without(c.offers, l)
		if h := l.held; h != nil { // it has left already
			l.held, l.State = nil, Over
			c.crossed(l, h.req)
			c.ok(h.req, h.tx)
		}
		c.bye(l, nil)
		c.drop(l)
		c.reap(l)
		return
	}
	c.take(l, res)
}

// namesMedia tells whether a 2xx says of any media where it goes (RFC 3261 section
// 13.3.1.4). One that does not would leave the caller with a line on which
// nobody can hear anybody, and most phones hang up on it. What we cannot read
// ourselves passes. Nor has anybody taken a caller in need who refuses every
// stream of theirs.
func (c *Call) namesMedia(res *gosip.Response) bool {
	s := sdpOf(res)
	if s == nil || c.Kind != policy.Emergency {
		return bytes.Contains(res.Body(), []byte("m="))
	}
	live := func(m mline) bool { return m.port != 0 }
	offer, err := c.offering()
	return slices.ContainsFunc(s.media, live) || err == nil && !slices.ContainsFunc(offer.media, live)
}

// take makes l, whose answer is res, the taker.
func (c *Call) take(l *leg, res *gosip.Response) {
	stop(&l.ring)
	c.offers = without(c.offers, l)
	for _, other := range slices.Clone(c.offers) {
		c.giveUp(other)
	}
	c.offers, c.plan = nil, nil
	c.vigil.left = c.taker
	c.taker, c.early = l, nil
	c.answer200 = res
	c.fire(takerAnswered)
	if !l.lateAck { // its 2xx, if it comes again, is a stray
		l.sent.Forget()
		l.request = nil
	}
}

// repeated2xx takes a 2xx of a leg that has answered: the same again, because
// our ACK was lost, or that of another branch of a fork.
func (c *Call) repeated2xx(l *leg, res *gosip.Response) {
	if fork := tag(get(res, "to")); fork != l.Dialog.RemoteTag && l.State == Confirmed {
		c.endFork(l, res, fork)
	} else if l.ack != nil {
		c.g.edge.Write(l.ack)
	}
}

// welcome tells whether the answer of a target that was given up is taken all
// the same: its CANCEL crossed the answer, and nobody else has the caller.
func (c *Call) welcome(l *leg) bool {
	s := c.g.settings.Load()
	if !l.cancel || !l.hasMedia || l.held != nil || c.excluded(s.target(l.Target)) {
		return false
	}
	l.cancel, l.Rescue = false, c.queued()
	if key := l.deskKey(); c.g.desks.take(key, 0) {
		l.Key = key
	}
	return true
}

// bridge connects the caller with the taker who answered.
func (c *Call) bridge() {
	l, res := c.taker, c.answer200
	c.answer200 = nil
	stop(&c.retry)
	c.g.queue.leave(c)
	now := time.Now()
	c.Taken = now
	var s *session
	if res != nil { // nil: it called us, and was answered already
		if s = sdpOf(res); s != nil {
			c.hear(l, s, nil)
		}
	}
	first := !c.answered() && c.back == nil
	if first {
		c.up.Store(true)
		c.Answered = now
		c.caller.State = Confirmed
		c.caller.Since = now
	}
	c.seated(l)
	c.recordAnswer(l, res)
	c.startRecording()
	c.markTaker(l)
	if first {
		if s != nil && c.Offer != "" {
			c.settle(s)
		}
		out := c.final(res, l)
		c.timed(c.caller, out, false)
		c.answer(c.caller, c.inviteTx, out, c.callerSilent)
	}
	c.media.Bridge(l.ID)
	if codes := c.codes(); len(codes) > 0 && c.guardedKind() {
		c.media.WatchCodes(l.ID, codes)
	}
	switch {
	case first:
	case c.Held: // by the taker before
		c.unhold(l)
	case s != nil:
		c.fitCaller(l, s)
	}
	c.keepVigil()
	if l.Rescue {
		c.rescued(l)
	}
	if c.back != nil {
		c.back.taken(c)
	}
	c.letBye(l) // if it hung up before we saw its answer
}

// settle fixes what the caller will be sent, by the answer it was given.
func (c *Call) settle(answer *session) {
	offer, err := parseSDP([]byte(c.Offer))
	if err != nil {
		return
	}
	remotes := offer.remotes()
	c.InUse = nil
	for i, m := range answer.media {
		if i >= len(remotes) {
			break
		}
		c.InUse = append(c.InUse, negotiated(remotes[i].Codecs, answer.codecs(m)))
	}
	c.hear(c.caller, offer, c.InUse)
}

// callerSilent: the caller never acknowledged our 2xx. Where there is sound
// from them, they are there, and stay.
func (c *Call) callerSilent() {
	if c.caller.byeDue != nil {
		req := c.caller.byeDue
		c.caller.byeDue = nil
		c.send(c.caller, req, func(edge.Response) {})
	}
	if c.heard() {
		c.caller.Acked = true
		c.log.Warn("caller did not acknowledge, but is heard: kept")
		if l := c.taker; l != nil && l.lateAck {
			l.lateAck = false
			c.letBye(l)
		}
		return
	}
	c.ended.By, c.ended.Reason = "error", "the caller never acknowledged the answer"
	c.fire(callerLost)
	c.settled()
}

// onStray ends a call that a target took after its transaction was over.
func (c *Call) onStray(res *gosip.Response) {
	l := c.legs[tag(get(res, "from"))]
	if l == nil || l == c.caller {
		return
	}
	if res.StatusCode < 200 {
		l.cancelSent = false // it rings for an offer that is over
		c.sendCancel(l)
		return
	}
	if l.State == Confirmed || l.State == Over && l.ack != nil {
		c.repeated2xx(l, res)
		return
	}
	l.Dialog.learn(res, tag(get(res, "to")), true)
	c.acknowledge(l, nil)
	l.State = Confirmed
	c.bye(l, nil)
}

// startRecording begins the recording with the first media of a call.
func (c *Call) startRecording() {
	if c.g.opts.Audio == nil || c.Recording != 0 || c.Kind == policy.Test {
		return
	}
	rec, path, err := c.g.opts.Audio.Start(c.ID, time.Now())
	if err != nil {
		c.log.Error("recording cannot start, the call goes on", zap.Error(err))
		c.g.degraded("a recording cannot start: " + err.Error())
		return
	}
	c.Recording, c.RecordedTo = rec, path
	c.media.Record(rec)
	c.record("recording.started", recordingData{Path: path})
}

func (c *Call) markTaker(l *leg) {
	if c.g.opts.Audio != nil && c.Recording != 0 {
		c.g.opts.Audio.Mark(c.Recording, time.Now(), "taker "+l.Target)
	}
}

// final is the 200 for the caller: the taker's, or our own for a taker who
// called in while the caller waited.
func (c *Call) final(res *gosip.Response, l *leg) *gosip.Response {
	if res != nil {
		return c.relay(res, l)
	}
	offer, err := parseSDP([]byte(c.Offer))
	if err != nil {
		offer = &session0
	}
	taker, err := parseSDP([]byte(l.Remote))
	if err != nil {
		taker = offer
	}
	var use [][]media.Codec
	for _, m := range taker.media {
		use = append(use, taker.codecs(m))
	}
	answer := offer.answer(use)
	for i := range answer.media {
		if i >= len(taker.media) || taker.media[i].port == 0 {
			answer.decline(i) // the taker has no such stream
		}
	}
	c.settle(answer)
	return c.accept(c.invite, c.caller, answer)
}

// endFork ends a second dialog that one INVITE led to: a proxy behind the
// target forked it, and another branch has answered (RFC 3261 section 13.2.2.4).
func (c *Call) endFork(l *leg, res *gosip.Response, fork string) {
	other := &leg{Leg: Leg{Role: RoleTaker, Target: l.Target, State: Confirmed, Dialog: l.Dialog, Invite: l.Invite, Peer: l.Peer}}
	other.Dialog.learn(res, fork, true)
	c.acknowledge(other, nil)
	c.bye(other, nil)
}
