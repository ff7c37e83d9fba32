package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Traffic class of voice: expedited forwarding (RFC 3246), DSCP 46.
const expedited = 46 << 2

// kernelNetwork is the network of the operating system: one non-blocking
// socket for each port, epoll, and system calls that do not allocate.
type kernelNetwork struct {
	granted atomic.Int64           // smallest receive buffer so far
	asked   [Other + 1]atomic.Bool // what sockets of a kind are granted is known
	files   int
}

// newKernelNetwork raises the limit of open files as far as it may go, since
// every media port is one.
func newKernelNetwork() (Network, error) {
	n := &kernelNetwork{}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil, fmt.Errorf("reading the limit of open files: %w", err)
	}
	if lim.Cur < lim.Max {
		raised := unix.Rlimit{Cur: lim.Max, Max: lim.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			lim = raised
		}
	}
	n.files = int(min(lim.Cur, 1<<31-1))
	return n, nil
}

func (n *kernelNetwork) ReceiveBuffer() int { return int(n.granted.Load()) }
func (n *kernelNetwork) FileLimit() int     { return n.files }

func (n *kernelNetwork) Bind(local netip.AddrPort, kind Kind) (Socket, error) {
	family := unix.AF_INET
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a media socket: %w", err)
	}
	s := &kernelSocket{fd: fd, v6: family == unix.AF_INET6}
	if err := s.bind(local); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("binding media port %v: %w", local, err)
	}
	n.tune(fd, s.v6, kind)
	return s, nil
}

// tune sets what makes media better but is not worth failing a call for.
func (n *kernelNetwork) tune(fd int, v6 bool, kind Kind) {
	askForErrors(fd, v6)
	if kind == Other { // RTCP among them: a packet every few seconds
		return
	}
	if kind == Audio {
		if v6 {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, expedited)
		} else {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, expedited)
		}
	}
	size := audioBuffer
	if kind == Video {
		size = videoBuffer
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
	if !n.asked[kind].CompareAndSwap(false, true) {
		return
	}
	// The kernel doubles what was asked for, to cover its own bookkeeping.
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return
	}
	for {
		least := n.granted.Load()
		if least != 0 && int64(got/2) >= least || n.granted.CompareAndSwap(least, int64(got/2)) {
			return
		}
	}
}

// kernelSocket keeps the address structures of its system calls, so that
// neither receiving nor sending allocates.
type kernelSocket struct {
	fd    int
	v6    bool
	local netip.AddrPort
	addr  unix.RawSockaddrInet6 // large enough for IPv4 as well
	size  uint32
}

func (s *kernelSocket) bind(local netip.AddrPort) error {
	var sa unix.Sockaddr
	if s.v6 {
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
		sa = &unix.SockaddrInet6{Addr: local.Addr().As16(), Port: int(local.Port())}
	} else {
		sa = &unix.SockaddrInet4{Addr: local.Addr().As4(), Port: int(local.Port())}
	}
	if err := unix.Bind(s.fd, sa); err != nil {
		return err
	}
	s.local = local
	if local.Port() != 0 {
		return nil
	}
	got, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	switch a := got.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(local.Addr(), uint16(a.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(local.Addr(), uint16(a.Port))
	}
	return nil
}

func (s *kernelSocket) ID() int                   { return s.fd }
func (s *kernelSocket) LocalAddr() netip.AddrPort { return s.local }
func (s *kernelSocket) Close() error              { return unix.Close(s.fd) }

// Recv does not tell the scheduler of its system call: it cannot block, and
// the bookkeeping would cost about as much as our own work on the packet.
func (s *kernelSocket) Recv(buf []byte) (int, netip.AddrPort, error) {
	s.size = unix.SizeofSockaddrInet6
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), unix.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(&s.addr)), uintptr(unsafe.Pointer(&s.size)))
	if errno == 0 {
		return int(n), s.source(), nil
	}
	if u := s.complaint(); u != nil {
		return 0, netip.AddrPort{}, u
	}
	if errno == unix.EAGAIN {
		return 0, netip.AddrPort{}, ErrAgain
	}
	return 0, netip.AddrPort{}, errno
}

func (s *kernelSocket) source() netip.AddrPort {
	port := networkOrder(&s.addr.Port)
	if !s.v6 {
		return netip.AddrPortFrom(netip.AddrFrom4(s.inet4().Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(s.addr.Addr).Unmap(), port)
}

func (s *kernelSocket) Send(pkt []byte, to netip.AddrPort) error {
	size := uintptr(unix.SizeofSockaddrInet4)
	if s.v6 {
		size = unix.SizeofSockaddrInet6
		s.addr = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	} else {
		if !to.Addr().Is4() {
			return unix.EAFNOSUPPORT
		}
		*s.inet4() = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
	}
	setNetworkOrder(&s.addr.Port, to.Port())
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(pkt))), uintptr(len(pkt)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
		uintptr(unsafe.Pointer(&s.addr)), size)
	if errno != 0 {
		return errno
	}
	return nil
}

// inet4 sees the address as IPv4; family and port lie at the same place.
func (s *kernelSocket) inet4() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.addr))
}

func networkOrder(p *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])
}

func setNetworkOrder(p *uint16, v uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], v)
}

// epollPoller waits with epoll for sockets, a timerfd for slots that are
// finer than epoll's milliseconds, and an eventfd for commands.
type epollPoller struct {
	epfd, timer, event int
	armed              time.Time // what the timer is set to, zero if not
	events             []unix.EpollEvent
}

func (n *kernelNetwork) NewPoller() (Poller, error) {
	p := &epollPoller{epfd: -1, timer: -1, event: -1}
	err := p.open()
	if err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("opening a packet loop: %w", err)
	}
	return p, nil
}

func (p *epollPoller) open() (err error) {
	if p.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return err
	}
	if p.event, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return err
	}
	if err = p.watch(p.timer); err != nil {
		return err
	}
	return p.watch(p.event)
}

// urgent is how much sooner than others a packet loop gets a processor, as a
// nice value: a packet that waits is heard, an API request that waits is not.
const urgent = -10

// Own makes the calling goroutine the loop's only one on its thread, and puts
// the thread before others where the system allows that (CAP_SYS_NICE, or
// LimitNICE in the unit). Threads that the runtime starts later do not inherit
// it: it starts them from others.
func (p *epollPoller) Own() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, urgent) // 0: this thread; without the right to it, all is as before
}

func (p *epollPoller) watch(fd int) error {
	return unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (p *epollPoller) Add(s Socket) error {
	if err := p.watch(s.ID()); err != nil {
		return fmt.Errorf("watching media port %v: %w", s.LocalAddr(), err)
	}
	return nil
}

func (p *epollPoller) Wait(ready []int, deadline time.Time) (int, error) {
	if err := p.arm(deadline); err != nil {
		return 0, fmt.Errorf("setting the packet timer: %w", err)
	}
	if len(p.events) < len(ready) {
		p.events = make([]unix.EpollEvent, len(ready))
	}
	n, err := p.wait(len(ready))
	if err != nil {
		return 0, fmt.Errorf("waiting for packets: %w", err)
	}
	m := 0
	for i := range p.events[:n] {
		switch fd := int(p.events[i].Fd); fd {
		case p.timer:
			p.clear(fd)
			p.armed = time.Time{}
		case p.event:
			p.clear(fd)
		default:
			ready[m] = fd
			m++
		}
	}
	return m, nil
}

// wait looks first without blocking: while packets flow that is cheaper than
// telling the scheduler about a system call that may block.
func (p *epollPoller) wait(most int) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p.events))), uintptr(most), 0, 0, 0)
	if errno == 0 && n > 0 {
		return int(n), nil
	}
	for {
		n, err := unix.EpollWait(p.epfd, p.events[:most], -1)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func (p *epollPoller) arm(deadline time.Time) error {
	if deadline.Equal(p.armed) {
		return nil
	}
	var spec unix.ItimerSpec // zero disarms
	if !deadline.IsZero() {
		spec.Value = unix.NsecToTimespec(max(1, time.Until(deadline).Nanoseconds()))
	}
	p.armed = deadline
	return unix.TimerfdSettime(p.timer, 0, &spec, nil)
}

func (p *epollPoller) clear(fd int) {
	var b [8]byte
	_, _ = unix.Read(fd, b[:])
}

func (p *epollPoller) Wake() {
	one := [8]byte{}
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.event, one[:])
}

func (p *epollPoller) Close() error {
	var errs []error
	for _, fd := range []int{p.epfd, p.timer, p.event} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
