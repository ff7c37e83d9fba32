package media

import "encoding/binary"

// header is what the relay needs of an RTP header (RFC 3550 section 5.1),
// and where in the packet the payload lies.
type header struct {
	seq    uint16
	ts     uint32
	ssrc   uint32
	pt     uint8
	marker bool
	off    int // first byte of the payload
	end    int // first byte after the payload, before any padding
}

const rtpHeaderSize = 12

// parseRTP reads the header of b and reports whether b is a well-formed RTP
// packet: every length it claims lies within it.
func parseRTP(b []byte, h *header) bool {
	if len(b) < rtpHeaderSize || b[0]>>6 != 2 {
		return false
	}
	off := rtpHeaderSize + 4*int(b[0]&0x0f)
	end := len(b)
	if b[0]&0x10 != 0 { // header extension, section 5.3.1
		if off+4 > end {
			return false
		}
		off += 4 + 4*int(binary.BigEndian.Uint16(b[off+2:]))
	}
	if off > end {
		return false
	}
	if b[0]&0x20 != 0 { // padding, section 5.1
		pad := int(b[end-1])
		if pad == 0 || off+pad > end {
			return false
		}
		end -= pad
	}
	h.marker, h.pt = b[1]&0x80 != 0, b[1]&0x7f
	h.seq = binary.BigEndian.Uint16(b[2:])
	h.ts = binary.BigEndian.Uint32(b[4:])
	h.ssrc = binary.BigEndian.Uint32(b[8:])
	h.off, h.end = off, end
	return true
}

// write puts the rewritten fields of h back into packet b.
func (h *header) write(b []byte) {
	b[1] = h.pt
	if h.marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.seq)
	binary.BigEndian.PutUint32(b[4:], h.ts)
	binary.BigEndian.PutUint32(b[8:], h.ssrc)
}

// isRTP reports whether a datagram has the version bits of RTP and RTCP
// (RFC 7983): anything else on a media port is STUN, DTLS or noise.
func isRTP(b []byte) bool { return len(b) >= 8 && b[0]>>6 == 2 }

// isMuxedRTCP tells RTCP from RTP on a shared port (RFC 5761 section 4).
func isMuxedRTCP(b []byte) bool { return b[1] >= 192 && b[1] <= 223 }
