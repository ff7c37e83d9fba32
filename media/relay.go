package media

import (
	"net/netip"
	"time"
)

// mediaArrived handles a datagram on the RTP port of a stream.
func (l *loop) mediaArrived(s *stream, b []byte, from netip.AddrPort) {
	if s.remote.Secure {
		l.secureArrived(s, b, from)
		return
	}
	if s.remote.Mux && isRTP(b) && isMuxedRTCP(b) {
		l.rtcpArrived(s, &s.to, b, from)
		return
	}
	var h header
	valid := parseRTP(b, &h)
	if !l.admit(s, &s.to, from, valid) {
		return
	}
	if !valid {
		l.count.dropped.Add(1) // STUN, DTLS, or broken
		return
	}
	l.noteReceived(s, h.ssrc)
	l.heed(s, b, &h)
	if s.leg == s.leg.sess.caller {
		l.fromCaller(s, b, &h)
	} else {
		l.fromTaker(s, b, &h)
	}
}

// controlArrived handles a datagram on the RTCP port of a stream.
func (l *loop) controlArrived(s *stream, b []byte, from netip.AddrPort) {
	switch {
	case s.remote.Mux:
		l.refuse(s) // all of it belongs on the other port, RFC 5761
	case s.remote.Secure:
		if l.admit(s, &s.toControl, from, isRTP(b)) {
			l.relayControl(s, b)
		}
	default:
		l.rtcpArrived(s, &s.toControl, b, from)
	}
}

// admit decides by its source whether a datagram may be used.
func (l *loop) admit(s *stream, e *endpoint, from netip.AddrPort, valid bool) bool {
	if e.accepts(from, valid, l.nat()) {
		return true
	}
	l.refuse(s)
	return false
}

func (l *loop) refuse(s *stream) {
	l.count.refused.Add(1)
	s.seen.refused.Add(1)
}

func (l *loop) noteReceived(s *stream, ssrc uint32) {
	n := s.seen.received.Add(1)
	s.seen.lastRecv.Store(l.wall)
	if s.seen.ssrc.Load() != ssrc {
		s.seen.ssrc.Store(ssrc)
	}
	if n == 1 {
		s.seen.firstRecv.Store(l.wall)
		l.tell(s, Event{Kind: EventFirst})
	}
}

// tell notifies the call of something about a stream.
func (l *loop) tell(s *stream, ev Event) {
	ev.Leg, ev.Stream, ev.At = s.leg.id, s.index, time.Unix(0, l.wall)
	s.leg.sess.notify(ev)
}

// fromCaller passes a packet of the caller on to whoever it talks to.
func (l *loop) fromCaller(c *stream, b []byte, h *header) {
	call := c.leg.sess
	if call.recording {
		l.record(call, 0, c, h.pt, b)
	}
	if c.dial != nil && c.events.has(h.pt) {
		l.dialled(c, b, h)
	}
	c.last, c.lastAt = *h, l.now
	r := call.room
	if r != nil {
		l.overhear(r, forCaller, c, b, h)
	}
	t := call.peer.stream(c.index)
	if t == nil {
		return
	}
	if t.ear != nil && !t.remote.Secure && !l.renumber(t, c, h) {
		l.count.dropped.Add(1)
		return
	}
	if t.toTaker != nil && !t.remote.Secure {
		t.toTaker.apply(b, h, l.laws)
	}
	if (t.toTaker != nil || t.ear != nil) && !t.remote.Secure {
		h.write(b)
	}
	if r != nil && t == r.taker && !t.remote.Secure {
		l.blend(r, forTaker, t, b, h)
	}
	if t.listens() {
		l.send(t, t.pair.rtp, b, t.to.addr, true)
	}
}

// fromTaker passes a packet of a taker on to the caller, as part of the one
// stream that the caller hears.
func (l *loop) fromTaker(s *stream, b []byte, h *header) {
	call := s.leg.sess
	held := s.dial != nil && s.events.has(h.pt) && l.dialled(s, b, h)
	c := call.caller.stream(s.index)
	if call.peer != s.leg {
		l.guestSpoke(s, b, h)
		return
	}
	if c == nil {
		return
	}
	if c.remote.Secure {
		l.hear(c, h, b)
		return
	}
	if held {
		c.ear.withhold(h)
		return
	}
	r := call.room
	if r != nil {
		l.overhear(r, forTaker, s, b, h)
	}
	if c.ear.dark && c.listens() {
		c.ear.resume()
	}
	if r != nil && r.late(forCaller, c, l.now) || !c.ear.carry(h, s.rate(h.pt, c), s.samples(h), l.now) {
		l.count.dropped.Add(1)
		return
	}
	if c.player != nil {
		l.quiet(c) // the prompt went on until now
	}
	if s.toCaller != nil {
		s.toCaller.apply(b, h, l.laws)
	}
	if r != nil && c == r.caller {
		l.blend(r, forCaller, c, b, h)
	}
	h.write(b)
	l.hear(c, h, b)
}

// renumber makes a packet of the caller part of the one stream that a taker
// hears to whom packets of our own were sent as well.
func (l *loop) renumber(t, c *stream, h *header) bool {
	if r := t.leg.sess.room; r != nil && r.late(forTaker, t, l.now) {
		return false
	}
	return t.ear.carry(h, c.rate(h.pt, t), c.samples(h), l.now)
}

// samples is the duration of a packet in its RTP clock where the format
// tells: one byte of G.711 is one sample.
func (s *stream) samples(h *header) uint32 {
	if s.pcmu.has(h.pt) || s.pcma.has(h.pt) {
		return uint32(h.end - h.off)
	}
	return 0
}

// dialled follows a DTMF event and reports whether it must be withheld.
func (l *loop) dialled(s *stream, b []byte, h *header) bool {
	held, code := s.dial.hear(h, b[h.off:h.end], l.now)
	if code != "" {
		l.tell(s, Event{Kind: EventCode, Code: code})
	}
	return held
}

// hear lets the caller hear a finished packet: it goes to the tap, and to
// the caller unless on hold.
func (l *loop) hear(c *stream, h *header, b []byte) bool {
	call := c.leg.sess
	if call.recording {
		l.record(call, 1, c, h.pt, b)
	}
	can := c.listens() && l.send(c, c.pair.rtp, b, c.to.addr, true)
	c.ear.sent(h.seq, can || c.listens())
	return can
}

// record hands a packet to the tap. Whatever fails there, the packet itself
// still has to go on its way.
func (l *loop) record(call *session, side uint8, c *stream, pt uint8, b []byte) {
	defer l.recover("tap")
	if l.tap != nil {
		l.tap.Packet(call.rec, side, c.tapCodec(pt), uint8(c.index), l.wall, b)
	}
}

// send sends a datagram to the far side of a stream.
func (l *loop) send(s *stream, sock Socket, b []byte, to netip.AddrPort, media bool) bool {
	if err := sock.Send(b, to); err != nil {
		l.count.dropped.Add(1)
		return false
	}
	if media {
		s.seen.sent.Add(1)
		s.seen.lastSent.Store(l.wall)
		if s.player == nil {
			l.count.relayed.Add(1)
		} else {
			l.count.prompts.Add(1)
		}
	}
	return true
}

// rtcpArrived handles RTCP on whichever port it came.
func (l *loop) rtcpArrived(s *stream, e *endpoint, b []byte, from netip.AddrPort) {
	valid := validRTCP(b)
	if !l.admit(s, e, from, valid) {
		return
	}
	if !valid {
		l.count.dropped.Add(1)
		return
	}
	l.relayControl(s, b)
}

// relayControl passes RTCP on to the other side of the bridge, in terms of
// the stream that side knows.
func (l *loop) relayControl(s *stream, b []byte) {
	call := s.leg.sess
	var to *stream
	if s.leg == call.caller {
		if to = call.peer.stream(s.index); to == nil {
			return
		}
		if !s.remote.Secure && !to.remote.Secure {
			rtcpToTaker(b, s.ear)
			if to.ear != nil {
				b = b[:rtcpToCaller(b, to.ear)]
			}
		}
	} else {
		if to = call.caller.stream(s.index); to == nil || call.peer != s.leg {
			return
		}
		if !s.remote.Secure && !to.remote.Secure {
			b = b[:rtcpToCaller(b, to.ear)]
			if s.ear != nil {
				rtcpToTaker(b, s.ear)
			}
		}
	}
	if len(b) > 0 {
		l.sendControl(to, b)
	}
}

// sendControl sends RTCP to the far side of a stream.
func (l *loop) sendControl(to *stream, b []byte) {
	switch {
	case to.remote.Mux && reachable(to.to.addr):
		l.send(to, to.pair.rtp, b, to.to.addr, false)
	case !to.remote.Mux && reachable(to.toControl.addr):
		l.send(to, to.pair.rtcp, b, to.toControl.addr, false)
	}
}

// secureArrived relays what Holdline has no keys for: whatever comes from
// the right source passes untouched, key exchange (DTLS) included.
func (l *loop) secureArrived(s *stream, b []byte, from netip.AddrPort) {
	var h header
	valid := parseRTP(b, &h)
	if !l.admit(s, &s.to, from, valid || len(b) > 0) {
		return
	}
	if isRTP(b) && isMuxedRTCP(b) && s.remote.Mux {
		l.relayControl(s, b)
		return
	}
	if valid {
		l.noteReceived(s, h.ssrc)
		l.heedSealed(s, h.end-h.off, &h)
	}
	call := s.leg.sess
	if s.leg == call.caller {
		if valid && call.recording {
			l.record(call, 0, s, h.pt, b)
		}
		if t := call.peer.stream(s.index); t != nil && t.listens() {
			l.send(t, t.pair.rtp, b, t.to.addr, true)
		}
		return
	}
	c := call.caller.stream(s.index)
	switch {
	case c == nil || call.peer != s.leg:
	case valid:
		l.hear(c, &h, b)
	case c.listens():
		l.send(c, c.pair.rtp, b, c.to.addr, true)
	}
}
