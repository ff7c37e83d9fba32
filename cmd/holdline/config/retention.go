package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Retention says how long what is kept of calls stays.
type Retention struct {
	Ordinary   Period `yaml:"ordinary"`
	Evidential Period `yaml:"evidential"`
	Records    Period `yaml:"records"`
}

const day = 24 * time.Hour

// Period is a time span of days, such as "120d"; 0d is for ever.
type Period time.Duration

// UnmarshalText reads a number of days, or a duration.
func (p *Period) UnmarshalText(text []byte) error {
	s := string(text)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%s is not a number of days; write it like 120d, or 0d for ever", quote(s))
		}
		*p = Period(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%s is not a period; write it like 120d, or 0d for ever", quote(s))
	}
	*p = Period(d)
	return nil
}

// String returns the period as it is written in a file.
func (p Period) String() string {
	if d := time.Duration(p); d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return Duration(p).String()
}

// Std returns the period as the standard library's type.
func (p Period) Std() time.Duration { return time.Duration(p) }
