package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// The collector runs when the heap has grown by a share of what is alive, and
// each time goes through everything that is: with a small share that took a
// quarter of the time of a call. With few calls any share is little, so memory
// is reserved that counts and is never touched. While calls come and go the
// share is the usual one; with a larger one what stays lies so scattered that
// held calls take a third more memory. Once calls rest, what they left is
// collected and given back.
const (
	heapReserve = 24 << 20 // bytes
	busyShare   = 100      // %
	restShare   = 25
	restAfter   = time.Second // without a call that begins or ends
	worthIt     = 8 << 20     // bytes that a collection must be able to win
)

// Heap fits the Go runtime of this process to a node. A process has one,
// however many nodes run in it. The nil Heap leaves everything as it is.
type Heap struct {
	reserve []byte
	share   func(percent int) int // debug.SetGCPercent, unless in tests
	collect func()
	timer   *time.Timer

	mu   sync.Mutex
	busy bool
}

// Tune changes the runtime's settings, those apart that the environment sets.
func Tune() *Heap {
	if os.Getenv("GOMAXPROCS") == "" {
		// A packet loop keeps one of the scheduler's processors most of the
		// time, mostly in system calls that the scheduler is not told of. With
		// one more the operating system sees to it that signalling gets its
		// share of the machine at once.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return newHeap(debug.SetGCPercent, collect)
}

func newHeap(share func(int) int, collect func()) *Heap {
	h := &Heap{reserve: make([]byte, heapReserve), share: share, collect: collect}
	h.share(restShare)
	h.timer = time.AfterFunc(time.Hour, h.rest)
	h.timer.Stop()
	return h
}

// moved is told of each call that begins or ends. It does not wait.
func (h *Heap) moved() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.busy {
		h.busy = true
		h.share(busyShare)
	}
	h.timer.Reset(restAfter)
}

// rest tidies up after the calls.
func (h *Heap) rest() {
	h.mu.Lock()
	h.busy = false
	h.share(restShare)
	h.mu.Unlock()
	h.collect()
	runtime.KeepAlive(h.reserve)
}

// collect collects garbage and gives back what is free, when there may be
// enough of it.
func collect() {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	if s[0].Value.Uint64()+s[1].Value.Uint64() > s[2].Value.Uint64()+worthIt {
		debug.FreeOSMemory()
	}
}
