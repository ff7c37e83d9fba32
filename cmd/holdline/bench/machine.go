package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes where a run took place: figures of different machines
// cannot be compared.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return fmt.Sprintf("machine: %s, %d processors, Linux %s, %s, load before the run %s",
		model(), runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]), runtime.Version(), loadAverage())
}

func model() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	f := strings.Fields(string(b))
	return f[0]
}

// watchMachine tells, when the returned function is called, how many
// processors were used meanwhile by processes that have no part in the bench:
// with much of that, figures say little.
func watchMachine() func() string {
	busy, ours := machineTime(), ourTime()
	began := time.Now()
	return func() string {
		others := machineTime() - busy - (ourTime() - ours)
		return fmt.Sprintf("other work on the machine: %.2f of %d processors", max(0, others.Seconds()/time.Since(began).Seconds()), runtime.NumCPU())
	}
}

// machineTime is the time that all processors were busy since the start.
func machineTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var sum int64
	for i, f := range strings.Fields(line)[1:] {
		if i != 3 && i != 4 && i < 8 { // not idle, not waiting for a disk; guests are counted as user
			n, _ := strconv.ParseInt(f, 10, 64)
			sum += n
		}
	}
	return time.Duration(sum) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// ourTime is the time of this process and of the elements that have ended.
func ourTime() (sum time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if unix.Getrusage(who, &r) == nil {
			sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
	}
	return sum
}
