package media

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"time"
)

// reportEvery is the time between sender reports, RFC 3550 section 6.2.
const reportEvery = 5 * time.Second

// desk is what a packet loop mixes with: the rooms of its calls, and places
// for samples that are used for one packet at a time.
type desk struct {
	rooms slots[*room]
	sum   [longestVoice]int32
	one   [longestVoice]int16
	all   [frameSamples]int32
	text  [maxText]byte
}

// next is when the next slot of a room is, or -1.
func (d *desk) next() time.Duration {
	if len(d.rooms) == 0 {
		return -1
	}
	return d.rooms[0].at
}

// mixDue serves the rooms whose slot has come. One that fails is served again
// in its next slot.
func (l *loop) mixDue() {
	for len(l.desk.rooms) > 0 && l.desk.rooms[0].at <= l.now {
		l.roomSlot(l.desk.rooms[0])
	}
}

func (l *loop) roomSlot(r *room) {
	defer l.recover("mix")
	skipped := 0
	if lag := l.now - r.at; lag >= maxLag {
		skipped = int(lag / frameTime) // as the prompt does: no burst, the timestamps tell
	}
	r.at += time.Duration(1+skipped) * frameTime
	heap.Fix(&l.desk.rooms, r.place)
	l.gather(r, skipped)
	for _, a := range r.guests {
		l.serveGuest(r, a, skipped)
	}
	l.fill(r, forCaller, r.caller, skipped)
	l.fill(r, forTaker, r.taker, skipped)
	r.promptAgain(l)
	if l.now >= r.reported+reportEvery {
		r.reported = l.now
		for _, a := range r.guests {
			l.report(a, false)
		}
	}
}

// gather adds up what there is to hear in a slot: the caller, whoever or
// whatever serves the caller, and supervisors who speak to all.
func (l *loop) gather(r *room, skipped int) {
	clear(l.desk.all[:])
	for _, p := range []*party{&r.said[forCaller], &r.said[forTaker], &r.prompt} {
		l.add(&p.voice, &p.read, l.desk.one[:frameSamples], skipped)
	}
	for _, a := range r.guests {
		a.says = a.mode == Barge && l.add(&a.voice, &a.own, a.frame[:], skipped)
	}
}

func (l *loop) add(v *voice, p *reader, one []int16, skipped int) bool {
	p.skip(int64(skipped) * samplesPerFrame)
	if !p.read(v, one, l.now) {
		return false
	}
	for i, s := range one {
		l.desk.all[i] += int32(s)
	}
	return true
}

// serveGuest sends a supervisor the sound of a slot, without the supervisor's
// own voice; silence if nobody speaks, so that the line is not taken for dead.
func (l *loop) serveGuest(r *room, a *attendee, skipped int) {
	s := a.audio
	if s == nil || !s.listens() || s.remote.Secure {
		a.flowing = false
		return
	}
	codec, ok := speakable(s.remote.Codecs)
	if !ok {
		return
	}
	sum := l.desk.sum[:frameSamples]
	copy(sum, l.desk.all[:])
	if a.says {
		for i, v := range a.frame {
			sum[i] -= int32(v)
		}
	}
	a.level.apply(sum)
	if !a.flowing {
		s.ear.leave()
	}
	var h header
	s.ear.slot(&h, a.flowing, skipped, l.now)
	a.flowing = true
	b := l.ownPacket(&h, codec, sum)
	if l.send(s, s.pair.rtp, b, s.to.addr, true) {
		a.packets++
		a.octets += frameSamples
	}
	if r.call.recording && a.mode != Listen {
		l.recordTrack(r.call, 3, a, s.tapCodec(h.pt), b)
	}
}

// ownPacket makes a packet of mixed sound.
func (l *loop) ownPacket(h *header, codec Codec, sum []int32) []byte {
	h.pt = codec.PT
	b := l.out[:rtpHeaderSize+len(sum)]
	b[0] = 2 << 6
	h.write(b)
	encode(b[rtpHeaderSize:], sum, codec.Name == namePCMA)
	return b
}

// fill lets a party hear supervisors while no packets flow that they could be
// mixed into: the other party is on hold, silent, or not there.
func (l *loop) fill(r *room, side int, s *stream, skipped int) {
	out := &r.side[side]
	if s == nil || s.player != nil || s.remote.Secure || !r.speaks(side, l.now) ||
		!out.own && l.now < max(out.passed+flowTime, out.due) && out.passed != 0 || !s.listens() {
		out.own = false
		return
	}
	codec, ok := speakable(s.remote.Codecs)
	if !ok {
		return
	}
	if s.ear == nil {
		s.ear = l.earFor(r.call, s)
	}
	sum := l.desk.sum[:frameSamples]
	clear(sum)
	l.addGuests(r, side, sum, int64(skipped)*samplesPerFrame)
	out.level.apply(sum)
	s.ear.resume()
	if !out.own {
		s.ear.leave()
		// What came in a burst runs out later than it came.
		s.ear.tsAt = max(s.ear.tsAt, out.due-s.ear.packetTime())
	}
	var h header
	s.ear.slot(&h, out.own, skipped, l.now)
	out.own, out.filled, out.due = true, l.now, max(out.due, l.now)+frameTime
	out.synced = false
	b := l.ownPacket(&h, codec, sum)
	if side == forCaller {
		l.hear(s, &h, b)
	} else {
		l.send(s, s.pair.rtp, b, s.to.addr, true)
	}
}

// guestSpoke takes in a packet of a supervisor.
func (l *loop) guestSpoke(s *stream, b []byte, h *header) {
	a := s.leg.attends
	switch {
	case a == nil || a.room == nil || s != a.audio && s != a.text:
		return
	case s == a.text:
		l.guestWrote(a, b, h)
		return
	case s.events.has(h.pt):
		return
	}
	if table := l.linear(s, h.pt); table != nil && h.pt != ptCN {
		a.voice.hear(h, b[h.off:h.end], table, l.now)
	}
	if call := s.leg.sess; call.recording && a.mode != Listen {
		l.recordTrack(call, 2, a, s.tapCodec(h.pt), b)
	}
}

// recordTrack hands a packet from or to a supervisor to the tap.
func (l *loop) recordTrack(call *session, side uint8, a *attendee, codec uint8, b []byte) {
	defer l.recover("tap")
	if l.tap != nil {
		l.tap.Packet(call.rec, side, codec, a.track, l.wall, b)
	}
}

// report sends a supervisor's phone a sender report and a name (RFC 3550
// sections 6.4.1 and 6.5), or at the end a goodbye (section 6.6).
func (l *loop) report(a *attendee, bye bool) {
	s := a.audio
	if s == nil || a.packets == 0 || s.remote.Secure {
		return
	}
	e, b := s.ear, l.out[:0]
	be := binary.BigEndian
	wall := time.Unix(0, l.wall)
	b = append(b, 2<<6, rtcpSR, 0, 6)
	b = be.AppendUint32(b, e.ssrc)
	b = be.AppendUint32(b, uint32(wall.Unix()+ntpEpoch))
	b = be.AppendUint32(b, uint32(uint64(wall.Nanosecond())<<32/1_000_000_000))
	b = be.AppendUint32(b, e.ts+uint32(samplesIn(l.now-e.tsAt)))
	b = be.AppendUint32(b, a.packets)
	b = be.AppendUint32(b, a.octets)
	name := a.name
	words := (4 + 2 + len(name) + 4) / 4 // the chunk ends with one to four zero bytes
	b = append(b, 2<<6|1, rtcpSDES, 0, byte(words))
	b = be.AppendUint32(b, e.ssrc)
	b = append(b, 1, byte(len(name))) // CNAME
	b = append(b, name...)
	for end := 4 * (7 + 1 + words); len(b) < end; {
		b = append(b, 0)
	}
	if bye {
		b = append(b, 2<<6|1, rtcpBye, 0, 1)
		b = be.AppendUint32(b, e.ssrc)
	}
	l.sendControl(s, b)
}

// ntpEpoch is the time from 1900 to 1970 in seconds.
const ntpEpoch = 2208988800

// newName is a CNAME that names nobody, RFC 7022 section 4.2.
func newName() string { return strconv.FormatUint(rand.Uint64(), 36) }
