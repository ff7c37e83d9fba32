package media

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

func TestFirstTakerIsHeardUntouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu, tele))
		leg := h.join(s, taker, taker.remote(pcmu, tele))
		s.Bridge(leg)
		sent, said := taker.speak(5), caller.speak(5)
		// What is odd but correct passes as well: extension, CSRC, padding.
		odd := taker.packet(speech(1))
		odd.CSRC, odd.Marker = []uint32{7, 8}, true
		_ = odd.SetExtension(1, []byte{9})
		odd.Padding, odd.PaddingSize = true, 4
		sent = append(sent, taker.send(odd))
		for i, a := range caller.take() {
			if !bytes.Equal(a.raw, sent[i]) || a.from != caller.to.RTP {
				t.Errorf("packet %d to the caller was changed", i)
			}
		}
		got := taker.take()
		same(t, "packets to the taker", len(got), len(said))
		for i, a := range got {
			if !bytes.Equal(a.raw, said[i]) {
				t.Errorf("packet %d to the taker was changed", i)
			}
		}
		same(t, "first packets seen", len(h.seen(EventFirst)), 2)
		st := s.Stats(leg)[0]
		same(t, "received", st.Received, 6)
		same(t, "sent", st.Sent, 5)
		same(t, "ssrc", st.SSRC, taker.ssrc)
		if st.FirstRecv.IsZero() || !st.LastRecv.After(st.FirstRecv) || st.LastSent.IsZero() {
			t.Errorf("times are missing: %+v", st)
		}
	})
}

func TestRescueIsOneStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, first, second := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000"), h.phone("192.0.2.3:6000")
		second.seq, second.ts = 65530, 0xffffff00 // wraps on the way
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		one := h.join(s, first, first.remote(pcmu))
		s.Bridge(one)
		s.Record(7)
		first.speak(50)
		before := caller.take()
		last := before[len(before)-1]

		time.Sleep(7 * time.Millisecond)
		s.Prompt()
		first.send(first.packet(speech(9))) // comes too late
		s.DropLeg(one)
		two := h.join(s, second, second.remote(pcmu))
		time.Sleep(13*time.Millisecond + 49*20*time.Millisecond)
		prompt := caller.take()
		same(t, "prompt packets in a second", len(prompt), 50)
		for i, a := range prompt {
			want := last.at.Add(time.Duration(i+1)*20*time.Millisecond - early)
			if !a.at.Equal(want) {
				t.Fatalf("prompt packet %d left %v off its slot", i, a.at.Sub(want))
			}
			p := a.rtp(t)
			same(t, "timestamp", p.Timestamp, last.rtp(t).Timestamp+uint32(i+1)*160)
			same(t, "marker", p.Marker, i == 0)
			same(t, "payload type", p.PayloadType, 0)
			same(t, "size", len(p.Payload), 160)
		}
		if !bytes.Equal(prompt[0].rtp(t).Payload, builtinULaw[:160]) {
			t.Error("the prompt does not begin with the words")
		}
		ev := h.seen(EventPrompt)
		if len(ev) != 1 || !ev[0].Played || ev[0].Gap != 20*time.Millisecond-early || ev[0].Leg != Caller {
			t.Errorf("prompt events: %+v", ev)
		}

		s.Bridge(two)
		time.Sleep(5 * time.Millisecond)
		second.speak(20)
		after := caller.take()
		same(t, "packets, with one of the prompt until the second taker's first", len(after), 21)
		same(t, "marker in the prompt", after[0].rtp(t).Marker, false)
		same(t, "marker at the switch", after[1].rtp(t).Marker, true)
		same(t, "marker later", after[2].rtp(t).Marker, false)
		same(t, "timestamp of the second taker", after[1].rtp(t).Timestamp-after[0].rtp(t).Timestamp, 160)
		same(t, "timestamp at the switch", after[0].rtp(t).Timestamp-prompt[49].rtp(t).Timestamp, 160)
		all := append(append(before, prompt...), after...)
		continuous(t, all)
		same(t, "recorded as heard", len(h.taps[0].side(1)), len(all))
		for i, p := range h.taps[0].side(1) {
			if p.pkt.SequenceNumber != all[i].rtp(t).SequenceNumber || p.rec != 7 || p.codec != 0 {
				t.Fatalf("the tap got another packet %d: %+v", i, p)
			}
		}
	})
}

func TestPromptAfterAPauseComesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcma, pcmu))
		s.Bridge(h.join(s, taker, taker.remote(pcma)))
		taker.pt = 8
		taker.speak(3)
		heard := caller.take()
		time.Sleep(1013 * time.Millisecond)
		at := time.Now()
		s.Prompt()
		synctest.Wait()
		got := caller.take()
		if len(got) != 1 || !got[0].at.Equal(at) {
			t.Fatalf("no packet at once: %v", got)
		}
		p := got[0].rtp(t)
		same(t, "payload type", p.PayloadType, 8)
		same(t, "timestamp advanced by whole packets", p.Timestamp-heard[2].rtp(t).Timestamp, 51*160)
		if !bytes.Equal(p.Payload, builtinALaw[:160]) {
			t.Error("not the A-law words")
		}
		same(t, "gap", h.seen(EventPrompt)[0].Gap, 1013*time.Millisecond)
	})
}

func TestPromptRepeatsWithoutDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.phone("192.0.2.1:4000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		start := time.Now()
		s.Prompt()
		cycle := BuiltinPrompt().Cycle()
		time.Sleep(3 * cycle)
		got := caller.take()
		continuous(t, got)
		n := int(cycle / (20 * time.Millisecond))
		if len(got) < 3*n {
			t.Fatalf("%d packets, want %d", len(got), 3*n)
		}
		for i, a := range got {
			if !a.at.Equal(start.Add(time.Duration(i) * 20 * time.Millisecond)) {
				t.Fatalf("packet %d drifted to %v", i, a.at.Sub(start))
			}
		}
		if !bytes.Equal(got[0].rtp(t).Payload, got[2*n].rtp(t).Payload) {
			t.Error("the words are not repeated")
		}
	})
}

func TestEveryKindOfPromptThatIsImpossibleIsTold(t *testing.T) {
	tests := map[string]struct {
		kind   Kind
		remote Remote
	}{
		"no G.711":  {Audio, Remote{Codecs: []Codec{{PT: 9, Name: "G722", Rate: 8000, Channels: 1}}}},
		"encrypted": {Audio, Remote{Codecs: []Codec{pcmu}, Secure: true}},
		"on hold":   {Audio, Remote{Codecs: []Codec{pcmu}, Muted: true}},
		"no T140":   {Text, Remote{Codecs: []Codec{{PT: 100, Name: "RED", Rate: 1000, Channels: 1}}}},
		"video":     {Video, Remote{Codecs: []Codec{{PT: 99, Name: "H264", Rate: 90000, Channels: 1}}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				caller := h.phone("192.0.2.1:4000")
				s := h.open()
				tt.remote.RTP = caller.addr
				h.joinKind(s, caller, tt.remote, tt.kind)
				s.Prompt()
				time.Sleep(time.Second)
				same(t, "packets", len(caller.take()), 0)
				ev := h.seen(EventPrompt)
				if len(ev) != 1 || ev[0].Played || ev[0].Reason == "" {
					t.Errorf("events: %+v", ev)
				}
			})
		})
	}
}

func TestLossAndReorderingOfATakerStayVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, one, two := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000"), h.phone("192.0.2.3:6000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		a := h.join(s, one, one.remote(pcmu))
		b := h.join(s, two, two.remote(pcmu))
		s.Bridge(a)
		one.speak(3)
		base := one.seq - 1
		s.Bridge(b)
		early := two.packet(speech(0)) // overtaken by the switch: must not slip in
		var made []*rtp.Packet
		for range 5 {
			made = append(made, two.packet(speech(1)))
		}
		caller.take()
		for _, i := range []int{0, 3, 2, 4} { // 1 is lost
			two.send(made[i])
		}
		two.send(early)
		got := caller.take()
		same(t, "packets", len(got), 4)
		for i, want := range []uint16{1, 4, 3, 5} {
			same(t, "sequence", got[i].rtp(t).SequenceNumber, base+want)
			same(t, "timestamp", got[i].rtp(t).Timestamp-got[0].rtp(t).Timestamp, uint32(want-1)*160)
		}
		one.send(one.packet(speech(2))) // no longer bridged
		same(t, "packets of the one before", len(caller.take()), 0)
	})
}

func TestATakerThatChangesItsSourceIsASwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		s.Bridge(h.join(s, taker, taker.remote(pcmu)))
		taker.speak(3)
		late := taker.packet(speech(0))
		taker.ssrc, taker.seq, taker.ts = 42, 9, 77
		taker.speak(1)
		taker.send(late)
		taker.speak(2)
		got := caller.take()
		same(t, "packets", len(got), 6)
		continuous(t, got)
		same(t, "marker", got[3].rtp(t).Marker, true)
		taker.seq += 20000 // the same source counts anew
		taker.speak(2)
		got = append(got, caller.take()...)
		same(t, "packets", len(got), 8)
		continuous(t, got)
	})
}

func TestHoldDuringPromptLeavesNoHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.phone("192.0.2.1:4000")
		s := h.open()
		r := caller.remote(pcmu)
		id := h.join(s, caller, r)
		s.Record(1)
		s.Prompt()
		time.Sleep(90 * time.Millisecond)
		r.Muted = true
		s.SetRemote(id, 0, r)
		time.Sleep(100 * time.Millisecond)
		before := caller.take()
		same(t, "before", len(before), 5)
		r.Muted = false
		s.SetRemote(id, 0, r)
		time.Sleep(100 * time.Millisecond)
		all := append(before, caller.take()...)
		same(t, "packets", len(all), 10)
		continuous(t, all)
		same(t, "timestamp over the hold", all[5].rtp(t).Timestamp-all[4].rtp(t).Timestamp, 6*160)
		same(t, "marker", all[5].rtp(t).Marker, true)
		same(t, "recorded during the hold as well", len(h.taps[0].side(1)), 15)
	})
}

// Nothing is heard of the one who has answered: the prompt goes on until there
// is, but not for long.
func TestThePromptGoesOnUntilTheTakersFirstPacket(t *testing.T) {
	for name, wait := range map[string]time.Duration{"soon": 13 * time.Millisecond, "late": 333 * time.Millisecond, "never": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
				s := h.open()
				h.join(s, caller, caller.remote(pcmu))
				leg := h.join(s, taker, taker.remote(pcmu))
				s.Prompt()
				time.Sleep(507 * time.Millisecond)
				s.Bridge(leg)
				time.Sleep(wait)
				taker.speak(10)
				heard := caller.take()
				continuous(t, heard)
				longest := time.Duration(0)
				for i := range heard[1:] {
					longest = max(longest, heard[i+1].at.Sub(heard[i].at))
				}
				if name != "never" && longest > 20*time.Millisecond {
					t.Errorf("the caller heard nothing for %v", longest)
				}
				if name == "never" && len(heard) != 25+51+10 {
					t.Errorf("%d packets: the prompt must end after a second", len(heard))
				}
				for i, a := range heard[len(heard)-10:] {
					same(t, "what is heard then", a.rtp(t).Payload, speech(uint16(100+i)))
				}
			})
		})
	}
}
