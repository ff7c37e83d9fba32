package simnet

import (
	"container/heap"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// Conn is an endpoint on a Net: a net.PacketConn whose reads honour
// deadlines. Several goroutines may use it at once.
type Conn struct {
	net   *Net
	local netip.AddrPort

	// Under net.mu.
	queue    arrivals
	closed   bool
	deadline time.Time
	changed  chan struct{} // closed and renewed whenever one of the above changes
}

var _ net.PacketConn = (*Conn)(nil)

// signal wakes those who read. Callers hold net.mu.
func (c *Conn) signal() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// ReadFromAddrPort waits for the next datagram. What does not fit into b is
// cut off, as UDP does.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		a, wait, changed, err := c.next()
		switch {
		case err != nil:
			return 0, netip.AddrPort{}, c.failed("read", err)
		case wait == 0:
			return copy(b, a.data), a.from, nil
		}
		pause(wait, changed)
	}
}

// next takes the datagram that is due, or says how long to wait for whatever
// comes first: the next arrival or the deadline; negative is for ever.
func (c *Conn) next() (a arrival, wait time.Duration, changed <-chan struct{}, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	now := time.Now()
	if c.closed {
		return a, 0, nil, net.ErrClosed
	}
	if !c.deadline.IsZero() && !now.Before(c.deadline) {
		return a, 0, nil, os.ErrDeadlineExceeded
	}
	wait = -1
	if len(c.queue) > 0 {
		if wait = c.queue[0].due.Sub(now); wait <= 0 {
			return c.queue.pop(), 0, nil, nil
		}
	}
	if left := c.deadline.Sub(now); !c.deadline.IsZero() && (wait < 0 || left < wait) {
		wait = left
	}
	return a, wait, c.changed, nil
}

func pause(wait time.Duration, changed <-chan struct{}) {
	if wait < 0 {
		<-changed
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
}

func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Addr: c.LocalAddr(), Err: err}
}

// WriteToAddrPort sends one datagram. It never waits; whether the datagram
// arrives is the link's affair.
func (c *Conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.net.mu.Lock()
	closed := c.closed
	c.net.mu.Unlock()
	if closed {
		return 0, c.failed("write", net.ErrClosed)
	}
	if err := c.net.send(c.local, b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadFrom waits for the next datagram; its source is a *net.UDPAddr.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo sends one datagram to an address that reads as IP:port.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	if u, ok := to.(*net.UDPAddr); ok {
		return c.WriteToAddrPort(b, u.AddrPort())
	}
	a, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, fmt.Errorf("sending to %v: want an IP address and a port: %w", to, err)
	}
	return c.WriteToAddrPort(b, a)
}

// Close frees the port; reads that wait return net.ErrClosed.
func (c *Conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.failed("close", net.ErrClosed)
	}
	c.closed, c.queue = true, nil
	delete(c.net.endpoints, c.local)
	c.signal()
	return nil
}

// LocalAddr is where the endpoint listens, a *net.UDPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// SetDeadline is SetReadDeadline: writing never waits.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds the present and later reads; the zero time is never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.deadline = t
	c.signal()
	return nil
}

// SetWriteDeadline does nothing: writing never waits.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// arrival is a datagram on its way to an endpoint.
type arrival struct {
	due      time.Time
	sequence uint64 // keeps the order of those that are due at once
	from     netip.AddrPort
	data     []byte
}

// arrivals is a heap: the first is the next to be read.
type arrivals []arrival

func (q *arrivals) push(a arrival) { heap.Push(q, a) }
func (q *arrivals) pop() arrival   { return heap.Pop(q).(arrival) }

// Len is part of heap.Interface.
func (q arrivals) Len() int { return len(q) }

// Less is part of heap.Interface: earliest first, then first sent first.
func (q arrivals) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].sequence < q[j].sequence
	}
	return q[i].due.Before(q[j].due)
}

// Swap is part of heap.Interface.
func (q arrivals) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is part of heap.Interface.
func (q *arrivals) Push(x any) { *q = append(*q, x.(arrival)) }

// Pop is part of heap.Interface.
func (q *arrivals) Pop() any {
	old := *q
	a := old[len(old)-1]
	*q = old[:len(old)-1]
	return a
}
