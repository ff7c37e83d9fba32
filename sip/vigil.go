package sip

import (
	"errors"
	"io"
	"net/netip"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/edge"
)

// vigil is the watch over a taker who has the caller: whether they are there.
// It looks when something changes and when something may be due, and not at
// packets: media counts those.
type vigil struct {
	timer   *time.Timer
	told    map[lapseID]string // alerts that were raised, by their lapse
	settled map[lapseID]bool   // lapses that policy has judged

	spoke     time.Time     // when the taker was last known to speak
	noise     time.Duration // what had been heard of them that is no speech by then
	unreached time.Time     // since when the network says that their port is closed
	gone      time.Time     // since when nobody seems to be at their address
	goneWhy   string

	asking  bool     // policy's verdict is on its way to the disk, or the taker's phone is being asked
	release *release // for which the queue is offered the call
	left    *leg     // the taker who has the caller until somebody of the queue answers
}

// The pace of looking.
const (
	lookOften = time.Second      // while the queue is offered the call: the taker may come back
	probeTime = 4 * time.Second  // a phone that does not answer OPTIONS for so long is not there
	reconnect = 2 * time.Second  // a phone may open a new connection before it is asked
	lookLate  = 10 * time.Minute // nothing is due
)

// Direction is what the session descriptions say of who is heard, and what
// else the watch over takers has to remember of a call.
type Direction struct {
	HeldSince    time.Time     `json:"heldSince,omitzero"` // the taker has the caller on hold since then
	HeldFor      time.Duration `json:"heldFor,omitempty"`  // and had before, all in all
	Mute         bool          `json:"mute,omitempty"`     // the taker sends nothing
	CallerHolds  bool          `json:"callerHolds,omitempty"`
	TextOnly     bool          `json:"textOnly,omitempty"`
	ForeignSince time.Time     `json:"foreignSince,omitzero"` // the taker's media was moved to an unknown address
	ForeignTo    string        `json:"foreignTo,omitempty"`
	SpeechBefore time.Duration `json:"speechBefore,omitempty"` // the caller's, before the present taker
	Transferred  []string      `json:"transferred,omitempty"`  // desks that gave this call away by transfer, in order
}

// keepVigil begins to watch over a new taker.
func (c *Call) keepVigil() {
	c.endVigil()
	holds := false
	if offer, err := parseSDP([]byte(c.Offer)); err == nil {
		holds = deaf(offer)
	}
	c.Direction = Direction{
		CallerHolds: holds, Transferred: c.Transferred, SpeechBefore: together(c.media.Stats(media.Caller)).Speech,
	}
	if s, err := parseSDP([]byte(c.taker.Remote)); err == nil {
		c.takerSays(s)
	}
	c.look()
}

// endVigil forgets what was seen of a taker.
func (c *Call) endVigil() {
	stop(&c.vigil.timer)
	c.vigil = vigil{told: map[lapseID]string{}, settled: map[lapseID]bool{}}
}

// takerSays notes what a session description of the taker says of who is
// heard. A caller who is on hold by their own wish is not left alone by it.
func (c *Call) takerSays(s *session) {
	d := &c.Direction
	held := deaf(s) && !d.CallerHolds
	switch {
	case held && d.HeldSince.IsZero():
		d.HeldSince = time.Now()
	case !held && !d.HeldSince.IsZero():
		d.HeldFor += time.Since(d.HeldSince)
		d.HeldSince = time.Time{}
	}
	d.Mute = silent(s)
	d.TextOnly = !voice(s)
}

// callerSays notes the same of the caller's own offer.
func (c *Call) callerSays(s *session) { c.CallerHolds = deaf(s) }

// moved notes that the taker gave its media a new address. One of the networks
// we trust, or the taker's own, is a matter of course.
func (c *Call) moved(from, to *session) {
	was, is := voiceAddr(from), voiceAddr(to)
	if !is.IsValid() || is.IsUnspecified() || is == was {
		return
	}
	own, _ := netip.ParseAddrPort(c.taker.Peer)
	if is == own.Addr().Unmap() || c.g.trusted(is) {
		c.ForeignSince, c.ForeignTo = time.Time{}, ""
		return
	}
	c.ForeignSince, c.ForeignTo = time.Now(), is.String()
}

// onHold is how long the present taker had the caller on hold, all in all.
func (c *Call) onHold(now time.Time) time.Duration {
	if c.HeldSince.IsZero() {
		return c.HeldFor
	}
	return c.HeldFor + now.Sub(c.HeldSince)
}

// sight looks at the taker and the caller.
func (c *Call) sight(now time.Time) *sight {
	v := &c.vigil
	s := &sight{
		now: now, taken: c.Taken, held: c.HeldSince, mute: c.Mute, textOnly: c.TextOnly,
		gone: v.gone, goneWhy: v.goneWhy, foreign: c.ForeignSince, foreignTo: c.ForeignTo,
		caller: c.media.Stats(media.Caller), taker: c.media.Stats(c.taker.ID),
	}
	active, _ := c.g.desks.state(c.taker.deskKey())
	s.otherCall = active > 1
	taker := together(s.taker)
	if taker.LastSpeech.After(v.spoke) {
		v.spoke, v.noise = taker.LastSpeech, taker.Noise
	}
	s.noise = taker.Noise - v.noise
	c.closedPort(s, taker)
	if r, since := c.g.watcher.reach(c.taker.deskKey()); r == Dead && s.gone.IsZero() {
		s.gone, s.goneWhy = later(since, c.Taken), "the phone does not answer OPTIONS"
	}
	return s
}

// closedPort takes the word of the network that the taker's media port is
// closed, of a taker who has been heard before: some never open it.
func (c *Call) closedPort(s *sight, taker media.StreamStats) {
	v := &c.vigil
	if taker.Received == 0 || !taker.LastUnreached.After(taker.LastRecv) {
		v.unreached = time.Time{}
		return
	}
	if v.unreached.IsZero() {
		v.unreached = taker.LastUnreached
	}
	if s.gone.IsZero() {
		s.gone, s.goneWhy = v.unreached, taker.Unreachable
	}
}

// look sees whether the taker is there, does what is due, and comes back when
// something may be due next.
func (c *Call) look() {
	v := &c.vigil
	stop(&v.timer)
	if c.taker == nil || !c.guardedKind() || c.State != Bridged && c.State != Relieving {
		return
	}
	settings := &c.g.settings.Load().Vigil
	if settings.shortest() == 0 {
		return
	}
	now := time.Now()
	seen := c.sight(now)
	if c.State == Relieving {
		c.stillAlone(seen)
		return
	}
	next := settings.shortest()
	for _, l := range c.lapses(seen) {
		if wait := c.weigh(l, settings.of(l.how), now); wait > 0 {
			next = min(next, wait)
		}
	}
	if c.State == Bridged { // weighing may have moved the call
		c.lookAfter(max(next, time.Second/10))
	}
}

// lapses leaves out what cannot be told at the moment, or is nobody's fault: a
// caller who put the call on hold themselves hears and says nothing, one to
// whom a supervisor speaks is not alone, and who is on the way to somebody
// else is judged by the rules for that.
func (c *Call) lapses(s *sight) []lapse {
	all := s.lapses()
	if c.successor() != nil {
		return nil
	}
	if !c.CallerHolds && !c.passedOn() {
		return all
	}
	var out []lapse
	for _, l := range all {
		if l.how == policy.ReleaseVanished {
			out = append(out, l)
		}
	}
	return out
}

// passedOn tells whether somebody else is being called to take the caller over.
func (c *Call) passedOn() bool { return c.transfer != nil || c.relief != nil }

func (c *Call) lookAfter(d time.Duration) {
	stop(&c.vigil.timer)
	c.vigil.timer = c.after(min(d, lookLate), c.look)
}

// weigh does what is due for one lapse, and returns how long until more is.
func (c *Call) weigh(l lapse, p Patience, now time.Time) (wait time.Duration) {
	lasts := now.Sub(l.since)
	if p.Alert > 0 && lasts < p.Alert {
		wait = p.Alert - lasts
	} else if p.Alert > 0 {
		c.warn(l, lasts)
	}
	switch {
	case p.Rescue <= 0 || c.vigil.settled[l.id()] || c.vigil.asking || c.passedOn():
	case lasts < p.Rescue && (wait == 0 || p.Rescue-lasts < wait):
		wait = p.Rescue - lasts
	case lasts >= p.Rescue:
		c.letJudge(l)
	}
	return wait
}

// warn tells a supervisor of a lapse, once.
func (c *Call) warn(l lapse, lasts time.Duration) {
	if c.vigil.told[l.id()] != "" {
		return
	}
	id := newToken()
	c.vigil.told[l.id()] = id
	c.log.Info("taker may have left the caller alone", zap.String("how", string(l.how)), zap.String("taker", c.taker.Target),
		zap.Duration("for", lasts))
	c.record("alert.raised", alertData{
		ID: id, Cause: string(l.how), Position: c.taker.Target, Agent: c.taker.Agent, Why: l.why, Intake: c.fieldsMarked(),
		LastsMS: lasts.Milliseconds(), Class: l.class, Evidence: l.evidence,
	})
}

// letJudge asks policy about a lapse. Where it is not clear whose doing it is,
// the taker's phone is asked first whether it is there: an answer, or none, is
// evidence.
func (c *Call) letJudge(l lapse) {
	if l.how != policy.ReleaseNoMedia {
		c.judgeLapse(l)
		return
	}
	c.vigil.asking = true
	c.probe(c.taker, func(alive bool, found string) {
		c.vigil.asking = false
		if !alive {
			l.class = Technical
		}
		l.evidence = append(l.evidence, found)
		if c.State != Bridged || c.sight(time.Now()).over(&l) {
			c.lookAfter(lookOften)
			return
		}
		c.judgeLapse(l)
	})
}

// judgeLapse asks policy and writes the verdict down. The taker keeps the
// caller in any case; when the verdict is to intercept, the queue is offered
// the call meanwhile.
func (c *Call) judgeLapse(l lapse) {
	now := time.Now()
	c.vigil.asking, c.vigil.settled[l.id()] = true, true
	r := &release{leg: c.taker, how: string(l.how), lapse: &l}
	r.data = c.releaseFacts(r, now)
	f := c.facts(r, now)
	r.data.Facts = &f
	verdict := c.verdict(f)
	c.Verdicts = append(c.Verdicts, VerdictView{At: now, Position: r.leg.Target, How: r.how, Verdict: verdict})
	c.countVerdict(verdict.Decision)
	kind := "release.allowed"
	if verdict.Decision == policy.Intercept {
		kind = "release.intercepted"
	}
	entries := entryList(c.entry("release.requested", r.data), c.entry(kind, c.verdictData(r, verdict)))
	if verdict.Decision != policy.Allow {
		entries = append(entries, c.alert(verdict, r))
	}
	c.g.opts.Journal.Commit(func(bool) {
		c.post(func() {
			c.vigil.asking = false
			if c.taker != r.leg || c.State != Bridged {
				return
			}
			switch {
			case verdict.Decision != policy.Intercept:
				c.look()
			case c.passedOn(): // since a moment ago; when that fails, it is judged again
				delete(c.vigil.settled, l.id())
				c.look()
			default:
				c.vigil.release = r
				c.fire(takerAway)
			}
		})
	}, entries...)
}

// offerAway offers the call to the queue while the taker still has the caller.
func (c *Call) offerAway() {
	r := c.vigil.release
	c.WaitingFrom = r.data.At
	c.History = append(c.History, c.historyOf(r))
	c.queueUp()
	c.lookAfter(lookOften)
}

// stillAlone calls the rescue off when the taker is back, or when intake was
// completed meanwhile and policy would let them be.
func (c *Call) stillAlone(seen *sight) {
	r := c.vigil.release
	why := ""
	if seen.over(r.lapse) {
		why = "the taker is back"
	} else if v := c.verdict(c.facts(r, seen.now)); v.Decision != policy.Intercept {
		why = "policy lets the taker be now: " + v.Why
	}
	if why == "" {
		c.lookAfter(lookOften)
		return
	}
	c.record("rescue.calledoff", calledOffData{
		Leg: r.leg.Dialog.LocalTag, Position: r.leg.Target, Agent: r.leg.Agent, How: r.how, Why: why,
		AfterMS: seen.now.Sub(r.data.At).Milliseconds(), After: c.alertID,
	})
	c.fire(takerBack)
}

// callOff ends a rescue that is not needed any more.
func (c *Call) callOff() {
	for _, l := range append([]*leg{}, c.offers...) {
		c.giveUp(l)
	}
	c.offers, c.plan = nil, nil
	stop(&c.retry)
	c.g.queue.leave(c)
	c.WaitingFrom, c.Place = time.Time{}, Place{Tier: -1}
	if n := len(c.History); n > 0 {
		c.History = c.History[:n-1]
	}
	c.vigil.release = nil
	c.lookAfter(lookOften)
}

// swap gives the caller to the target that answered, and lets the taker go
// who was on the line and not there.
func (c *Call) swap() {
	r, old := c.vigil.release, c.vigil.left
	c.Rescues++
	c.exclude(old)
	if c.g.opts.Audio != nil && c.Recording != 0 {
		c.g.opts.Audio.Mark(c.Recording, time.Now(), "left alone by "+old.Target+" ("+r.how+")")
	}
	c.bridge()
	c.bye(old, nil)
	c.drop(old)
	c.reap(old)
}

// probe asks a leg's phone whether it is there. then runs once in the call's
// goroutine; it is told what came back.
func (c *Call) probe(l *leg, then func(alive bool, found string)) {
	req, err := l.Dialog.request("OPTIONS", l.Dialog.nextSeq())
	if err != nil {
		then(false, "the taker's phone cannot be asked: "+err.Error())
		return
	}
	req.SetBody(nil)
	done := false
	finish := func(alive bool, found string) {
		if !done {
			done = true
			then(alive, found)
		}
	}
	late := c.after(probeTime, func() { finish(false, "the taker's phone does not answer OPTIONS") })
	c.send(l, req, func(res edge.Response) {
		switch {
		case res.Err != nil:
			late.Stop()
			finish(false, "the taker's phone cannot be reached: "+res.Err.Error())
		case res.StatusCode < 200:
		case res.StatusCode == 481 || res.StatusCode == 408 || res.StatusCode == 503:
			late.Stop()
			finish(false, "the taker's phone answers OPTIONS with "+itoa(res.StatusCode))
		default:
			late.Stop()
			finish(true, "signalling socket alive: the taker's phone answers OPTIONS")
		}
	})
}

// connectionLost takes the news that a TCP connection of the taker has ended.
// Phones close idle connections, and open new ones: only one that cannot be
// reached then is gone.
func (c *Call) connectionLost(addr, why string) {
	l := c.taker
	if l == nil || l.Dialog.Network != "tcp" || l.Peer != addr || c.g.settings.Load().Vigil.Vanished == (Patience{}) {
		return
	}
	at := time.Now()
	c.after(reconnect, func() {
		if c.taker != l || c.State != Bridged || c.g.edge.Connected("tcp", l.Peer) {
			return
		}
		c.probe(l, func(alive bool, found string) {
			if alive || c.taker != l {
				return
			}
			c.vigil.gone, c.vigil.goneWhy = at, why+"; "+found
			c.look()
		})
	})
}

// lostConnection tells the calls whose taker had that connection.
func (g *Guard) lostConnection(addr string, err error) {
	why := "TCP connection closed by the taker's side"
	if !errors.Is(err, io.EOF) {
		why = "TCP connection ended: " + err.Error()
	}
	for _, c := range g.snapshot() {
		c.post(func() { c.connectionLost(addr, why) })
	}
}

// exclude keeps a taker who left a caller from being offered them again.
func (c *Call) exclude(l *leg) {
	c.Released = append(c.Released, "target "+l.deskKey())
	for _, agent := range []string{l.Agent, l.Seated} {
		if agent != "" {
			c.Released = append(c.Released, "agent "+agent)
		}
	}
}

// queued tells whether the fallback queue is offered the call.
func (c *Call) queued() bool { return c.State == Waiting || c.State == Relieving }

// lifeSign takes a sign of life from a taker who is being relieved: the rescue is off.
func (c *Call) lifeSign(req *gosip.Request) {
	r := c.vigil.release
	c.record("rescue.calledoff", calledOffData{
		Leg: r.leg.Dialog.LocalTag, Position: r.leg.Target, Agent: r.leg.Agent, How: r.how,
		Why: "the taker is back: " + string(req.Method), AfterMS: time.Since(r.data.At).Milliseconds(), After: c.alertID,
	})
	c.fire(takerBack)
}
