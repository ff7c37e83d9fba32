package media

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxBusy bounds how many pairs held by other programs are tried in a row
// before the system is asked for ports: a call must be set up quickly.
const maxBusy = 64

// ErrFiles says that media has all the files of the process that it may have:
// journal, recordings and signalling need some too.
var ErrFiles = errors.New("media ports take as many files as they may; raise the limit of open files (LimitNOFILE)")

// inUse marks a pair of the range that is bound.
const inUse time.Duration = 1<<63 - 1

// allocator hands out the RTP and RTCP ports of one local address. A pair
// that was freed rests before it is used again, so that a packet which is
// still on its way to an ended call never reaches another one; allocation
// cycles through the whole range for the same reason.
type allocator struct {
	net  Network
	addr netip.Addr
	lo   uint16
	rest time.Duration
	now  func() time.Duration

	mu     sync.Mutex
	until  []time.Duration          // for each pair: inUse, or when it has rested
	next   int                      // the pair to try first
	strays map[uint16]time.Duration // ports the system chose: inUse, or when they have rested
	files  *budget                  // shared by the addresses
}

// budget is how many sockets are open, and how many may be.
type budget struct {
	most int64 // 0: any number
	used atomic.Int64
}

// add counts sockets that are about to be opened; false: there are enough.
func (b *budget) add(n int64) bool {
	if used := b.used.Add(n); b.most > 0 && used > b.most {
		b.used.Add(-n)
		return false
	}
	return true
}

// pair is the transport of one stream.
type pair struct {
	from      *allocator
	index     int // in the range, -1 when chosen by the system
	rtp, rtcp Socket
}

func newAllocator(n Network, files *budget, addr netip.Addr, lo, hi uint16, rest time.Duration, now func() time.Duration) *allocator {
	a := &allocator{net: n, files: files, addr: addr, lo: lo, rest: rest, now: now, strays: make(map[uint16]time.Duration)}
	if lo != 0 {
		a.lo = lo + lo&1 // RTP on even ports, RFC 3550 section 11
		if hi > a.lo {
			a.until = make([]time.Duration, (int(hi)-int(a.lo)+1)/2)
		}
	}
	return a
}

// take binds a pair of ports for a stream of the given kind.
func (a *allocator) take(kind Kind) (*pair, error) {
	if !a.files.add(2) {
		return nil, ErrFiles
	}
	p, err := a.pair(kind)
	if err != nil {
		a.files.used.Add(-2)
	}
	return p, err
}

func (a *allocator) pair(kind Kind) (*pair, error) {
	for range maxBusy {
		i := a.reserve()
		if i < 0 {
			break
		}
		p, err := a.bind(i, a.lo+2*uint16(i), kind)
		if err == nil {
			return p, nil
		}
		a.release(i) // rests as well: whoever holds it will keep it for a while
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) {
			return nil, err
		}
	}
	return a.takeAny(kind)
}

// reserve picks the next pair that has rested, -1 if there is none.
func (a *allocator) reserve() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for range a.until {
		i := a.next
		if a.next++; a.next == len(a.until) {
			a.next = 0
		}
		if a.until[i] <= now {
			a.until[i] = inUse
			return i
		}
	}
	return -1
}

func (a *allocator) release(i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until[i] = a.now() + a.rest
}

func (a *allocator) bind(index int, port uint16, kind Kind) (*pair, error) {
	rtp, err := a.net.Bind(netip.AddrPortFrom(a.addr, port), kind)
	if err != nil {
		return nil, err
	}
	rtcp, err := a.net.Bind(netip.AddrPortFrom(a.addr, rtp.LocalAddr().Port()+1), Other)
	if err != nil {
		_ = rtp.Close()
		return nil, err
	}
	return &pair{from: a, index: index, rtp: rtp, rtcp: rtcp}, nil
}

// takeAny lets the system choose, so that a call does not fail because the
// range is too small. An even port with its neighbour is tried for first;
// failing that the RTCP port is any.
func (a *allocator) takeAny(kind Kind) (*pair, error) {
	var last error
	for range maxBusy {
		p, err := a.anyPair(kind, true)
		if err == nil {
			return p, nil
		}
		last = err
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if p, err := a.anyPair(kind, false); err == nil {
		return p, nil
	}
	return nil, fmt.Errorf("no media port is free at %v, neither in the range nor of the system's own: %w", a.addr, last)
}

func (a *allocator) anyPair(kind Kind, even bool) (*pair, error) {
	rtp, err := a.net.Bind(netip.AddrPortFrom(a.addr, 0), kind)
	if err != nil {
		return nil, err
	}
	port := rtp.LocalAddr().Port()
	neighbour := uint16(0)
	if even {
		neighbour = port + 1
	}
	if even && port&1 != 0 || !a.rested(port) {
		_ = rtp.Close()
		return nil, fmt.Errorf("port %d does not suit: %w", port, syscall.EADDRINUSE)
	}
	rtcp, err := a.net.Bind(netip.AddrPortFrom(a.addr, neighbour), Other)
	if err != nil {
		_ = rtp.Close()
		return nil, err
	}
	if !a.rested(rtcp.LocalAddr().Port()) {
		_, _ = rtp.Close(), rtcp.Close()
		return nil, fmt.Errorf("port %d does not suit: %w", port+1, syscall.EADDRINUSE)
	}
	p := &pair{from: a, index: -1, rtp: rtp, rtcp: rtcp}
	a.note(p, inUse)
	return p, nil
}

// rested tells whether a port that the system chose may be used: the range
// keeps its own ports, and ports freed a moment ago rest.
func (a *allocator) rested(port uint16) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if until, known := a.strays[port]; known && until > a.now() {
		return false
	}
	return port < a.lo || int(port-a.lo) >= 2*len(a.until)
}

func (a *allocator) note(p *pair, until time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strays[p.rtp.LocalAddr().Port()] = until
	a.strays[p.rtcp.LocalAddr().Port()] = until
}

// free closes the sockets and lets the ports rest. It is called by the loop
// that owns them, or before the loop has seen them.
func (p *pair) free() error {
	err := errors.Join(p.rtp.Close(), p.rtcp.Close())
	if p.index >= 0 {
		p.from.release(p.index)
	} else {
		p.from.note(p, p.from.now()+p.from.rest)
	}
	p.from.files.used.Add(-2)
	return err
}

// probe tells early whether the address is one of this machine.
func (a *allocator) probe() error {
	s, err := a.net.Bind(netip.AddrPortFrom(a.addr, 0), Audio)
	if err != nil {
		return err
	}
	return s.Close()
}
