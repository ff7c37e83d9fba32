package pattern

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// State is what a Bank knows, for people.
type State struct {
	FalseAlarms float64       `json:"falseAlarmsPerMonth"` // what every threshold follows from
	Days        int           `json:"days"`                // of learning so far
	WarmUpDays  int           `json:"warmUpDays"`
	Signals     []SignalState `json:"signals"`
	Agents      []AgentState  `json:"agents"`
}

// SignalState is what is known of a signal at this centre.
type SignalState struct {
	Signal string  `json:"signal"`
	What   string  `json:"what"`
	State  string  `json:"state"` // learning, judging, or unusable
	Why    string  `json:"why,omitempty"`
	Seen   int     `json:"seen"`                // trials so far
	Takers int     `json:"takers"`              // they are of
	Rate   float64 `json:"rate"`                // among honest takers
	Spread float64 `json:"spread"`              // standard deviation between them over the rate
	Alarm  float64 `json:"falseAlarmsPerMonth"` // its share
	Finds  float64 `json:"finds"`               // the bad calls, on top of what is usual, that it is made to find; 0 while it judges nobody
	Within float64 `json:"within"`              // after so many on average
}

// AgentState is what is known of a taker.
type AgentState struct {
	Agent   string       `json:"agent"`
	Signals []ChartState `json:"signals"`
}

// ChartState is one signal of a taker.
type ChartState struct {
	Signal    string    `json:"signal"`
	N         float64   `json:"n"`         // trials, those of thirty days ago counting half
	Hits      float64   `json:"hits"`      // of them
	Rate      float64   `json:"rate"`      // hits by n
	Peers     float64   `json:"peersRate"` // what is usual here
	Value     float64   `json:"value"`     // of the chart
	Threshold float64   `json:"threshold"` // 0 while the signal judges nobody
	Since     time.Time `json:"since,omitzero"`
	Of        int       `json:"of"`            // calls since then
	HitsSince int       `json:"hitsSince"`     // of them
	Calls     []string  `json:"calls"`         // the latest of these
	Shared    bool      `json:"sharedByPeers"` // over the threshold, and so is everybody in these hours
	Alarm     time.Time `json:"alarm,omitzero"`
}

// The states of a signal.
const (
	Learning = "learning"
	Judging  = "judging"
	Unusable = "unusable"
)

// State returns what is known now. It shares nothing with the Bank.
func (b *Bank) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := State{FalseAlarms: b.o.FalseAlarms, Days: b.days, WarmUpDays: b.o.WarmUpDays, Agents: []AgentState{}}
	for _, signal := range Signals() {
		st.Signals = append(st.Signals, b.signalState(signal))
	}
	for _, name := range slices.Sorted(maps.Keys(b.agents)) {
		a := AgentState{Agent: name, Signals: []ChartState{}}
		for _, signal := range Signals() {
			if c := &b.agents[name].charts[signal]; !c.last.IsZero() {
				a.Signals = append(a.Signals, c.state(signal, &b.sites[signal]))
			}
		}
		st.Agents = append(st.Agents, a)
	}
	return st
}

func (b *Bank) signalState(signal Signal) SignalState {
	s, known := &b.sites[signal], facts()[signal]
	st := SignalState{
		Signal: known.name, What: known.of + " that " + known.text, State: Judging,
		Seen: s.seen, Takers: s.takers, Rate: s.mean, Spread: s.spread, Alarm: s.allowed,
	}
	if s.ready {
		st.Finds, st.Within = s.added, math.Round(s.delay)
	}
	switch {
	case s.ready:
	case b.warm(s):
		st.State = Unusable
		st.Why = "so usual at this centre that it says nothing about anybody"
	default:
		st.State = Learning
		st.Why = b.missing(signal)
	}
	return st
}

func (c *chart) state(signal Signal, s *site) ChartState {
	var sum tally
	for k := range c.past {
		sum.plus(c.past[k])
		sum.plus(c.today[k])
	}
	st := ChartState{
		Signal: signal.String(), N: round(sum.n), Hits: round(sum.hits), Peers: s.mean,
		Value: c.value, Threshold: s.threshold, Since: c.since, Of: c.n, HitsSince: c.hits,
		Calls: append([]string{}, c.calls...), Shared: c.like, Alarm: c.alarm,
	}
	if sum.n > 0 {
		st.Rate = sum.hits / sum.n
	}
	return st
}

// missing says what a signal still waits for.
func (b *Bank) missing(signal Signal) string {
	s := &b.sites[signal]
	return fmt.Sprintf("so far %d of %d days, %d of %d %s and %d of %d takers",
		min(b.days, b.o.WarmUpDays), b.o.WarmUpDays, min(s.seen, b.o.WarmUpTrials), b.o.WarmUpTrials, facts()[signal].of,
		min(s.takers, b.o.WarmUpTakers), b.o.WarmUpTakers)
}

func round(v float64) float64 { return math.Round(v*10) / 10 }
