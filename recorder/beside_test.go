package recorder

import (
	"strings"
	"sync"
	"testing"
)

// TestBesideARunningNode verifies and exports again and again while records are
// written around and around the front: no problem that is none, no gap, nothing
// twice.
func TestBesideARunningNode(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir)
	commitTest(t, j, entry("a", 0))
	written := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(written)
		text := strings.Repeat("x", 40_000)
		for n := range 500 { // three times around
			e := entry("a", n)
			if n%3 == 0 {
				e.Data = text
			}
			commitTest(t, j, e, entry("b", n))
		}
	})
	defer all.Wait()
	for over := false; !over; {
		select {
		case <-written:
			over = true // and once more
		default:
		}
		if r, err := Verify(dir); err != nil || r.Records != r.Last {
			t.Fatalf("verify: %v %+v", err, r)
		}
		last := uint64(0)
		err := ReadDir(t.Context(), dir, Query{}, func(r Record) error {
			if last++; r.Seq != last {
				t.Errorf("record %d after %d", r.Seq, last-1)
			}
			return nil
		})
		if err != nil || t.Failed() {
			t.Fatal(err)
		}
	}
}
