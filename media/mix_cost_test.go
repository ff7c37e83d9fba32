package media

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// sink is a socket that takes everything.
type sink struct{ sent int }

func (*sink) ID() int                                  { return 0 }
func (*sink) LocalAddr() netip.AddrPort                { return netip.AddrPort{} }
func (*sink) Recv([]byte) (int, netip.AddrPort, error) { return 0, netip.AddrPort{}, ErrAgain }
func (s *sink) Send([]byte, netip.AddrPort) error      { s.sent++; return nil }
func (*sink) Close() error                             { return nil }

// bareCall is a call without network: packets are handed to the loop at once.
type bareCall struct {
	l     *loop
	call  *session
	legs  []*leg
	packs []*rtp.Packet
	from  []netip.AddrPort
	buf   []byte
	out   sink
}

func newBareCall(supervisors int) *bareCall {
	e := &Engine{laws: newLaws(), samples: newSamples(), opts: Options{Prompt: BuiltinPrompt()}}
	l := &loop{engine: e, laws: e.laws, buf: make([]byte, maxDatagram)}
	c := &bareCall{l: l, call: &session{engine: e, loop: l, notify: func(Event) {}}, buf: make([]byte, 0, 1500)}
	for id := range 2 + supervisors {
		lg := &leg{sess: c.call, id: LegID(id)}
		st := &stream{leg: lg, kind: Audio, pair: &pair{rtp: &c.out, rtcp: &c.out}}
		if id == 0 {
			st.ear = &ear{kind: Audio}
			c.call.caller = lg
		}
		lg.streams = []*stream{st}
		c.call.all = append(c.call.all, lg)
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(id)}), 4000)
		l.setRemote(st, Remote{RTP: at, Codecs: []Codec{pcmu}})
		c.legs, c.from = append(c.legs, lg), append(c.from, at)
		c.packs = append(c.packs, &rtp.Packet{Header: rtp.Header{Version: 2, SSRC: uint32(id) + 1}, Payload: speech(uint16(id))})
	}
	l.bridge(c.call, c.legs[1])
	return c
}

// packet hands over the next packet of a leg.
func (c *bareCall) packet(id int) {
	p := c.packs[id]
	p.SequenceNumber++
	p.Timestamp += 160
	c.buf = c.buf[:180]
	n, _ := p.MarshalTo(c.buf)
	c.l.mediaArrived(c.legs[id].streams[0], c.buf[:n], c.from[id])
}

// round is 20 ms of the call.
func (c *bareCall) round() {
	c.l.now += frameTime
	c.l.wall += int64(frameTime)
	for id := range c.legs {
		c.packet(id)
	}
	c.l.mixDue()
}

func TestMixingAllocatesNothing(t *testing.T) {
	for name, mode := range map[string]Mode{"listen": Listen, "whisper": Whisper, "barge": Barge} {
		c := newBareCall(2)
		c.l.attend(c.call, c.legs[2], mode)
		c.l.attend(c.call, c.legs[3], Barge)
		for range 100 {
			c.round()
		}
		before := c.out.sent
		if n := testing.AllocsPerRun(1000, c.round); n != 0 {
			t.Errorf("%s: %v allocations in 20 ms", name, n)
		}
		if got := c.out.sent - before; got < 1001*4 {
			t.Errorf("%s: %d packets", name, got)
		}
	}
}

// BenchmarkRelay is the work on one packet of a bridged call, without the
// system's: with nobody who attends there is none for supervisors.
func BenchmarkRelay(b *testing.B) {
	for _, bb := range []struct {
		name        string
		supervisors int
		mode        Mode
	}{{"nobody attends", 0, Listen}, {"listen", 1, Listen}, {"barge", 1, Barge}} {
		b.Run(bb.name, func(b *testing.B) {
			c := newBareCall(bb.supervisors)
			if bb.supervisors > 0 {
				c.l.attend(c.call, c.legs[2], bb.mode)
			}
			for range 100 {
				c.round()
			}
			b.ReportAllocs()
			for b.Loop() {
				c.packet(1)
				if c.packs[1].SequenceNumber%2 == 0 { // a second is 50 packets
					c.l.now += frameTime / 2
				}
			}
		})
	}
	b.Run("20 ms with one who barges", func(b *testing.B) {
		c := newBareCall(1)
		c.l.attend(c.call, c.legs[2], Barge)
		b.ReportAllocs()
		for b.Loop() {
			c.round()
		}
	})
}

// A call whose supervisors have left is as it was before they came.
func TestNothingIsLeftOfSupervisors(t *testing.T) {
	c := newBareCall(2)
	for _, m := range []Mode{Barge, Listen} {
		c.l.attend(c.call, c.legs[2], m)
		c.l.attend(c.call, c.legs[3], Whisper)
		for range 50 {
			c.round()
		}
	}
	c.l.unattend(c.legs[2])
	c.l.unattend(c.legs[3])
	if c.call.room != nil || len(c.l.desk.rooms) != 0 || c.l.desk.next() != -1 || c.legs[1].streams[0].ear != nil {
		t.Error("something is left")
	}
	if d := c.l.deadline(); !d.IsZero() {
		t.Errorf("the loop wakes at %v", d.Sub(time.Time{}))
	}
}
