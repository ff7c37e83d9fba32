package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long after its end the last trace of a call may stay: Timers
// J, L and M (32 s), and the time a call waits for what crossed its end.
const settle = 45 * time.Second

// soak runs wave after wave of calls and tells what is left of them when each
// has settled. What grows from wave to wave is a leak.
func (b *bench) soak() error {
	const waves, rate = 4, 500.0
	calls := int(rate * b.seconds(20).Seconds())
	file := filepath.Join(b.dir, "soak")
	if b.profile != "" {
		file = b.profile
	}
	e, err := b.startHoldline(shape{recording: true, profile: file})
	if err != nil {
		return err
	}
	defer e.stop()
	heapFile := fmt.Sprintf("%s.%d.heap", file, b.profiles)
	fmt.Printf("Waves of %d calls with media and recording at %.0f/s; %.0f s after the end of each, everything collected:\n\n", calls, rate, settle.Seconds())
	fmt.Println("| after | live heap, MB | goroutines | open files | resident, MB | failed |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	failed := 0
	for wave := range waves + 1 {
		if wave > 0 {
			r, err := b.calls(e, rate, b.seconds(20), 200*time.Millisecond, true)
			if err != nil {
				return err
			}
			failed += r.failed
			time.Sleep(settle)
		}
		e.dumpHeap()
		l, err := readLeft(heapFile)
		if err != nil {
			return err
		}
		fmt.Printf("| %d calls | %.2f | %d | %d | %d | %d |\n", wave*calls, float64(l.heap)/1e6, l.goroutines, e.files(), e.memory()>>20, failed)
	}
	return nil
}

// left is what a node still holds.
type left struct {
	heap       int64 // bytes
	goroutines int
}

// leave writes what is alive, for readLeft and for `go tool pprof`.
func leave(file string) {
	f, err := os.Create(file + ".new")
	if err != nil {
		return
	}
	defer f.Close()
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_ = pprof.Lookup("heap").WriteTo(f, 1)
	fmt.Fprintf(f, "# Left %d bytes, %d goroutines\n", m.HeapAlloc, runtime.NumGoroutine())
	_ = os.Rename(file+".new", file)
}

func readLeft(file string) (l left, err error) {
	for range 50 { // it is written by another process
		if l, err = parseLeft(file); err == nil {
			return l, os.Rename(file, file+".read")
		}
		time.Sleep(100 * time.Millisecond)
	}
	return l, err
}

func parseLeft(file string) (l left, err error) {
	f, err := os.Open(file)
	if err != nil {
		return l, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if n, _ := fmt.Sscanf(lines.Text(), "# Left %d bytes, %d goroutines", &l.heap, &l.goroutines); n == 2 {
			return l, nil
		}
	}
	return l, errors.New("the node did not write what it holds")
}

// files is the number of files that the element has open.
func (e *element) files() int {
	names, _ := os.ReadDir("/proc/" + strconv.Itoa(e.cmd.Process.Pid) + "/fd")
	return len(names)
}

// bestScratch makes the folder of a run. Where a folder lies on the disk
// decides what making a file in it costs: on ext4, in a group without free
// inodes, twenty times as much. Of several the cheapest is taken, so that the
// state of a disk is not measured.
func bestScratch(parent string) (best string, cost time.Duration, err error) {
	for range 8 {
		dir, err := os.MkdirTemp(parent, "holdline-bench-")
		if err != nil {
			return best, cost, fmt.Errorf("making the scratch folder: %w", err)
		}
		c := fileCost(dir)
		if best == "" || c < cost {
			dir, best, cost = best, dir, c
		}
		if dir != "" {
			_ = os.Remove(dir)
		}
	}
	return best, cost, nil
}

// fileCost is the processor time of making one file in dir.
func fileCost(dir string) time.Duration {
	const n = 50
	before := ownTime()
	for i := range n {
		if f, err := os.Create(filepath.Join(dir, strconv.Itoa(i))); err == nil {
			_ = f.Close()
		}
	}
	cost := (ownTime() - before) / n
	for i := range n {
		_ = os.Remove(filepath.Join(dir, strconv.Itoa(i)))
	}
	return cost
}

// ownTime is the processor time of this process.
func ownTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// asked tells whether a part runs: those that take minutes only by name.
func asked(p part, wanted map[string]bool) bool {
	if len(wanted) == 0 {
		return !p.long
	}
	return wanted[p.name]
}
