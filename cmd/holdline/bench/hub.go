package main

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Sides of a call's media.
const (
	callers = 0
	takers  = 1
)

const (
	packetTime = 20 * time.Millisecond
	slots      = 20        // a stream sends in one of these milliseconds
	magic      = 0xB37C411 // marks the payload of a packet that we made
)

// hub is the far end of all media: one socket for all callers and one for all
// takers. The element is told apart by its port, since each call has its own.
type hub struct {
	fds   [2]int
	ports [2]int
	quit  atomic.Bool
	run   sync.WaitGroup

	mu      sync.Mutex
	slots   [slots][]*talk
	next    int
	talks   [2][]*talk // by call
	owner   [2][65536]atomic.Int32
	ears    [2][]ear // what each side hears, by call
	sent    atomic.Int64
	heard   [2]atomic.Int64 // packets of ours that came through
	delay   *histogram
	measure atomic.Bool
}

// talk is one stream that we send.
type talk struct {
	side    int
	port    uint16
	seq     uint16
	ts      uint32
	pkt     [172]byte
	stopped atomic.Bool
}

// ear is what one side of a call hears.
type ear struct {
	last, gap, prompt, released, lost atomic.Int64
	seq                               uint16
}

func newHub() (*hub, error) {
	h := &hub{delay: new(histogram), ports: [2]int{9000, 9002}}
	for i := range h.fds {
		fd, err := openDatagrams(h.ports[i])
		if err != nil {
			return nil, err
		}
		h.fds[i] = fd
	}
	h.run.Go(h.sender)
	for side := range h.fds {
		h.run.Go(func() { h.receiver(side) })
	}
	return h, nil
}

func (h *hub) close() {
	h.quit.Store(true)
	h.run.Wait()
	for _, fd := range h.fds {
		_ = unix.Close(fd)
	}
}

func (h *hub) port(side int) int { return h.ports[side] }

// calls makes room for the calls of a run.
func (h *hub) calls(n int) {
	h.clear()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ears = [2][]ear{make([]ear, n), make([]ear, n)}
	h.talks = [2][]*talk{make([]*talk, n), make([]*talk, n)}
}

// clear ends all streams and forgets what was measured.
func (h *hub) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.slots {
		h.slots[i] = nil
	}
	for s := range h.owner {
		for p := range h.owner[s] {
			h.owner[s][p].Store(0)
		}
	}
	h.sent.Store(0)
	h.heard[0].Store(0)
	h.heard[1].Store(0)
	h.delay.reset()
}

// add starts to send call i's stream of a side to a port of the element. What
// that side of the call was sent to before ends.
func (h *hub) add(i, side, port int) {
	if port == 0 {
		return
	}
	t := &talk{side: side, port: uint16(port), seq: uint16(i), ts: uint32(i) * 7}
	t.pkt[0] = 0x80
	binary.BigEndian.PutUint32(t.pkt[8:], uint32(i)<<1|uint32(side))
	for j := 12; j < len(t.pkt); j++ {
		t.pkt[j] = byte(j * 37)
	}
	binary.BigEndian.PutUint32(t.pkt[12:], magic)
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.talks[side][i]; old != nil {
		old.stopped.Store(true)
	}
	h.talks[side][i] = t
	h.owner[side][port].Store(int32(i + 1))
	if side == takers {
		h.ears[side][i].last.Store(0) // another stream begins
	}
	h.slots[h.next%slots] = append(h.slots[h.next%slots], t)
	h.next++
}

// released ends what the position says, and notes that the caller is about to
// hear the prompt.
func (h *hub) released(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.talks[takers][i]; t != nil {
		t.stopped.Store(true)
	}
	h.ears[callers][i].released.Store(time.Now().UnixNano())
}

// drop ends a call's streams.
func (h *hub) drop(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, side := range h.talks {
		if side[i] != nil {
			side[i].stopped.Store(true)
		}
	}
}

// sender sends each stream's packet in its millisecond of every 20.
func (h *hub) sender() {
	out := [2]*datagrams{newDatagrams(h.fds[0]), newDatagrams(h.fds[1])}
	began := time.Now()
	for tick := int64(0); !h.quit.Load(); tick++ {
		if d := time.Until(began.Add(time.Duration(tick) * time.Millisecond)); d > 0 {
			time.Sleep(d)
		}
		h.slot(int(tick%slots), out)
	}
}

func (h *hub) slot(k int, out [2]*datagrams) {
	h.mu.Lock()
	list := h.slots[k]
	live := list[:0]
	for _, t := range list {
		if !t.stopped.Load() {
			live = append(live, t)
		}
	}
	h.slots[k] = live
	list = append([]*talk(nil), live...)
	h.mu.Unlock()
	for side, d := range out {
		n := 0
		now := uint64(time.Now().UnixNano())
		for _, t := range list {
			if t.side != side {
				continue
			}
			t.seq++
			t.ts += 160
			binary.BigEndian.PutUint16(t.pkt[2:], t.seq)
			binary.BigEndian.PutUint32(t.pkt[4:], t.ts)
			binary.BigEndian.PutUint64(t.pkt[16:], now)
			d.put(n, t.pkt[:], t.port)
			if n++; n == batch/2 {
				d.send(n)
				h.sent.Add(int64(n))
				n, now = 0, uint64(time.Now().UnixNano())
			}
		}
		d.send(n)
		h.sent.Add(int64(n))
	}
}

// receiver takes what the callers or the takers hear.
func (h *hub) receiver(side int) {
	in := newDatagrams(h.fds[side])
	for !h.quit.Load() {
		for i := range in.receive() {
			pkt, from, at := in.packet(i)
			h.packet(side, pkt, from, at)
		}
	}
}

func (h *hub) packet(side int, pkt []byte, from uint16, at int64) {
	if len(pkt) < 24 {
		return
	}
	ours := binary.BigEndian.Uint32(pkt[12:]) == magic
	if ours {
		h.heard[side].Add(1)
		if h.measure.Load() {
			h.delay.add(at - int64(binary.BigEndian.Uint64(pkt[16:])))
		}
	}
	owner := int(h.owner[side][from].Load()) - 1
	if owner < 0 || owner >= len(h.ears[side]) {
		return
	}
	e := &h.ears[side][owner]
	seq := binary.BigEndian.Uint16(pkt[2:])
	if last := e.last.Load(); last != 0 {
		if lost := int64(seq - e.seq - 1); lost > 0 && lost < 1000 {
			e.lost.Add(lost)
		}
		if gap := at - last; e.gap.Load() < gap {
			e.gap.Store(gap)
		}
	}
	e.last.Store(at)
	e.seq = seq
	if side == callers && !ours && e.prompt.Load() == 0 && e.released.Load() != 0 {
		e.prompt.Store(at)
	}
}

// lost is how many packets are missing from what both sides heard so far.
func (h *hub) lost() (n int64) {
	for side := range h.ears {
		for i := range h.ears[side] {
			n += h.ears[side][i].lost.Load()
		}
	}
	return n
}
