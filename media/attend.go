package media

import (
	"container/heap"
	"strconv"
	"time"
)

// attendee is a supervisor who takes part in a call. It belongs to the call's
// loop, as the room does.
type attendee struct {
	leg   *leg
	mode  Mode
	track uint8
	room  *room // nil while the caller is bridged with this very leg

	audio *stream // nil if there is none
	text  *stream
	voice voice
	own   reader              // for the other supervisors
	party [bothSides]reader   // for what the caller and the taker hear
	frame [frameSamples]int16 // what the others hear in this slot
	says  bool                // there is something in frame

	level   limiter
	flowing bool   // packets of our own follow one another
	packets uint32 // sent, for sender reports
	octets  uint32
	name    string // CNAME
	told    bool
	reason  string // as told to the call
}

// maxTracks is how many supervisors of a call are recorded apart.
const maxTracks = 63

// attend lets a leg take part, or changes how it does.
func (l *loop) attend(call *session, lg *leg, mode Mode) {
	if lg.gone {
		return
	}
	a := lg.attends
	if a == nil {
		call.attended = min(call.attended+1, maxTracks)
		a = &attendee{leg: lg, track: uint8(call.attended), name: newName()}
		lg.attends = a
	}
	a.mode, a.told = min(mode, Barge), false
	if lg != call.peer {
		l.enter(call, a)
	}
}

// enter brings a supervisor into the call's room, which is made for the first.
func (l *loop) enter(call *session, a *attendee) {
	if call.room == nil {
		l.openRoom(call)
	}
	if a.room == nil {
		a.room = call.room
		a.room.guests = append(a.room.guests, a)
	}
	l.arrange(call)
}

// exit takes a supervisor out of the room, which ends with the last one.
func (l *loop) exit(a *attendee) {
	r := a.room
	if r == nil {
		return
	}
	a.room = nil
	for i, g := range r.guests {
		if g == a {
			r.guests = append(r.guests[:i], r.guests[i+1:]...)
			break
		}
	}
	if len(r.guests) == 0 {
		l.closeRoom(r)
	} else {
		l.arrange(r.call)
	}
}

// unattend ends the attendance of a leg: it is dropped, or serves the caller.
func (l *loop) unattend(lg *leg) {
	if a := lg.attends; a != nil {
		lg.attends = nil
		if lg.gone {
			l.report(a, true)
		}
		l.exit(a)
	}
}

// changePeer lets somebody else, or nobody, serve the caller. Whoever attended
// and is now bridged with the caller attends no more; whoever was to attend
// after being bridged does so now.
func (l *loop) changePeer(call *session, peer *leg) {
	old := call.peer
	if old == peer {
		return
	}
	if c := first(call.caller, Audio); c != nil {
		if s := old.stream(c.index); s != nil {
			s.last, s.lastAt = c.last, c.lastAt // where what it hears goes on, should it attend
		}
		if s := peer.stream(c.index); s != nil && s.ear != nil {
			s.ear.leave()
		}
	}
	if peer != nil {
		l.unattend(peer)
	}
	call.peer = peer
	if old != nil && !old.gone && old.attends != nil {
		l.enter(call, old.attends)
	}
	if r := call.room; r != nil {
		r.said[forTaker].foreign, r.said[forTaker].odd = "", 0
		r.side[forTaker] = side{passed: l.now}
		if c := &r.side[forCaller]; !c.own {
			c.passed = l.now
		}
		l.arrange(call)
	}
}

func (l *loop) openRoom(call *session) {
	r := &room{call: call, slot: slot{at: l.now + frameTime}, reported: l.now}
	if call.mode == bridged {
		r.side[forCaller].passed, r.side[forTaker].passed = l.now, l.now
	}
	call.room = r
	heap.Push(&l.desk.rooms, r)
}

// closeRoom goes back to plain relaying. What the taker hears stays as it was
// numbered, unless it is numbered as the caller does anyway.
func (l *loop) closeRoom(r *room) {
	heap.Remove(&l.desk.rooms, r.place)
	r.call.room = nil
	if t := r.taker; t != nil && t.ear != nil && t.ear.untouched() {
		t.ear = nil
	}
}

// arrange finds the streams of a room after legs or formats have changed, and
// tells every supervisor who cannot be heard by whom.
func (l *loop) arrange(call *session) {
	r := call.room
	if r == nil {
		return
	}
	r.caller, r.taker, r.callerText = first(call.caller, Audio), nil, first(call.caller, Text)
	if r.caller != nil {
		r.taker = call.peer.stream(r.caller.index)
	}
	if r.taker == nil {
		r.side[forTaker] = side{}
	}
	for _, a := range r.guests {
		a.audio, a.text = first(a.leg, Audio), first(a.leg, Text)
		if a.audio != nil && a.audio.ear == nil {
			a.audio.ear = l.earFor(call, a.audio)
		}
	}
	r.judge(l)
}

// earFor makes what numbers the packets to a leg that is not the caller. One
// that the caller was bridged with goes on hearing the caller's own numbers.
func (l *loop) earFor(call *session, s *stream) *ear {
	e := &ear{kind: s.kind}
	h, at := s.last, s.lastAt
	if c := call.caller.stream(s.index); c != nil && s.leg == call.peer {
		h, at = c.last, c.lastAt
	}
	if h != (header{}) {
		e.carry(&h, 8000, 0, at)
	}
	return e
}

// first is the first stream of a kind of a leg.
func first(lg *leg, kind Kind) *stream {
	if lg == nil {
		return nil
	}
	for _, s := range lg.streams {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

// judge tells every supervisor's call whether all is well, when that changes.
func (r *room) judge(l *loop) {
	for _, a := range r.guests {
		reason := r.reason(a)
		if a.told && a.reason == reason {
			continue
		}
		a.told, a.reason = true, reason
		ev := Event{Kind: EventAttend, Mode: a.mode, Track: int(a.track), Reason: reason}
		ev.Leg, ev.At = a.leg.id, time.Unix(0, l.wall)
		r.call.notify(ev)
	}
}

// reason is why a supervisor cannot hear or be heard as wanted, "" if nothing
// speaks against it.
func (r *room) reason(a *attendee) string {
	if why := mixable(a.audio, "the supervisor's audio"); why != "" {
		return why
	}
	for _, p := range []struct {
		s     *stream
		voice *party
		name  string
	}{{r.caller, &r.said[forCaller], "the caller's audio"}, {r.taker, &r.said[forTaker], "the call taker's audio"}} {
		switch why := mixable(p.s, p.name); {
		case p.s == nil || len(p.s.remote.Codecs) == 0:
		case why != "":
			return why
		case p.voice.foreign != "":
			return p.name + " is " + p.voice.foreign + ", which cannot be mixed; only PCMU and PCMA can"
		}
	}
	return ""
}

// mixable tells why a stream cannot be mixed, "" if it can.
func mixable(s *stream, name string) string {
	switch {
	case s == nil:
		return name + " is missing"
	case s.remote.Secure:
		return name + " is encrypted end to end (SRTP)"
	}
	if _, ok := speakable(s.remote.Codecs); !ok {
		return name + " has neither PCMU nor PCMA"
	}
	return ""
}

// formatName names the format of a packet for people.
func (s *stream) formatName(pt uint8) string {
	if c, ok := find(s.remote.Codecs, pt); ok && c.Name != "" {
		return c.Name
	}
	return "RTP payload type " + strconv.Itoa(int(pt))
}
