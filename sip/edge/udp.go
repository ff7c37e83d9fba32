package edge

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ServeUDP serves a socket that is already open and returns its address.
func (e *Edge) ServeUDP(pc net.PacketConn) netip.AddrPort {
	addr := addrPortOf(pc.LocalAddr())
	conn := &packetConn{PacketConn: pc, edge: e, local: pc.LocalAddr().String(), reading: make(chan struct{})}
	e.add(listener{network: "udp", addr: addr, close: pc.Close})
	e.goServe(func() error {
		defer conn.settle() // a panic of the parser leaves its message unsettled
		return e.tpl.ServeUDP(conn)
	})
	<-conn.reading // only now can a request be sent from this socket
	return addr
}

// closeGrace is how long a closed socket is still known to the library.
const closeGrace = 50 * time.Millisecond

// packetConn is the socket as sipgo's reader sees it: only messages that are
// worth parsing come out of it.
type packetConn struct {
	net.PacketConn
	edge    *Edge
	local   string
	pending *Arrival // handed to the parser, not settled yet
	from    net.Addr
	started sync.Once
	reading chan struct{} // closed when sipgo's reader runs, and so its pool knows us
}

// ReadFrom returns the next datagram that may be a SIP message from a trusted
// source. sipgo's reader calls it in a loop and parses in between, so a call
// also says that the datagram before has been dealt with.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.started.Do(func() { close(c.reading) })
	c.settle()
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || c.edge.isClosed() {
				// When this returns the library forgets the socket, and would
				// open one of its own for a request that it is still handing
				// out in a goroutine that nobody can wait for.
				time.Sleep(closeGrace)
				return 0, nil, net.ErrClosed
			}
			continue // an ICMP error of an earlier send: says nothing of this socket
		}
		data := b[:n]
		source := addrPortOf(from)
		if !c.edge.opts.Trusted(source.Addr()) || isKeepAlive(data) || isSTUN(data) {
			continue
		}
		from = net.UDPAddrFromAddrPort(source)
		raw, at := bytes.Clone(data), time.Now()
		c.edge.opts.Seen(Passed{At: at, Network: "udp", From: source.String(), To: c.local, Raw: raw})
		if ack, repeated := c.edge.acks.again(data); repeated {
			if ack != nil {
				_, _ = c.WriteTo(ack, from)
			}
			continue
		}
		key := c.edge.answers.key(data, source)
		if c.repeated(key) {
			continue
		}
		c.pending, c.from = &Arrival{
			Raw: raw, At: at, Transport: "UDP",
			Source: source.String(), Local: c.local, key: key, conn: c,
		}, from
		c.edge.begin(c.pending)
		if whole := mended(raw); len(whole) <= len(b) {
			n = copy(b, whole)
		}
		return n, from, nil
	}
}

// WriteTo sends a datagram. The library reuses its buffer.
func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := c.PacketConn.WriteTo(b, to)
	if err == nil {
		c.edge.opts.Seen(Passed{At: time.Now(), Network: "udp", From: c.local, To: to.String(), Raw: bytes.Clone(b)})
	}
	return n, err
}

func (c *packetConn) settle() {
	if a := c.pending; a != nil {
		c.pending = nil
		to := c.from
		c.edge.settle(a, func(answer []byte) { _, _ = c.WriteTo(answer, to) })
	}
}

// isKeepAlive matches the CRLFs of RFC 5626 section 4.4.1 and the zero bytes
// that some phones send to hold a NAT binding.
func isKeepAlive(b []byte) bool {
	return len(bytes.Trim(b, "\r\n\x00 ")) == 0
}

// isSTUN matches a STUN message (RFC 8489 section 5), which NAT keep-alives
// send to the SIP port.
func isSTUN(b []byte) bool {
	return len(b) >= 20 && b[0] < 4 && bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xA4, 0x42})
}

func addrPortOf(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	default:
		ap, _ = netip.ParseAddrPort(a.String())
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
