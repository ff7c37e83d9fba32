package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"

	"holdline/policy/simulate"
)

// policySimulateCmd tries the policy and the detectors on a centre that never
// was.
type policySimulateCmd struct {
	Policy      string   `placeholder:"FILE" help:"The policy to judge by; left out, the built-in one."`
	Pattern     []string `placeholder:"NAME" help:"What the wrongdoer does: new-orleans, houston, houston-coded; left out, all of them."`
	BadRate     float64  `default:"0.08" placeholder:"SHARE" help:"The share of the wrongdoer's calls that go bad (${default})."`
	Takers      int      `default:"100" placeholder:"N" help:"Takers on the roster (${default})."`
	Calls       int      `default:"100" placeholder:"N" help:"Calls a taker takes in a shift (${default})."`
	Spread      float64  `default:"0.6" placeholder:"X" help:"How honest takers differ in each habit: standard deviation over mean (${default})."`
	PocketDials float64  `default:"0.3" placeholder:"SHARE" help:"Calls that are pocket dials (${default})."`
	Misdials    float64  `default:"0.08" placeholder:"SHARE" help:"Calls that are misdials, pranks or duplicates (${default})."`
	Redials     float64  `default:"0.08" placeholder:"SHARE" help:"Callers without an emergency who dial again within minutes (${default})."`
	Forget      float64  `default:"0.05" placeholder:"SHARE" help:"Pocket dials and misdials that an honest taker leaves without the short code (${default})."`
	Early       float64  `default:"0.003" placeholder:"SHARE" help:"Calls that an honest taker leaves before entering what was heard (${default})."`
	Misjudge    float64  `default:"0.001" placeholder:"SHARE" help:"Callers in need whom an honest taker takes for a pocket dial (${default})."`
	Decline     float64  `default:"0.015" placeholder:"SHARE" help:"Offers that an honest taker declines or lets ring (${default})."`
	FalseAlarms float64  `default:"1" placeholder:"N" help:"The knob: false alarms a month that the centre bears (${default})."`
	Days        int      `default:"90" placeholder:"N" help:"Days of the honest centre, to count false alarms (${default})."`
	Learn       int      `default:"14" placeholder:"N" help:"Days of learning before that (${default})."`
	Runs        int      `default:"100" placeholder:"N" help:"Wrongdoers of each pattern (${default})."`
	Seed        uint64   `default:"1" placeholder:"N" help:"The same seed is the same centre (${default})."`
	JSON        bool     `help:"Print JSON."`
}

// simulated is what a simulation showed.
type simulated struct {
	Options  simulate.Options  `json:"options"`
	Policy   string            `json:"policy"` // digest
	Honest   simulate.Quiet    `json:"honest"`
	Patterns []simulate.Caught `json:"patterns"`
}

// Run implements the command.
func (c policySimulateCmd) Run(a app) error {
	rules, err := loadPolicy(c.Policy)
	if err != nil {
		return err
	}
	o := simulate.Options{
		Takers: c.Takers, Calls: c.Calls, Spread: c.Spread, Pocket: c.PocketDials, Misdial: c.Misdials, Redial: c.Redials,
		Forget: c.Forget, Early: c.Early, Misjudge: c.Misjudge, Decline: c.Decline, FalseAlarms: c.FalseAlarms,
		BadRate: c.BadRate, Days: c.Days, Learn: c.Learn, Runs: c.Runs, Seed: c.Seed, Policy: rules,
	}
	if err := o.Check(); err != nil {
		return err
	}
	patterns, err := patternsNamed(c.Pattern)
	if err != nil {
		return err
	}
	s := simulated{Options: o, Policy: rules.Digest(), Patterns: make([]simulate.Caught, len(patterns))}
	var wait sync.WaitGroup
	wait.Go(func() { s.Honest = simulate.Honest(o) })
	for i, p := range patterns {
		wait.Go(func() { s.Patterns[i] = simulate.Wrong(o, p) })
	}
	wait.Wait()
	for i := range s.Patterns {
		s.Patterns[i].Counters = simulate.Counted(o, patterns[i], s.Honest)
	}
	if c.JSON {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	return s.print(a.out, rules.Name())
}

func patternsNamed(names []string) ([]simulate.Pattern, error) {
	if len(names) == 0 {
		return simulate.Patterns(), nil
	}
	var out []simulate.Pattern
	for _, name := range names {
		p := simulate.Pattern(name)
		if !slices.Contains(simulate.Patterns(), p) {
			return nil, fmt.Errorf("--pattern: there is no pattern %q; there are %s", name, patternNames())
		}
		out = append(out, p)
	}
	return out, nil
}

func patternNames() string {
	var names []string
	for _, p := range simulate.Patterns() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// print writes the result for people.
func (s *simulated) print(out io.Writer, policyName string) error {
	o := s.Options
	fmt.Fprintf(out, "A centre of %d takers, %d calls a shift, that bears %g false alarm(s) a month; seed %d.\nPolicy %s, digest %.12s.\n",
		o.Takers, o.Calls, o.FalseAlarms, o.Seed, policyName, s.Policy)
	fmt.Fprintf(out, `
Assumed, and not measured anywhere: %s of the calls are pocket dials, %s misdials and
the like; honest takers forget the short code on %s of these, hang up before the
entry on %s of the others, take %s of callers in need for a pocket dial, and differ
by %s of each. Of the wrongdoer's calls %s go bad, %s of these from callers in need.

`, percent(o.Pocket), percent(o.Misdial), percent(o.Forget), percent(o.Early), percent(o.Misjudge), percent(o.Spread),
		percent(o.BadRate), percent(simulate.BadIsNeed))
	h := s.Honest
	fmt.Fprintf(out, "Nobody doing wrong: %.1f false alarms a month in %d days and %d calls%s.\n\n",
		h.PerMonth, h.Days, h.Calls, signals(h.Signals))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "somebody doing wrong\tcalls until the alarm\t\twithin\tbad calls\tfirst bad call")
	fmt.Fprintln(w, "\tmedian\t90 in 100\ta shift\tuntil then\tkept by policy")
	for _, c := range s.Patterns {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Pattern, calls(c.Calls.Median), calls(c.Calls.P90), percent(c.InShift),
			calls(c.Bad.Median), firstKept(&c))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "simpler counters, with what is usual known beforehand\tcalls until the alarm")
	fmt.Fprintln(w, "\tmedian\t90 in 100\tnot found in "+strconv.Itoa(simulate.MaxCounterShifts)+" shifts")
	for i, name := range simulate.Counters() {
		for _, c := range s.Patterns {
			q := c.Counters[i]
			fmt.Fprintf(w, "%s: %s\t%s\t%s\t%d of %d\n", c.Pattern, name, calls(q.Median), calls(q.P90), q.Never, c.Runs)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nBy signal: %s\n", s.bySignal())
	return err
}

// firstKept says which of the wrongdoer's bad calls was the first whose caller
// policy kept.
func firstKept(c *simulate.Caught) string {
	if c.Kept.Never == c.Runs {
		return "none: it looks like a legitimate ending"
	}
	return calls(c.Kept.Median)
}

func (s *simulated) bySignal() string {
	var words []string
	for _, c := range s.Patterns {
		for _, name := range slices.Sorted(maps.Keys(c.Signals)) {
			words = append(words, fmt.Sprintf("%s %s %d", c.Pattern, name, c.Signals[name]))
		}
	}
	return strings.Join(words, ", ")
}

func signals(by map[string]int) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		words = append(words, fmt.Sprintf("%s %d", name, by[name]))
	}
	if words == nil {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

func calls(n float64) string {
	if n < 0 {
		return "never"
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

func percent(share float64) string {
	return strconv.FormatFloat(share*100, 'g', 3, 64) + " %"
}
