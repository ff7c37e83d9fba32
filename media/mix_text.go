package media

// Real-time text (RFC 4103) of a call with supervisors. Each of them gets what
// everybody else writes as sources of their own, untouched but for the payload
// types (a translator, RFC 7667 section 3.2.1), so that the redundancy of each
// holds. The caller and the taker, whose phones expect one writer, get what
// supervisors write put between the packets of the one they already read.

// maxText is the longest packet of real-time text that supervisors get.
const maxText = 1500

// copyText lets supervisors read a packet of from, which has its numbers.
func (l *loop) copyText(r *room, from *stream, b []byte, h *header) {
	if from.remote.Secure || len(b) > maxText {
		return
	}
	for _, a := range r.guests {
		t := a.text
		if t == nil || t == from || t.remote.Secure || !t.listens() {
			continue
		}
		own, to := l.desk.text[:copy(l.desk.text[:], b)], *h
		if own = to.fit(own, from.remote.Codecs, t.remote.Codecs); own == nil {
			continue
		}
		to.write(own)
		l.send(t, t.pair.rtp, own, t.to.addr, true)
	}
}

// fit makes a packet in the formats of one side one in those of another: the
// payload types change, and redundancy (RFC 2198) is taken off for those who
// do not know it. It returns nil if they cannot read it at all.
func (h *header) fit(b []byte, from, to []Codec) []byte {
	c, ok := find(from, h.pt)
	if !ok {
		return nil
	}
	if pt, ok := match(to, c); ok {
		h.pt = pt
		if c.Name == nameRED {
			h.renameBlocks(b, from, to)
		}
		return b
	}
	if c.Name != nameRED || !h.unwrap(b) {
		return nil
	}
	return h.fit(b[:h.end], from, to)
}

// renameBlocks changes the payload types within redundancy.
func (h *header) renameBlocks(b []byte, from, to []Codec) {
	for p := b[h.off:h.end]; len(p) > 0; p = p[4:] {
		more := p[0] & 0x80
		pt, _ := translate(p[0]&0x7f, from, to)
		p[0] = more | pt
		if more == 0 || len(p) < 4 {
			return
		}
	}
}

// unwrap leaves of redundancy only what is new.
func (h *header) unwrap(b []byte) bool {
	p, old := b[h.off:h.end], 0
	for len(p) >= 4 && p[0]&0x80 != 0 {
		old += int(p[2]&3)<<8 | int(p[3])
		p = p[4:]
	}
	if len(p) < 1+old || p[0]&0x80 != 0 || p[0]&0x7f == h.pt {
		return false
	}
	h.pt = p[0]
	h.end = h.off + copy(b[h.off:], p[1+old:])
	b[0] &^= 0x20 // no padding any more
	return true
}

// guestWrote passes on what a supervisor writes: to the other supervisors who
// may know of it, and to whom the supervisor may speak.
func (l *loop) guestWrote(a *attendee, b []byte, h *header) {
	r := a.room
	if a.mode == Barge {
		l.copyText(r, a.text, b, h)
	}
	for side := range bothSides {
		to := r.callerText
		if side == forTaker && to != nil {
			to = r.call.peer.stream(to.index)
		}
		if !a.heardBy(side) || to == nil || to.remote.Secure || !to.listens() || len(b) > maxText {
			continue
		}
		if to.ear == nil {
			to.ear = l.earFor(r.call, to)
		}
		own, in := l.desk.text[:copy(l.desk.text[:], b)], *h
		if own = in.fit(own, a.text.remote.Codecs, to.remote.Codecs); own == nil {
			continue
		}
		to.ear.resume()
		to.ear.insert(&in, textRate, l.now)
		in.write(own)
		if side == forCaller {
			l.hear(to, &in, own)
		} else {
			l.send(to, to.pair.rtp, own, to.to.addr, true)
		}
	}
}
