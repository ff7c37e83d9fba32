package recorder

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"
	"pgregory.net/rapid"
)

// sender is a party of a call: packets of 20 ms with its own clock.
type sender struct {
	side uint8
	seq  uint16
	ts   uint32
	ssrc uint32
}

// send hands over the packet of the k-th slot, late by some milliseconds.
func (s *sender) send(tap *Tap, rec uint32, k int, late time.Duration, payload []byte) {
	at := testStart + int64(k)*20_000_000 + int64(late)
	tap.Packet(rec, s.side, 0, 0, at, rtpPacket(0, s.seq+uint16(k), s.ts+uint32(k*160), s.ssrc, payload))
}

func slot(v byte) []byte { return bytes.Repeat([]byte{v}, 160) }

// record runs f on a new recording and returns the channels of the file.
func record(t testing.TB, f func(tap *Tap, rec uint32)) (Closed, [2][]byte) {
	t.Helper()
	a, tap := openAudioTest(t, t.TempDir())
	rec, _, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	f(tap, rec)
	c := stopTest(t, a, tap, rec)
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	_, ch := channels(t, c.Path)
	return c, ch
}

func TestLossLeavesSilence(t *testing.T) {
	c, ch := record(t, func(tap *Tap, rec uint32) {
		s := sender{seq: 65533, ssrc: 9}
		for k := range 10 {
			if k != 4 && k != 5 {
				s.send(tap, rec, k, 0, slot(byte(k)))
			}
		}
	})
	for k := range 10 {
		want := byte(k)
		if k == 4 || k == 5 {
			want = 0xff
		}
		equalAt(t, "left", ch[0], k*160, slot(want))
	}
	if c.Lost != 2 || c.Packets != 8 {
		t.Fatalf("%+v", c)
	}
}

// Digits are not in the WAV file, but they are not missing either: only the
// packet that never came is, also when digits arrive after what follows them.
func TestDigitsAreNotLosses(t *testing.T) {
	c, _ := record(t, func(tap *Tap, rec uint32) {
		s := sender{side: 1, seq: 65530, ssrc: 9}
		for _, k := range []int{0, 1, 5, 6, 3, 8} { // 2 and 4 are digits, 7 is lost
			if k == 3 {
				s.digit(tap, rec, 4)
				s.digit(tap, rec, 2)
			}
			s.send(tap, rec, k, 0, slot(byte(k)))
		}
		s.digit(tap, rec, 9)
		s.digit(tap, rec, 10)
		s.send(tap, rec, 11, 0, slot(11))
	})
	if c.Lost != 1 {
		t.Fatalf("%d packets are said to be lost, want 1", c.Lost)
	}
}

// digit hands over a telephone event in the k-th slot.
func (s *sender) digit(tap *Tap, rec uint32, k int) {
	at := testStart + int64(k)*20_000_000
	tap.Packet(rec, s.side, 255, 0, at, rtpPacket(101, s.seq+uint16(k), s.ts+uint32(k*160), s.ssrc, []byte{9, 10, 0, 160}))
}

func TestOutOfOrderAndDuplicates(t *testing.T) {
	c, ch := record(t, func(tap *Tap, rec uint32) {
		s := sender{seq: 65530, ts: 4294966000, ssrc: 9}
		for _, k := range []int{0, 1, 3, 2, 2, 5, 4, 5, 7, 8, 6, 9} {
			s.send(tap, rec, k, 0, slot(byte(k)))
		}
		for k := 10; k < 120; k++ { // the window moves on; then one comes very late
			if k != 60 {
				s.send(tap, rec, k, 0, slot(byte(k)))
			}
			if k == 100 {
				s.send(tap, rec, 60, 800*time.Millisecond, slot(60))
			}
		}
	})
	for k := range 120 {
		equalAt(t, "left", ch[0], k*160, slot(byte(k)))
	}
	if c.Lost != 0 {
		t.Fatalf("%+v", c)
	}
}

func TestNewSourceIsPlacedByItsArrival(t *testing.T) {
	_, ch := record(t, func(tap *Tap, rec uint32) {
		first := sender{side: 1, seq: 1, ts: 1000, ssrc: 1}
		for k := range 50 {
			first.send(tap, rec, k, 0, slot(1))
		}
		other := sender{side: 1, seq: 40000, ts: 77, ssrc: 2}
		for k := 75; k < 100; k++ {
			other.send(tap, rec, k, 0, slot(2))
		}
		// The same source resumes after a pause in which its clock stood still.
		other.ts -= 50 * 160
		other.seq -= 50
		for k := 150; k < 160; k++ {
			other.send(tap, rec, k, 0, slot(3))
		}
	})
	equalAt(t, "right", ch[1], 49*160, slot(1))
	equalAt(t, "right", ch[1], 50*160, bytes.Repeat([]byte{0xff}, 25*160))
	equalAt(t, "right", ch[1], 75*160, slot(2))
	equalAt(t, "right", ch[1], 100*160, bytes.Repeat([]byte{0xff}, 50*160))
	equalAt(t, "right", ch[1], 150*160, slot(3))
	if len(ch[1]) != 160*160 || len(ch[0]) != len(ch[1]) {
		t.Fatalf("%d samples", len(ch[1]))
	}
}

func TestHeldUpPacketsAreNotLost(t *testing.T) {
	_, ch := record(t, func(tap *Tap, rec uint32) {
		s := sender{seq: 1, ts: 1, ssrc: 1}
		for k := range 100 {
			late := time.Duration(0)
			if k >= 50 && k < 70 { // held up and let go all at once
				late = time.Duration(70-k) * 20 * time.Millisecond
			}
			s.send(tap, rec, k, late, slot(byte(k)))
		}
	})
	for k := range 100 {
		// All of it, but for the sample that may be given up to come back in time.
		if !bytes.Contains(ch[0], slot(byte(k))[:159]) {
			t.Fatalf("packet %d is not whole", k)
		}
	}
}

// TestClocksAreFollowed sends two hours with clocks that are wrong by 100 ppm
// in opposite ways, with jitter, and looks where the packets are in the end.
func TestClocksAreFollowed(t *testing.T) {
	var fast, slow stream
	worst := int64(0)
	for k := range int64(2 * 3600 * 50) {
		jitter := (k * 7919 % 13) * 8 // up to 12 ms
		for side, s := range []*stream{&fast, &slow} {
			ppm := int64(100 - 200*side)
			h := rtpHeader{seq: uint16(k), ts: uint32(k * 160), ssrc: uint32(side), payload: make([]byte, 0, 160)}
			h.payload = h.payload[:160]
			arrival := k*160 + k*160*ppm/1_000_000 + jitter
			pos, _, ok := s.place(&h, arrival)
			if !ok {
				t.Fatal("a packet was refused")
			}
			worst = max(worst, pos-arrival, arrival-pos)
		}
	}
	if worst > 50*sampleRate/1000 {
		t.Fatalf("a packet is %d samples from its time", worst)
	}
}

// TestPlacesNeverGoBack holds for any arrival and any header: a packet in
// order is never placed over an earlier one of its stream, nor far from when
// it arrived if that one is not in the way.
func TestPlacesNeverGoBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stream
		var arrival, end int64
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			arrival += rapid.Int64Range(0, 2000).Draw(t, "gap")
			h := rtpHeader{
				seq: s.seq + uint16(rapid.IntRange(1, 100).Draw(t, "seq")), ts: rapid.Uint32().Draw(t, "ts"),
				ssrc: uint32(rapid.IntRange(1, 2).Draw(t, "ssrc")), payload: make([]byte, 160),
			}
			if rapid.Bool().Draw(t, "steady") {
				h.ts = s.ts + 160
			}
			pos, _, ok := s.place(&h, arrival)
			if !ok {
				t.Fatal("refused")
			}
			if pos < end-1 {
				t.Fatalf("placed at %d, over the end at %d", pos, end)
			}
			if pos > max(arrival, end)+tooFar+1 || pos < arrival-tooFar-1 {
				t.Fatalf("placed at %d, arrived at %d, end was %d", pos, arrival, end)
			}
			end = max(end, pos+160)
		}
	})
}

func FuzzParseRTP(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3})
	f.Add([]byte{0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 9, 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 9, 9, 2, 2})
	f.Fuzz(func(t *testing.T, pkt []byte) {
		h, ok := parseRTP(pkt)
		var p rtp.Packet
		if err := p.Unmarshal(pkt); err != nil || !ok || p.Version != 2 {
			return // pion also reads inside the extensions, and refuses more
		}
		if h.seq != p.SequenceNumber || h.ts != p.Timestamp || h.ssrc != p.SSRC || !bytes.Equal(h.payload, p.Payload) {
			t.Fatalf("%+v\n%+v", h, p)
		}
	})
}

func TestParseRTPHonoursItsHeader(t *testing.T) {
	want := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 7, Timestamp: 8, SSRC: 9, CSRC: []uint32{1, 2, 3}}, Payload: []byte("payload")}
	if err := want.SetExtension(1, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	want.Padding, want.PaddingSize = true, 4
	raw, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	h, ok := parseRTP(raw)
	if !ok || h.seq != 7 || h.ts != 8 || h.ssrc != 9 || string(h.payload) != "payload" {
		t.Fatalf("%+v %v", h, ok)
	}
	for n := range raw { // cut anywhere: no panic, and never more payload than there is
		if h, ok := parseRTP(raw[:n]); ok && len(h.payload) > n {
			t.Fatalf("cut at %d: %+v", n, h)
		}
	}
}
