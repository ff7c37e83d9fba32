package config

import (
	"time"

	"holdline/policy/ledger"
)

// Redials is what happens when a caller calls again soon.
type Redials struct {
	Within        Duration `yaml:"within"`         // of the end of the earlier call; 0: every call is a first one
	DisplayPrefix string   `yaml:"display_prefix"` // before the name of a caller who was dropped
}

// Relay is when a call that was taken counts as not passed on.
type Relay struct {
	Within   Duration `yaml:"within"`   // from complete intake to the dispatch mark; 0: nobody looks
	Talk     Duration `yaml:"talk"`     // a call answered for so long must have an incident; 0: none must
	Incident bool     `yaml:"incident"` // an incident counts as passed on
	Alerts   int      `yaml:"alerts"`   // how often a call is brought up, Within apart
}

func defaultRelay() Relay {
	return Relay{Within: Duration(3 * time.Minute), Talk: Duration(30 * time.Second), Alerts: 3}
}

// Limits returns the limits as the ledger takes them.
func (r Relay) Limits() ledger.Relay {
	return ledger.Relay{Within: r.Within.Std(), Talk: r.Talk.Std(), Incident: r.Incident, Alerts: r.Alerts}
}

func (k *checker) relay() {
	r := k.c.Relay
	if k.c.Redials.Within != 0 {
		k.within("redials.within", k.c.Redials.Within, time.Second, time.Hour)
	}
	if r.Within != 0 {
		k.within("relay.within", r.Within, time.Second, 24*time.Hour)
	}
	if r.Talk != 0 {
		k.within("relay.talk", r.Talk, time.Second, 24*time.Hour)
	}
	if r.Alerts < 1 || r.Alerts > 100 {
		k.at("relay.alerts", "alerts is %d; it must be from 1 to 100 (relay.within: 0s switches them off)", r.Alerts)
	}
}
