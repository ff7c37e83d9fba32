package node

import (
	"os"
	"runtime/debug"
)

// Reserved memory and the collector's share. The garbage collector runs when
// the heap has grown by a share of what is alive. With few calls that is
// little, and it would run many times a second to keep some megabytes tidy,
// which took a sixth of the time of a call; so memory is reserved that counts
// and is never touched. With many calls the usual share of 100 % would be half
// of all memory.
const (
	heapFloor = 32 << 20 // bytes
	heapShare = 50       // %, unless GOGC says otherwise
)

// TuneHeap fits the garbage collector to a node. What it returns must be kept
// alive for as long as the node runs.
func TuneHeap() []byte {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapShare)
	}
	return make([]byte, heapFloor)
}
