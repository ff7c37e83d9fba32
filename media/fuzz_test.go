package media

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"pgregory.net/rapid"
)

// FuzzRTP: what we take for RTP another implementation does too, and payload
// and fields agree.
func FuzzRTP(f *testing.F) {
	ext := &rtp.Packet{Header: rtp.Header{Version: 2, CSRC: []uint32{1, 2}, SSRC: 3, PayloadType: 96}, Payload: []byte{1, 2, 3}}
	_ = ext.SetExtension(1, []byte{1, 2})
	seed, _ := ext.Marshal()
	f.Add(seed)
	f.Add([]byte{0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 0, 3})
	f.Add([]byte{0x90, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h header
		if !parseRTP(b, &h) {
			return
		}
		if h.off < 12 || h.end < h.off || h.end > len(b) {
			t.Fatalf("payload from %d to %d of %d", h.off, h.end, len(b))
		}
		var p rtp.Packet
		if b[0]&0x30 == 0 { // others read extensions and padding more or less strictly
			if err := p.Unmarshal(b); err != nil || p.SequenceNumber != h.seq || p.Timestamp != h.ts || p.SSRC != h.ssrc || len(p.Payload) != h.end-h.off {
				t.Fatalf("read as %+v, by another as %v: %v", h, p, err)
			}
		}
		before := string(b)
		h.write(b)
		if string(b) != before {
			t.Fatal("writing back what was read changes the packet")
		}
	})
}

// FuzzRTCP: rewriting never fails, never makes a packet longer and leaves it
// well-formed.
func FuzzRTCP(f *testing.F) {
	seed, _ := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 9}}}, cname(1), &rtcp.Goodbye{Sources: []uint32{1}},
		&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: 9, Nacks: []rtcp.NackPair{{PacketID: 5}}},
		&rtcp.FullIntraRequest{SenderSSRC: 1, MediaSSRC: 9, FIR: []rtcp.FIREntry{{SSRC: 9}}},
	})
	f.Add(seed)
	f.Add([]byte{0x81, 202, 0, 1, 1, 2, 3, 4})
	f.Add([]byte{0x9f, 200, 0, 1, 1, 2, 3, 4, 0x9f, 206, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if !validRTCP(b) {
			return
		}
		for _, e := range []ear{{}, {started: true, ssrc: 9}, {started: true, mapped: true, ssrc: 9, from: 1, seqOff: 5, top: 3}} {
			c := append([]byte(nil), b...)
			rtcpToTaker(c, &e)
			n := rtcpToCaller(c, &e)
			if n > len(b) {
				t.Fatalf("%d bytes became %d", len(b), n)
			}
			for c = c[:n]; len(c) > 0; c = c[rtcpPart(c):] {
				if rtcpPart(c) < 0 {
					t.Fatalf("malformed: %x", c)
				}
			}
		}
	})
}

// FuzzDatagram: nothing that arrives at a port stops the call.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0x80, 0, 160}, true)
	f.Add([]byte{0x80, 200, 0, 1, 0, 0, 0, 2}, false)
	f.Add(append([]byte{0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, make([]byte, 1800)...), false) // claims to last 225 ms
	f.Fuzz(func(t *testing.T, b []byte, mux bool) {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
			s := h.open()
			cr, tr := caller.remote(pcma, tele), taker.remote(pcmu, Codec{PT: 97, Name: "RED", Rate: 1000}, Codec{PT: 96, Name: "TELEPHONE-EVENT", Rate: 8000})
			cr.Mux, tr.Mux = mux, !mux
			h.join(s, caller, cr)
			leg := h.join(s, taker, tr)
			s.WatchCodes(leg, []string{"*11"})
			s.Bridge(leg)
			s.Record(1)
			for _, p := range []*phone{caller, taker} {
				p.raw(b)
				_, _ = p.rtcp.WriteToAddrPort(b, p.to.RTCP)
			}
			synctest.Wait()
			if n := h.engine.Stats().Panics; n != 0 {
				t.Fatalf("%d failures", n)
			}
			caller.take()
			s.Prompt()
			time.Sleep(longestSpan)
			if len(caller.take()) == 0 {
				t.Fatal("the prompt is not heard")
			}
		})
	})
}

// FuzzWAV: a prompt file is read or refused.
func FuzzWAV(f *testing.F) {
	f.Add(makeWAV(1, 2, 16, 44100, sine(400, 44100, 2, 10*time.Millisecond)))
	f.Add(makeWAV(7, 1, 8, 8000, []byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePrompt(b); err == nil && (len(p.ulaw) == 0 || len(p.ulaw)%frameSamples != 0) {
			t.Fatalf("a prompt of %d samples", len(p.ulaw))
		}
	})
}

// Whatever sources come and go, in whatever order and at whatever times, the
// caller hears one stream whose sequence has no hole and whose timestamps
// keep to real time.
func TestTheCallersStreamIsContinuousWhateverServesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &ear{kind: Audio}
		now := time.Duration(0)
		var last header
		heard, began, first := 0, time.Duration(0), uint32(0)
		hear := func(h header) {
			if heard > 0 && (h.ssrc != last.ssrc || h.seq != last.seq+1 || int32(h.ts-last.ts) <= 0) {
				t.Fatalf("%+v does not follow %+v", h, last)
			}
			if heard == 0 {
				began, first = now, h.ts
			}
			if late := time.Duration(int32(h.ts-first))*time.Second/8000 - (now - began); late.Abs() > 200*time.Millisecond {
				t.Fatalf("the clock is off by %v after %v", late, now-began)
			}
			heard++
			last = h
		}
		for range rapid.IntRange(1, 12).Draw(t, "turns") {
			e.leave()
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond
			src := header{ssrc: rapid.Uint32().Draw(t, "ssrc"), seq: rapid.Uint16().Draw(t, "seq"), ts: rapid.Uint32().Draw(t, "ts")}
			prompt := rapid.Bool().Draw(t, "prompt")
			withhold := rapid.Bool().Draw(t, "withhold")
			for i := range rapid.IntRange(1, 60).Draw(t, "packets") {
				now += 20 * time.Millisecond
				h := src
				src.seq++
				src.ts += 160
				switch {
				case prompt:
					e.begin(now)
					ts := e.ts + 160
					if i == 0 {
						ts = e.following(8000, now)
					}
					e.produce(&h, ts, 8000, 160, now)
				case withhold && i%3 == 1:
					e.withhold(&h)
					continue
				case !e.carry(&h, 8000, 160, now):
					t.Fatalf("%+v was taken for late", h)
				}
				hear(h)
			}
		}
	})
}

func BenchmarkCarry(b *testing.B) {
	e := &ear{kind: Audio}
	h := header{ssrc: 1}
	b.ReportAllocs()
	for b.Loop() {
		src := h
		h.seq++
		h.ts += 160
		e.carry(&src, 8000, 160, time.Duration(h.ts)*125*time.Microsecond)
	}
}

// nowhere is a socket that swallows what is sent.
type nowhere struct{ Socket }

func (nowhere) Send([]byte, netip.AddrPort) error { return nil }

// packetWays are the ways of a packet through the house whose cost is watched.
func packetWays() map[string]func(call *session) {
	return map[string]func(call *session){
		"ToCaller": func(*session) {},
		"Transcoded": func(call *session) {
			call.peer.streams[0].setRemote(Remote{RTP: call.peer.streams[0].to.addr, Codecs: []Codec{pcma}}, nil)
			call.peer.streams[0].connect(call.caller.streams[0])
		},
	}
}

// onePacket returns a function that takes the next packet of a taker.
func onePacket(change func(call *session)) func() {
	l := &loop{engine: &Engine{laws: newLaws(), samples: newSamples()}, laws: newLaws()}
	call := &session{loop: l, notify: func(Event) {}, mode: bridged}
	from := netip.MustParseAddrPort("192.0.2.2:5000")
	leg := func(id LegID, a netip.AddrPort) *leg {
		lg := &leg{sess: call, id: id}
		st := &stream{leg: lg, pair: &pair{rtp: nowhere{}, rtcp: nowhere{}}, ear: &ear{}}
		lg.streams = []*stream{st}
		st.setRemote(Remote{RTP: a, Codecs: []Codec{pcmu}}, nil)
		return lg
	}
	call.caller, call.peer = leg(0, netip.MustParseAddrPort("192.0.2.1:4000")), leg(1, from)
	change(call)
	raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: call.peer.streams[0].remote.Codecs[0].PT, SSRC: 5}, Payload: speech(1)}).Marshal()
	pkt := make([]byte, len(raw))
	return func() {
		copy(pkt, raw)
		raw[3]++
		if raw[3] == 0 {
			raw[2]++
		}
		l.mediaArrived(call.peer.streams[0], pkt, from)
	}
}

func BenchmarkPacket(b *testing.B) {
	for name, change := range packetWays() {
		b.Run(name, func(b *testing.B) {
			next := onePacket(change)
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
		})
	}
}

// A packet must cost no allocation: a collector that runs for packets stops them.
func TestPacketsAllocateNothing(t *testing.T) {
	for name, change := range packetWays() {
		next := onePacket(change)
		next() // the first is told of
		if n := testing.AllocsPerRun(1000, next); n != 0 {
			t.Errorf("%s: %.1f allocations for each packet", name, n)
		}
	}
}
