package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestHeapRests: the collector has a large share while calls come and go, and
// tidies up once when they have rested for a second.
func TestHeapRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shares []int
		collected := 0
		h := newHeap(func(p int) int { shares = append(shares, p); return 0 }, func() { collected++ })
		for range 10 {
			h.moved()
			time.Sleep(restAfter - time.Millisecond)
		}
		synctest.Wait()
		if want := []int{restShare, busyShare}; !slices.Equal(shares, want) || collected != 0 {
			t.Errorf("while calls come: shares %v, %d collections, want %v and none", shares, collected, want)
		}
		time.Sleep(time.Hour)
		h.moved()
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := []int{restShare, busyShare, restShare, busyShare, restShare}; !slices.Equal(shares, want) || collected != 2 {
			t.Errorf("after two busy times: shares %v, %d collections, want %v and 2", shares, collected, want)
		}
		var none *Heap
		none.moved() // a node that was not tuned
	})
}
