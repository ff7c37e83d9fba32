package config

// Patterns is how takers are found who leave callers again and again.
type Patterns struct {
	FalseAlarms float64 `yaml:"false_alarms_per_month"` // about honest takers, that the centre bears
}

func defaultPatterns() Patterns { return Patterns{FalseAlarms: 1} }

// The bounds of the knob. Below the first even a blatant pattern takes weeks to
// be found; beyond the second nobody looks at alerts any more.
const (
	fewestFalseAlarms = 0.01
	mostFalseAlarms   = 100
)

func (k *checker) patterns() {
	if n := k.c.Patterns.FalseAlarms; !(n >= fewestFalseAlarms && n <= mostFalseAlarms) {
		k.at("patterns.false_alarms_per_month", "false_alarms_per_month is %v; it must be from %v to %v, like 1 for one a month",
			n, fewestFalseAlarms, mostFalseAlarms)
	}
}
