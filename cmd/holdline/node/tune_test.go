package node

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestHeapRests: nothing is tidied up while calls come and go, and all of it
// once when they have rested for a while.
func TestHeapRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var collected atomic.Int32
		h := newHeap(func() { collected.Add(1) })
		is := func(want int32) {
			t.Helper()
			synctest.Wait()
			if got := collected.Load(); got != want {
				t.Errorf("collected %d times, want %d", got, want)
			}
		}
		for range 10 {
			h.moved()
			time.Sleep(restAfter - time.Millisecond)
		}
		is(0)
		time.Sleep(time.Hour)
		is(1)
		h.moved()
		time.Sleep(time.Hour)
		is(2)
		var none *Heap
		none.moved() // a node that was not tuned
	})
}
