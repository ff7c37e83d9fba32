package recorder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zaf/g711"
)

// needTool finds a program, or skips the test where it is not installed. In
// continuous integration it must be.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

func TestOtherLawIsConverted(t *testing.T) {
	a, tap := openAudioTest(t, t.TempDir())
	rec, path, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	left, right := tone(aLaw, 440, 0, 160), tone(muLaw, 440, 0, 160)
	tap.Packet(rec, 0, 8, 0, testStart, rtpPacket(8, 1, 0, 1, left))
	tap.Packet(rec, 1, 0, 0, testStart, rtpPacket(0, 1, 0, 2, right))
	stopTest(t, a, tap, rec)
	l, ch := channels(t, path)
	if l != aLaw {
		t.Fatal("the first packet did not decide")
	}
	equalAt(t, "left", ch[0], 0, left)
	equalAt(t, "right", ch[1], 0, g711.Ulaw2Alaw(right))
}

func TestGarbageDoesNoHarm(t *testing.T) {
	c, ch := record(t, func(tap *Tap, rec uint32) {
		s := sender{seq: 1, ssrc: 1}
		for k := range 20 {
			s.send(tap, rec, k, 0, slot(7))
			tap.Packet(rec, 0, 0, 0, testStart, nil)
			tap.Packet(rec, 1, 0, 0, testStart, []byte{0x80, 0, 1})
			tap.Packet(rec, 1, 0, 0, testStart, bytes.Repeat([]byte{0xff}, 1500))
			tap.Packet(999, 0, 0, 0, testStart, slot(1))
			tap.Packet(rec, 0, 0, 0, testStart, make([]byte, 70_000))
			tap.Packet(rec, 200, 0, 200, testStart, rtpPacket(0, 1, 0, 1, make([]byte, 9000)))
		}
	})
	equalAt(t, "left", ch[0], 0, bytes.Repeat([]byte{7}, 3200))
	if c.Duration != 400*time.Millisecond {
		t.Fatalf("%+v", c)
	}
}

func TestOtherCodecsGoToAnRTPDump(t *testing.T) {
	a, tap := openAudioTest(t, t.TempDir())
	rec, path, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	for k := range 300 {
		at := testStart + int64(k)*20_000_000
		tap.Packet(rec, 0, 0, 0, at, rtpPacket(0, uint16(k), uint32(k*160), 1, slot(1)))
		tap.Packet(rec, 0, 255, 1, at, rtpPacket(96, uint16(k), uint32(k*3000), 2, make([]byte, 900)))
		tap.Packet(rec, 1, 255, 1, at, rtpPacket(97, uint16(k), uint32(k*3000), 3, make([]byte, 100)))
	}
	c := stopTest(t, a, tap, rec)
	want := strings.TrimSuffix(path, ".wav") + ".rtpdump"
	if len(c.Extra) != 1 || c.Extra[0] != want || len(c.ExtraSHA256[0]) != 64 || c.Err != nil {
		t.Fatalf("%+v", c)
	}
	for _, cut := range []int64{0, 3} {
		st, err := os.Stat(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(want, st.Size()-cut); err != nil {
			t.Fatal(err)
		}
		if cut > 0 {
			if err := repairDump(want); err != nil {
				t.Fatal(err)
			}
		}
		if n := dumpEntries(t, want); n != 600-int(min(cut, 1)) {
			t.Fatalf("%d packets are in the file", n)
		}
	}
}

// dumpEntries reads an rtpdump file as its definition says and returns how many
// whole packets there are.
func dumpEntries(t *testing.T, path string) (n int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line, rest, ok := bytes.Cut(raw, []byte("\n"))
	if !ok || !bytes.HasPrefix(line, []byte("#!rtpplay1.0 ")) || len(rest) < 16 {
		t.Fatalf("begins with %q", line)
	}
	if sec := binary.BigEndian.Uint32(rest); int64(sec) != testStart/1e9 {
		t.Fatalf("began at %d", sec)
	}
	for rest = rest[16:]; len(rest) > 0; n++ {
		size, plen := binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		if plen+8 != size || int(size) > len(rest) {
			t.Fatalf("entry %d: %d bytes with %d of packet, %d are left", n, size, plen, len(rest))
		}
		h, ok := parseRTP(rest[8:size])
		if ms := binary.BigEndian.Uint32(rest[4:]); !ok || ms != uint32(h.seq)*20 {
			t.Fatalf("entry %d: packet %d at %d ms", n, h.seq, ms)
		}
		rest = rest[size:]
	}
	return n
}

func TestSoxPlaysIt(t *testing.T) {
	sox := needTool(t, "sox")
	a, tap := openAudioTest(t, t.TempDir())
	rec, path, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	left := tone(muLaw, 400, 0, 400*160)
	for k := range 400 {
		at := testStart + int64(k)*20_000_000
		tap.Packet(rec, 0, 0, 0, at, rtpPacket(0, uint16(k), uint32(k*160), 1, left[k*160:(k+1)*160]))
		tap.Packet(rec, 1, 0, 0, at, rtpPacket(0, uint16(k), uint32(k*160), 2, slot(0xff)))
	}
	for len(a.full) > 0 {
		runtime.Gosched()
	}
	// While it is recorded, and as a crash would leave it: readable to its end.
	waitSize(t, path, headerSize+2*6*sampleRate)
	if s := soxStat(t, sox, path, "1", "-V1"); s["Length (seconds)"] < 6 {
		t.Fatalf("unfinished: %v", s)
	}
	a.Mark(rec, time.Unix(0, testStart+1_000_000_000), "odd mark")
	stopTest(t, a, tap, rec)
	l, r := soxStat(t, sox, path, "1"), soxStat(t, sox, path, "2")
	if l["Length (seconds)"] != 8 || r["Length (seconds)"] != 8 {
		t.Fatalf("length %v, %v", l, r)
	}
	if f := l["Rough   frequency"]; f < 390 || f > 410 || l["Maximum amplitude"] < 0.2 || r["Maximum amplitude"] > 0.001 {
		t.Fatalf("left %v\nright %v", l, r)
	}
}

func waitSize(t *testing.T, path string, size int64) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); runtime.Gosched() {
		if st, err := os.Stat(path); err == nil && st.Size() >= size {
			return
		}
	}
	t.Fatalf("%s did not grow to %d bytes", path, size)
}

// soxStat returns what sox measures of one channel.
func soxStat(t *testing.T, sox, path, channel string, flags ...string) map[string]float64 {
	t.Helper()
	out, err := exec.Command(sox, append(flags, path, "-n", "remix", channel, "stat")...).CombinedOutput()
	if err != nil {
		t.Fatalf("sox: %v\n%s", err, out)
	}
	stat := make(map[string]float64)
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			if f, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				stat[strings.TrimSpace(name)] = f
			} else if strings.Contains(line, "WARN") || strings.Contains(line, "FAIL") {
				t.Fatalf("sox: %s", out)
			}
		}
	}
	return stat
}

// TestFileTakenAway removes the directory under a recording: the node says so,
// and what comes after is recorded in its place.
func TestFileTakenAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	r := &recording{call: "call", path: recordingPath(dir, "call", time.Unix(0, testStart)), began: time.Unix(0, testStart)}
	r.write(nil)
	var conv [2][256]byte
	send := func(k int) {
		r.packet(0, 0, 0, testStart+int64(k)*20_000_000, rtpPacket(0, uint16(k), uint32(k*160), 1, slot(byte(k))), &conv)
	}
	for k := range 120 {
		send(k)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if r.look(); r.failed == nil {
		t.Fatal("nobody noticed")
	}
	for k := 120; k < 250; k++ {
		send(k)
	}
	r.end()
	c := r.finish(true, make([]byte, copyRoom))
	if c.Err != nil || c.Duration != 5*time.Second {
		t.Fatalf("%+v", c)
	}
	_, ch := channels(t, r.path)
	equalAt(t, "left", ch[0], 0, slot(0xff))
	for k := 120; k < 250; k++ {
		equalAt(t, "left", ch[0], k*160, slot(byte(k)))
	}
}

func TestRecordingWithoutADisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	degraded, recovered := make(chan string, 9), make(chan bool, 9)
	a, _, err := OpenAudio(AudioOptions{Dir: dir, OnDegraded: func(r string) { degraded <- r }, OnRecovered: func() { recovered <- true }})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	tap := a.NewTap()
	rec, path, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	s := sender{seq: 1, ssrc: 1}
	for k := range 100 {
		s.send(tap, rec, k, 0, slot(byte(k)))
	}
	tap.Tick(testStart + 2_000_000_000)
	if reason := <-degraded; reason == "" || !a.Health().Degraded {
		t.Fatal("no reason")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	<-recovered
	for k := 100; k < 200; k++ {
		s.send(tap, rec, k, 0, slot(byte(k)))
	}
	if c := stopTest(t, a, tap, rec); c.Err != nil || c.Path != path || c.Duration != 4*time.Second {
		t.Fatalf("%+v", c)
	}
	_, ch := channels(t, path)
	equalAt(t, "left", ch[0], 199*160, slot(199))
	if len(degraded)+len(recovered) != 0 {
		t.Fatal("told more than once")
	}
}

// TestStuckDiskDropsAndCounts never lets the recorder run: the tap goes on.
func TestStuckDiskDropsAndCounts(t *testing.T) {
	a := &Audio{full: make(chan *block, 3), free: make(chan *block, 3)}
	tap := a.NewTap()
	pkt := rtpPacket(0, 1, 1, 1, slot(1))
	for range 2000 {
		tap.Packet(1, 0, 0, 0, testStart, pkt)
	}
	held := 3 * (blockSize / (packetHeader + len(pkt)))
	if got := a.dropped.Load(); got != uint64(2000-held) {
		t.Fatalf("%d dropped, want %d", got, 2000-held)
	}
}

func TestTapAllocatesNothing(t *testing.T) {
	a, tap := openAudioTest(t, t.TempDir())
	rec, _, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	pkt := rtpPacket(0, 1, 1, 1, slot(1))
	tap.Packet(rec, 0, 0, 0, testStart, pkt)
	if n := testing.AllocsPerRun(100, func() { tap.Packet(rec, 0, 0, 0, testStart, pkt) }); n != 0 {
		t.Fatalf("%v allocations a packet", n)
	}
}

func TestPathOfOthers(t *testing.T) {
	dir := t.TempDir()
	a, tap := openAudioTest(t, dir)
	rec, path, err := a.Start("one", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, path2, err := a.Start(strings.Repeat("/long", 500), time.Now())
	if err != nil || len(filepath.Base(path2)) > 120 {
		t.Fatalf("%q %v", path2, err)
	}
	stopTest(t, a, tap, rec)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Start("late", time.Now()); err == nil {
		t.Fatal("started after Close")
	}
	b, _ := openAudioTest(t, dir)
	if p, err := b.Path("one"); err != nil || p != path {
		t.Fatalf("%q %v", p, err)
	}
	if _, err := b.Path("two"); !errors.Is(err, ErrNoRecording) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	unknown := make(chan Closed, 1)
	b.Stop(12345, func(c Closed) { unknown <- c })
	if c := <-unknown; c.Err == nil {
		t.Fatal("no error")
	}
}

// TestMemoryOfACall holds many calls and looks at the heap.
func TestMemoryOfACall(t *testing.T) {
	dir := t.TempDir()
	var before, after runtime.MemStats
	var conv [2][256]byte
	const calls = 500
	recs := make([]*recording, calls)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range recs {
		recs[i] = &recording{call: "call", path: filepath.Join(dir, strconv.Itoa(i)), law: otherLaw}
		for k := range 3 {
			recs[i].packet(0, 0, 0, testStart, rtpPacket(0, uint16(k), uint32(k*160), 1, slot(1)), &conv)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (after.HeapAlloc - before.HeapAlloc) / calls; per > 18_000 {
		t.Fatalf("%d bytes a call", per)
	}
	runtime.KeepAlive(recs)
}
