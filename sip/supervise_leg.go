package sip

import (
	"fmt"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/sip/edge"
)

// supervisorRing is how long a supervisor's phone rings when nothing else is configured.
const supervisorRing = 30 * time.Second

// join adds a supervisor's leg to the call and calls its phone, or, with media
// of its own, lets it in at once. Nothing about the other legs changes.
func (c *Call) join(q JoinRequest) (*leg, error) {
	name, uri := q.By, ""
	if q.Media == nil {
		var err error
		if name, uri, err = c.supervisorTarget(q.Target); err != nil {
			return nil, err
		}
		if l := c.supervisorAt(name, uri); q.Once && l != nil {
			return l, nil
		}
	}
	if q.Via == "" {
		q.Via = ViaPhone
		if q.Media != nil {
			q.Via = ViaBrowser
		}
	}
	now := time.Now()
	l := &leg{Leg: Leg{
		Role: q.Mode.role(), Target: name, URI: uri, State: Calling, Since: now,
		Join:   Join{ID: newToken(), Mode: q.Mode, By: q.By, Via: q.Via, Asked: now},
		Dialog: Dialog{CallID: newToken(), LocalTag: newToken(), Remote: "<" + uri + ">", Target: uri, User: "holdline"},
	}}
	l.Dialog.Local = c.supervisorFrom(l)
	c.legs[l.Dialog.LocalTag] = l
	c.g.addLeg(c, l)
	c.log.Info("supervisor is brought in", zap.String("mode", string(q.Mode)), zap.String("via", q.Via), zap.String("leg", name))
	if q.Media != nil {
		c.joinBrowser(l, q.Media)
		return l, nil
	}
	l.open = true
	c.g.resolve(uri, func(hops []hopAddr, err error) { c.post(func() { c.callSupervisor(l, hops, err) }) })
	return l, nil
}

// supervisorAt is the leg of a supervisor's phone that is in the call or rings
// for it; nil when there is none.
func (c *Call) supervisorAt(name, uri string) *leg {
	for _, l := range c.legs {
		if l.supervises() && l.State != Over && !l.Join.Over && !l.cancel && (l.Target == name || deskKey(l.URI) == deskKey(uri)) {
			return l
		}
	}
	return nil
}

// callSupervisor sends the INVITE, or says why there is none.
func (c *Call) callSupervisor(l *leg, hops []hopAddr, err error) {
	if l.cancel || l.Join.Over || c.State == Ended {
		l.open = false
		c.reap(l)
		return
	}
	if err == nil {
		l.hops = hops[1:]
		err = c.place(l, hops[0].network, hops[0].addr)
		l.Dialog.Target = l.URI // also without a user part: nobody routes on from there
	}
	var req *gosip.Request
	if err == nil {
		req, err = c.inviteSupervisor(l)
	}
	if err != nil {
		l.open = false
		c.joinFailed(l, failure{Reason: err.Error()})
		return
	}
	s := c.g.settings.Load()
	ring := s.Supervisors.Ring
	if ring <= 0 {
		ring = supervisorRing
	}
	l.request = req
	stop(&l.ring)
	l.dead = c.after(s.DeadAfter, func() {
		if !l.alive && !l.cancel {
			c.joinFailed(l, failure{Reason: "silent: no response at all"})
		}
	})
	l.ring = c.after(ring, func() {
		if l.State != Confirmed && !l.cancel {
			c.joinFailed(l, failure{Reason: "rang out"})
		}
	})
	l.sent = c.send(l, req, func(r edge.Response) { c.onSupervisorResponse(l, r) })
}

// onSupervisorResponse takes every answer of a supervisor's phone to its INVITE.
func (c *Call) onSupervisorResponse(l *leg, r edge.Response) {
	if r.Err != nil {
		if l.open {
			l.open = false
			c.joinFailed(l, failure{Reason: r.Err.Error()})
		}
		return
	}
	res := r.Response
	l.alive = true
	stop(&l.dead)
	l.Peer = res.Source()
	switch {
	case res.StatusCode < 200:
		c.supervisorRings(l, res)
	case res.StatusCode < 300:
		c.supervisorAnswered(l, res)
	default:
		l.open = false
		c.joinFailed(l, failure{Code: res.StatusCode, Reason: res.Reason, res: res})
	}
}

func (c *Call) supervisorRings(l *leg, res *gosip.Response) {
	switch {
	case l.cancel:
		c.sendCancel(l)
	case res.StatusCode > 100 && l.State != Confirmed:
		l.State = Early
		l.Dialog.learn(res, tag(get(res, "to")), true)
	}
}

// supervisorAnswered takes a 2xx. One that comes when nobody wants it any more
// is acknowledged and ended at once (RFC 3261 section 9.1).
func (c *Call) supervisorAnswered(l *leg, res *gosip.Response) {
	if !l.open {
		if fork := tag(get(res, "to")); fork != l.Dialog.RemoteTag && l.State == Confirmed {
			c.endFork(l, res, fork)
		} else if l.ack != nil {
			c.g.edge.Write(l.ack) // its 2xx again: our ACK was lost
		}
		return
	}
	l.open = false
	l.State, l.Since = Confirmed, time.Now()
	stop(&l.ring)
	l.Dialog.learn(res, tag(get(res, "to")), true)
	l.allows(res)
	c.timed(l, res, true)
	c.acknowledge(l, nil)
	early := l.held // its BYE overtook the 2xx
	l.held = nil
	if early != nil {
		c.ok(early.req, early.tx)
		l.State = Over
	}
	s := sdpOf(res)
	switch {
	case early != nil:
		c.joinFailed(l, failure{Reason: "hung up as it answered"})
	case l.cancel || l.Join.Over || c.State == Ended:
		c.bye(l, nil)
		c.drop(l)
		c.reap(l)
	case s == nil:
		c.joinFailed(l, failure{Reason: "answered without a session description"})
	case !slices.ContainsFunc(s.media, func(m mline) bool { return m.talk() && m.port != 0 }):
		c.joinFailed(l, failure{Reason: "answered without audio"}) // the caller must not be theirs
	default:
		c.hear(l, s, nil)
		c.admit(l)
	}
}

// admit lets a supervisor in. That somebody listens is on disk before the
// first packet goes to them.
func (c *Call) admit(l *leg) {
	mode := l.Join.Mode
	c.g.opts.Journal.Commit(func(durable bool) {
		c.post(func() {
			if l.Join.Over || c.State == Ended {
				return
			}
			if !durable {
				c.log.Warn("supervisor joined before it was on disk", zap.String("leg", l.label()))
			}
			l.Join.Joined = time.Now()
			if keys := c.g.settings.Load().Supervisors.keys(); len(keys) > 0 {
				c.media.WatchCodes(l.ID, keys)
			}
			c.attend(l)
		})
	}, c.entry("supervisor.joined", c.joinData(l, mode)))
}

// attend gives a supervisor's media the present mode. One who barges in where
// nobody has the caller serves the caller.
func (c *Call) attend(l *leg) {
	switch {
	case l.Join.Mode == ModeBarge && c.alone():
		c.promote(l, "nobody had the caller")
		return
	case l.Join.Mode == ModeBarge && c.State == Relieving:
		c.vigil.left = c.taker
		c.promote(l, "the taker was on the line and not there")
		return
	}
	c.media.Attend(l.ID, l.Join.Mode.media())
	c.reachCaller()
	c.assisted(l)
}

// reachCaller takes a caller whom the taker has on hold off hold when a
// supervisor barges in: a phone on hold lets nothing be heard, or sends nothing.
// How long the taker holds is counted by what the taker says, and goes on.
func (c *Call) reachCaller() {
	if c.taker != nil && c.barged() {
		c.resume(c.taker)
	}
}

// barged tells whether a supervisor speaks with everybody, beside the taker.
func (c *Call) barged() bool {
	for _, l := range c.legs {
		if l != c.taker && c.barges(l) {
			return true
		}
	}
	return false
}

// switchMode changes what a supervisor does. It is on disk before it is heard.
func (c *Call) switchMode(l *leg, mode Mode, by string) error {
	was := l.Join.Mode
	switch {
	case l == c.taker:
		return fmt.Errorf("%w: the supervisor has the caller, and is heard by all", ErrNotNow)
	case was == mode:
		return nil
	}
	l.Join.Mode, l.Role = mode, mode.role()
	if l.Join.Joined.IsZero() {
		return nil // it will come in with this mode
	}
	c.g.opts.Journal.Commit(func(bool) {
		c.post(func() {
			if !l.Join.Over && l.Join.Mode == mode && c.State != Ended {
				c.attend(l)
			}
		})
	}, c.entry("supervisor.mode", modeData{joinData: c.joinData(l, mode), Was: was, ChangedBy: by}))
	return nil
}

// leave ends a supervisor's part from our side. Nobody else notices.
func (c *Call) leave(l *leg, how string) {
	if l.Join.Joined.IsZero() && l.State != Confirmed {
		c.joinFailed(l, failure{Reason: how})
		return
	}
	l.parting = how
	c.dismiss(l, "")
	c.drop(l)
	c.reap(l)
}

// joinFailed ends a supervisor's part that did not come about.
func (c *Call) joinFailed(l *leg, why failure) {
	if l.Join.Over {
		if !l.open {
			l.State = Over
			c.reap(l)
		}
		return
	}
	l.Join.Over = true
	c.log.Info("supervisor did not join", zap.String("leg", l.label()), zap.Int("code", why.Code), zap.String("reason", why.Reason))
	d := failedJoin{joinData: c.joinData(l, l.Join.Mode), Code: why.Code, Reason: why.Reason}
	if why.res != nil {
		d.Answer = wireOf(why.res)
	}
	c.record("supervisor.failed", d)
	if l.State == Confirmed {
		c.bye(l, nil)
	}
	c.dropMedia(l)
	c.giveUp(l)
	c.assistFailed(l)
}

// parted notes the end of a supervisor's part, whatever ended it.
func (c *Call) parted(l *leg) {
	if !l.supervises() || l.Join.Over {
		return
	}
	l.Join.Over = true
	how := l.parting
	if how == "" {
		how = "the call ended"
		if c.State != Ended {
			how = "left the caller"
		}
	}
	d := leftData{joinData: c.joinData(l, l.Join.Mode), How: how}
	if !l.Join.Joined.IsZero() {
		d.DurationMS = time.Since(l.Join.Joined).Milliseconds()
	}
	c.record("supervisor.left", d)
	c.log.Info("supervisor left", zap.String("leg", l.label()), zap.String("how", how))
	if l.hungUp != nil {
		l.hungUp(how)
	}
}

// supervisorBye takes the BYE of a supervisor who is not the taker: it ends
// their part and nothing else.
func (c *Call) supervisorBye(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	c.ok(req, tx)
	l.State, l.Since = Over, time.Now()
	l.parting = "hung up"
	c.drop(l)
	c.reap(l)
}

// endJoins lets go of supervisors whose phones still ring when the call ends;
// finish ends those who are in it like every other leg.
func (c *Call) endJoins() {
	for _, l := range c.legs {
		if l.supervises() && l.State != Confirmed {
			c.joinFailed(l, failure{Reason: "the call ended"})
		}
	}
}

// dismiss ends a leg with a BYE that says why (RFC 3326).
func (c *Call) dismiss(l *leg, reason string) {
	c.byeWith(l, func(req *gosip.Request) {
		if reason != "" {
			req.AppendHeader(gosip.NewHeader("Reason", reason))
		}
	})
}

// supervisorReoffer answers a re-INVITE or UPDATE of a supervisor's phone, as
// when it is put on hold: their media is between them and us only.
func (c *Call) supervisorReoffer(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	res := respond(req, 200, reasons[200], l.Dialog.LocalTag)
	res.AppendHeader(gosip.NewHeader("Contact", l.Dialog.contact()))
	if se := get(req, "session-expires"); se != "" {
		secs, _, _ := strings.Cut(se, ";") // it keeps refreshing (RFC 4028 section 9)
		res.AppendHeader(gosip.NewHeader("Session-Expires", strings.TrimSpace(secs)+";refresher=uac"))
		res.AppendHeader(gosip.NewHeader("Require", "timer"))
	}
	c.timed(l, res, false)
	var body []byte
	if offer := sdpOf(req); offer != nil {
		answer := c.supervisorAnswer(offer)
		if answer == nil {
			c.g.refuse(req, tx, 488)
			return
		}
		c.hear(l, offer, c.usable(offer, answer))
		body = c.tell(l, answer)
	} else if req.Method == gosip.INVITE {
		body = []byte(l.Told) // the answer comes with the ACK
	}
	if body != nil {
		res.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
		res.SetBody(body)
	}
	if req.Method == gosip.INVITE {
		c.answer(l, tx, res, func() {})
		return
	}
	if err := tx.Respond(res); err != nil {
		c.log.Debug("200 not sent", zap.Error(err))
	}
}
