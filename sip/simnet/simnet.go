// Package simnet is a UDP network inside the process, for tests in virtual
// time. Links delay, lose, duplicate and reorder datagrams as a seed decides,
// so that a run can be repeated. Everything that waits on it waits on
// channels and timers alone, so that it works inside a testing/synctest
// bubble: make the Net inside the bubble. It starts no goroutine. Every
// datagram is recorded, for assertions and call ladders.
package simnet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// MaxDatagram is the largest datagram that can be sent, in bytes: the payload
// of an IPv4 UDP datagram of 65,535 bytes.
const MaxDatagram = 65507

// queueLimit is how many datagrams wait at one endpoint before more are lost,
// as in a full receive buffer.
const queueLimit = 1 << 16

// Link says what happens to datagrams between two addresses. The zero Link is
// perfect: everything arrives at once and in order. Probabilities are 0 to 1.
type Link struct {
	Latency   time.Duration // time on the way
	Jitter    time.Duration // up to this much more, evenly distributed; it reorders too
	Loss      float64       // probability that a datagram never arrives
	Duplicate float64       // probability that a datagram arrives twice
	Reorder   float64       // probability that a datagram is held back by Hold
	Hold      time.Duration // how long it is held back; 0: 10 ms
}

// Fate is what became of a datagram.
type Fate string

// The fates. A duplicated datagram is recorded once, as Duplicated.
const (
	Delivered   Fate = "delivered"
	Duplicated  Fate = "duplicated"
	Lost        Fate = "lost"
	Unreachable Fate = "unreachable" // nobody listens there, or its buffer is full
)

// Packet is one datagram as it was sent.
type Packet struct {
	At   time.Time // when it was sent
	From netip.AddrPort
	To   netip.AddrPort
	Fate Fate
	Data []byte
}

// Net is one network. Every address exists on it. All methods may be called
// from any goroutine.
type Net struct {
	seed uint64

	mu        sync.Mutex
	endpoints map[netip.AddrPort]*Conn
	links     []linkRule
	dice      map[[2]netip.AddrPort]*rand.Rand // per direction, so that links do not disturb each other
	packets   []Packet
	nextPort  uint16
	sequence  uint64
}

type linkRule struct {
	from, to string
	link     Link
}

// New makes a network with perfect links. Two runs with the same seed in which
// every pair of addresses sends the same datagrams in the same order lose,
// delay and duplicate the same ones.
func New(seed uint64) *Net {
	return &Net{
		seed:      seed,
		endpoints: map[netip.AddrPort]*Conn{},
		dice:      map[[2]netip.AddrPort]*rand.Rand{},
		nextPort:  30000,
	}
}

// SetLink sets the link from one address to another, in that direction only.
// An address is "10.0.0.1:5060" or "10.0.0.1", or "" for all; of several that
// fit, the one that was set last is used. It affects datagrams sent from now on.
func (n *Net) SetLink(from, to string, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = append(n.links, linkRule{from: from, to: to, link: l})
}

// SetBoth sets the link between two addresses in both directions.
func (n *Net) SetBoth(a, b string, l Link) {
	n.SetLink(a, b, l)
	n.SetLink(b, a, l)
}

// linkOf finds the link of one direction. Callers hold mu.
func (n *Net) linkOf(from, to netip.AddrPort) Link {
	for _, r := range slices.Backward(n.links) {
		if fits(r.from, from) && fits(r.to, to) {
			return r.link
		}
	}
	return Link{}
}

func fits(rule string, a netip.AddrPort) bool {
	return rule == "" || rule == a.String() || rule == a.Addr().String()
}

// ListenUDP opens an endpoint. The host of address must be an IP address; port
// 0 takes a free one. A port that is in use is an error that matches
// syscall.EADDRINUSE.
func (n *Net) ListenUDP(address string) (*Conn, error) {
	local, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: want an IP address and a port: %w", address, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if local.Port() == 0 {
		local = n.freePort(local.Addr())
	}
	if n.endpoints[local] != nil {
		return nil, fmt.Errorf("listening on %v: %w", local, syscall.EADDRINUSE)
	}
	c := &Conn{net: n, local: local, changed: make(chan struct{})}
	n.endpoints[local] = c
	return c, nil
}

func (n *Net) freePort(addr netip.Addr) netip.AddrPort {
	for {
		a := netip.AddrPortFrom(addr, n.nextPort)
		if n.nextPort += 2; n.nextPort < 30000 {
			n.nextPort = 30000
		}
		if n.endpoints[a] == nil {
			return a
		}
	}
}

var errTooLong = errors.New("datagram too long")

// send puts a datagram on its way and records it.
func (n *Net) send(from netip.AddrPort, data []byte, to netip.AddrPort) error {
	if len(data) > MaxDatagram {
		return fmt.Errorf("sending %d bytes to %v: %w: %w", len(data), to, errTooLong, syscall.EMSGSIZE)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	p := Packet{At: now, From: from, To: to, Fate: Delivered, Data: append([]byte(nil), data...)}
	link, chance := n.linkOf(from, to), n.roll(from, to)
	target := n.endpoints[to]
	switch {
	case chance.loss < link.Loss:
		p.Fate = Lost
	case target == nil || len(target.queue) >= queueLimit:
		p.Fate = Unreachable
	default:
		due := now.Add(link.delay(chance))
		n.deliver(target, p, due)
		if chance.duplicate < link.Duplicate {
			p.Fate = Duplicated
			n.deliver(target, p, due.Add(link.hold()))
		}
	}
	n.packets = append(n.packets, p)
	return nil
}

// chances are drawn for every datagram, whatever its link, so that changing
// one probability does not move the others.
type chances struct{ loss, duplicate, reorder, jitter float64 }

func (n *Net) roll(from, to netip.AddrPort) chances {
	key := [2]netip.AddrPort{from, to}
	r := n.dice[key]
	if r == nil {
		h := fnv.New64a()
		fmt.Fprintf(h, "%v>%v", from, to)
		r = rand.New(rand.NewPCG(n.seed, h.Sum64()))
		n.dice[key] = r
	}
	return chances{r.Float64(), r.Float64(), r.Float64(), r.Float64()}
}

func (l Link) hold() time.Duration {
	if l.Hold > 0 {
		return l.Hold
	}
	return 10 * time.Millisecond
}

func (l Link) delay(c chances) time.Duration {
	d := l.Latency + time.Duration(c.jitter*float64(l.Jitter))
	if c.reorder < l.Reorder {
		d += l.hold()
	}
	return d
}

// deliver queues p at its target. Callers hold mu.
func (n *Net) deliver(target *Conn, p Packet, due time.Time) {
	n.sequence++
	target.queue.push(arrival{due: due, sequence: n.sequence, from: p.From, data: p.Data})
	target.signal()
}

// Packets returns every datagram sent so far, in the order of sending.
func (n *Net) Packets() []Packet {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Packet(nil), n.packets...)
}
