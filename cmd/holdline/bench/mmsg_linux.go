package main

import (
	"fmt"
	"net"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many datagrams go through one system call of the generator.
const batch = 32

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// datagrams sends and receives many datagrams with one system call, into
// memory that is set up once. The kernel's time of arrival comes with each, so
// that the generator's own delays do not count.
type datagrams struct {
	fd   int
	hdrs [batch]mmsghdr
	iovs [batch]unix.Iovec
	addr [batch]unix.RawSockaddrInet4
	bufs [batch][256]byte
	oob  [batch][64]byte
}

func openDatagrams(port int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening a media socket of the generator: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("binding a media socket of the generator: %w", err)
	}
	return fd, nil
}

func newDatagrams(fd int) *datagrams {
	d := &datagrams{fd: fd}
	for i := range d.hdrs {
		h := &d.hdrs[i].hdr
		d.iovs[i].Base = &d.bufs[i][0]
		h.Iov, h.Iovlen = &d.iovs[i], 1
		h.Name = (*byte)(unsafe.Pointer(&d.addr[i]))
	}
	return d
}

// receive waits for datagrams and returns how many came; 0 after 100 ms.
func (d *datagrams) receive() int {
	for i := range d.hdrs {
		h := &d.hdrs[i].hdr
		h.Namelen, h.Control, h.Controllen = unix.SizeofSockaddrInet4, &d.oob[i][0], uint64(len(d.oob[i]))
		d.iovs[i].Len = uint64(len(d.bufs[i]))
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(d.fd), uintptr(unsafe.Pointer(&d.hdrs[0])), batch, unix.MSG_WAITFORONE, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// packet returns the i-th datagram, the port it came from, and when it came in
// Unix nanoseconds.
func (d *datagrams) packet(i int) (pkt []byte, from uint16, at int64) {
	p := (*[2]byte)(unsafe.Pointer(&d.addr[i].Port))
	ts := (*unix.Timespec)(unsafe.Pointer(&d.oob[i][unix.SizeofCmsghdr]))
	return d.bufs[i][:d.hdrs[i].n], uint16(p[0])<<8 | uint16(p[1]), ts.Nano()
}

// send sends the first n datagrams that were set with put.
func (d *datagrams) send(n int) {
	for done := 0; done < n; {
		m, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(d.fd), uintptr(unsafe.Pointer(&d.hdrs[done])), uintptr(n-done), 0, 0, 0)
		if errno != 0 {
			m = 1 // an ICMP error of an earlier packet, or a port that is gone
		}
		done += int(m)
	}
	runtime.KeepAlive(d)
}

// put sets the i-th datagram to be sent.
func (d *datagrams) put(i int, pkt []byte, port uint16) {
	d.addr[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}}
	p := (*[2]byte)(unsafe.Pointer(&d.addr[i].Port))
	p[0], p[1] = byte(port>>8), byte(port)
	d.iovs[i].Base, d.iovs[i].Len = &pkt[0], uint64(len(pkt))
	d.hdrs[i].hdr.Namelen, d.hdrs[i].hdr.Control, d.hdrs[i].hdr.Controllen = unix.SizeofSockaddrInet4, nil, 0
}

// bigBuffers lets a signalling socket of the generator hold a burst.
func bigBuffers(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
	})
}
