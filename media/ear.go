package media

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Limits of what counts as one continuous source.
const (
	maxForward  = 3000                   // packets that may be lost in a row, RFC 3550 appendix A.1
	maxBackward = 500                    // packets that a reordered one may be late
	lateAfter   = 500 * time.Millisecond // how long packets of a source that was left may trail in
	settling    = 2 * time.Second        // how long packets from before a switch may trail in
	defaultSpan = 20 * time.Millisecond
	longestSpan = 100 * time.Millisecond // no packet keeps the prompt waiting longer
)

// ear is what one stream of the caller hears: a single RTP source, whoever
// serves it. The first source is passed on as it is; each later one is moved
// by constant offsets so that it continues where the one before ended. The
// loss and the reordering of a source stay visible.
type ear struct {
	kind    Kind
	started bool
	ssrc    uint32
	seq     uint16        // highest sequence number so far
	ts      uint32        // latest timestamp
	tsAt    time.Duration // when that timestamp first appeared
	at      time.Duration // when the last packet went to the caller
	rate    uint32        // clock of the last packet
	span    uint32        // how long the last packet lasts, in its clock; 0 if unknown

	mapped bool // a source is being passed on
	native bool // it is the first one, untouched
	from   uint32
	seqOff uint16
	tsOff  uint32
	since  time.Duration // when it began
	floor  uint16        // its first sequence number as heard
	top    uint16        // its own highest sequence number
	cycles uint16        // how often that wrapped
	synced bool          // a sender report of it has been passed on

	left   uint32 // the source before it within the same leg
	leftAt time.Duration

	held    [16]uint16 // sequence numbers withheld last, of the source
	holding int
	heldTop uint16

	dark    bool   // packets were not sent because the caller is on hold
	reached bool   // a packet was really sent
	sentSeq uint16 // highest number that was

	restarted bool // after a hold; the next packet of our own is a switch
}

// leave ends the present source; the next packet is a switch.
func (e *ear) leave() { e.mapped, e.left, e.leftAt = false, 0, 0 }

// carry rewrites h, a packet of the source being passed on, into what the
// caller hears. It returns false for a packet that came too late. samples is
// the duration of its payload in its clock when that is known, else 0.
func (e *ear) carry(h *header, rate, samples uint32, now time.Duration) bool {
	switch {
	case !e.mapped:
		e.adopt(h, rate, now)
	case h.ssrc != e.from:
		if h.ssrc == e.left && now < e.leftAt+lateAfter {
			return false
		}
		e.left, e.leftAt = e.from, now
		e.adopt(h, rate, now)
	}
	seq := h.seq + e.seqOff + e.restore(h.seq)
	ahead := int16(seq - e.seq)
	if ahead > maxForward || ahead < -maxBackward {
		ahead = e.restart(h, rate, now)
		seq = h.seq + e.seqOff
	} else if !e.native && now < e.since+settling && int16(seq-e.floor) < 0 {
		return false // its number was already used before the switch
	}
	ts := h.ts + e.tsOff
	if ahead > 0 {
		e.advance(seq, ts, h.seq, rate, samples, now)
	}
	e.at = now
	h.seq, h.ts, h.ssrc = seq, ts, e.ssrc
	return true
}

// adopt makes the source of h continue what was heard so far.
func (e *ear) adopt(h *header, rate uint32, now time.Duration) {
	e.mapped, e.from, e.since = true, h.ssrc, now
	e.top, e.cycles, e.synced, e.holding = h.seq, 0, false, 0
	e.native = !e.started
	if e.native {
		e.started, e.ssrc = true, h.ssrc
		e.seq, e.ts, e.tsAt, e.rate = h.seq-1, h.ts, now, rate
		e.seqOff, e.tsOff = 0, 0
		return
	}
	e.floor = e.seq + 1
	e.seqOff = e.floor - h.seq
	e.tsOff = e.following(rate, now) - h.ts
	e.clock(rate)
	h.marker = true
}

// clock changes to another RTP clock.
func (e *ear) clock(rate uint32) {
	if e.rate != rate && e.rate != 0 {
		e.span = uint32(uint64(e.span) * uint64(rate) / uint64(e.rate))
	}
	e.rate = rate
}

// restart follows a source that began to count anew under the same SSRC. The
// first source is followed as it is, since nothing of it was ever changed.
func (e *ear) restart(h *header, rate uint32, now time.Duration) int16 {
	if e.native && e.seqOff == 0 {
		e.seq, e.ts, e.tsAt = h.seq-1, h.ts, now
		e.top, e.holding = h.seq, 0
		return 1
	}
	e.adopt(h, rate, now)
	return 1
}

// advance notes the newest packet of the stream.
func (e *ear) advance(seq uint16, ts uint32, own uint16, rate, samples uint32, now time.Duration) {
	next := own == e.top+1
	if own < e.top && int16(own-e.top) > 0 {
		e.cycles++
	}
	e.top, e.seq = own, seq
	e.clock(rate)
	step := int32(ts - e.ts)
	switch {
	case samples > 0:
		e.span = samples
	case next && step > 0 && uint32(step) <= rate/5:
		e.span = uint32(step)
	}
	// Events repeat the timestamp of their beginning (RFC 4733), so a little
	// backwards is normal; far backwards the source has set its clock anew.
	if step > 0 || step < -10*int32(rate) {
		e.ts, e.tsAt = ts, now
	}
}

// packetTime is how long the last packet lasts, 0 for streams without a beat.
func (e *ear) packetTime() time.Duration {
	if e.kind != Audio {
		return 0
	}
	if e.span == 0 || e.rate == 0 {
		return defaultSpan
	}
	return min(longestSpan, time.Duration(e.span)*time.Second/time.Duration(e.rate))
}

// following is the timestamp, in a clock of the given rate, for a packet of a
// new source that leaves now: after the last one by the time that has passed,
// in whole packet times and at least one.
func (e *ear) following(rate uint32, now time.Duration) uint32 {
	passed := now - e.tsAt
	if beat := e.packetTime(); beat > 0 {
		passed = max(1, (passed+beat/2)/beat) * beat //nolint:durationcheck // a number of packets times one
	}
	return e.ts + max(1, uint32(uint64(passed)/1000*uint64(rate)/1e6))
}

// produce makes the header of a packet of our own with the given timestamp.
func (e *ear) produce(h *header, ts, rate, samples uint32, now time.Duration) {
	e.seq++
	e.ts, e.tsAt, e.at, e.rate, e.span = ts, now, now, rate, samples
	h.seq, h.ts, h.ssrc = e.seq, ts, e.ssrc
}

// insert makes h, a packet of somebody else, the next packet of the stream. The
// source being passed on goes on after it.
func (e *ear) insert(h *header, rate uint32, now time.Duration) {
	e.begin(now)
	e.produce(h, e.following(rate, now), rate, 0, now)
	e.seqOff++
}

// slot makes the header of a packet of 20 ms of G.711 of our own: the one
// after skipped slots that were left out, or the first of several.
func (e *ear) slot(h *header, goesOn bool, skipped int, now time.Duration) {
	e.begin(now)
	ts := e.ts + frameSamples*uint32(1+skipped)
	if !goesOn || e.restarted {
		ts = e.following(8000, now)
		h.marker = true
	}
	e.restarted = false
	e.produce(h, ts, 8000, frameSamples, now)
}

// begin chooses the identity of a stream that starts with our own packets,
// at random as RFC 3550 section 5.1 asks.
func (e *ear) begin(now time.Duration) {
	if e.started {
		return
	}
	e.started, e.ssrc, e.seq, e.ts, e.tsAt = true, rand.Uint32(), uint16(rand.Uint32()), rand.Uint32(), now
}

// withhold takes the packet h out of the stream without leaving a hole.
func (e *ear) withhold(h *header) {
	if !e.mapped || h.ssrc != e.from {
		return // the switch that comes closes the gap
	}
	if slices.Contains(e.held[:e.holding], h.seq) {
		return // a duplicate
	}
	if e.holding == 0 || int16(h.seq-e.heldTop) > 0 {
		e.heldTop = h.seq
	}
	if e.holding == len(e.held) {
		copy(e.held[:], e.held[1:])
		e.holding--
	}
	e.held[e.holding] = h.seq
	e.holding++
	e.seqOff--
	if own := h.seq; int16(own-e.top) > 0 {
		if own < e.top {
			e.cycles++
		}
		e.top = own
	}
}

// restore gives back to a late packet what was taken off for packets that
// were withheld after it.
func (e *ear) restore(seq uint16) (n uint16) {
	if e.holding == 0 {
		return 0
	}
	if ahead := int16(seq - e.heldTop); ahead > 0 {
		if ahead > maxForward {
			e.holding = 0
		}
		return 0
	}
	for _, s := range e.held[:e.holding] {
		if int16(s-seq) > 0 {
			n++
		}
	}
	return n
}

// sent notes whether the packet numbered seq really went to the caller.
func (e *ear) sent(seq uint16, really bool) {
	switch {
	case !really:
		e.dark = true
	case !e.reached || int16(seq-e.sentSeq) > 0:
		e.reached, e.sentSeq = true, seq
	}
}

// resume is called before a packet is made that will really be sent: after a
// hold the stream continues from what the caller heard last.
func (e *ear) resume() {
	switch {
	case !e.dark:
	case !e.reached:
		*e = ear{kind: e.kind, at: e.at, restarted: true}
	default:
		e.dark, e.seq, e.restarted = false, e.sentSeq, true
		e.leave()
	}
}

// untouched tells that the caller hears exactly what the source sends.
func (e *ear) untouched() bool { return !e.started || e.mapped && e.native && e.seqOff == 0 }

// ownSeq translates an extended sequence number that the caller reports into
// that of the source, for RTCP.
func (e *ear) ownSeq(heard uint32) uint32 {
	own := uint16(heard) - e.seqOff
	cycles := e.cycles
	if own > e.top && int16(own-e.top) < 0 {
		cycles-- // from before the last wrap
	}
	return uint32(cycles)<<16 | uint32(own)
}
