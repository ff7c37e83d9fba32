package media

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	pcmu = Codec{PT: 0, Name: "PCMU", Rate: 8000, Channels: 1}
	pcma = Codec{PT: 8, Name: "PCMA", Rate: 8000, Channels: 1}
	tele = Codec{PT: 101, Name: "TELEPHONE-EVENT", Rate: 8000, Channels: 1}
)

// house is an engine on a memory network inside a synctest bubble.
type house struct {
	t      *testing.T
	net    *MemoryNetwork
	engine *Engine
	taps   []*tapLog
	broken bool // by the test

	mu     sync.Mutex
	events []Event
}

func newHouse(t *testing.T, change ...func(*Options)) *house {
	t.Helper()
	h := &house{t: t, net: NewMemoryNetwork()}
	o := Options{
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		PortLo:    20000, PortHi: 20099, Loops: 1, Network: h.net,
		NewTap: func() Tap { tap := &tapLog{}; h.taps = append(h.taps, tap); return tap },
	}
	for _, f := range change {
		f(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.engine = e
	t.Cleanup(func() {
		if n := e.Stats().Panics; n > 0 && !h.broken {
			t.Errorf("%d failures were recovered from", n)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) open() Session {
	h.t.Helper()
	s, err := h.engine.Open("call", func(ev Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, ev)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// seen returns the events of a kind so far.
func (h *house) seen(kind EventKind) (out []Event) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		if ev.Kind == kind {
			out = append(out, ev)
		}
	}
	return out
}

type tapped struct {
	rec                 uint32
	side, codec, stream uint8
	at                  int64
	pkt                 rtp.Packet
}

type tapLog struct {
	mu    sync.Mutex
	got   []tapped
	ticks []time.Time
	fail  bool
}

func (l *tapLog) Packet(rec uint32, side, codec, stream uint8, at int64, pkt []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail {
		panic("the tap is broken")
	}
	var p rtp.Packet
	_ = p.Unmarshal(append([]byte(nil), pkt...))
	l.got = append(l.got, tapped{rec, side, codec, stream, at, p})
}

func (l *tapLog) Tick(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticks = append(l.ticks, time.Unix(0, now))
}

func (l *tapLog) side(n uint8) (out []tapped) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.got {
		if p.side == n {
			out = append(out, p)
		}
	}
	return out
}

// arrival is a datagram with the virtual time of its arrival.
type arrival struct {
	at   time.Time
	from netip.AddrPort
	raw  []byte
}

func (a arrival) rtp(t *testing.T) *rtp.Packet {
	t.Helper()
	p := &rtp.Packet{}
	if err := p.Unmarshal(a.raw); err != nil {
		t.Fatalf("not RTP: %v", err)
	}
	return p
}

// phone is a far end with one stream: an RTP and an RTCP port.
type phone struct {
	t        *testing.T
	addr     netip.AddrPort
	rtp      *MemoryConn
	rtcp     *MemoryConn
	to       Ports
	ssrc     uint32
	seq      uint16
	ts       uint32
	pt       uint8
	mu       sync.Mutex
	arrived  []arrival
	controls []arrival
}

func (h *house) phone(addr string) *phone {
	h.t.Helper()
	p := &phone{t: h.t, addr: netip.MustParseAddrPort(addr), ssrc: uint32(len(addr)) * 0x01010101, seq: 100, ts: 5000}
	for _, b := range []byte(addr) {
		p.ssrc = p.ssrc*31 + uint32(b)
	}
	p.rtp = h.listen(p.addr)
	p.rtcp = h.listen(netip.AddrPortFrom(p.addr.Addr(), p.addr.Port()+1))
	var done sync.WaitGroup
	done.Go(func() { p.read(p.rtp, &p.arrived) })
	done.Go(func() { p.read(p.rtcp, &p.controls) })
	h.t.Cleanup(func() { _, _ = p.rtp.Close(), p.rtcp.Close(); done.Wait() })
	return p
}

func (h *house) listen(a netip.AddrPort) *MemoryConn {
	h.t.Helper()
	c, err := h.net.Listen(a)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (p *phone) read(c *MemoryConn, into *[]arrival) {
	b := make([]byte, 2000)
	for {
		n, from, err := c.ReadFromAddrPort(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		*into = append(*into, arrival{time.Now(), from, append([]byte(nil), b[:n]...)})
		p.mu.Unlock()
	}
}

// take returns what has arrived since the last take.
func (p *phone) take() []arrival {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.arrived
	p.arrived = nil
	return got
}

func (p *phone) takeControl() []arrival {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.controls
	p.controls = nil
	return got
}

func (p *phone) remote(codecs ...Codec) Remote {
	return Remote{RTP: p.addr, RTCP: netip.AddrPortFrom(p.addr.Addr(), p.addr.Port()+1), Codecs: codecs}
}

// packet makes the next audio packet.
func (p *phone) packet(payload []byte) *rtp.Packet {
	pkt := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: p.pt, SequenceNumber: p.seq, Timestamp: p.ts, SSRC: p.ssrc}, Payload: payload}
	p.seq++
	p.ts += 160
	return pkt
}

func (p *phone) send(pkt *rtp.Packet) []byte {
	p.t.Helper()
	raw, err := pkt.Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	p.raw(raw)
	return raw
}

func (p *phone) raw(b []byte) {
	p.t.Helper()
	if _, err := p.rtp.WriteToAddrPort(b, p.to.RTP); err != nil {
		p.t.Fatal(err)
	}
}

// speak sends n packets of 20 ms, each at the end of its packet time.
func (p *phone) speak(n int) (sent [][]byte) {
	p.t.Helper()
	for range n {
		time.Sleep(20 * time.Millisecond)
		sent = append(sent, p.send(p.packet(speech(p.seq))))
	}
	synctest.Wait()
	return sent
}

func speech(seed uint16) []byte {
	b := make([]byte, 160)
	for i := range b {
		b[i] = byte(int(seed)*7 + i)
	}
	return b
}

// join adds a leg of one stream for p.
func (h *house) join(s Session, p *phone, r Remote) LegID {
	h.t.Helper()
	return h.joinKind(s, p, r, Audio)
}

func (h *house) joinKind(s Session, p *phone, r Remote, kind Kind) LegID {
	h.t.Helper()
	id, ports, err := s.AddLeg([]Kind{kind}, p.addr.Addr().Is6())
	if err != nil {
		h.t.Fatal(err)
	}
	p.to = ports[0]
	s.SetRemote(id, 0, r)
	synctest.Wait()
	return id
}

// continuous checks that what the caller heard is one stream: same SSRC, no
// hole in the sequence, no timestamp that stands or goes back.
func continuous(t *testing.T, heard []arrival) {
	t.Helper()
	for i := 1; i < len(heard); i++ {
		a, b := heard[i-1].rtp(t), heard[i].rtp(t)
		if a.SSRC != b.SSRC || b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) <= 0 {
			t.Fatalf("packet %d does not follow the one before:\n%v\n%v", i, a, b)
		}
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
