package recorder

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zaf/g711"
)

const testStart = int64(1_780_000_000_000_000_000)

// rtpPacket builds a packet.
func rtpPacket(pt uint8, seq uint16, ts, ssrc uint32, payload []byte) []byte {
	b := []byte{0x80, pt}
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, ts)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	return append(b, payload...)
}

// tone is G.711 of a sine, beginning at sample from.
func tone(l law, hz float64, from, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		v := int16(8000 * math.Sin(2*math.Pi*hz*float64(from+i)/sampleRate))
		if l == aLaw {
			out[i] = g711.EncodeAlawFrame(v)
		} else {
			out[i] = g711.EncodeUlawFrame(v)
		}
	}
	return out
}

func openAudioTest(t testing.TB, dir string) (*Audio, *Tap) {
	t.Helper()
	a, _, err := OpenAudio(AudioOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a, a.NewTap()
}

// stopTest stops a recording while the tap's loop goes on ticking.
func stopTest(t testing.TB, a *Audio, tap *Tap, rec uint32) Closed {
	t.Helper()
	out := make(chan Closed, 1)
	a.Stop(rec, func(c Closed) { out <- c })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case c := <-out:
			return c
		case <-tick.C:
			tap.Tick(testStart)
		}
	}
}

// channels reads a finished recording.
func channels(t testing.TB, path string) (l law, ch [2][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := readWAV(f)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 2*info.frames)
	if _, err := f.ReadAt(raw, headerSize); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(raw); i += 2 {
		ch[0], ch[1] = append(ch[0], raw[i]), append(ch[1], raw[i+1])
	}
	return info.law, ch
}

func equalAt(t *testing.T, what string, got []byte, at int, want []byte) {
	t.Helper()
	if len(got) < at+len(want) {
		t.Fatalf("%s: %d samples, want %d", what, len(got), at+len(want))
	}
	for i, w := range want {
		if got[at+i] != w {
			t.Fatalf("%s: sample %d is %#x, want %#x", what, at+i, got[at+i], w)
		}
	}
}

func TestRecordingIsSampleExact(t *testing.T) {
	a, tap := openAudioTest(t, t.TempDir())
	rec, path, err := a.Start("../../etc/passwd\x00@host", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	const packets = 200 // 4 s; the other side begins half a second later
	left, right := tone(muLaw, 440, 0, packets*160), tone(muLaw, 1000, 0, packets*160)
	for i := range packets {
		at := testStart + int64(i)*20_000_000
		jitter := int64(i*7919%30) * 1_000_000
		tap.Packet(rec, 0, 0, 0, at+jitter*int64(min(i, 1)), rtpPacket(0, uint16(65500+i), uint32(4294967000+i*160), 1, left[i*160:(i+1)*160]))
		if i >= 25 {
			k := i - 25
			tap.Packet(rec, 1, 0, 0, at, rtpPacket(0, uint16(k), uint32(k*160), 2, right[k*160:(k+1)*160]))
		}
	}
	a.Mark(rec, time.Unix(0, testStart+2_000_000_000), "taker pos-2")
	c := stopTest(t, a, tap, rec)
	if c.Path != path || c.Err != nil || c.Packets != 2*packets-25 || c.Lost != 0 || c.Duration != 4*time.Second || len(c.SHA256) != 64 {
		t.Fatalf("closed: %+v", c)
	}
	l, ch := channels(t, path)
	if l != muLaw {
		t.Fatal("not mu-law")
	}
	equalAt(t, "left", ch[0], 0, left)
	equalAt(t, "right silence", ch[1], 0, []byte(strings.Repeat("\xff", 4000)))
	equalAt(t, "right", ch[1], 4000, right[:(packets-25)*160])
	raw, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(raw[headerSize+2*32000:]), "taker pos-2") {
		t.Fatal("the mark is not in the file")
	}
	if found, err := a.Path("../../etc/passwd\x00@host"); err != nil || found != path {
		t.Fatalf("path: %q, %v", found, err)
	}
	if rel, err := filepath.Rel(a.opts.Dir, path); err != nil || !filepath.IsLocal(rel) || len(filepath.Base(path)) > 120 {
		t.Fatalf("path %q", path)
	}
}

func BenchmarkTapPacket(b *testing.B) {
	a, tap := openAudioTest(b, b.TempDir())
	const calls = 100
	var recs [calls]uint32
	for i := range recs {
		recs[i], _, _ = a.Start(strings.Repeat("x", i+1), time.Unix(0, testStart))
	}
	pkt := rtpPacket(0, 0, 0, 7, tone(muLaw, 440, 0, 160))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := i / (2 * calls)
		binary.BigEndian.PutUint16(pkt[2:], uint16(k))
		binary.BigEndian.PutUint32(pkt[4:], uint32(k*160))
		for len(a.full) > 100 { // the recorder's own pace is measured too
			time.Sleep(100 * time.Microsecond)
		}
		tap.Packet(recs[i%calls], uint8(i/calls%2), 0, 0, testStart+int64(k)*20_000_000, pkt)
	}
	b.StopTimer()
	if d := a.Health().Dropped; d > 0 {
		b.Fatalf("%d packets dropped", d)
	}
}
