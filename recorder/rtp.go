package recorder

import "encoding/binary"

// rtpHeader is what the recorder needs of an RTP packet (RFC 3550 section 5.1).
type rtpHeader struct {
	seq     uint16
	ts      uint32
	ssrc    uint32
	payload []byte
}

// parseRTP reads a packet, whatever its CSRC list, header extension and
// padding. ok is false for what is not RTP, or ends before it should.
func parseRTP(pkt []byte) (h rtpHeader, ok bool) {
	if len(pkt) < 12 || pkt[0]>>6 != 2 {
		return h, false
	}
	h.seq = binary.BigEndian.Uint16(pkt[2:])
	h.ts = binary.BigEndian.Uint32(pkt[4:])
	h.ssrc = binary.BigEndian.Uint32(pkt[8:])
	start := 12 + 4*int(pkt[0]&0x0f)
	if pkt[0]&0x10 != 0 { // header extension, RFC 3550 section 5.3.1
		if len(pkt) < start+4 {
			return h, false
		}
		start += 4 + 4*int(binary.BigEndian.Uint16(pkt[start+2:]))
	}
	end := len(pkt)
	if pkt[0]&0x20 != 0 { // padding: the last byte counts itself
		end -= int(pkt[len(pkt)-1])
		if end == len(pkt) {
			return h, false
		}
	}
	if start > end {
		return h, false
	}
	h.payload = pkt[start:end]
	return h, true
}
