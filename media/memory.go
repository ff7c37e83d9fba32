package media

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// MemoryNetwork is a UDP network inside the process, for tests in virtual
// time: everything that waits on it blocks on channels and timers alone, so
// that it works inside a testing/synctest bubble. Datagrams arrive at once
// and in order. One MemoryNetwork belongs to one test.
type MemoryNetwork struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*memorySocket
	next    uint16
	lastID  int
	freeIDs []int
}

// NewMemoryNetwork makes an empty network on which every address exists.
func NewMemoryNetwork() *MemoryNetwork {
	return &MemoryNetwork{sockets: make(map[netip.AddrPort]*memorySocket), next: 40000}
}

// memoryQueue is how many datagrams wait at one socket before more are lost.
const memoryQueue = 4096

type datagram struct {
	from netip.AddrPort
	data []byte
}

type memorySocket struct {
	net    *MemoryNetwork
	id     int
	local  netip.AddrPort
	queue  []datagram
	poller *memoryPoller // nil for endpoints of tests
	closed bool
	signal chan struct{} // capacity 1: something arrived, or the socket was closed
}

// ReceiveBuffer is not limited in memory.
func (m *MemoryNetwork) ReceiveBuffer() int { return 0 }

// FileLimit is not limited in memory.
func (m *MemoryNetwork) FileLimit() int { return 0 }

// Bind opens a socket for an Engine.
func (m *MemoryNetwork) Bind(local netip.AddrPort, _ Kind) (Socket, error) { return m.open(local) }

func (m *MemoryNetwork) open(local netip.AddrPort) (*memorySocket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for tries := 0; local.Port() == 0 || m.sockets[local] != nil; tries++ {
		if local.Port() != 0 && tries == 0 || tries > 20000 {
			return nil, fmt.Errorf("binding %v in memory: %w", local, syscall.EADDRINUSE)
		}
		local = netip.AddrPortFrom(local.Addr(), m.next)
		if m.next++; m.next == 0 {
			m.next = 40000
		}
	}
	s := &memorySocket{net: m, local: local, signal: make(chan struct{}, 1)}
	if n := len(m.freeIDs); n > 0 {
		s.id, m.freeIDs = m.freeIDs[n-1], m.freeIDs[:n-1]
	} else {
		m.lastID++
		s.id = m.lastID
	}
	m.sockets[local] = s
	return s, nil
}

func (s *memorySocket) ID() int                   { return s.id }
func (s *memorySocket) LocalAddr() netip.AddrPort { return s.local }

func (s *memorySocket) Recv(buf []byte) (int, netip.AddrPort, error) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	if s.closed {
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	if len(s.queue) == 0 {
		return 0, netip.AddrPort{}, ErrAgain
	}
	d := s.queue[0]
	s.queue = s.queue[1:]
	return copy(buf, d.data), d.from, nil
}

func (s *memorySocket) Send(pkt []byte, to netip.AddrPort) error {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	d := s.net.sockets[to]
	if d == nil || len(d.queue) >= memoryQueue {
		return nil // as on a real network, nobody tells
	}
	d.queue = append(d.queue, datagram{from: s.local, data: append([]byte(nil), pkt...)})
	if d.poller != nil {
		d.poller.signal()
	}
	poke(d.signal)
	return nil
}

func (s *memorySocket) Close() error {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed, s.queue = true, nil
	delete(s.net.sockets, s.local)
	s.net.freeIDs = append(s.net.freeIDs, s.id)
	if s.poller != nil {
		delete(s.poller.watched, s.id)
	}
	poke(s.signal)
	return nil
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// memoryPoller is level-triggered like epoll: what is readable is looked for
// on every Wait.
type memoryPoller struct {
	net     *MemoryNetwork
	watched map[int]*memorySocket // under net.mu
	wake    chan struct{}
}

// NewPoller makes what one packet loop waits on.
func (m *MemoryNetwork) NewPoller() (Poller, error) {
	return &memoryPoller{net: m, watched: make(map[int]*memorySocket), wake: make(chan struct{}, 1)}, nil
}

func (p *memoryPoller) signal()      { poke(p.wake) }
func (p *memoryPoller) Wake()        { p.signal() }
func (p *memoryPoller) Close() error { return nil }

func (p *memoryPoller) Add(s Socket) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	ms, ok := s.(*memorySocket)
	if !ok {
		return fmt.Errorf("watching %v: not a socket of this network", s.LocalAddr())
	}
	ms.poller = p
	p.watched[ms.id] = ms
	p.signal()
	return nil
}

func (p *memoryPoller) readable(ready []int) (n int) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	for id, s := range p.watched {
		if n < len(ready) && len(s.queue) > 0 {
			ready[n] = id
			n++
		}
	}
	return n
}

func (p *memoryPoller) Wait(ready []int, deadline time.Time) (int, error) {
	if n := p.readable(ready); n > 0 {
		return n, nil
	}
	var due <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-p.wake:
	case <-due:
	}
	return p.readable(ready), nil
}

// Listen opens an endpoint for a test: a phone, or a SIP transport.
func (m *MemoryNetwork) Listen(local netip.AddrPort) (*MemoryConn, error) {
	s, err := m.open(local)
	if err != nil {
		return nil, err
	}
	return &MemoryConn{s: s, changed: make(chan struct{})}, nil
}

// MemoryConn is a net.PacketConn on a MemoryNetwork.
type MemoryConn struct {
	s        *memorySocket
	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when deadline changes
}

var _ net.PacketConn = (*MemoryConn)(nil)

// ReadFromAddrPort waits for the next datagram.
func (c *MemoryConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := c.s.Recv(b)
		if err != ErrAgain { //nolint:errorlint // our own sentinel, never wrapped
			if err != nil {
				poke(c.s.signal) // for the next reader
			}
			return n, from, err
		}
		if err := c.wait(); err != nil {
			return 0, netip.AddrPort{}, err
		}
	}
}

func (c *MemoryConn) wait() error {
	c.mu.Lock()
	deadline, changed := c.deadline, c.changed
	c.mu.Unlock()
	var due <-chan time.Time
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-c.s.signal:
	case <-changed:
	case <-due:
	}
	return nil
}

// WriteToAddrPort sends one datagram; it is lost when nobody listens at to.
func (c *MemoryConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if err := c.s.Send(b, to); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadFrom waits for the next datagram; its source is a *net.UDPAddr.
func (c *MemoryConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo sends one datagram to a *net.UDPAddr.
func (c *MemoryConn) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("sending in memory: %T is no *net.UDPAddr", to)
	}
	a := u.AddrPort()
	return c.WriteToAddrPort(b, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
}

// Close frees the port; a reader that waits returns net.ErrClosed.
func (c *MemoryConn) Close() error { return c.s.Close() }

// LocalAddr is where the endpoint listens.
func (c *MemoryConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.s.local) }

// SetDeadline is SetReadDeadline: writing never waits.
func (c *MemoryConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds the present and later reads.
func (c *MemoryConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// SetWriteDeadline does nothing: writing never waits.
func (c *MemoryConn) SetWriteDeadline(time.Time) error { return nil }
