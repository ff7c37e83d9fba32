package node

import (
	"time"

	"holdline/cmd/holdline/config"
	"holdline/policy/pattern"
)

// openPatterns makes the charts of takers' calls, which follow the journal.
func (n *Node) openPatterns(c *config.Config) {
	n.patterns = pattern.New(pattern.Options{
		FalseAlarms: c.Patterns.FalseAlarms, RedialWithin: c.Redials.Within.Std(), Zone: time.Local,
		Proves: func(source string) bool { return n.config.Load().Policy.Rules().Proves(source) },
	})
}
