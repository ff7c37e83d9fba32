package capture

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

const (
	protoTCP = 6
	protoUDP = 17
)

// Datagram wraps payload into IP and UDP headers. Holdline sees messages and
// not packets: the headers are made from the addresses, so that any tool can
// read the capture.
func Datagram(from, to netip.AddrPort, payload []byte) []byte {
	return appendDatagram(nil, from, to, payload)
}

func appendDatagram(dst []byte, from, to netip.AddrPort, payload []byte) []byte {
	be := binary.BigEndian
	dst, at := appendIP(dst, protoUDP, from.Addr(), to.Addr(), 8+len(payload))
	dst = be.AppendUint16(dst, from.Port())
	dst = be.AppendUint16(dst, to.Port())
	dst = be.AppendUint16(dst, uint16(8+len(payload)))
	dst = append(dst, 0, 0)
	dst = append(dst, payload...)
	sumTransport(dst[at:], protoUDP, 6, from.Addr(), to.Addr())
	return dst
}

// appendSegment wraps a message into IP and TCP headers; seq is how many bytes
// this side has sent before.
func appendSegment(dst []byte, from, to netip.AddrPort, seq uint32, payload []byte) []byte {
	be := binary.BigEndian
	dst, at := appendIP(dst, protoTCP, from.Addr(), to.Addr(), 20+len(payload))
	dst = be.AppendUint16(dst, from.Port())
	dst = be.AppendUint16(dst, to.Port())
	dst = be.AppendUint32(dst, seq)
	dst = be.AppendUint32(dst, 1)
	dst = append(dst, 5<<4, 0x18, 0xff, 0xff, 0, 0, 0, 0) // 20 bytes, PSH and ACK, window
	dst = append(dst, payload...)
	sumTransport(dst[at:], protoTCP, 16, from.Addr(), to.Addr())
	return dst
}

// appendIP appends an IP header for size bytes of a transport protocol, and
// tells where those begin.
func appendIP(dst []byte, proto byte, from, to netip.Addr, size int) ([]byte, int) {
	be := binary.BigEndian
	from, to = from.Unmap(), to.Unmap()
	at := len(dst)
	if from.Is4() && to.Is4() {
		a, b := from.As4(), to.As4()
		dst = append(dst, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0)
		dst = append(append(dst, a[:]...), b[:]...)
		be.PutUint16(dst[at+2:], uint16(20+size))
		be.PutUint16(dst[at+10:], checksum(dst[at:]))
		return dst, len(dst)
	}
	a, b := from.As16(), to.As16()
	dst = append(dst, 0x60, 0, 0, 0, 0, 0, proto, 64)
	dst = append(append(dst, a[:]...), b[:]...)
	be.PutUint16(dst[at+4:], uint16(size))
	return dst, len(dst)
}

// sumTransport puts the checksum of a transport's bytes where it belongs.
func sumTransport(body []byte, proto byte, where int, from, to netip.Addr) {
	var room [40]byte
	from, to = from.Unmap(), to.Unmap()
	var pseudo []byte
	if from.Is4() && to.Is4() {
		a, b := from.As4(), to.As4()
		pseudo = append(append(room[:0], a[:]...), b[:]...)
	} else {
		a, b := from.As16(), to.As16()
		pseudo = append(append(room[:0], a[:]...), b[:]...)
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, proto)
	binary.BigEndian.PutUint16(body[where:], checksum(pseudo, body))
}

// checksum is the Internet checksum (RFC 1071). All parts but the last must
// have an even length.
func checksum(parts ...[]byte) uint16 {
	var sum uint64
	for _, p := range parts {
		for ; len(p) >= 4; p = p[4:] {
			sum += uint64(binary.BigEndian.Uint32(p))
		}
		if len(p) >= 2 {
			sum += uint64(binary.BigEndian.Uint16(p))
			p = p[2:]
		}
		if len(p) == 1 {
			sum += uint64(p[0]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

var errFrame = errors.New("not a packet of UDP or TCP")

// payload takes the headers off again.
func payload(b []byte) (network string, from, to netip.AddrPort, body []byte, err error) {
	var proto byte
	var src, dst netip.Addr
	switch {
	case len(b) >= 20 && b[0] == 0x45:
		proto = b[9]
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[20:]
	case len(b) >= 40 && b[0]>>4 == 6:
		proto = b[6]
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40:]
	default:
		return "", from, to, nil, errFrame
	}
	head, network := 8, "udp"
	if proto == protoTCP {
		head, network = 20, "tcp"
	}
	if len(b) < head {
		return "", from, to, nil, errFrame
	}
	be := binary.BigEndian
	return network, netip.AddrPortFrom(src, be.Uint16(b)), netip.AddrPortFrom(dst, be.Uint16(b[2:])), b[head:], nil
}
