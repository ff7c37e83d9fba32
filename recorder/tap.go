package recorder

import (
	"encoding/binary"
	"sync/atomic"
)

const (
	blockSize    = 64 << 10
	packetHeader = 16
	maxPacket    = 16 << 10    // larger than any datagram of a call
	handOver     = 100_000_000 // a block is not kept longer than this, in ns
)

// block is a batch of packets on its way from a packet loop to the recorder.
type block struct {
	tap  *Tap
	turn uint32 // the tap has handed over everything up to this turn
	n    int
	buf  [blockSize]byte
}

// Tap takes the packets of one packet loop. Packet and Tick are called from
// that loop alone: they copy into a block and hand over full ones, without a
// lock, without memory being allocated, and without ever waiting. If the disk
// is so slow that no block is free, packets are dropped and counted.
type Tap struct {
	a     *Audio
	b     *block
	since int64
	turn  uint32

	want   atomic.Uint32 // turn asked for by the recorder
	holds  atomic.Bool   // there is a block that was not handed over
	handed atomic.Uint32 // blocks

	done, got uint32 // turn and blocks that have arrived; of the recorder's goroutine
}

// NewTap returns a tap for one packet loop.
func (a *Audio) NewTap() *Tap {
	t := &Tap{a: a}
	a.mu.Lock()
	a.taps = append(a.taps, t)
	a.mu.Unlock()
	return t
}

// Packet takes a whole RTP packet of recording rec. side is 0 for what the
// caller says and 1 for what the caller hears, 2 for what a supervisor says
// and 3 for what that supervisor hears; codec is the static RTP payload type
// of G.711 (0 or 8) or 255 for anything else; stream is the m-line, or the
// number of the supervisor, below 64; at is the arrival in Unix nanoseconds.
// pkt may be reused after the return.
func (t *Tap) Packet(rec uint32, side, codec, stream uint8, at int64, pkt []byte) {
	need := packetHeader + len(pkt)
	if len(pkt) > maxPacket {
		t.a.dropped.Add(1)
		return
	}
	if t.b != nil && t.b.n+need > blockSize {
		t.hand()
	}
	if t.b == nil {
		t.take(at)
	}
	if t.b == nil {
		t.a.dropped.Add(1)
		return
	}
	b := t.b.buf[t.b.n:]
	binary.LittleEndian.PutUint32(b, rec)
	b[4], b[5] = side&3|min(stream, 63)<<2, codec
	binary.LittleEndian.PutUint16(b[6:], uint16(len(pkt)))
	binary.LittleEndian.PutUint64(b[8:], uint64(at))
	copy(b[packetHeader:], pkt)
	t.b.n += need
}

// Tick hands over what has waited for a tenth of a second, or what the
// recorder asks for because a call has ended. now is in Unix nanoseconds.
func (t *Tap) Tick(now int64) {
	if w := t.want.Load(); w != t.turn {
		if t.b == nil {
			t.take(now)
		}
		if t.b != nil {
			t.turn = w
			t.hand()
		}
		return
	}
	if t.b != nil && now-t.since >= handOver {
		t.hand()
	}
}

// take gets a free block, or a new one as long as there may be more.
func (t *Tap) take(now int64) {
	select {
	case t.b = <-t.a.free:
	default:
		if t.a.blocks.Add(1) > int64(cap(t.a.free)) {
			t.a.blocks.Add(-1)
			return
		}
		t.b = new(block)
	}
	t.b.tap, t.b.n, t.since = t, 0, now
	t.holds.Store(true)
}

// hand gives the block to the recorder. There is always room: the channel
// holds as many blocks as there may be.
func (t *Tap) hand() {
	t.b.turn = t.turn
	select {
	case t.a.full <- t.b:
		t.b = nil
		t.handed.Add(1)
		t.holds.Store(false)
	default:
		t.a.dropped.Add(1)
		t.b.n = 0
	}
}

// packets calls f with every packet of a block.
func (b *block) packets(f func(rec uint32, side, codec, stream uint8, at int64, pkt []byte)) {
	for rest := b.buf[:b.n]; len(rest) >= packetHeader; {
		n := int(binary.LittleEndian.Uint16(rest[6:]))
		f(binary.LittleEndian.Uint32(rest), rest[4]&3, rest[5], rest[4]>>2,
			int64(binary.LittleEndian.Uint64(rest[8:])), rest[packetHeader:packetHeader+n])
		rest = rest[packetHeader+n:]
	}
}
