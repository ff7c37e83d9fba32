package node

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// runtimeLog is what a Heap did to the runtime.
type runtimeLog struct {
	mu        sync.Mutex
	shares    []int
	collected int
}

func (l *runtimeLog) share(percent int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shares = append(l.shares, percent)
	return 0
}

func (l *runtimeLog) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collected++
}

func (l *runtimeLog) is(t *testing.T, collected int, shares ...int) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.shares, shares) || l.collected != collected {
		t.Errorf("shares %v and %d collections, want %v and %d", l.shares, l.collected, shares, collected)
	}
}

// TestHeapRests: the collector has a large share while calls come and go, and
// tidies up once when they have rested for a second.
func TestHeapRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log runtimeLog
		h := newHeap(log.share, log.collect)
		for range 10 {
			h.moved()
			time.Sleep(restAfter - time.Millisecond)
		}
		log.is(t, 0, restShare, busyShare)
		time.Sleep(time.Hour)
		h.moved()
		time.Sleep(time.Hour)
		log.is(t, 2, restShare, busyShare, restShare, busyShare, restShare)
		var none *Heap
		none.moved() // a node that was not tuned
	})
}
