package recorder

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of some megabytes. It needs the right to.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting is not permitted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ballast fills a disk up to its last byte.
func ballast(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return path
}

// TestFullDiskAndRoomAgain: a disk without room for the front of the journal,
// and one with it.
func TestFullDiskAndRoomAgain(t *testing.T) {
	t.Run("2m", func(t *testing.T) { testFullDisk(t, "2m", "") })
	t.Run("64m", func(t *testing.T) { testFullDisk(t, "64m", strings.Repeat("x", 10_000)) })
}

func testFullDisk(t *testing.T, size, more string) {
	dir := smallDisk(t, size)
	degraded, recovered := make(chan string, 9), make(chan bool, 9)
	j := openTest(t, dir, patience50, func(o *JournalOptions) {
		o.OnDegraded = func(r string) { degraded <- r }
		o.OnRecovered = func() { recovered <- true }
	})
	a, _, err := OpenAudio(AudioOptions{Dir: filepath.Join(dir, "recordings")})
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
	for k := range 100 { // two seconds, of which the first is on the disk by then
		s.send(tap, rec, k, 0, slot(byte(k)))
	}
	tap.Tick(testStart + 3e9)
	waitSize(t, path, headerSize+2*sampleRate/2)
	commitTestDurable(t, j)

	full := ballast(t, dir)
	for i := range 2000 {
		e := entry("full", i)
		e.Data = bye{Raw: more}
		j.Append(e)
	}
	if reason := <-degraded; reason == "" {
		t.Fatal("no reason")
	}
	for k := 100; k < 400; k++ { // six seconds with no room
		s.send(tap, rec, k, 0, slot(byte(k)))
	}
	tap.Tick(testStart + 9e9)
	for !a.Health().Degraded {
		time.Sleep(time.Millisecond) // the watch looks four times a second
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-recovered
	for k := 400; k < 500; k++ {
		s.send(tap, rec, k, 0, slot(byte(k)))
	}
	c := stopTest(t, a, tap, rec)
	if c.Err != nil || c.Duration != 10*time.Second {
		t.Fatalf("%+v", c)
	}
	if r := mustVerify(t, dir); r.Records != 2001 {
		t.Fatalf("%+v", r)
	}
	_, ch := channels(t, path)
	for k := 400; k < 500; k++ {
		equalAt(t, "left", ch[0], k*160, slot(byte(k)))
	}
	equalAt(t, "right", ch[1], 0, slot(0xff)) // no holes: a zero would be the loudest sample
	for i, v := range ch[1] {
		if v != 0xff {
			t.Fatalf("sample %d of the silent channel is %#x", i, v)
		}
	}
}

func commitTestDurable(t *testing.T, j *Journal) {
	t.Helper()
	j.Append(entry("before", 0))
	if err := j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}
