package recorder

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// power is what a disk has for certain, beside what was only written: the
// write-ahead log and the head may be lost back to that.
type power struct {
	store
	dir     string
	safe    []byte        // the log when it was last forced to the disk
	gate    chan struct{} // each write needs a word from here, once held
	reached chan struct{} // a write waits at the gate
	held    atomic.Bool
}

func (p *power) write(c *commit) error {
	if p.held.Load() && len(c.items) > 0 {
		p.reached <- struct{}{}
		<-p.gate
	}
	return p.store.write(c)
}

func (p *power) sync() error {
	err := p.store.sync()
	p.keep()
	return err
}

func (p *power) tidy() error {
	s, ok := p.store.(*sqliteStore)
	before := ok && s.logged >= tidyAfter
	err := p.store.tidy()
	if before {
		p.keep()
	}
	return err
}

func (p *power) keep() {
	b, err := os.ReadFile(filepath.Join(p.dir, databaseFile+"-wal"))
	if err != nil {
		panic(err)
	}
	p.safe = b
}

// lost is a data directory after the power was gone: of the log, of what was not
// forced to the disk, some pages are there and others are not.
func (p *power) lost(t *rapid.T, to string, head []byte) {
	for _, name := range []string{databaseFile, frontFile, keyFile, pubFile} {
		b, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, name), b)
	}
	write(t, filepath.Join(to, headFile), head)
	log, err := os.ReadFile(filepath.Join(p.dir, databaseFile+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	const page, header = 4096, 32 // a log that begins again forces its header to the disk
	safe := append(bytes.Clone(log[:header]), p.safe[header:]...)
	seed := rapid.Uint64().Draw(t, "pages that are lost")
	until := rapid.IntRange(0, len(log)/page).Draw(t, "pages that may be there")
	for at := 0; at < len(log); at += page {
		seed = seed*6364136223846793005 + 1442695040888963407
		if at >= until*page || seed>>60 == 0 {
			old := make([]byte, min(page, len(log)-at))
			if at < len(safe) {
				copy(old, safe[at:])
			}
			copy(log[at:], old)
		}
	}
	write(t, filepath.Join(to, databaseFile+"-wal"), log)
}

func write(t *rapid.T, path string, b []byte) {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPowerLoss takes away what a power failure may take, at every moment, and
// then compares the journal with what was promised. Nothing that was promised
// is missing, and nobody is accused.
func TestPowerLoss(t *testing.T) {
	p := &power{dir: t.TempDir(), gate: make(chan struct{}), reached: make(chan struct{}, 1)}
	j := openTest(t, p.dir, func(o *JournalOptions) {
		o.open = opening(func(out *opened) { p.store, out.store = out.store, p; p.keep() })
	})
	commitTest(t, j, entry("a", 0))
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	promised := map[uint64]string{}
	rapid.Check(t, func(t *rapid.T) {
		head, err := os.ReadFile(filepath.Join(p.dir, headFile))
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 2).Draw(t, "transactions before") {
			j.Append(batchOf(t)...)
			if err := j.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		before := j.Health().LastSeq
		held, batch := make(chan bool, 1), batchOf(t)
		p.held.Store(true)
		j.Commit(func(d bool) { held <- d }, batch...)
		<-p.reached // it is in the front, or finds no room there
		want := before
		if len(held) > 0 && <-held {
			want += uint64(len(batch))
		}
		dir, err := os.MkdirTemp("", "power") //nolint:usetesting // one for each draw, which is removed after it
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		p.lost(t, dir, head)
		p.held.Store(false)
		p.gate <- struct{}{}
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		restart := rapid.IntRange(0, 3).Draw(t, "then a start") == 0
		for n := 0; n == 0 || n == 1 && restart; n++ {
			r, err := Verify(dir)
			if err != nil || r.Last < want || r.Records != r.Last {
				t.Fatalf("verify: %v, %+v; %d were promised", err, r, want)
			}
			now := map[uint64]string{}
			if err := ReadDir(t.Context(), dir, Query{}, func(r Record) error { now[r.Seq] = r.Hash; return nil }); err != nil {
				t.Fatal(err)
			}
			for seq, hash := range promised {
				if now[seq] != hash {
					t.Fatalf("record %d is %q, want %q", seq, now[seq], hash)
				}
			}
			maps.Copy(promised, now)
			maps.DeleteFunc(promised, func(seq uint64, _ string) bool { return seq > want })
			if !restart {
				break
			}
			again, err := OpenJournal(JournalOptions{Dir: dir, Node: "psap-a"})
			if err != nil || again.Close() != nil {
				t.Fatal(err)
			}
		}
	})
}

// batchOf draws some records, small ones or more than the front has room for.
func batchOf(t *rapid.T) (out []Entry) {
	size := 10
	if draw := rapid.IntRange(0, 19).Draw(t, "size"); draw < 3 {
		size = []int{maxData - 10, 100_000, 5_000}[draw]
	}
	for n := range rapid.IntRange(1, 4).Draw(t, "records") {
		e := entry("a", n)
		e.Data = strings.Repeat("x", size)
		out = append(out, e)
	}
	return out
}

// opening changes what openDir has opened.
func opening(change func(*opened)) func(string, string, *key, time.Time) (*opened, error) {
	return func(dir, node string, have *key, now time.Time) (*opened, error) {
		out, err := openDir(dir, node, have, now)
		if err == nil {
			change(out)
		}
		return out, err
	}
}
