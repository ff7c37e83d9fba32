package media

import (
	"math/bits"
	"time"

	"github.com/zaf/g711"
)

// How speech is told from what is not. Levels are energies in steps of 1/32 of
// a doubling, about a tenth of a decibel each.
const (
	pieceSamples  = 160                    // what is judged at once: 20 ms of G.711
	windowSamples = 25 * pieceSamples      // what a verdict is about: half a second
	audible       = 340                    // quieter is silence: about -50 dB of full scale for a voice
	aboveFloor    = 96                     // 9 dB: how far speech stands out from the room behind it
	moved         = 27                     // 2.5 dB: what noise and tones hardly ever change from piece to piece
	leastSpeech   = 4 * pieceSamples       // of a window; less is a click
	fuller        = 16                     // a packet of speech is this much larger than one of silence: by 40 %
	fullest       = 5                      // such packets in a window of 25 make it speech
	pause         = 250 * time.Millisecond // a stream that was silent for this long begins a new window
	longestPause  = 10 * time.Second       // and one that goes on counting after it has silence suppression
)

// ptCN is comfort noise (RFC 3389): what is sent in place of silence.
const ptCN = 13

// Means by which the activity of a stream is told.
const (
	byNothing uint32 = iota // packets of one size in a format that is not read
	bySamples               // G.711
	byPattern               // the sizes of packets, and their absence
	byText                  // characters
)

var activities = [...]Activity{NoActivity, BySamples, ByPattern, ByText}

// activity follows what one stream says. It belongs to the loop, works without
// allocation, and tells what it found once for every half second of media, so
// that a packet costs little.
//
// Speech is told by what nobody can help while speaking: its level moves from
// one 20 ms piece to the next, several times a second by more than 2.5 dB.
// Noise, comfort noise, tones, and random bytes keep their level however loud
// they are.
type activity struct {
	at      time.Duration // when the last packet came
	seq     uint16        // of it
	begun   bool
	means   uint32
	floor   int32 // the quietest of late: it falls at once and rises slowly
	before  int32 // level of the piece before, 0 when that was silence
	ceiling int32 // largest packet, for the pattern

	span   uint32 // samples (or packets, for the pattern) in this window
	active uint32 // of them, those that stand out
	loud   uint32 // of them, those that are not silence
	pairs  uint32 // pieces that stand out and follow such a one
	lively uint32 // of them, those whose level moved
}

// samples holds the sample that each G.711 code stands for.
type samples struct{ u, a [256]int16 }

func newSamples() *samples {
	s := &samples{}
	for i := range s.u {
		s.u[i], s.a[i] = g711.DecodeUlawFrame(uint8(i)), g711.DecodeAlawFrame(uint8(i))
	}
	return s
}

// heed follows one valid packet of a stream that can be read.
func (l *loop) heed(s *stream, b []byte, h *header) {
	if s.kind == Text {
		l.heedText(s, b[h.off:h.end], h)
		return
	}
	if s.kind != Audio {
		return
	}
	a := &s.activity
	l.beat(s, h)
	payload := b[h.off:h.end]
	switch {
	case h.pt == ptCN:
		s.seen.paused.Store(true)
	case s.pcmu.has(h.pt):
		l.listen(s, a, payload, &l.engine.samples.u)
	case s.pcma.has(h.pt):
		l.listen(s, a, payload, &l.engine.samples.a)
	case s.events.has(h.pt): // somebody dials
	default:
		l.weigh(s, a, len(payload))
	}
}

// heedSealed follows a packet that is encrypted: only its size is known.
func (l *loop) heedSealed(s *stream, size int, h *header) {
	if s.kind == Audio {
		l.beat(s, h)
		l.weigh(s, &s.activity, size)
	}
}

// beat notices pauses: a stream that goes on counting after one does not send
// while there is silence.
func (l *loop) beat(s *stream, h *header) {
	a := &s.activity
	if gap := l.now - a.at; a.begun && gap > pause {
		if h.seq == a.seq+1 && gap < longestPause {
			s.seen.paused.Store(true)
		}
		l.verdict(s, a)
		a.before = 0
	}
	a.begun, a.at, a.seq = true, l.now, h.seq
}

// listen judges a payload of G.711. It looks at the steps from sample to
// sample and not at the samples: that is a high pass, before which hum and
// rumble, whose level wanders like that of a voice, are as steady as all noise.
func (l *loop) listen(s *stream, a *activity, p []byte, linear *[256]int16) {
	if a.means != bySamples {
		*a = activity{at: a.at, seq: a.seq, begun: true, means: bySamples}
		s.seen.means.Store(bySamples)
	}
	for len(p) > 0 {
		n := min(len(p), pieceSamples)
		var sum uint64
		before := int32(linear[p[0]])
		for _, code := range p[:n] {
			now := int32(linear[code])
			d := now - before
			sum += uint64(uint32(d * d)) // below 2^32: two samples are at most 64,248 apart
			before = now
		}
		a.piece(loudness(sum/uint64(n)), uint32(n))
		p = p[n:]
	}
	if a.span >= windowSamples {
		l.verdict(s, a)
	}
}

// piece takes the level of up to 20 ms.
func (a *activity) piece(level int32, n uint32) {
	a.floor = min(level, a.floor+1) // 5 dB in a second
	a.span += n
	if level < audible {
		a.before = 0
		return
	}
	a.loud += n
	if level < a.floor+aboveFloor {
		a.before = 0
		return
	}
	a.active += n
	if a.before > 0 {
		a.pairs++
		if d := level - a.before; d > moved || d < -moved {
			a.lively++
		}
	}
	a.before = level
}

// weigh judges by the size of a packet: formats of variable rate, and those
// that replace silence by small packets, spend more bytes on speech.
func (l *loop) weigh(s *stream, a *activity, size int) {
	if a.means == bySamples {
		*a = activity{at: a.at, seq: a.seq, begun: true}
		s.seen.means.Store(byNothing)
	}
	now := loudness(uint64(size) + 1)
	if a.ceiling == 0 {
		a.floor = now
	}
	a.floor, a.ceiling = min(a.floor, now), max(a.ceiling, now)
	if a.means == byNothing && a.ceiling-a.floor >= fuller {
		a.means = byPattern
		s.seen.means.Store(byPattern)
	}
	if now >= a.floor+fuller {
		a.active++
	}
	if a.span++; a.span >= 25 {
		l.verdict(s, a)
	}
}

// verdict ends a window and tells what was in it.
func (l *loop) verdict(s *stream, a *activity) {
	speech, noise := time.Duration(0), time.Duration(0)
	switch a.means {
	case bySamples:
		const sample = time.Second / 8000
		if a.active >= leastSpeech && a.lively*4 >= a.pairs && a.lively > 1 {
			speech = time.Duration(a.active) * sample
		} else {
			noise = time.Duration(a.loud) * sample
		}
	case byPattern:
		if a.active >= fullest {
			speech = time.Duration(a.active) * frameTime
		}
	}
	if speech > 0 {
		s.seen.speech.Add(int64(speech))
		s.seen.lastSpeech.Store(l.wall)
	}
	if noise > 0 {
		s.seen.noise.Add(int64(noise))
	}
	a.span, a.active, a.loud, a.pairs, a.lively = 0, 0, 0, 0, 0
}

// heedText notes when something is typed: T.140, plain or with redundancy,
// that is not only the mark that begins a stream (RFC 4103, RFC 2198).
func (l *loop) heedText(s *stream, p []byte, h *header) {
	if c, ok := find(s.remote.Codecs, h.pt); ok && c.Name == nameRED {
		p = primary(p)
	}
	if len(p) > 0 && string(p) != "\ufeff" {
		s.seen.means.Store(byText)
		s.seen.lastSpeech.Store(l.wall)
	}
}

// primary is the newest block of a redundant payload (RFC 2198 section 3).
func primary(p []byte) []byte {
	older := 0
	for len(p) >= 4 && p[0]&0x80 != 0 {
		older += int(p[2]&3)<<8 | int(p[3])
		p = p[4:]
	}
	if len(p) < 1+older {
		return nil
	}
	return p[1+older:]
}

// loudness is the logarithm of an energy, in steps of 1/32 of a doubling.
func loudness(v uint64) int32 {
	n := bits.Len64(v)
	if n < 6 {
		return int32(v)
	}
	return int32(n-6)*32 + int32(v>>(n-6)&31) + 32
}
