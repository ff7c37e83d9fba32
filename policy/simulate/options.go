// Package simulate runs an emergency communications centre that never was:
// takers with differing honest habits, callers of every kind, and one who
// leaves callers. Every release is judged by the real policy, and every event
// goes through the real detectors of package pattern. The same options and seed
// give the same run.
package simulate

import (
	"errors"
	"fmt"

	"holdline/policy"
)

// Options describe the centre. Rates are shares: 0.3 is 30 of 100.
type Options struct {
	Takers      int            `json:"takers"`      // on the roster; each works one shift of eight hours on five days of seven
	Calls       int            `json:"calls"`       // a taker takes in a shift, on average
	Spread      float64        `json:"spread"`      // how honest takers differ: standard deviation over mean of each habit
	Pocket      float64        `json:"pocket"`      // calls that are pocket dials, on average of hours and days
	Misdial     float64        `json:"misdial"`     // misdials, pranks and duplicates together
	Redial      float64        `json:"redial"`      // callers without an emergency who dial again within minutes, all the same
	Forget      float64        `json:"forget"`      // honest: leaves a pocket dial or misdial without the short code
	Early       float64        `json:"early"`       // honest: hangs up before entering what was heard
	Misjudge    float64        `json:"misjudge"`    // honest: takes a caller in need for a pocket dial
	Decline     float64        `json:"decline"`     // honest: declines or lets ring
	FalseAlarms float64        `json:"falseAlarms"` // a month and centre: the knob
	BadRate     float64        `json:"badRate"`     // of the wrongdoer's calls
	Days        int            `json:"days"`        // of the honest centre, after learning
	Learn       int            `json:"learn"`       // days before anything is measured
	Runs        int            `json:"runs"`        // wrongdoers, one after the other, for each pattern
	Seed        uint64         `json:"seed"`
	Policy      *policy.Policy `json:"-"`
}

// Default is the centre of docs/patterns.md.
func Default() Options {
	return Options{
		Takers: 100, Calls: 100, Spread: 0.6, Pocket: 0.3, Misdial: 0.08, Redial: 0.08, Forget: 0.05, Early: 0.003,
		Misjudge: 0.001, Decline: 0.015, FalseAlarms: 1, BadRate: 0.08, Days: 90, Learn: 14, Runs: 100, Seed: 1,
	}
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	var errs []error
	whole := func(name string, v, least, most int) {
		if v < least || v > most {
			errs = append(errs, fmt.Errorf("--%s is %d; it can be %d to %d", name, v, least, most))
		}
	}
	rate := func(name string, v, most float64) {
		if !(v >= 0 && v <= most) {
			errs = append(errs, fmt.Errorf("--%s is %v; it is a share from 0 to %v, like 0.08 for 8 in 100", name, v, most))
		}
	}
	whole("takers", o.Takers, 6, 2000)
	whole("calls", o.Calls, 5, 1000)
	whole("days", o.Days, 1, 3650)
	whole("learn", o.Learn, 3, 365)
	whole("runs", o.Runs, 1, 10000)
	rate("pocket-dials", o.Pocket, 0.6)
	rate("misdials", o.Misdial, 0.3)
	rate("redials", o.Redial, 0.9)
	rate("forget", o.Forget, 0.3)
	rate("early", o.Early, 0.1)
	rate("misjudge", o.Misjudge, 0.1)
	rate("decline", o.Decline, 0.2)
	rate("bad-rate", o.BadRate, 1)
	if !(o.Spread >= 0 && o.Spread <= 1.5) {
		errs = append(errs, fmt.Errorf("--spread is %v; it can be 0 (all alike) to 1.5", o.Spread))
	}
	if !(o.FalseAlarms > 0 && o.FalseAlarms <= 1000) {
		errs = append(errs, fmt.Errorf("--false-alarms is %v; it must be more than 0, like 1 a month", o.FalseAlarms))
	}
	if o.BadRate == 0 {
		errs = append(errs, errors.New("--bad-rate is 0; a wrongdoer has to do some wrong"))
	}
	return errors.Join(errs...)
}

// Pattern is what a wrongdoer does with the calls that go bad.
type Pattern string

// The patterns. What is known of the real cases is in docs/patterns.md.
const (
	NewOrleans Pattern = "new-orleans"   // leaves within a minute, with nothing established
	Houston    Pattern = "houston"       // hangs up within 20 s
	Coded      Pattern = "houston-coded" // the same, with the short code for a misdial first, so that policy lets go
)

// Patterns lists them.
func Patterns() []Pattern { return []Pattern{NewOrleans, Houston, Coded} }
