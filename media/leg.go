package media

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// leg is one party of a call. Its streams are owned by the call's loop; the
// session keeps a list of its own for callers of Stats.
type leg struct {
	sess    *session
	id      LegID
	v6      bool
	streams []*stream // the loop's
	codes   []string
	gone    bool      // dropped
	attends *attendee // while it takes part as a supervisor
}

// stream is one m-line of one leg.
type stream struct {
	leg     *leg
	index   int
	kind    Kind
	pair    *pair
	ear     *ear   // of the caller's streams, and of others that were sent packets of our own
	last    header // of the caller's streams what was received last, of others what they heard last
	lastAt  time.Duration
	player  *player  // of the caller's streams while a prompt plays
	refused string   // why none does, as told to the call
	dial    *dialler // of streams watched for codes

	remote    Remote
	to        endpoint // where RTP goes and comes from
	toControl endpoint // where RTCP does, when it has a port of its own
	pcmu      ptSet
	pcma      ptSet
	events    ptSet
	toCaller  *route // on takers: nil when payload types agree
	toTaker   *route

	activity activity
	seen     seen
}

// endpoint is the remote end of one port.
type endpoint struct {
	addr    netip.AddrPort // destination, and the only source accepted
	nat     bool           // another source may take over
	latched bool           // it has, or the described one has spoken
}

// seen is written by the loop and read by Stats.
type seen struct {
	received, sent, refused       atomic.Uint64
	firstRecv, lastRecv, lastSent atomic.Int64 // Unix nanoseconds, 0 if never
	ssrc                          atomic.Uint32

	speech, noise atomic.Int64 // nanoseconds
	lastSpeech    atomic.Int64
	means         atomic.Uint32 // by which speech is told
	paused        atomic.Bool

	unreached     atomic.Uint64
	lastUnreached atomic.Int64
	complaint     atomic.Pointer[Unreachable]
}

func (s *seen) stats() StreamStats {
	return StreamStats{
		Received: s.received.Load(), Sent: s.sent.Load(), Refused: s.refused.Load(),
		FirstRecv: wallTime(s.firstRecv.Load()), LastRecv: wallTime(s.lastRecv.Load()), LastSent: wallTime(s.lastSent.Load()),
		SSRC:   s.ssrc.Load(),
		Speech: time.Duration(s.speech.Load()), Noise: time.Duration(s.noise.Load()), LastSpeech: wallTime(s.lastSpeech.Load()),
		Activity: activities[s.means.Load()], Pauses: s.paused.Load(),
		Unreached: s.unreached.Load(), LastUnreached: wallTime(s.lastUnreached.Load()), Unreachable: s.complaint.Load().text(),
	}
}

func wallTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// setRemote takes over what signalling says of the far side.
func (s *stream) setRemote(r Remote, nat []netip.Prefix) {
	codecs := make([]Codec, len(r.Codecs))
	for i, c := range r.Codecs {
		codecs[i] = normal(c)
	}
	r.Codecs = codecs
	r.RTP, r.RTCP = unmap(r.RTP), unmap(r.RTCP)
	if r.Mux {
		r.RTCP = r.RTP
	} else if !r.RTCP.IsValid() && reachable(r.RTP) {
		r.RTCP = netip.AddrPortFrom(r.RTP.Addr(), r.RTP.Port()+1) // RFC 3550 section 11
	}
	s.remote = r
	s.pcmu, s.pcma = setOf(codecs, namePCMU), setOf(codecs, namePCMA)
	s.to.describe(r.RTP, nat)
	s.toControl.describe(r.RTCP, nat)
}

// describe sets the address that signalling gave. A remote that is on hold
// with the address 0.0.0.0 (RFC 3264 section 8.4) may go on sending from
// where it was.
func (e *endpoint) describe(addr netip.AddrPort, nat []netip.Prefix) {
	if !reachable(addr) {
		return
	}
	e.nat = within(nat, addr.Addr())
	if e.addr != addr && (!e.nat || !e.addr.IsValid() || !e.latched) {
		// Where a device behind NAT was heard last stays its address until it
		// is heard from elsewhere: what it says of itself leads nowhere.
		e.addr = addr
	}
	e.latched = false
}

// accepts decides whether a datagram from that source may be used. valid says
// that its content is what belongs on this port, which a source needs to take
// the stream over.
func (e *endpoint) accepts(from netip.AddrPort, valid bool, nat []netip.Prefix) bool {
	switch {
	case from == e.addr:
		e.latched = e.latched || valid
		return true
	case e.latched || !valid || !e.addr.IsValid():
		return false
	case !e.nat && (len(nat) == 0 || !within(nat, from.Addr())):
		return false
	}
	e.addr, e.latched = from, true
	return true
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func reachable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified()
}

func within(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// listens tells whether RTP may be sent to the stream now.
func (s *stream) listens() bool {
	return !s.remote.Muted && s.to.addr.IsValid() && reachable(s.remote.RTP)
}

// rate is the RTP clock of a payload type, with the peer's view as the second
// source (RFC 3264 section 5.1 lets a sender use the receiver's numbers).
func (s *stream) rate(pt uint8, peer *stream) uint32 {
	if c, ok := find(s.remote.Codecs, pt); ok && c.Rate > 0 {
		return c.Rate
	}
	if peer != nil {
		if c, ok := find(peer.remote.Codecs, pt); ok && c.Rate > 0 {
			return c.Rate
		}
	}
	switch s.kind {
	case Video:
		return 90000
	case Text:
		return 1000
	default:
		return 8000
	}
}

// tapCodec names the format of a packet of this stream for the tap.
func (s *stream) tapCodec(pt uint8) uint8 {
	switch {
	case s.remote.Secure:
		return tapOther
	case s.pcmu.has(pt):
		return ptPCMU
	case s.pcma.has(pt):
		return ptPCMA
	default:
		return tapOther
	}
}

// connect prepares the way between the caller's stream c and the taker's s,
// and learns which of the taker's packets are DTMF.
func (s *stream) connect(c *stream) {
	s.events = eventSet(s.remote.Codecs, nil)
	if c == nil {
		s.toCaller, s.toTaker = nil, nil
		return
	}
	s.toCaller = newRoute(s.remote.Codecs, c.remote.Codecs)
	s.toTaker = newRoute(c.remote.Codecs, s.remote.Codecs)
	s.events = eventSet(s.remote.Codecs, c.remote.Codecs)
}

// eventSet collects the payload types of telephone-event of a leg; numbers
// it did not name itself mean what they mean to its peer.
func eventSet(own, peer []Codec) (s ptSet) {
	for _, c := range peer {
		if c.Name == nameEvent {
			s.add(c.PT)
		}
	}
	for _, c := range own {
		if c.Name == nameEvent {
			s.add(c.PT)
		} else {
			s[c.PT>>6&1] &^= 1 << (c.PT & 63)
		}
	}
	return s
}
