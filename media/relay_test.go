package media

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

func TestOnlyTheDescribedSourceMaySend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker, thief := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000"), h.phone("192.0.2.66:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		leg := h.join(s, taker, taker.remote(pcmu))
		s.Bridge(leg)
		thief.to = taker.to
		thief.speak(4)
		same(t, "packets of the thief", len(caller.take()), 0)
		taker.speak(2)
		thief.speak(3)
		same(t, "packets of the taker", len(caller.take()), 2)
		same(t, "refused on the leg", s.Stats(leg)[0].Refused, 7)
		same(t, "refused in all", h.engine.Stats().Refused, 7)
	})
}

func TestNothingIsRelayedBeforeTheRemoteIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.NAT = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} })
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		leg, ports, err := s.AddLeg([]Kind{Audio}, false)
		if err != nil {
			t.Fatal(err)
		}
		taker.to = ports[0]
		s.Bridge(leg)
		taker.speak(3)
		same(t, "packets", len(caller.take()), 0)
		s.SetRemote(leg, 0, taker.remote(pcmu))
		taker.speak(1)
		same(t, "packets", len(caller.take()), 1)
	})
}

func TestBehindNATTheFirstValidSourceCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.NAT = []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")} })
		caller, taker, thief := h.phone("192.0.2.1:4000"), h.phone("198.51.100.9:7000"), h.phone("203.0.113.5:7000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		r := taker.remote(pcmu)
		r.RTP = netip.MustParseAddrPort("172.16.0.5:5000") // what it believes of itself
		r.RTCP = netip.AddrPort{}
		leg := h.join(s, taker, r)
		s.Bridge(leg)
		thief.to = taker.to
		thief.raw([]byte("\x00\x01\x00\x00 not RTP"))
		taker.speak(2)
		thief.speak(2)
		caller.speak(2)
		same(t, "packets to the caller", len(caller.take()), 2)
		same(t, "packets to the taker", len(taker.take()), 2)
		same(t, "packets to the thief", len(thief.take()), 0)
		s.SetRemote(leg, 0, r) // session refresh: goes on where it was
		caller.speak(1)
		same(t, "packets to the taker after a refresh", len(taker.take()), 1)
		taker.speak(1)
		same(t, "packets to the caller", len(caller.take()), 1)
	})
}

func TestRTCPWithAndWithoutMux(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("[fd00::2]:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		cr := caller.remote(pcmu)
		cr.Mux = true
		h.join(s, caller, cr)
		s.Bridge(h.join(s, taker, taker.remote(pcmu)))
		taker.speak(1)
		caller.take()
		report := marshal(t, &rtcp.SenderReport{SSRC: taker.ssrc, RTPTime: 7}, cname(taker.ssrc))
		_, _ = taker.rtcp.WriteToAddrPort(report, taker.to.RTCP)
		got := caller.take()
		if len(got) != 1 || !bytes.Equal(got[0].raw, report) || got[0].from != caller.to.RTP {
			t.Fatalf("sender report on the shared port: %v", got)
		}
		answer := marshal(t, &rtcp.ReceiverReport{SSRC: caller.ssrc, Reports: []rtcp.ReceptionReport{{SSRC: taker.ssrc, LastSequenceNumber: 70000, LastSenderReport: 5}}})
		caller.raw(answer)
		back := taker.takeControl()
		if len(back) != 1 || !bytes.Equal(back[0].raw, answer) || back[0].from != taker.to.RTCP {
			t.Fatalf("receiver report on the port of its own: %v", back)
		}
		for _, bad := range [][]byte{answer[:7], append([]byte{}, answer[:12]...), {0x80, 200, 0xff, 0xff, 0, 0, 0, 0}} {
			caller.raw(bad)
		}
		same(t, "malformed", len(taker.takeControl()), 0)
		same(t, "dropped", h.engine.Stats().Dropped, 3)
	})
}

func TestRTCPSpeaksOfTheStreamEachSideKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, one, two := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000"), h.phone("192.0.2.3:6000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		a := h.join(s, one, one.remote(pcmu))
		b := h.join(s, two, two.remote(pcmu))
		s.Bridge(a)
		one.speak(10)
		s.Bridge(b)
		synctest.Wait()
		caller.take()
		two.speak(5)
		last := caller.take()[4].rtp(t)

		block := rtcp.ReceptionReport{SSRC: last.SSRC, LastSequenceNumber: uint32(last.SequenceNumber), LastSenderReport: 99, Delay: 3}
		nack := &rtcp.TransportLayerNack{SenderSSRC: caller.ssrc, MediaSSRC: last.SSRC, Nacks: []rtcp.NackPair{{PacketID: last.SequenceNumber}}}
		_, _ = caller.rtcp.WriteToAddrPort(marshal(t, &rtcp.ReceiverReport{SSRC: caller.ssrc, Reports: []rtcp.ReceptionReport{block}}, nack), caller.to.RTCP)
		back := unmarshal(t, two.takeControl())
		rr := back[0].(*rtcp.ReceiverReport)
		same(t, "reporter", rr.SSRC, caller.ssrc)
		same(t, "reported source", rr.Reports[0].SSRC, two.ssrc)
		same(t, "highest sequence", rr.Reports[0].LastSequenceNumber, two.seq-1)
		same(t, "answer to a report of the one before", rr.Reports[0].LastSenderReport, 0)
		same(t, "packet asked for", back[1].(*rtcp.TransportLayerNack).Nacks[0].PacketID, two.seq-1)
		same(t, "source asked", back[1].(*rtcp.TransportLayerNack).MediaSSRC, two.ssrc)

		sr := &rtcp.SenderReport{SSRC: two.ssrc, RTPTime: two.ts - 160, NTPTime: 5, Reports: []rtcp.ReceptionReport{{SSRC: caller.ssrc, LastSequenceNumber: 3}}}
		_, _ = two.rtcp.WriteToAddrPort(marshal(t, sr, cname(two.ssrc), &rtcp.Goodbye{Sources: []uint32{two.ssrc}}), two.to.RTCP)
		heard := unmarshal(t, caller.takeControl())
		same(t, "parts, the goodbye is kept back", len(heard), 2)
		same(t, "sender", heard[0].(*rtcp.SenderReport).SSRC, last.SSRC)
		same(t, "sender's clock", heard[0].(*rtcp.SenderReport).RTPTime, last.Timestamp)
		same(t, "report of the caller", heard[0].(*rtcp.SenderReport).Reports[0].SSRC, caller.ssrc)
		same(t, "name", heard[1].(*rtcp.SourceDescription).Chunks[0].Source, last.SSRC)
	})
}

func cname(ssrc uint32) rtcp.Packet {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "taker"}}}}}
}

func marshal(t *testing.T, p ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unmarshal(t *testing.T, got []arrival) []rtcp.Packet {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("%d RTCP datagrams, want 1", len(got))
	}
	p, err := rtcp.Unmarshal(got[0].raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPayloadTypesAreMapped(t *testing.T) {
	opus := func(pt uint8) Codec { return Codec{PT: pt, Name: "opus", Rate: 48000, Channels: 2} }
	event := func(pt uint8) Codec { return Codec{PT: pt, Name: "telephone-event", Rate: 8000} }
	tests := map[string]struct {
		caller, taker []Codec
		send, want    uint8 // from the taker to the caller
		law           byte  // what 0xff becomes
	}{
		"same numbers":                 {[]Codec{opus(96), event(101)}, []Codec{opus(96), event(101)}, 96, 96, 0xff},
		"other numbers":                {[]Codec{opus(96), event(101)}, []Codec{opus(111), event(96)}, 111, 96, 0xff},
		"crossed numbers":              {[]Codec{opus(96), event(101)}, []Codec{opus(111), event(96)}, 96, 101, 0xff},
		"the receiver's numbers":       {[]Codec{opus(96), event(101)}, []Codec{opus(111), event(97)}, 96, 96, 0xff},
		"unknown":                      {[]Codec{opus(96)}, []Codec{opus(111)}, 33, 33, 0xff},
		"nothing known":                {nil, []Codec{opus(111)}, 111, 111, 0xff},
		"mu-law to A-law":              {[]Codec{pcma}, []Codec{pcmu}, 0, 8, 0xd5},
		"A-law to mu-law":              {[]Codec{pcmu}, []Codec{pcma}, 8, 0, 0},
		"both laws at the caller":      {[]Codec{pcma, pcmu}, []Codec{pcmu}, 0, 0, 0xff},
		"mu-law without being offered": {[]Codec{pcma}, []Codec{pcma}, 0, 8, 0xd5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
				s := h.open()
				h.join(s, caller, caller.remote(tt.caller...))
				s.Bridge(h.join(s, taker, taker.remote(tt.taker...)))
				taker.pt = tt.send
				taker.send(taker.packet([]byte{0xff, 0xff}))
				got := caller.take()
				if len(got) != 1 {
					t.Fatal("nothing arrived")
				}
				p := got[0].rtp(t)
				same(t, "payload type", p.PayloadType, tt.want)
				if name != "A-law to mu-law" {
					same(t, "payload", p.Payload, []byte{tt.law, tt.law})
				} else if bytes.Equal(p.Payload, []byte{0xff, 0xff}) {
					t.Error("the payload was not converted")
				}
			})
		})
	}
}

func TestTheCallersPacketsAreMappedForTheTaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu, tele))
		s.Bridge(h.join(s, taker, taker.remote(pcma, Codec{PT: 96, Name: "TELEPHONE-EVENT", Rate: 8000})))
		s.Record(3)
		caller.send(caller.packet([]byte{0xff}))
		caller.pt = 101
		caller.send(caller.packet([]byte{1, 2, 3, 4}))
		got := taker.take()
		same(t, "audio", got[0].rtp(t).PayloadType, 8)
		same(t, "converted", got[0].rtp(t).Payload, []byte{0xd5})
		same(t, "event", got[1].rtp(t).PayloadType, 96)
		said := h.taps[0].side(0)
		same(t, "recorded as said", said[0].codec, 0)
		same(t, "recorded payload", said[0].pkt.Payload, []byte{0xff})
		same(t, "event is no G.711", said[1].codec, 255)
	})
}

func TestEncryptedStreamsPassUntouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		cr, tr := caller.remote(pcmu), taker.remote(pcma)
		cr.Secure, tr.Secure = true, true
		h.join(s, caller, cr)
		s.Bridge(h.join(s, taker, tr))
		hello := []byte{22, 254, 253, 0, 0, 0, 0} // DTLS
		taker.raw(hello)
		sent := taker.speak(2)
		got := caller.take()
		same(t, "packets", len(got), 3)
		if !bytes.Equal(got[0].raw, hello) || !bytes.Equal(got[2].raw, sent[1]) {
			t.Error("an encrypted packet was changed")
		}
		caller.raw(hello)
		same(t, "to the taker", len(taker.take()), 1)
	})
}

func TestNoiseOnAPortIsCountedAndDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		s.Bridge(h.join(s, taker, taker.remote(pcmu)))
		noise := [][]byte{{}, {0x80}, {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, {22, 254, 253}, bytes.Repeat([]byte{0xff}, 1400), make([]byte, 1400)}
		for _, b := range noise {
			taker.raw(b)
			caller.raw(b)
		}
		same(t, "relayed", len(caller.take())+len(taker.take()), 0)
		same(t, "dropped", h.engine.Stats().Dropped, 2*len(noise))
		taker.speak(1)
		same(t, "the call goes on", len(caller.take()), 1)
	})
}

func TestABrokenTapCostsNoPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.broken = true
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		s.Bridge(h.join(s, taker, taker.remote(pcmu)))
		s.Record(1)
		synctest.Wait()
		h.taps[0].fail = true
		taker.speak(2)
		caller.speak(2)
		s.Prompt()
		time.Sleep(110 * time.Millisecond)
		same(t, "to the caller", len(caller.take()), 2+6)
		same(t, "to the taker", len(taker.take()), 2)
		same(t, "failures counted", h.engine.Stats().Panics, 2+2+6)
	})
}

func TestAFailureWhileHandlingAPacketEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.broken = true
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		leg := h.join(s, taker, taker.remote(pcmu))
		s.Bridge(leg)
		synctest.Wait()
		call := s.(*session)
		var ear *ear
		damage := func() { // as a bug might
			call.post(func() { ear, call.caller.streams[0].ear = call.caller.streams[0].ear, nil })
			synctest.Wait()
		}
		repair := func() {
			call.post(func() { call.caller.streams[0].ear = ear })
			synctest.Wait()
		}
		damage()
		taker.speak(2)
		same(t, "failures counted", h.engine.Stats().Panics, 2)
		repair()
		taker.speak(2)
		same(t, "packets", len(caller.take()), 2)
		s.Prompt()
		synctest.Wait()
		damage()
		time.Sleep(100 * time.Millisecond)
		repair()
		caller.take()
		time.Sleep(100 * time.Millisecond)
		if n := len(caller.take()); n < 4 {
			t.Errorf("the prompt ended: %d packets", n)
		}
	})
}

func TestTheTapHearsTheTimeWhileThereAreCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		time.Sleep(time.Hour)
		same(t, "ticks without a call", len(h.taps[0].ticks), 0)
		s := h.open()
		start := time.Now()
		time.Sleep(time.Second)
		closed := false
		s.Close(func() { closed = true })
		synctest.Wait()
		if !closed {
			t.Error("done was not called")
		}
		last := start
		for _, at := range h.taps[0].ticks {
			if at.Sub(last) > 100*time.Millisecond {
				t.Errorf("%v without a tick", at.Sub(last))
			}
			last = at
		}
		same(t, "last tick at the end", last, time.Now())
		n := len(h.taps[0].ticks)
		time.Sleep(time.Hour)
		same(t, "ticks after the last call", len(h.taps[0].ticks), n)
	})
}

func TestNothingReachesTheTapAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		s.Bridge(h.join(s, taker, taker.remote(pcmu)))
		s.Record(1)
		taker.speak(2)
		n := -1
		s.Close(func() { n = len(h.taps[0].got) })
		taker.speak(5)
		same(t, "packets at the end", len(h.taps[0].got), n)
		same(t, "packets", n, 2)
		again := false
		s.Close(func() { again = true })
		synctest.Wait()
		same(t, "closing twice", again, true)
		if _, _, err := s.AddLeg([]Kind{Audio}, false); err == nil {
			t.Error("a leg was added to a closed session")
		}
		sessions, ports := h.engine.InUse()
		same(t, "left over", []int{sessions, ports}, []int{0, 0})
	})
}
