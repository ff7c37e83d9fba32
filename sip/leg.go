package sip

import (
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
	"holdline/sip/edge"
)

// Role is what a leg is in its call.
type Role string

// The roles of a leg.
const (
	RoleCaller    Role = "caller"
	RoleTaker     Role = "taker"
	RoleListener  Role = "listener"  // a supervisor who hears the call
	RoleWhisperer Role = "whisperer" // a supervisor whom the taker hears
	RoleBarger    Role = "barger"    // a supervisor whom all hear
)

// LegState is how far a leg's dialog is.
type LegState string

// The states of a leg.
const (
	Calling   LegState = "calling"
	Early     LegState = "early"
	Confirmed LegState = "confirmed"
	Over      LegState = "ended"
)

// Leg is one dialog of a call with what belongs to it: plain values, that can
// be written down and rebuilt.
type Leg struct {
	ID         media.LegID   `json:"id"`
	Role       Role          `json:"role"`
	Target     string        `json:"target"` // position id, or SIP URI of a fallback target
	URI        string        `json:"uri"`
	Key        string        `json:"key"` // of its desk; "" when it holds none
	Agent      string        `json:"agent,omitempty"`
	Seated     string        `json:"seated,omitempty"` // who sat there when it answered, if not Agent
	Desk       bool          `json:"desk,omitempty"`   // a configured position
	State      LegState      `json:"state"`
	Since      time.Time     `json:"since"`
	Dialog     Dialog        `json:"dialog"`
	Invite     uint32        `json:"invite"` // CSeq of the INVITE that made the dialog
	Origin     origin        `json:"origin"`
	Ports      []media.Ports `json:"ports,omitempty"`
	Remote     string        `json:"remote,omitempty"`     // the peer's latest SDP
	Told       string        `json:"told,omitempty"`       // the SDP it was last sent
	Peer       string        `json:"peer,omitempty"`       // source of its last message
	Allow      string        `json:"allow,omitempty"`      // methods its peer takes
	Rescue     bool          `json:"rescue,omitempty"`     // it was called from the queue
	Replaces   string        `json:"replaces,omitempty"`   // the dialog its INVITE replaces (RFC 3891)
	ReferredBy string        `json:"referredBy,omitempty"` // of a transfer (RFC 3892)
	Left       string        `json:"left,omitempty"`       // its transfer succeeded: it may go
	Outside    bool          `json:"outside,omitempty"`    // another centre, to which the call was transferred
	Reported   string        `json:"reported,omitempty"`   // whom it gave the caller to, as the call-handling system says and SIP does not show
	HandedBy   string        `json:"handedBy,omitempty"`   // the taker who asked for somebody else
	Acked      bool          `json:"acked"`                // our 2xx was acknowledged
	Join       Join          `json:"join,omitzero"`        // of a supervisor
	Timer      Timer         `json:"timer,omitzero"`
}

// leg is a Leg with handles on what is under way on it.
type leg struct {
	Leg
	hasMedia   bool           // it has a media leg
	request    *gosip.Request // its INVITE, for CANCEL
	sent       *edge.Sent     // the INVITE under way
	ack        *gosip.Request // of its 2xx, to be sent again
	byeSeen    bool           // its BYE is in the journal
	waited     bool           // its BYE was put off for the caller's
	failed     string         // whom its last transfer went to, when nobody there took the call
	wentTo     string         // whom its transfer went to, when somebody did
	alive      bool           // any response came
	open       bool           // its INVITE has no final answer yet
	cancel     bool           // given up: CANCEL is sent, or due with the first provisional
	cancelSent bool
	strays     bool // it was abandoned, and may still say something

	lateAck    bool                // the ACK waits for the caller's, which carries the answer
	held       *held               // a BYE that overtook the 2xx
	final      *final2xx           // our 2xx, until it is acknowledged
	byeDue     *gosip.Request      // BYE to be sent when it is
	passing    map[uint32]*relayed // its re-INVITEs that were passed on, by CSeq
	hops       []hopAddr           // the ways to it that are left
	minSE      int                 // seconds its peer asked for (422)
	pracked    string              // RSeq that we acknowledged
	ring, dead *time.Timer
	session    *time.Timer

	audio   int              // which of its streams is audio, of a browser's
	hungUp  func(why string) // tells a browser's gateway that the part is over; such a leg has no dialog
	track   int              // of a supervisor's audio in the recording
	unheard string           // why a supervisor cannot be mixed in
	dialled string           // the part of a code that a supervisor's phone has sent by INFO
	taking  bool             // a supervisor's take-over is on its way to the disk
	helped  bool             // came because of an assist
	parting string           // how a supervisor's part ended
}

// held is a request with its transaction, kept for later.
type held struct {
	req *gosip.Request
	tx  *gosip.ServerTx
}

// release is a taker leaving, with what was seen of it.
type release struct {
	leg  *leg
	bye  *held // nil when the taker left without one
	how  string
	data releaseData

	lapse *lapse // of a taker who did not leave, and is not there

	deceived bool // a supervisor had barged in, and was not there
}

// final2xx is a 2xx of ours that is sent again until it is acknowledged
// (RFC 3261 section 13.3.1.4).
type final2xx struct {
	tx    *gosip.ServerTx
	res   *gosip.Response
	every time.Duration
	until time.Time
	timer *time.Timer
}

const (
	t1 = 500 * time.Millisecond // RFC 3261 section 17.1.1.1
	t2 = 4 * time.Second
)

// send starts a client transaction on l; sink runs in the call's goroutine.
func (c *Call) send(l *leg, req *gosip.Request, sink func(edge.Response)) *edge.Sent {
	c.aim(l, req)
	return c.g.edge.Send(req, func(r edge.Response) { c.enter(func() { sink(r) }) })
}

// aim sends over the TCP connection that the peer opened, while it stands.
func (c *Call) aim(l *leg, req *gosip.Request) {
	if l.Dialog.Network == "tcp" && l.Peer != "" && c.g.edge.Connected("tcp", l.Peer) {
		req.SetDestination(l.Peer)
	}
}

// answer sends a final 2xx of ours and repeats it until its ACK comes.
func (c *Call) answer(l *leg, tx *gosip.ServerTx, res *gosip.Response, lost func()) {
	if l.final != nil {
		stop(&l.final.timer)
	}
	f := &final2xx{tx: tx, res: res, every: t1, until: time.Now().Add(64 * t1)}
	l.final, l.Acked = f, false
	if err := tx.Respond(res); err != nil {
		c.log.Debug("2xx not sent", zap.String("leg", l.label()), zap.Error(err))
	}
	var again func()
	again = func() {
		if l.final != f {
			return
		}
		if time.Now().After(f.until) {
			l.final = nil
			lost()
			return
		}
		_ = tx.Respond(res) // a send that fails is tried again, and given up in the end
		f.every = min(2*f.every, t2)
		f.timer = c.after(f.every, again)
	}
	f.timer = c.after(f.every, again)
}

// acked stops the repetition of l's 2xx.
func (l *leg) acked() {
	l.Acked = true
	if l.final != nil {
		stop(&l.final.timer)
		l.final = nil
	}
}

// bye ends l's dialog from our side, carrying what from said (a BYE of the
// other side), and forgets it: whatever comes back, the leg is gone.
func (c *Call) bye(l *leg, from *gosip.Request) {
	c.byeWith(l, func(req *gosip.Request) {
		if from != nil && from.Method == gosip.BYE {
			carry(from, req, strings.ToLower(c.g.intakeHeader()), "authorization", "proxy-authorization")
			req.SetBody(from.Body())
		}
	})
}

// byeWith ends l's dialog with a BYE that fill completes. A browser has no
// dialog: its gateway is told when the leg is dropped.
func (c *Call) byeWith(l *leg, fill func(*gosip.Request)) {
	if l.State == Over {
		return
	}
	l.State, l.Since = Over, time.Now()
	if l.hungUp != nil {
		return
	}
	req, err := l.Dialog.request("BYE", l.Dialog.nextSeq())
	if err != nil {
		c.log.Warn("leg cannot be told that it is over", zap.String("leg", l.label()), zap.Error(err))
		return
	}
	fill(req)
	if l.Role == RoleCaller && !l.Acked || l.supervises() && l.final != nil {
		l.byeDue = req // RFC 3261 section 15: not before the ACK
		return
	}
	c.send(l, req, func(edge.Response) {})
}

// drop frees what l holds besides its dialog.
func (c *Call) drop(l *leg) {
	stop(&l.ring)
	stop(&l.dead)
	stop(&l.session)
	c.dropMedia(l)
	c.vacate(l)
	c.parted(l)
	c.answersFor(l)
}

// dropMedia gives l's ports back.
func (c *Call) dropMedia(l *leg) {
	if l.hasMedia && l != c.caller {
		c.media.DropLeg(l.ID)
		l.hasMedia = false
	}
}

// vacate gives l's place at its desk back.
func (c *Call) vacate(l *leg) {
	if l.Key != "" {
		key := l.Key
		l.Key = ""
		c.g.desks.release(key)
	}
}

// label names l in the log, where a caller's number is personal data.
func (l *leg) label() string {
	if l.Role == RoleCaller {
		return string(RoleCaller)
	}
	return l.Target
}

// hear takes a peer's SDP: where it receives, in which formats.
func (c *Call) hear(l *leg, s *session, codecs [][]media.Codec) {
	l.Remote = strings.Join(s.lines, "\r\n") + "\r\n"
	c.streams(l, s)
	for i, r := range s.remotes() {
		if i < len(codecs) && len(codecs[i]) > 0 {
			r.Codecs = codecs[i]
		}
		if m := s.media[i]; m.port != 0 && !s.connection(m).IsValid() {
			s.named(&r, m, l.Peer) // a host name: its media is where its signalling is
		}
		c.media.SetRemote(l.ID, i, r)
	}
}

// streams makes sure l has a port pair for each m-line of s.
func (c *Call) streams(l *leg, s *session) {
	kinds := s.kinds()
	if !l.hasMedia {
		id, ports, err := c.media.AddLeg(kinds, c.wants6(l))
		if err != nil {
			c.log.Error("no media ports", zap.String("leg", l.label()), zap.Error(err))
			return
		}
		l.ID, l.Ports, l.hasMedia = id, ports, true
		return
	}
	if len(kinds) > len(l.Ports) {
		more, err := c.media.AddStreams(l.ID, kinds[len(l.Ports):])
		if err != nil {
			c.log.Error("no media ports", zap.String("leg", l.label()), zap.Error(err))
			return
		}
		l.Ports = append(l.Ports, more...)
	}
}

// tell renders s for l: our ports, l's session name.
func (c *Call) tell(l *leg, s *session) []byte {
	c.streams(l, s)
	body := s.rewrite(l.Ports, &l.Origin)
	l.Told = string(body)
	return body
}

// wants6 tells whether l's media is IPv6: as its signalling.
func (c *Call) wants6(l *leg) bool { return strings.HasPrefix(l.Dialog.Next, "[") }

// deskKey names l's target also after its desk was given back.
func (l *leg) deskKey() string {
	if l.Desk {
		return l.Target
	}
	return deskKey(l.URI)
}

// allows notes which methods the peer says it takes.
func (l *leg) allows(msg gosip.Message) {
	if v := getAll(msg, "allow"); len(v) > 0 {
		l.Allow = strings.Join(v, ",")
	}
}
