package media

import "time"

const (
	voiceSpan     = 8192 // samples that a voice keeps: a second; a power of two
	longestVoice  = 1600 // samples of the longest packet that is believed, 200 ms
	sourceJump    = voiceSpan / 2
	staleTransit  = 3200 // samples; so late a packet counts as a new beginning
	ghostPeriod   = 120  // samples that stand in for what is missing, over and over
	ghostLength   = 480  // after so many of them there is silence
	joint         = 16   // samples over which one sound passes into another
	floorFollows  = 256  // packets until a way that has become longer is mostly believed
	floorCreep    = 4    // how fast the least transit may grow, in 1/16 samples a packet
	stopped       = 200 * time.Millisecond
	samplesPerSec = 8000
)

// voice is the sound of one RTP source, in the order of its timestamps, for
// readers with clocks of their own. What is lost is filled in when the packet
// after it arrives; one that comes late still finds its place. A voice knows
// how long packets travel at least, which tells readers how fast the source's
// clock runs compared with ours.
type voice struct {
	ring  [voiceSpan]int16
	live  bool
	epoch uint32 // counts the beginnings
	ssrc  uint32
	ts    uint32        // timestamp after the newest sample
	begin int64         // place of the first sample of this epoch
	head  int64         // place after the newest sample
	hole  int64         // where the newest gap begins
	whole int64         // where it ends
	size  int64         // samples in the newest packet
	floor int64         // least arrival minus place, in 1/16 samples
	came  time.Duration // when the newest packet came
	tardy int64         // how much later than the fastest one came the last that was overtaken, in 1/16 samples
	turns uint32        // counts those
}

// ticks is a time in 1/16 samples.
func ticks(now time.Duration) int64 { return int64(now) / 1000 * 16 * samplesPerSec / 1_000_000 }

// hear takes in a packet of G.711; linear is the table of its law.
func (v *voice) hear(h *header, payload []byte, linear *[256]int16, now time.Duration) {
	n := int64(len(payload))
	if n == 0 || n > longestVoice {
		return
	}
	ahead := int64(int32(h.ts - v.ts))
	place := v.head + ahead
	transit := ticks(now) - 16*(place+n)
	if !v.live || h.ssrc != v.ssrc || ahead > sourceJump || ahead < -sourceJump || transit > v.floor+16*staleTransit {
		v.restart(h)
		place = v.head
		transit = ticks(now) - 16*(place+n)
		v.floor = transit
	}
	v.floor = min(transit, v.floor+floorCreep+(transit-v.floor)/floorFollows)
	fill := place > v.head
	switch {
	case fill:
		v.conceal(place)
	case place < v.head:
		v.tardy = transit - v.floor
		v.turns++
	}
	for i, b := range payload {
		if p := place + int64(i); p >= v.begin {
			v.ring[p&(voiceSpan-1)] = linear[b]
		}
	}
	if fill {
		v.rejoin(place, n)
	}
	if place+n > v.head {
		v.head, v.ts, v.size, v.came = place+n, h.ts+uint32(n), n, now
	}
}

// restart begins anew where the source before it ended.
func (v *voice) restart(h *header) {
	v.live, v.ssrc, v.ts = true, h.ssrc, h.ts
	v.epoch++
	v.begin, v.hole, v.whole = v.head, v.head, v.head
}

// conceal fills what is missing before place.
func (v *voice) conceal(place int64) {
	v.hole, v.whole = v.head, place
	for k := range place - v.head {
		v.ring[(v.head+k)&(voiceSpan-1)] = v.ghost(k)
	}
}

// rejoin lets what stood in for a loss pass into the packet after it.
func (v *voice) rejoin(place, n int64) {
	for i := range min(n, joint) {
		p := &v.ring[(place+i)&(voiceSpan-1)]
		*p = cross(v.ghost(place-v.head+i), *p, i, joint)
	}
}

// ghost is the k-th sample of what stands in for sound after the head: the
// last one backwards and forwards again, so that no edge is heard, fading.
func (v *voice) ghost(k int64) int16 {
	if k >= ghostLength {
		return 0
	}
	m := k % (2 * ghostPeriod)
	if m >= ghostPeriod {
		m = 2*ghostPeriod - 1 - m
	}
	p := v.head - 1 - m
	if p < v.begin {
		return 0
	}
	return int16(int64(v.ring[p&(voiceSpan-1)]) * (ghostLength - k) / ghostLength)
}

// at is the sample at a place, silence where there was none.
func (v *voice) at(place int64) int16 {
	switch {
	case place < v.begin || place < v.head-voiceSpan:
		return 0
	case place >= v.head:
		return v.ghost(place - v.head)
	}
	return v.ring[place&(voiceSpan-1)]
}

// alive tells whether the source has spoken a moment ago.
func (v *voice) alive(now time.Duration) bool { return v.live && now < v.came+stopped }

// cross passes from a to b: i of n.
func cross(a, b int16, i, n int64) int16 {
	return int16((int64(a)*(n-i) + int64(b)*i) / n)
}
