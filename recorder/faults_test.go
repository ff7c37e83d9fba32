package recorder

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// faultStore fails or hangs when it is told to.
type faultStore struct {
	store
	f *faults
}

type faults struct {
	mu     sync.Mutex
	err    error
	gate   chan struct{} // not nil: writes wait until it is closed
	writes int
}

func (f *faults) set(err error, gate chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.gate = err, gate
}

func (s *faultStore) write(c *commit) error {
	s.f.mu.Lock()
	err, gate := s.f.err, s.f.gate
	s.f.writes++
	s.f.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if err != nil {
		return err
	}
	return s.store.write(c)
}

// with makes a journal use the store with faults, and nothing but it.
func (f *faults) with(o *JournalOptions) {
	f.behindFront(o)
	open := o.open
	o.open = func(dir, node string, have *key, now time.Time) (*opened, error) {
		out, err := open(dir, node, have, now)
		if err == nil && out.front != nil {
			err = errors.Join(out.front.remove(), out.front.close())
			out.front = nil
		}
		return out, err
	}
}

// behindFront makes a journal use the store with faults, and its front as it is.
func (f *faults) behindFront(o *JournalOptions) {
	o.open = func(dir, node string, have *key, now time.Time) (*opened, error) {
		out, err := openDir(dir, node, have, now)
		if err == nil {
			out.store = &faultStore{store: out.store, f: f}
		}
		return out, err
	}
}

// changes counts what a journal says about itself.
type changes struct {
	mu  sync.Mutex
	log []string
}

func (c *changes) with(o *JournalOptions) {
	o.OnDegraded = func(string) { c.add("degraded") }
	o.OnRecovered = func() { c.add("recovered") }
}

func (c *changes) add(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, s)
}

func (c *changes) is(want ...string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Equal(c.log, want)
}

func patience50(o *JournalOptions) { o.Patience = 50 * time.Millisecond }

func TestSlowDiskMakesNobodyWait(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f faults
		var c changes
		j := openTest(t, dir, f.with, c.with, patience50)
		commitTest(t, j, entry("before", 0))
		gate := make(chan struct{})
		f.set(nil, gate)

		sub := j.Subscribe(1)
		start := time.Now()
		at := time.Unix(1000, 5)
		result := make(chan bool, 2)
		j.Commit(func(d bool) { result <- d }, Entry{Time: at, Call: "held", Kind: "release.requested"})
		if <-result {
			t.Error("durable although the disk hangs")
		}
		if d := time.Since(start); d != 50*time.Millisecond {
			t.Errorf("waited %v", d)
		}
		j.Append(entry("later", 1)) // must not block
		synctest.Wait()
		if !c.is("degraded") || !j.Health().Degraded || j.Health().Pending != 2 {
			t.Errorf("%v %+v", c.log, j.Health())
		}
		// What is in memory is seen by those who follow, and found by readers.
		if r := <-sub.C; r.Seq != 2 || r.Call != "held" {
			t.Errorf("subscriber got %+v", r)
		}
		n := 0
		if err := j.Read(context.Background(), Query{Call: "held"}, func(Record) error { n++; return nil }); err != nil || n != 1 {
			t.Errorf("read %d, %v", n, err)
		}

		f.set(nil, nil)
		close(gate)
		if err := j.Flush(context.Background()); err != nil {
			t.Error(err)
		}
		if r := <-sub.C; r.Seq != 3 || r.Call != "later" {
			t.Errorf("subscriber got %+v", r)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !c.is("degraded", "recovered") || j.Health().Degraded || j.Health().Reason != "" {
			t.Errorf("%v %+v", c.log, j.Health())
		}
		sub.Close()
		if err := j.Read(context.Background(), Query{Call: "held"}, func(r Record) error {
			if !r.Time.Equal(at) {
				t.Errorf("time %v", r.Time)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	if r := mustVerify(t, dir); r.Records != 3 {
		t.Fatalf("%+v", r)
	}
}

func TestFailingDiskIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f faults
		var c changes
		j := openTest(t, dir, f.with, c.with, patience50)
		f.set(errors.New("no space left on device"), nil)
		result := make(chan bool, 1)
		j.Commit(func(d bool) { result <- d }, entry("a", 1))
		if <-result {
			t.Error("durable although the disk is full")
		}
		for i := range 5000 {
			j.Append(entry("b", i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if h := j.Health(); !c.is("degraded") || h.Reason != "no space left on device" || h.Pending != 5001 {
			t.Errorf("%v %+v", c.log, h)
		}
		f.set(nil, nil)
		if err := j.Flush(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !c.is("degraded", "recovered") {
			t.Errorf("%v", c.log)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	if r := mustVerify(t, dir); r.Records != 5001 {
		t.Fatalf("%+v", r)
	}
}

// TestFullDatabase fills a real SQLite file to its limit.
func TestFullDatabase(t *testing.T) {
	dir := t.TempDir()
	var full atomic.Bool
	limit := func(o *JournalOptions) {
		o.open = func(dir, node string, have *key, now time.Time) (*opened, error) {
			out, err := openDir(dir, node, have, now)
			if err == nil && full.Load() {
				err = out.store.(*sqliteStore).conn.exec("PRAGMA max_page_count = 20")
			}
			return out, err
		}
	}
	full.Store(true)
	degraded := make(chan string, 1)
	j := openTest(t, dir, limit, patience50, func(o *JournalOptions) { o.OnDegraded = func(r string) { degraded <- r } })
	for i := range 1000 {
		j.Append(entry("x", i))
	}
	if reason := <-degraded; reason == "" {
		t.Fatal("no reason")
	}
	full.Store(false)
	if err := j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); r.Records != 1000 {
		t.Fatalf("%+v", r)
	}
}

func TestStartWithoutADisk(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "data")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the directory should be
		t.Fatal(err)
	}
	j := openTest(t, dir, patience50)
	if j.KeyID() != "" {
		t.Fatal("a key without a disk")
	}
	result := make(chan bool, 1)
	j.Commit(func(d bool) { result <- d }, entry("a", 1))
	if <-result || !j.Health().Degraded {
		t.Fatal("durable without a disk")
	}
	j.Append(entry("a", 2))
	n := 0
	if err := j.Read(context.Background(), Query{}, func(Record) error { n++; return nil }); err == nil && n > 0 {
		t.Fatal("records without numbers were delivered")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); r.Records != 2 || r.KeyID != j.KeyID() {
		t.Fatalf("%+v", r)
	}
}

func TestMisuseIsAnError(t *testing.T) {
	for _, o := range []JournalOptions{{Node: "a"}, {Dir: "x"}, {Dir: "x", Node: "a", Patience: -1}} {
		if j, err := OpenJournal(o); err == nil {
			_ = j.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestDirectoryTakenAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var c changes
	j := openTest(t, dir, c.with)
	commitTest(t, j, entry("a", 1))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	sub := j.Subscribe(1)
	defer sub.Close()
	for i := 0; ; i++ { // until the journal has noticed and goes on in a new file
		commitTest(t, j, entry("b", i))
		if r := <-sub.C; r.Kind == kindDegraded {
			break
		}
	}
	if err := j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(dir)
	if err == nil || r.KeyID != j.KeyID() {
		t.Fatalf("verify says %v, %+v", err, r)
	}
}

func TestSecondProcessWaits(t *testing.T) {
	dir := t.TempDir()
	first := openTest(t, dir)
	commitTest(t, first, entry("first", 1))
	second := openTest(t, dir, patience50)
	if !second.Health().Degraded {
		t.Fatal("two writers at once")
	}
	second.Append(entry("second", 1))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); r.Records != 2 {
		t.Fatalf("%+v", r)
	}
}

func TestTooMuchIsDroppedAndToldOf(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f faults
		j := openTest(t, dir, f.with, patience50, func(o *JournalOptions) { o.MaxPending = 10 })
		f.set(errors.New("gone"), nil)
		for i := range 15 {
			j.Append(entry("x", i))
		}
		result := make(chan bool, 1)
		j.Commit(func(d bool) { result <- d }, entry("y", 0))
		if <-result {
			t.Error("durable although dropped")
		}
		if h := j.Health(); h.Pending != 10 || h.Dropped != 6 {
			t.Errorf("%+v", h)
		}
		f.set(nil, nil)
		if err := j.Flush(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		var told []Record
		if err := j.Read(context.Background(), Query{Kind: kindDegraded}, func(r Record) error { told = append(told, r); return nil }); err != nil {
			t.Error(err)
		}
		if len(told) != 1 || string(told[0].Data[:30]) != `{"journal":"records_dropped","` {
			t.Errorf("%+v", told)
		}
		_ = j.Close()
	})
}

func TestCallbacksOnceWhateverHappens(t *testing.T) {
	j := openTest(t, t.TempDir())
	j.Commit(func(bool) { panic("in a callback") }, entry("a", 1))
	commitTest(t, j, entry("a", 2), Entry{Kind: "bad", Data: make(chan int)}, Entry{Kind: "panics", Data: panics{}})
	commitTest(t, j) // nothing new: waits for what was before
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	result := make(chan bool, 1)
	j.Commit(func(d bool) { result <- d }, entry("a", 3))
	if <-result {
		t.Fatal("durable after Close")
	}
	if err := j.Flush(context.Background()); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no") }
