package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The collector runs when the heap has doubled, and each time goes through
// everything that is alive. With few calls that would be many times a second,
// to keep some megabytes tidy, so memory is reserved that counts and is never
// touched. With many calls half of all memory would be what they left behind:
// once no call has begun or ended for a while, it is collected and given back.
const (
	heapReserve = 24 << 20 // bytes
	restAfter   = 3 * time.Second
	worthIt     = 8 << 20 // bytes that a collection must be able to win
)

// Heap fits the Go runtime of this process to a node. A process has one,
// however many nodes run in it. The nil Heap leaves everything as it is.
type Heap struct {
	reserve []byte
	timer   *time.Timer
	collect func()
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
	return newHeap(collect)
}

func newHeap(collect func()) *Heap {
	h := &Heap{reserve: make([]byte, heapReserve), collect: collect}
	h.timer = time.AfterFunc(time.Hour, h.rest)
	h.timer.Stop()
	return h
}

// moved is told of each call that begins or ends. It is called by calls: it
// must not change a setting of the runtime, which would wait for a collection
// that is under way.
func (h *Heap) moved() {
	if h != nil {
		h.timer.Reset(restAfter)
	}
}

// rest tidies up after the calls.
func (h *Heap) rest() {
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
