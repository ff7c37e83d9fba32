package media

import "encoding/binary"

// RTCP packet types (RFC 3550 section 12.1, RFC 4585, RFC 3611).
const (
	rtcpSR    = 200
	rtcpRR    = 201
	rtcpSDES  = 202
	rtcpBye   = 203
	rtcpApp   = 204
	rtcpRTPFB = 205
	rtcpPSFB  = 206
	rtcpXR    = 207
)

const (
	fmtNACK = 1 // of RTPFB, RFC 4585 section 6.2.1
	fmtFIR  = 4 // of PSFB, RFC 5104 section 4.3.1
	sdesEnd = 0
)

// rtcpPart returns the end of the RTCP packet at the beginning of b, -1 if
// it is malformed.
func rtcpPart(b []byte) int {
	if len(b) < 4 || b[0]>>6 != 2 {
		return -1
	}
	end := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
	if end > len(b) {
		return -1
	}
	return end
}

// validRTCP reports whether b is a compound (or reduced-size, RFC 5506) RTCP
// packet in which every length is right.
func validRTCP(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	for len(b) > 0 {
		end := rtcpPart(b)
		if end < 0 {
			return false
		}
		b = b[end:]
	}
	return true
}

func get32(b []byte) uint32      { return binary.BigEndian.Uint32(b) }
func put32(b []byte, v uint32)   { binary.BigEndian.PutUint32(b, v) }
func holds(b []byte, n int) bool { return len(b) >= n }

// rtcpToCaller rewrites valid RTCP of the source that e passes on into RTCP
// of the stream that the caller hears, in place, and returns its new length.
// Goodbyes are taken out: the caller's stream goes on whoever leaves.
func rtcpToCaller(b []byte, e *ear) int {
	n := 0
	for len(b) > n {
		end := rtcpPart(b[n:])
		if end < 0 {
			return n
		}
		part := b[n : n+end]
		if part[1] == rtcpBye || part[1] == rtcpSR && e.started && !e.mapped {
			b = append(b[:n], b[n+end:]...)
			continue
		}
		if !e.untouched() || part[1] == rtcpSR {
			e.disguise(part)
		}
		n += end
	}
	return n
}

// disguise replaces the SSRC of the source wherever it speaks of itself.
func (e *ear) disguise(p []byte) {
	if !holds(p, 8) || !e.started {
		return
	}
	switch p[1] {
	case rtcpSDES:
		e.disguiseChunks(p)
		return
	case rtcpSR:
		if get32(p[4:]) == e.from && holds(p, 28) {
			put32(p[16:], get32(p[16:])+e.tsOff)
			e.synced = true
		}
	case rtcpRR, rtcpApp, rtcpRTPFB, rtcpPSFB, rtcpXR:
	default:
		return
	}
	e.disguiseAt(p[4:])
}

func (e *ear) disguiseAt(p []byte) {
	if !e.mapped || get32(p) == e.from {
		put32(p, e.ssrc)
	}
}

// disguiseChunks walks the chunks of SDES (RFC 3550 section 6.5).
func (e *ear) disguiseChunks(p []byte) {
	count, i := int(p[0]&0x1f), 4
	for range count {
		if !holds(p, i+4) {
			return
		}
		e.disguiseAt(p[i:])
		for i += 4; i < len(p) && p[i] != sdesEnd; i += 2 + int(p[i+1]) {
			if i+1 >= len(p) {
				return
			}
		}
		i = i&^3 + 4 // the list of items ends with at least one zero byte
	}
}

// rtcpToTaker rewrites what the caller says in valid RTCP of the stream it
// hears into what the source being passed on can understand, in place.
func rtcpToTaker(b []byte, e *ear) {
	if !e.mapped || e.untouched() {
		return
	}
	for len(b) > 0 {
		end := rtcpPart(b)
		if end < 0 {
			return
		}
		p := b[:end]
		switch {
		case p[1] == rtcpSR && holds(p, 28):
			e.revealBlocks(p[28:], int(p[0]&0x1f))
		case p[1] == rtcpRR && holds(p, 8):
			e.revealBlocks(p[8:], int(p[0]&0x1f))
		case (p[1] == rtcpRTPFB || p[1] == rtcpPSFB) && holds(p, 12):
			e.revealFeedback(p)
		}
		b = b[end:]
	}
}

// revealBlocks translates reception reports (RFC 3550 section 6.4.1).
func (e *ear) revealBlocks(p []byte, count int) {
	for ; count > 0 && holds(p, 24); count-- {
		if get32(p) == e.ssrc {
			put32(p, e.from)
			put32(p[8:], e.ownSeq(get32(p[8:])))
			if !e.synced { // the report answers a sender before this one
				put32(p[16:], 0)
				put32(p[20:], 0)
			}
		}
		p = p[24:]
	}
}

// revealFeedback translates feedback about the stream (RFC 4585 section 6.1).
func (e *ear) revealFeedback(p []byte) {
	ours := get32(p[8:]) == e.ssrc
	if ours {
		put32(p[8:], e.from)
	}
	kind, format := p[1], p[0]&0x1f
	for fci := p[12:]; ; {
		switch {
		case kind == rtcpRTPFB && format == fmtNACK && ours && holds(fci, 4):
			binary.BigEndian.PutUint16(fci, binary.BigEndian.Uint16(fci)-e.seqOff)
			fci = fci[4:]
		case kind == rtcpPSFB && format == fmtFIR && holds(fci, 8):
			if get32(fci) == e.ssrc {
				put32(fci, e.from)
			}
			fci = fci[8:]
		default:
			return
		}
	}
}
