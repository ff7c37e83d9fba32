package recorder

// Placing packets in time, in samples of 8 kHz G.711.
const (
	sampleRate = 8000
	nsPerFrame = 1_000_000_000 / sampleRate
	// tooFar is how far a packet's RTP time may be from its arrival before
	// the arrival is believed instead: the sender's clock has jumped.
	tooFar = sampleRate / 5
	// The sender's clock is followed when the average distance grows over
	// driftStart, one sample a packet, until it is below driftStop.
	driftStart = sampleRate / 50
	driftStop  = sampleRate / 200
	// driftWeight is how slowly the average follows single packets (jitter).
	driftWeight = 256
	// farAhead is how far a stream may run ahead of the time: more is a flood.
	farAhead = 10 * sampleRate
	// reorder is how many packets late one may come and still be believed to
	// belong to its place.
	reorder = 64
)

// stream places the packets of one direction on the recording's time line. A
// packet goes where its RTP timestamp says, so that jitter does not matter,
// relative to the arrival of the first one. Clocks of senders are never quite
// right: the place is led back to the arrival time slowly, by a sample a
// packet, so that both directions stay together for hours.
type stream struct {
	live   bool
	ssrc   uint32
	seq    uint16
	seen   uint64 // bit i: packet seq-i has come
	ts     uint32
	pos    int64 // where the packet with ts begins
	end    int64 // where the last packet ends
	drift  int64 // average of arrival minus place, in 1/driftWeight samples
	follow bool  // the place is being led back
	lost   uint64
	number uint8 // the m-line this direction was first heard on
}

// place returns where a packet of n samples that arrived at arrival begins.
// shift is 1 if a sample has to be filled in before it. ok is false for a
// packet that came before, or too late to know its place.
func (s *stream) place(h *rtpHeader, arrival int64) (pos int64, shift int, ok bool) {
	n := int64(len(h.payload))
	if !s.live || h.ssrc != s.ssrc {
		s.restart(h, max(arrival, s.end), n)
		return s.pos, 0, true
	}
	d := int(int16(h.seq - s.seq))
	pos = s.pos + int64(int32(h.ts-s.ts))
	switch {
	case d <= -reorder:
		s.restart(h, max(arrival, s.end), n)
		return s.pos, 0, true
	case d <= 0:
		bit := uint64(1) << uint(-d)
		late := arrival - pos
		if s.seen&bit != 0 || late > sampleRate || late < -tooFar || pos < 0 {
			return 0, 0, false
		}
		s.seen |= bit
		s.lost -= min(s.lost, 1)
		return pos, 0, true
	}
	s.advance(h.seq, d)
	if far := arrival - pos; far > tooFar || far < -tooFar || pos < s.end-1 {
		// Never over what this stream has already said: packets that were
		// held up in the network come all at once, and stay one after another.
		if moved := max(arrival, s.end); moved != pos {
			pos, s.drift, s.follow = moved, 0, false
		}
		if pos > arrival+farAhead {
			s.lost++
			return 0, 0, false
		}
	}
	shift = s.track(arrival - pos)
	pos += int64(shift)
	s.ts, s.pos, s.end = h.ts, pos, max(s.end, pos+n)
	return pos, max(shift, 0), true
}

// restart begins anew with a packet.
func (s *stream) restart(h *rtpHeader, pos, n int64) {
	s.live, s.ssrc, s.seq, s.ts = true, h.ssrc, h.seq, h.ts
	s.seen, s.drift, s.follow = 1, 0, false
	s.pos, s.end = pos, pos+n
}

// pass counts a packet of the same source that is not placed: digits (RFC 4733)
// and comfort noise share the sequence numbers of the speech around them, and
// would otherwise look like a loss of it.
func (s *stream) pass(h *rtpHeader) {
	if !s.live || h.ssrc != s.ssrc {
		return
	}
	d := int(int16(h.seq - s.seq))
	if d > 0 {
		s.advance(h.seq, d)
		return
	}
	if bit := uint64(1) << uint(-d); d > -reorder && s.seen&bit == 0 {
		s.seen |= bit
		s.lost -= min(s.lost, 1)
	}
}

// advance notes that the newest packet is d ahead of the one before.
func (s *stream) advance(seq uint16, d int) {
	s.seq = seq
	if d < 64 {
		s.seen = s.seen<<uint(d) | 1
	} else {
		s.seen = 1
	}
	if d < 3000 { // more is a jump of the sender's numbers, not a loss
		s.lost += uint64(d - 1)
	}
}

// track follows the average distance between arrival and place, and says by
// how many samples the place has to move.
func (s *stream) track(distance int64) (shift int) {
	distance = max(-tooFar, min(tooFar, distance))
	s.drift += distance - s.drift/driftWeight
	mean := s.drift / driftWeight
	switch {
	case mean > driftStart || mean < -driftStart:
		s.follow = true
	case mean < driftStop && mean > -driftStop:
		s.follow = false
	}
	if !s.follow {
		return 0
	}
	if mean > 0 {
		s.drift -= driftWeight
		return 1
	}
	s.drift += driftWeight
	return -1
}
