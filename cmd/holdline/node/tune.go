package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// Reserved memory and the collector's share. The garbage collector runs when
// the heap has grown by a share of what is alive. With few calls that is
// little, and it would run many times a second to keep some megabytes tidy,
// which took a sixth of the time of a call; so memory is reserved that counts
// and is never touched. With many calls the usual share of 100 % would be half
// of all memory.
const (
	heapFloor = 24 << 20 // bytes
	heapShare = 50       // %, unless GOGC says otherwise
)

// tuned: a process is tuned once, however many nodes run in it.
var tuned sync.Once

// Tune fits the Go runtime to a node. What it returns must be kept alive for
// as long as the node runs.
func Tune() []byte {
	tuned.Do(func() {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(heapShare)
		}
		if os.Getenv("GOMAXPROCS") == "" {
			// A packet loop keeps one of the scheduler's processors most of
			// the time, mostly in system calls that the scheduler is not told
			// of. With one more the operating system sees to it that signalling
			// gets its share of the machine at once.
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
		}
	})
	return make([]byte, heapFloor)
}
