package sip

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/recorder"
	"holdline/sip/edge"
)

// Supervisors is who may supervise calls from a phone, and how.
type Supervisors struct {
	Phones []SupervisorPhone
	Ring   time.Duration     // how long a phone that we call rings; 0: 30 s
	Dial   map[Mode]string   // what the user part of a request URI begins with, when a phone dials in
	Keys   map[string]string // DTMF code on a supervisor's leg -> a Mode, or KeyTakeOver
	Assist Assist
}

// SupervisorPhone is a phone that may dial in, and that rings for an assist.
type SupervisorPhone struct {
	ID       string
	URI      string
	Networks []netip.Prefix // where its calls come from
}

// KeyTakeOver is what a supervisor dials to become the taker.
const KeyTakeOver = "take-over"

// dialled takes the user part of a request URI apart: "listen*pos-1" is to
// listen to position pos-1, "barge*" to serve who has waited longest.
func (s *Supervisors) dialled(user string) (mode Mode, what string, ok bool) {
	for _, m := range Modes() {
		prefix := s.Dial[m]
		rest, found := strings.CutPrefix(user, prefix)
		if prefix == "" || !found {
			continue
		}
		if text, err := url.PathUnescape(rest); err == nil {
			rest = text
		}
		return m, rest, true
	}
	return "", "", false
}

// keys are the DTMF codes to listen for on a supervisor's leg.
func (s *Supervisors) keys() []string {
	var out []string
	for code := range s.Keys {
		out = append(out, code)
	}
	slices.Sort(out)
	return out
}

// phoneOf finds the supervisor whose phone sent a request: by the user part of
// its From, and by the network it came from.
func (s *Supervisors) phoneOf(req *gosip.Request) (SupervisorPhone, bool) {
	user := userOf(parseAddress(get(req, "from")).URI)
	for _, p := range s.Phones {
		if user != "" && user == userOf(p.URI) && inNetworks(p.Networks, req.Source()) {
			return p, true
		}
	}
	return SupervisorPhone{}, false
}

// supervisorDials takes an INVITE whose request URI is a dial code; false when
// it is none. Nobody but the configured phones may use one.
func (g *Guard) supervisorDials(req *gosip.Request, tx *gosip.ServerTx) bool {
	s := &g.settings.Load().Supervisors
	mode, what, ok := s.dialled(userOf(req.Recipient.String()))
	if !ok || len(s.Phones) == 0 {
		return false
	}
	who, ok := s.phoneOf(req)
	if !ok {
		g.refuseSupervisor(req, tx)
		return true
	}
	g.respond100(req, tx)
	go func() { // the calls are asked which of them is meant
		defer g.recovered("dial-in")
		c := g.callMeant(what)
		if c == nil || !c.post(func() { c.dialIn(req, tx, mode, who) }) {
			g.log.Info("supervisor dialled a call that is not there", zap.String("supervisor", who.ID))
			g.refuse(req, tx, 404)
		}
	}()
	return true
}

// supervisorJoins takes an INVITE with Join (RFC 3911) from a supervisor's
// phone; false when it is to be treated like anybody else's. The dialog may be
// named from our side, or from that of the caller's or the position's phone.
func (g *Guard) supervisorJoins(req *gosip.Request, tx *gosip.ServerTx) bool {
	s := &g.settings.Load().Supervisors
	n, ok := parseNamed(get(req, "join"))
	if !ok || len(s.Phones) == 0 {
		return false
	}
	c := g.find(n.callID, n.toTag)
	if c == nil {
		c = g.find(n.callID, n.fromTag)
		n.toTag, n.fromTag = n.fromTag, n.toTag
	}
	who, trusted := s.phoneOf(req)
	if c == nil {
		if trusted { // RFC 3911 section 4: it must not become a call of its own
			g.refuse(req, tx, 481)
		}
		return trusted
	}
	mode, _, dialled := s.dialled(userOf(req.Recipient.String()))
	if !dialled {
		mode = ModeBarge // RFC 3911 section 1: to join is to speak with them
	}
	posted := c.post(func() {
		l := c.legs[n.toTag]
		alone := l == c.caller && c.taker == nil
		switch {
		case l == nil || l.Dialog.RemoteTag != n.fromTag || c.State == Ended:
			g.refuse(req, tx, 481)
		case trusted:
			g.respond100(req, tx)
			c.dialIn(req, tx, mode, who)
		case alone: // anybody trusted may take a caller whom nobody has
			c.takeOver(req, tx, n.toTag, n, true)
		default:
			g.refuseSupervisor(req, tx)
		}
	})
	if !posted {
		g.refuse(req, tx, 481)
	}
	return true
}

// refuseSupervisor answers 403, and writes down who tried.
func (g *Guard) refuseSupervisor(req *gosip.Request, tx *gosip.ServerTx) {
	g.opts.Journal.Append(recorder.Entry{Time: time.Now(), Kind: "supervisor.refused", Data: refusedData{
		From: get(req, "from"), Source: req.Source(), Wanted: req.Recipient.String(), Join: get(req, "join"),
		Reason: "not the phone of a configured supervisor, or not from its network", Message: wireOf(req),
	}})
	g.log.Warn("somebody who is no supervisor tried to join a call", zap.String("source", req.Source()))
	g.refuse(req, tx, 403)
}

func (g *Guard) respond100(req *gosip.Request, tx *gosip.ServerTx) {
	if err := tx.Respond(respond(req, 100, reasons[100], "")); err != nil {
		g.log.Debug("100 not sent", zap.Error(err))
	}
}

// callMeant finds the call that a supervisor dialled: a Call-ID, an emergency
// call identifier or its unique part, the position that has or is offered the
// call; nothing stands for the caller who has waited longest. nil when there
// is none.
func (g *Guard) callMeant(what string) *Call {
	if what != "" {
		if c := g.lookup(what); c != nil {
			return c
		}
		if c := g.byUnique(what); c != nil {
			return c
		}
	}
	best := ""
	for _, v := range g.List() { // who waits longest is first
		offered := slices.ContainsFunc(v.Legs, func(l LegView) bool { return l.Role == string(RoleTaker) && l.Target == what })
		switch {
		case what == "" && v.State == string(Waiting), what != "" && v.Taker == what:
			return g.lookup(v.ID)
		case what != "" && offered && best == "":
			best = v.ID
		}
	}
	return g.lookup(best)
}

// byUnique finds a call by the unique part of its emergency call identifier
// (urn:emergency:uid:callid:UNIQUE:element, i3 section 2.1.6).
func (g *Guard) byUnique(what string) *Call {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for urn, c := range g.byURN {
		_, rest, _ := strings.Cut(urn, ":uid:callid:")
		if unique, _, _ := strings.Cut(rest, ":"); unique == what && !c.over.Load() {
			return c
		}
	}
	return nil
}

// dialIn answers a supervisor's phone that called in.
func (c *Call) dialIn(req *gosip.Request, tx *gosip.ServerTx, mode Mode, who SupervisorPhone) {
	if c.State == Ended {
		c.g.refuse(req, tx, 481)
		return
	}
	offer := sdpOf(req)
	var answer *session
	if offer != nil {
		if answer = c.supervisorAnswer(offer); answer == nil {
			c.g.refuse(req, tx, 488)
			return
		}
	}
	l := c.uasLeg(req, mode.role())
	l.Target = who.ID
	l.Join = Join{ID: newToken(), Mode: mode, By: who.ID, Via: ViaDialIn, Asked: time.Now()}
	if offer != nil {
		c.hear(l, offer, c.usable(offer, answer))
	} else {
		answer = c.supervisorOffer() // the answer comes with the ACK
	}
	c.log.Info("supervisor dialled in", zap.String("mode", string(mode)), zap.String("leg", l.label()))
	c.answer(l, tx, c.accept(req, l, answer), func() { c.neverAcked(l) })
	c.g.oldAcks(c, req, tx)
	c.admit(l)
}

// neverAcked ends the leg of a supervisor who never acknowledged our 2xx; a
// BYE is now allowed (RFC 3261 section 15).
func (c *Call) neverAcked(l *leg) {
	switch {
	case l == c.taker:
		c.lost(l, "never acknowledged")
	case l.byeDue != nil:
		due := l.byeDue
		l.byeDue = nil
		c.send(l, due, func(edge.Response) {})
	case l.State == Confirmed:
		c.leave(l, "never acknowledged")
	}
}

// keyDialled does what a supervisor's DTMF code stands for (RFC 4733); false
// when the leg is no supervisor's.
func (c *Call) keyDialled(l *leg, code string) bool {
	if !l.supervises() || l == c.taker {
		return false
	}
	what := c.g.settings.Load().Supervisors.Keys[code]
	var err error
	switch {
	case what == KeyTakeOver:
		err = c.takeCall(l, l.Join.By)
	case slices.Contains(Modes(), Mode(what)):
		err = c.switchMode(l, Mode(what), l.Join.By)
	}
	if err != nil {
		c.log.Info("a supervisor's code had no effect", zap.String("code", code), zap.Error(err))
	}
	return true
}

// infoKey takes a key that a supervisor's phone sends by INFO instead of RFC
// 4733; false when the INFO says something else.
func (c *Call) infoKey(l *leg, req *gosip.Request) bool {
	key, ok := infoDigit(req)
	if !ok {
		return false
	}
	if code, _ := l.dial(key, c.g.settings.Load().Supervisors.keys()); code != "" {
		c.keyDialled(l, code)
	}
	return true
}

// attended notes under which number a supervisor's audio is recorded, and why
// somebody cannot be heard.
func (c *Call) attended(track int, reason string, l *leg) {
	if !l.supervises() || l.track == track && l.unheard == reason {
		return
	}
	l.track, l.unheard = track, reason
	c.record("supervisor.media", mediaData{Join: l.Join.ID, Mode: l.Join.Mode, Track: track, Reason: reason})
	if reason != "" {
		c.log.Warn("supervisor cannot be mixed in", zap.String("leg", l.label()), zap.String("reason", reason))
	}
}
