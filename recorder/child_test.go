package recorder

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childMain is what this test program does when a test has started it to be
// killed: it records and makes calls until then.
func childMain() bool {
	dir := os.Getenv("HOLDLINE_TEST_CHILD")
	if dir == "" {
		return false
	}
	j, err := OpenJournal(JournalOptions{Dir: dir, Node: "child", Patience: time.Minute})
	if err != nil {
		panic(err)
	}
	a, _, err := OpenAudio(AudioOptions{Dir: dir + "/recordings"})
	if err != nil {
		panic(err)
	}
	tap := a.NewTap()
	rec, path, err := a.Start("killed", time.Unix(0, testStart))
	if err != nil {
		panic(err)
	}
	fmt.Println("recording", path)
	sound := tone(muLaw, 440, 0, 160)
	for i := 0; ; i++ {
		at := testStart + int64(i)*20_000_000
		tap.Packet(rec, 0, 0, 0, at, rtpPacket(0, uint16(i), uint32(i*160), 1, sound))
		tap.Packet(rec, 1, 0, 0, at, rtpPacket(0, uint16(i), uint32(i*160), 2, sound))
		tap.Tick(at)
		ok := make(chan bool, 1)
		j.Commit(func(d bool) { ok <- d }, entry("killed", i), entry("killed", i))
		<-ok
		fmt.Println("durable", 2*i+2)
	}
}

// TestKillLeavesAVerifiableJournal ends a process in the middle of its work.
func TestKillLeavesAVerifiableJournal(t *testing.T) {
	dir := t.TempDir()
	var durable uint64
	for range 3 {
		var path string
		durable, path = killChild(t, dir, durable, 300)
		r := mustVerify(t, dir)
		if r.Records < durable {
			t.Fatalf("%d records were durable, but there are only %d", durable, r.Records)
		}
		durable = r.Records
		a, repaired, err := OpenAudio(AudioOptions{Dir: dir + "/recordings"})
		if err != nil {
			t.Fatal(err)
		}
		if len(repaired) != 1 || repaired[0].Path != path || repaired[0].Call != "killed" || repaired[0].Duration < 4*time.Second {
			t.Fatalf("%+v", repaired)
		}
		if _, ch := channels(t, path); len(ch[0]) != int(repaired[0].Duration/nsPerFrame) {
			t.Fatalf("%d samples", len(ch[0]))
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b, again, err := OpenAudio(AudioOptions{Dir: dir + "/recordings"})
	if err != nil || len(again) != 0 {
		t.Fatalf("repaired twice: %v %v", again, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	j := openTest(t, dir)
	commitTest(t, j, entry("after", 1))
	mustVerify(t, dir)
}

// killChild starts a child and kills it when it has committed some records. It
// returns how many of all records it had been told were durable.
func killChild(t *testing.T, dir string, before uint64, commits int) (durable uint64, path string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "HOLDLINE_TEST_CHILD="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if p, ok := strings.CutPrefix(lines.Text(), "recording "); ok {
			path = p
		}
		if _, err := fmt.Sscanf(lines.Text(), "durable %d", &durable); err == nil && durable >= uint64(2*commits) {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return before + durable, path
}
