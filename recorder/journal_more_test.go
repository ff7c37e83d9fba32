package recorder

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// TestSubscriptionsMissNothing has consumers, fast and slow, from the first
// record and from later ones, beside many writers.
func TestSubscriptionsMissNothing(t *testing.T) {
	j := openTest(t, t.TempDir())
	const writers, each = 8, 1500 // more than is kept in memory
	for i := range 100 {
		j.Append(entry("before", i))
	}
	var all sync.WaitGroup
	for _, after := range []uint64{0, 50, 100, 3000} {
		for _, slow := range []bool{false, true} {
			sub := j.Subscribe(after)
			all.Go(func() {
				defer sub.Close()
				for want := after + 1; want <= 100+writers*each; want++ {
					r := <-sub.C
					if r.Seq != want {
						t.Errorf("after %d: got %d, want %d", after, r.Seq, want)
						return
					}
					if slow && want%1000 == 0 {
						time.Sleep(20 * time.Millisecond) // being slow is what is tested
					}
				}
			})
		}
	}
	for w := range writers {
		all.Go(func() {
			for i := range each {
				j.Append(entry(fmt.Sprint("w", w), i))
			}
		})
	}
	all.Wait()
}

func TestSubscriptionEndsWithTheJournal(t *testing.T) {
	j := openTest(t, t.TempDir())
	sub := j.Subscribe(0)
	j.Append(entry("a", 1))
	if r := <-sub.C; r.Seq != 1 {
		t.Fatalf("%+v", r)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if r, open := <-sub.C; open {
		t.Fatalf("got %+v after Close", r)
	}
	sub.Close()
	sub.Close()
}

func TestAppendAloneIsWrittenSoon(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := openTest(t, dir)
		j.Append(entry("a", 1), entry("a", 2))
		time.Sleep(linger)
		synctest.Wait()
		if h := j.Health(); h.Written != 2 || h.Commits != 1 || h.Pending != 0 {
			t.Errorf("%+v", h)
		}
		_ = j.Close()
	})
}

// TestManyShareACommit has calls that each wait for their own record.
func TestManyShareACommit(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir)
	var all sync.WaitGroup
	for c := range 200 {
		all.Go(func() {
			for i := range 10 {
				ok := make(chan bool, 1)
				j.Commit(func(d bool) { ok <- d }, entry(fmt.Sprint("call-", c), i))
				if !<-ok {
					t.Error("not durable")
				}
			}
		})
	}
	all.Wait()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := j.Health()
	if h.Written != 2000 || h.Commits > 500 {
		t.Fatalf("%d records in %d commits", h.Written, h.Commits)
	}
	mustVerify(t, dir)
}

func TestTreeIsThatOfTransparencyLogs(t *testing.T) {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, _ error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	var tr tree
	for n := range int64(300) {
		h := digest{byte(n), byte(n >> 8), 7}
		more, err := tlog.StoredHashes(n, h[:], read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		tr.add(h)
		want, err := tlog.TreeHash(n+1, read)
		if err != nil || tr.root() != want {
			t.Fatalf("%d records: %v, want %v (%v)", n+1, tr.root(), want, err)
		}
		again, err := unmarshalTree(tr.size, tr.marshal(), tr.root())
		if err != nil || again.root() != want {
			t.Fatalf("%d records do not survive being stored: %v", n+1, err)
		}
	}
	if _, err := unmarshalTree(tr.size, tr.marshal(), tlog.Hash{}); err == nil {
		t.Fatal("an edge of another root was taken")
	}
}

func TestCheckpointsAreNotes(t *testing.T) {
	dir := t.TempDir()
	fillJournal(t, dir, 5)
	raw, err := os.ReadFile(filepath.Join(dir, headFile))
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := os.ReadFile(filepath.Join(dir, pubFile))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		t.Fatal(err)
	}
	best := ""
	for off := 0; off < len(raw); off += headSlot {
		n, err := note.Open(append(bytes.TrimRight(raw[off:off+headSlot], "\n"), '\n'), note.VerifierList(v))
		if err != nil {
			t.Fatal(err)
		}
		best = max(best, n.Text)
	}
	if !strings.HasPrefix(best, "holdline/psap-a\n5\n") || !strings.Contains(best, "\nseq 5\nhash ") {
		t.Fatalf("head:\n%s", best)
	}
	if st, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v %v", st.Mode(), err)
	}
}

// TestAnybodyCanVerifyAnExport runs the program of docs/journal.md.
func TestAnybodyCanVerifyAnExport(t *testing.T) {
	python := needTool(t, "python3")
	doc, err := os.ReadFile("../docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```python\n")
	program, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("docs/journal.md has no program")
	}
	dir := t.TempDir()
	j := openTest(t, dir)
	commitTest(t, j, Entry{Call: "a<b>&\"\\\x01\xff\u2028é", Kind: "k", Data: map[string]any{"x": "<&>\u2028\"\\ é 😀", "n": 1.50, "hash": `","hash":"`}},
		entry("b", 2), Entry{Kind: "empty"}, Entry{Call: "c", Data: "just text"})
	var out bytes.Buffer
	if err := Export(dir, Query{}, &out); err != nil {
		t.Fatal(err)
	}
	run := func(text string) (string, error) {
		cmd := exec.Command(python, "-c", program)
		cmd.Stdin = strings.NewReader(text)
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	if said, err := run(out.String()); err != nil || !strings.Contains(said, "ok: 4 records") {
		t.Fatalf("%v: %s\n%s", err, said, out.String())
	}
	if said, err := run(strings.Replace(out.String(), "10.0.0.1", "10.0.0.2", 1)); err == nil || !strings.Contains(said, "record 2") {
		t.Fatalf("a change was not found: %s", said)
	}
}

// TestWhateverIsRecordedVerifies records anything.
func TestWhateverIsRecordedVerifies(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir)
	type record struct {
		call, kind, text string
		at               int64
	}
	var want []record
	rapid.Check(t, func(t *rapid.T) {
		w := record{
			call: string(rapid.SliceOf(rapid.Byte()).Draw(t, "call")), kind: rapid.String().Draw(t, "kind"),
			text: rapid.String().Draw(t, "text"), at: rapid.Int64Range(1, 1<<62).Draw(t, "at"),
		}
		j.Append(Entry{Call: w.call, Kind: w.kind, Data: w.text, Time: time.Unix(0, w.at)})
		want = append(want, w)
	})
	if err := j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir)
	w := want[rand.IntN(len(want))]
	found := false
	if err := j.Read(context.Background(), Query{Call: w.call, Kind: cleanText(w.kind)}, func(r Record) error {
		found = found || r.Time.UnixNano() == w.at
		return nil
	}); err != nil || !found {
		t.Fatalf("%+v was not found: %v", w, err)
	}
}
