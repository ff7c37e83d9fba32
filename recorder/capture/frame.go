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
	udp := binary.BigEndian.AppendUint16(make([]byte, 0, 8+len(payload)), from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(udp, 0, 0)
	udp = append(udp, payload...)
	return packet(protoUDP, 6, from.Addr(), to.Addr(), udp)
}

// segment wraps a message into IP and TCP headers; seq is how many bytes this
// side has sent before.
func segment(from, to netip.AddrPort, seq uint32, payload []byte) []byte {
	be := binary.BigEndian
	tcp := be.AppendUint16(make([]byte, 0, 20+len(payload)), from.Port())
	tcp = be.AppendUint16(tcp, to.Port())
	tcp = be.AppendUint32(tcp, seq)
	tcp = be.AppendUint32(tcp, 1)
	tcp = append(tcp, 5<<4, 0x18, 0xff, 0xff, 0, 0, 0, 0) // 20 bytes, PSH and ACK, window
	tcp = append(tcp, payload...)
	return packet(protoTCP, 16, from.Addr(), to.Addr(), tcp)
}

// packet wraps a transport's bytes into an IP header and puts in both
// checksums; sum is where the transport's own is.
func packet(proto byte, sum int, from, to netip.Addr, body []byte) []byte {
	be := binary.BigEndian
	from, to = from.Unmap(), to.Unmap()
	pseudo := append(append([]byte{}, from.AsSlice()...), to.AsSlice()...)
	pseudo = be.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, proto)
	be.PutUint16(body[sum:], checksum(pseudo, body))
	if from.Is4() && to.Is4() {
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0}
		be.PutUint16(ip[2:], uint16(20+len(body)))
		ip = append(append(ip, from.AsSlice()...), to.AsSlice()...)
		be.PutUint16(ip[10:], checksum(ip))
		return append(ip, body...)
	}
	a, b := from.As16(), to.As16()
	ip := []byte{0x60, 0, 0, 0, 0, 0, proto, 64}
	be.PutUint16(ip[4:], uint16(len(body)))
	ip = append(append(ip, a[:]...), b[:]...)
	return append(ip, body...)
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
