package config

import (
	"strings"
	"time"
)

// Vigil says how long it is borne that a position stays on the line and is not
// there.
type Vigil struct {
	Held         Patience `yaml:"held"`          // the caller is on hold
	Parked       Patience `yaml:"parked"`        // and the position has another call
	DeadAir      Patience `yaml:"dead_air"`      // its media carries no speech
	NoMedia      Patience `yaml:"no_media"`      // there is none, while the caller's flows
	Vanished     Patience `yaml:"vanished"`      // nobody is at its address any more
	ForeignMedia Patience `yaml:"foreign_media"` // media was moved to an unknown address
}

// Patience is how long one of these is borne.
type Patience struct {
	Alert  Duration `yaml:"alert"`  // then a supervisor is told; 0: nobody is
	Rescue Duration `yaml:"rescue"` // then policy is asked about a rescue; 0: never
}

// Transfer says where positions may transfer callers to.
type Transfer struct {
	Allow []string `yaml:"allow"` // globs on SIP URIs and ids of positions
}

// defaultVigil lets honest takers be: they listen for half a minute, and put
// callers on hold for a minute.
func defaultVigil() Vigil {
	patience := func(alert, rescue time.Duration) Patience { return Patience{Duration(alert), Duration(rescue)} }
	return Vigil{
		Held:         patience(time.Minute, 2*time.Minute),
		Parked:       patience(30*time.Second, time.Minute),
		DeadAir:      patience(30*time.Second, 90*time.Second),
		NoMedia:      patience(10*time.Second, 20*time.Second),
		Vanished:     patience(2*time.Second, 5*time.Second),
		ForeignMedia: patience(10*time.Second, 30*time.Second),
	}
}

func (k *checker) vigil() {
	v := &k.c.Vigil
	for _, p := range []struct {
		key string
		Patience
	}{
		{"held", v.Held},
		{"parked", v.Parked},
		{"dead_air", v.DeadAir},
		{"no_media", v.NoMedia},
		{"vanished", v.Vanished},
		{"foreign_media", v.ForeignMedia},
	} {
		path := "vigil." + p.key
		for key, d := range map[string]Duration{"alert": p.Alert, "rescue": p.Rescue} {
			if d != 0 {
				k.within(path+"."+key, d, time.Second, time.Hour)
			}
		}
		if p.Rescue != 0 && p.Alert > p.Rescue {
			k.at(path+".alert", "%s.alert is %s and its rescue comes after %s already; a supervisor is told first, so alert is the shorter one", path, p.Alert, p.Rescue)
		}
	}
}

func (k *checker) transfer() {
	for i, pattern := range k.c.Transfer.Allow {
		path := index("transfer.allow", i)
		switch {
		case pattern == "":
			k.at(path, "an empty pattern allows nobody; write a glob on a SIP URI or a position's id, like sip:*@10.0.0.* or pos-*")
		case strings.ContainsAny(pattern, "[]\\") && !strings.Contains(pattern, "@["):
			k.at(path, "%s: only * (anything) and ? (one character) are special in a pattern", quote(pattern))
		}
	}
}
