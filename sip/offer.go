package sip

import (
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip/edge"
)

// Place is how far a call is in being offered: which tier, in which round.
type Place struct {
	Tier    int       `json:"tier"`
	Round   int       `json:"round"`
	Began   time.Time `json:"began,omitzero"` // of the round
	Offered int       `json:"offered"`        // targets that were offered the call in this round
}

const (
	roundTime   = time.Second      // a round takes this long at least: targets that refuse at once are not hammered
	defaultRing = 15 * time.Second // of a route or tier that names none
)

// tiers are whom the call is offered to in its present state.
func (c *Call) tiers() []Tier {
	if c.back != nil {
		return c.g.settings.Load().Fallback
	}
	if c.State == Offering {
		return []Tier{c.routed()}
	}
	tiers := c.g.settings.Load().Fallback
	if !c.anybody(tiers) {
		// Everyone in the queue has dropped this caller. The route's other
		// positions are better than nobody.
		return append(slices.Clip(tiers), c.routed())
	}
	if len(c.Avoid) > 0 && c.lastResort() {
		return append(slices.Clip(tiers), c.routed())
	}
	return tiers
}

func (c *Call) anybody(tiers []Tier) bool {
	s := c.g.settings.Load()
	for _, t := range tiers {
		for _, name := range t.To {
			if !c.excluded(s.target(name)) {
				return true
			}
		}
	}
	return false
}

// excluded tells whether t released this call before, at this or another
// desk. A URI that is no desk may be a queue of many people: when it is all
// there is, it is offered the call again after the rounds without anybody.
func (c *Call) excluded(t target) bool {
	if c.avoided(t) {
		return true
	}
	if c.State == Relieving && (t.Key == c.taker.deskKey() || t.Agent != "" && t.Agent == c.taker.Agent) {
		return true // they have the caller already
	}
	if slices.Contains(c.Released, "target "+t.Key) {
		return t.Desk || c.Place.Round < lastResortRound
	}
	return t.Agent != "" && slices.Contains(c.Released, "agent "+t.Agent)
}

const lastResortRound = 10

const rangOut = "rang out"

// offerOn takes the call a step further when nobody is being offered it: the
// next target, the next tier, the next round. It ends by offering, by
// waiting for a moment, or by leaving Offering.
func (c *Call) offerOn() {
	for len(c.offers) == 0 {
		if len(c.plan) > 0 {
			t := c.plan[0]
			c.plan = c.plan[1:]
			c.offer(t)
			continue
		}
		if !c.nextTier() {
			return
		}
	}
}

// nextTier loads the next tier's targets; false means that there is nothing
// to do now.
func (c *Call) nextTier() bool {
	if c.Place.Tier < 0 {
		c.Place.Began, c.Place.Offered = time.Now(), 0
	}
	tiers := c.tiers()
	c.Redirected = nil
	c.Place.Tier++
	if c.Place.Tier >= len(tiers) {
		return c.nextRound(tiers)
	}
	tier := tiers[c.Place.Tier]
	if c.queued() && c.Place.Tier > 0 {
		c.escalate(tier, "nobody in the tier before has answered; the caller still waits")
	}
	targets := c.candidates(tier)
	c.plan = targets
	if tier.Strategy == RingAll {
		c.plan = nil
		for _, t := range targets {
			c.offer(t)
		}
	}
	return true
}

// nextRound begins again with the first tier, as long as the caller waits.
func (c *Call) nextRound(tiers []Tier) bool {
	if c.State == Offering {
		if c.Place.Offered == 0 && c.back == nil {
			c.recordUnoffered()
		}
		if c.Kind == policy.Emergency {
			c.fire(offersExhausted)
		} else {
			c.ended.By, c.ended.Reason = "error", "every position refused"
			if c.ended.Code == 0 {
				c.ended.Code = 480
			}
			c.fire(offersRefused)
		}
		return false
	}
	c.Place.Round++
	c.Place.Tier = -1
	if len(tiers) > 0 {
		c.escalate(tiers[0], "nobody in the whole queue has answered; it begins again, and the caller still waits")
	}
	if c.Place.Offered > 0 && time.Since(c.Place.Began) >= roundTime {
		return true
	}
	stop(&c.retry)
	c.retry = c.after(max(roundTime-time.Since(c.Place.Began), roundTime/10), c.tryAgain)
	return false
}

// tryAgain goes on offering after a pause, or because a target became free.
func (c *Call) tryAgain() {
	if !c.queued() || len(c.offers) > 0 || len(c.plan) > 0 {
		return
	}
	stop(&c.retry)
	c.Place.Tier = -1
	c.offerOn()
}

// candidates are a tier's targets in the order of its strategy.
func (c *Call) candidates(tier Tier) []target {
	s := c.g.settings.Load()
	var out []target
	for _, name := range tier.To {
		t := s.target(name)
		seen := slices.ContainsFunc(out, func(o target) bool { return o.Key == t.Key })
		if t.URI == "" || seen || c.excluded(t) {
			continue
		}
		t = c.registered(t)
		t.Ring = tier.Ring
		if t.Ring <= 0 {
			t.Ring = defaultRing
		}
		out = append(out, t)
	}
	if len(out) > 0 && (c.State == Offering || c.Place.Round == 0) {
		// One who does not answer OPTIONS is passed over; when nobody else has
		// taken the call in a whole round, they are tried all the same.
		out = slices.DeleteFunc(out, func(t target) bool {
			r, _ := c.g.watcher.reach(t.Key)
			return r == Dead
		})
	}
	if tier.Strategy == LongestIdle {
		slices.SortStableFunc(out, func(a, b target) int {
			_, ia := c.g.desks.state(a.Key)
			_, ib := c.g.desks.state(b.Key)
			return ia.Compare(ib)
		})
	}
	return out
}

// offer sends the call to one target. A target that has no place, or whose
// turn is an earlier caller's, is passed over without a record: it was not
// offered anything.
func (c *Call) offer(t target) {
	if !c.g.queue.may(c, t.Key) || !c.g.desks.take(t.Key, t.Limit) {
		c.g.queue.want(c, t.Key)
		return
	}
	c.g.queue.got(c)
	c.begin(c.newOffer(t), t.Ring, t.Hops)
}

// newOffer makes the leg of a target that is to be called.
func (c *Call) newOffer(t target) *leg {
	l := &leg{Leg: Leg{
		Role: RoleTaker, Target: t.Name, URI: t.URI, Key: t.Key, Agent: t.Agent, Desk: t.Desk,
		State: Calling, Since: time.Now(), Rescue: c.queued(),
		Dialog: Dialog{
			CallID: c.ID, LocalTag: newToken(), Local: c.From, Remote: c.To,
			LocalSeq: c.inviteSeq - 1, Target: t.URI, User: c.caller.Dialog.User,
			Features: features(c.invite),
		},
	}, open: true}
	if c.inviteSeq == 0 {
		l.Dialog.LocalSeq = 0
	}
	c.legs[l.Dialog.LocalTag] = l
	c.g.addTag(c, l.Dialog.LocalTag)
	c.offers = append(c.offers, l)
	c.Place.Offered++
	c.recordOffer(l)
	return l
}

// begin finds the way to an offered leg and calls it. Of several ways the
// ones that are left are tried when the first leads nowhere (RFC 3263 section 4.3).
func (c *Call) begin(l *leg, ring time.Duration, hops []hopAddr) {
	try := func(hops []hopAddr, err error) {
		if err == nil {
			l.hops = hops[1:]
			err = c.call(l, hops[0], ring)
		}
		if err != nil {
			// Not here and now: we may be in the middle of offering to others.
			c.post(func() {
				l.open = false
				c.failed(l, failure{Reason: err.Error()})
			})
		}
	}
	if len(hops) > 0 {
		try(hops, nil)
		return
	}
	if network, next, ok := hopOf(l.URI); ok {
		try([]hopAddr{{network, next}}, nil)
		return
	}
	c.g.resolve(l.URI, func(hops []hopAddr, err error) { c.post(func() { try(hops, err) }) })
}

// call sends the INVITE and starts the leg's own timers: a silent target is
// given up long before Timer B's 32 s.
func (c *Call) call(l *leg, h hopAddr, ring time.Duration) error {
	if l.cancel || l.State == Over {
		l.open = false
		return nil // given up while its name was looked up
	}
	if err := c.place(l, h.network, h.addr); err != nil {
		return err
	}
	req, err := c.inviteTo(l)
	if err != nil {
		return err
	}
	l.request = req
	s := c.g.settings.Load()
	l.dead = c.after(s.DeadAfter, func() {
		if !l.alive && !l.cancel {
			c.failed(l, failure{Reason: "silent: no response at all"})
		}
	})
	l.ring = c.after(ring, func() {
		if l.State != Confirmed && l.State != Over && !l.cancel {
			c.failed(l, failure{Reason: rangOut, rang: l.State == Early})
		}
	})
	l.sent = c.send(l, req, func(r edge.Response) { c.onInviteResponse(l, r) })
	return nil
}

// failure is why a target did not take the call.
type failure struct {
	Code   int
	Reason string
	res    *gosip.Response
	rang   bool // a provisional response said so
}

// failed ends an offer that did not lead to a taker.
func (c *Call) failed(l *leg, why failure) {
	i := slices.Index(c.offers, l)
	if i < 0 {
		return
	}
	c.offers = slices.Delete(c.offers, i, i+1)
	busy := why.Code == 486 || why.Code == 600
	if busy && c.queued() {
		c.g.queue.want(c, l.Key)
	}
	if why.res != nil {
		c.ended.Code = why.Code
		if c.Kind != policy.Emergency && c.back == nil {
			c.ended.Refusal = c.relay(why.res, l)
		}
	}
	c.recordFailure(l, why)
	if (why.Code == 0 && !l.alive || why.Code == 503) && len(l.hops) > 0 {
		t := c.g.settings.Load().target(l.Target)
		t.URI, t.Ring, t.Hops = l.URI, defaultRing, l.hops
		c.plan = append([]target{t}, c.plan...)
	}
	c.log.Info("target failed", zap.String("leg", l.label()), zap.Int("code", why.Code), zap.String("reason", why.Reason))
	c.giveUp(l)
	if c.transfer != nil && c.transfer.to == l {
		c.transferFailed(why)
	}
	c.reliefFailed(l)
	if c.early == l {
		c.early = nil
		if c.answered() {
			c.media.Prompt()
		} else {
			c.media.Silence()
		}
	}
	c.fire(offerFailed)
}

// reap forgets a leg that is over and has nothing outstanding.
func (c *Call) reap(l *leg) {
	if l.open || l.strays || l == c.taker || l == c.caller {
		return
	}
	c.dropMedia(l)
	if l.ack == nil { // else its 2xx may come again, and is acknowledged again
		l.sent.Forget()
	}
	delete(c.legs, l.Dialog.LocalTag)
	c.g.dropTag(l.Dialog.LocalTag)
	c.settled()
}

// place sets where l's requests go and which socket of ours they leave from.
func (c *Call) place(l *leg, network, next string) error {
	socket, err := c.g.socketFor(network, next)
	if err != nil {
		return err
	}
	l.Dialog.Network, l.Dialog.Next, l.Dialog.Socket = network, next, socket
	_, _, literal := hopOf(l.URI)
	l.Dialog.FixedNext = !literal || userOf(l.URI) == "" || inNetworks(c.g.settings.Load().NAT, next)
	if userOf(l.URI) == "" {
		l.Dialog.Target = c.RequestURI // the target is a next hop, not an address
	}
	return nil
}
