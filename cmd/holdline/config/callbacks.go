package config

import (
	"strings"
	"time"

	"holdline/policy/ledger"
)

// Callbacks is whether and how Holdline itself calls back who was lost.
type Callbacks struct {
	Within    Duration `yaml:"within"` // until somebody is told that one is owed; 0: nobody is
	Automatic bool     `yaml:"automatic"`
	To        string   `yaml:"to"`       // SIP URI of a number, with {number} or {e164} in it
	From      string   `yaml:"from"`     // SIP URI that the caller sees
	Delay     Duration `yaml:"delay"`    // after the caller was lost
	Pause     Duration `yaml:"pause"`    // between two attempts
	Attempts  int      `yaml:"attempts"` // for one caller
	Ring      Duration `yaml:"ring"`     // how long the caller's phone rings
}

func defaultCallbacks() Callbacks {
	return Callbacks{
		Within: Duration(10 * time.Minute),
		Delay:  Duration(time.Minute), Pause: Duration(5 * time.Minute), Attempts: 3, Ring: Duration(40 * time.Second),
	}
}

// Calling returns the times as the ledger takes them.
func (c Callbacks) Calling() ledger.Calling {
	return ledger.Calling{Delay: c.Delay.Std(), Pause: c.Pause.Std(), Attempts: c.Attempts}
}

// URI is where a number is called: {number} is its digits, {e164} the same with
// + and country code.
func (c Callbacks) URI(number string) string {
	e164 := "+" + number
	if len(number) == 10 { // North American, as the ledger keeps it
		e164 = "+1" + number
	}
	return strings.NewReplacer("{number}", number, "{e164}", e164).Replace(c.To)
}

func (k *checker) callbacks() {
	c := k.c.Callbacks
	k.within("callbacks.within", c.Within, 0, 24*time.Hour)
	k.within("callbacks.delay", c.Delay, 0, 24*time.Hour)
	k.within("callbacks.pause", c.Pause, time.Second, 24*time.Hour)
	k.within("callbacks.ring", c.Ring, time.Second, 5*time.Minute)
	if c.Attempts < 1 || c.Attempts > 20 {
		k.at("callbacks.attempts", "attempts is %d; it must be from 1 to 20", c.Attempts)
	}
	const shape = `write it like "sip:{e164}@10.0.0.1:5060"`
	switch {
	case c.To == "" && c.Automatic:
		k.at("callbacks.automatic", "callbacks need callbacks.to, the URI at which a number is reached; %s", shape)
	case c.To != "" && c.URI("5045550100") == c.To:
		k.at("callbacks.to", "%s has no number in it; %s", quote(c.To), shape)
	case c.To != "":
		k.uri("callbacks.to", c.URI("5045550100"))
	}
	switch {
	case c.From == "" && c.Automatic:
		k.at("callbacks.automatic", `callbacks need callbacks.from, the number that callers see; write it like "sip:5045551000@psap.example"`)
	case c.From != "":
		if _, err := parseURI(c.From); err != nil {
			k.at("callbacks.from", "%v", err)
		}
	}
}
