package media

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// askForErrors lets the kernel keep what the network says of datagrams that
// did not arrive (ip(7), IP_RECVERR). Where it cannot, nothing is known of that.
func askForErrors(fd int, v6 bool) {
	if v6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	} else {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
}

// complaint takes the next entry of the socket's error queue, nil when there
// is none. It must be emptied: a socket with errors counts as readable.
func (s *kernelSocket) complaint() *Unreachable {
	var datagram [64]byte
	var control [256]byte
	_, n, _, to, err := unix.Recvmsg(s.fd, datagram[:], control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return nil //nolint:nilerr // the queue is empty
	}
	u := &Unreachable{Reason: "not sent", To: addrPort(to)}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return u
	}
	for _, m := range messages {
		if m.Header.Type == unix.IP_RECVERR || m.Header.Type == unix.IPV6_RECVERR {
			u.read(m.Data)
		}
	}
	return u
}

// read takes a struct sock_extended_err and the address of its author, which
// follows it.
func (u *Unreachable) read(b []byte) {
	const size = 16
	if len(b) < size {
		return
	}
	u.Reason = unix.Errno(binary.NativeEndian.Uint32(b)).Error()
	origin, kind, code := b[4], b[5], b[6]
	if origin == unix.SO_EE_ORIGIN_ICMP && kind == 3 && code == 3 || origin == unix.SO_EE_ORIGIN_ICMP6 && kind == 1 && code == 4 {
		u.Reason = "port unreachable"
	}
	if origin != unix.SO_EE_ORIGIN_ICMP && origin != unix.SO_EE_ORIGIN_ICMP6 || len(b) < size+8 {
		return
	}
	author := b[size:]
	switch family := binary.NativeEndian.Uint16(author); {
	case family == unix.AF_INET:
		u.By = netip.AddrFrom4([4]byte(author[4:8]))
	case family == unix.AF_INET6 && len(author) >= 24:
		u.By = netip.AddrFrom16([16]byte(author[8:24]))
	}
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
