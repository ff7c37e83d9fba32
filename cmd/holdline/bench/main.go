// Command bench measures Holdline beside what would otherwise stand in its
// place, in one run and on the same calls: Kamailio and a minimal B2BUA for
// signalling, rtpengine and a bare relay for media. What is not installed is
// named and left out. See docs/performance.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	dir      string // for configurations, journals and recordings
	program  string // the holdline binary
	profile  string
	profiles int
	factor   float64 // of the lengths of all measurements
	plot     string
	only     string // of the elements, those whose name contains this
	rates    []float64
}

// part is one kind of measurement.
type part struct {
	name, title string
	run         func(*bench) error
	long        bool // runs only when it is asked for
}

func parts() []part {
	return []part{
		{name: "signalling", title: "Processor time of a call", run: (*bench).signalling},
		{name: "rate", title: "Highest rate", run: (*bench).highestRate},
		{name: "memory", title: "Memory of a held call", run: (*bench).memory},
		{name: "media", title: "Media", run: (*bench).media},
		{name: "release", title: "A release", run: (*bench).release},
		{name: "mass", title: "A mass release", run: (*bench).mass},
		{name: "growth", title: "Growth", run: (*bench).growth},
		{name: "peak", title: "New York's design peak", run: (*bench).peak},
		{name: "soak", title: "What is left of many calls", run: (*bench).soak, long: true},
	}
}

func run(args []string) error {
	if len(args) > 0 { // the elements that this program plays itself
		switch args[0] {
		case "b2bua":
			return runB2BUA()
		case "relay":
			return runRelay(args[1:])
		case "node":
			if len(args) == 3 {
				return runNode(args[1], args[2])
			}
		}
	}
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	b := &bench{}
	scratch := flags.String("dir", "", "where journals and recordings are written during the run; the temporary folder when left out")
	flags.Float64Var(&b.factor, "length", 1, "factor on the length of every measurement")
	flags.StringVar(&b.profile, "profile", "", "write CPU profiles of Holdline to FILE.1, FILE.2 ... and heap profiles beside them")
	flags.StringVar(&b.plot, "plot", "", "write the plot of growth to this SVG file")
	flags.StringVar(&b.only, "only", "", "measure only elements whose name contains this")
	rates := flags.String("rates", "100,500,1000", "calls a second of the part signalling")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: bench [flags] [part...]\nparts: %s\n", strings.Join(names, ", "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if err := b.setRates(*rates); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, a := range flags.Args() {
		if !slices.Contains(names, a) {
			return fmt.Errorf("there is no part %q; there are: %s", a, strings.Join(names, ", "))
		}
		wanted[a] = true
	}
	var err error
	var fileCost time.Duration
	if b.dir, fileCost, err = bestScratch(*scratch); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if b.profile != "" {
		if b.profile, err = filepath.Abs(b.profile); err != nil {
			return err
		}
	}
	raiseLimits()
	if err := b.build(); err != nil {
		return err
	}
	fmt.Printf("%s, making a file takes %d us\n", machine(), fileCost.Microseconds())
	for _, p := range parts() {
		if !asked(p, wanted) {
			continue
		}
		began := time.Now()
		fmt.Printf("\n## %s\n\n", p.title)
		busy := watchMachine()
		if err := p.run(b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Printf("\n(%s took %.0f s; %s)\n", p.name, time.Since(began).Seconds(), busy())
	}
	return nil
}

// setRates reads a list of rates.
func (b *bench) setRates(list string) error {
	for text := range strings.SplitSeq(list, ",") {
		rate, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || rate <= 0 {
			return fmt.Errorf("-rates %q: %q is no number of calls a second; write for example 100,500", list, text)
		}
		b.rates = append(b.rates, rate)
	}
	return nil
}

// build makes the binary that is measured.
func (b *bench) build() error {
	b.program = filepath.Join(b.dir, "holdline")
	cmd := exec.Command("go", "build", "-trimpath", "-o", b.program, "holdline/cmd/holdline") //nolint:noctx // as long as it takes
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building holdline: %w\n%s", err, out)
	}
	return nil
}

// raiseLimits lets this process and the elements open as many files as may be:
// each media port is one.
func raiseLimits() {
	for _, n := range []uint64{200_000, 65_536} {
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}) == nil {
			return
		}
	}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		lim.Cur = lim.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &lim) // what cannot be raised shows as ports that are missing
	}
}

// heldAim is how many calls are held at most.
const heldAim = 5000

// mostHeld is how many calls may be held: each has four media ports, for which
// a node takes three quarters of the files that it may open. Some are left for
// the calls that come and go meanwhile.
func mostHeld() int {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil || lim.Cur >= 16*heldAim {
		return heldAim
	}
	return min(heldAim, int(lim.Cur)/4*3/4-250)
}

// seconds is the length of a measurement.
func (b *bench) seconds(n float64) time.Duration {
	return time.Duration(n * b.factor * float64(time.Second))
}
