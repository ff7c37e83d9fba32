package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Supervisors is who may join calls from a phone, and how.
type Supervisors struct {
	Phones []SupervisorPhone `yaml:"phones"`
	Ring   Duration          `yaml:"ring"` // how long a supervisor's phone rings
	Dial   SupervisorDial    `yaml:"dial"`
	Keys   map[string]string `yaml:"keys"` // DTMF code -> listen, whisper, barge or take-over
}

// SupervisorPhone is a phone that may dial into calls, and rings for an assist.
type SupervisorPhone struct {
	ID       string    `yaml:"id"`
	URI      string    `yaml:"uri"`
	Networks []Network `yaml:"networks"` // where its calls come from; left out: the address in its uri
}

// SupervisorDial is what a number begins with that joins a call.
type SupervisorDial struct {
	Listen  string `yaml:"listen"`
	Whisper string `yaml:"whisper"`
	Barge   string `yaml:"barge"`
}

// Assist is how a call taker asks for help without giving up the caller.
type Assist struct {
	DTMF string `yaml:"dtmf"` // code of the taker; "": none
	Kind string `yaml:"kind"` // of the code: join or handover
	Mode string `yaml:"mode"` // of a supervisor who answers: listen, whisper or barge
}

// WebRTC is how supervisors join with the browser.
type WebRTC struct {
	Enabled bool     `yaml:"enabled"`
	Listen  HostPort `yaml:"listen"` // UDP; zero: console.listen's address, any port
}

// Given tells whether an address was configured.
func (w WebRTC) Given() bool { return w.Listen.IsValid() }

// At is where browsers send to, for a console that listens at console.
func (w WebRTC) At(console netip.AddrPort) netip.AddrPort {
	if w.Given() {
		return w.Listen.AddrPort
	}
	return netip.AddrPortFrom(console.Addr(), 0)
}

func defaultSupervisors() Supervisors {
	return Supervisors{
		Ring: Duration(30 * time.Second),
		Dial: SupervisorDial{Listen: "listen*", Whisper: "whisper*", Barge: "barge*"},
		Keys: map[string]string{"*1": "listen", "*2": "whisper", "*3": "barge", "*4": "take-over"},
	}
}

func supervisorModes() []string { return []string{"listen", "whisper", "barge"} }

// completeSupervisors fills in the networks of phones, and leaves the usual
// code for an assist out where a code for intake is in its way.
func (c *Config) completeSupervisors(d *decoder) {
	for i := range c.Supervisors.Phones {
		p := &c.Supervisors.Phones[i]
		if u, err := parseURI(p.URI); err == nil && p.Networks == nil {
			if a, err := netip.ParseAddr(u.host); err == nil {
				p.Networks = []Network{{netip.PrefixFrom(a, a.BitLen())}}
			}
		}
	}
	if d.given("assist.dtmf") {
		return
	}
	inTheWay := len(c.Intake.DTMF) == 0 // {}: nothing of what positions dial is withheld
	for code := range c.Intake.DTMF {
		inTheWay = inTheWay || hides(code, c.Assist.DTMF)
	}
	if inTheWay {
		c.Assist.DTMF = ""
	}
}

// hides tells whether one of two codes can never be dialled because of the other.
func hides(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

func (k *checker) supervisors() {
	s := k.c.Supervisors
	var ids []string
	for i, p := range s.Phones {
		path := index("supervisors.phones", i)
		switch {
		case p.ID == "" || strings.ContainsAny(p.ID, " \t:@\"<>"):
			k.at(path+".id", "supervisor %d needs an id without spaces or any of : @ \" < >; records and alerts name the supervisor by it", i+1)
		case slices.Contains(ids, p.ID) || slices.Contains(k.positions, p.ID):
			k.at(path+".id", "the id %s is taken; ids of supervisors and positions are unique", quote(p.ID))
		}
		ids = append(ids, p.ID)
		k.supervisorPhone(path, p)
	}
	k.within("supervisors.ring", s.Ring, time.Second, 5*time.Minute)
	prefixes := map[string]string{"listen": s.Dial.Listen, "whisper": s.Dial.Whisper, "barge": s.Dial.Barge}
	for i, mode := range supervisorModes() {
		for _, other := range supervisorModes()[:i] {
			if prefixes[mode] != "" && prefixes[other] != "" && hides(prefixes[mode], prefixes[other]) {
				k.at("supervisors.dial."+mode, "%s and %s (%s) begin alike, so that one of them can never be dialled", quote(prefixes[mode]), quote(prefixes[other]), other)
			}
		}
		if strings.ContainsAny(prefixes[mode], " @:;?\"<>") {
			k.at("supervisors.dial."+mode, "%s cannot be the beginning of a SIP user; use letters, digits and *", quote(prefixes[mode]))
		}
	}
	k.supervisorKeys(s.Keys)
}

func (k *checker) supervisorPhone(path string, p SupervisorPhone) {
	if p.URI == "" {
		k.at(path+".uri", "supervisor %s has no uri; write where the phone is, like sip:chief@10.0.0.20:5060", quote(p.ID))
		return
	}
	k.uri(path+".uri", p.URI)
	u, err := parseURI(p.URI)
	switch {
	case err != nil:
	case u.user == "":
		k.at(path+".uri", "%s has no user part; a supervisor who dials in is known by it", quote(p.URI))
	case len(p.Networks) == 0:
		k.at(path+".networks", "the phone of supervisor %s is at the name %s; name the networks that its calls come from in networks", quote(p.ID), quote(u.host))
	}
}

func (k *checker) supervisorKeys(keys map[string]string) {
	codes := make([]string, 0, len(keys))
	for code := range keys {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	what := append(supervisorModes(), "take-over")
	for i, code := range codes {
		path := "supervisors.keys." + code
		if !dtmfCode.MatchString(code) {
			k.at(path, "%s is not a DTMF code; use 2 to 8 of the digits, * and #, like *1", quote(code))
		}
		if !slices.Contains(what, keys[code]) {
			k.at(path, "%s is nothing that a supervisor can dial%s", quote(keys[code]), didYouMean(keys[code], what))
		}
		for _, shorter := range codes[:i] {
			if strings.HasPrefix(code, shorter) {
				k.at(path, "%s can never be dialled, because %s is complete before it; change one of them", code, shorter)
			}
		}
	}
}

func (k *checker) assist() {
	a := k.c.Assist
	if a.DTMF != "" && !dtmfCode.MatchString(a.DTMF) {
		k.at("assist.dtmf", "%s is not a DTMF code; use 2 to 8 of the digits, * and #, like *0", quote(a.DTMF))
	}
	var codes []string
	for code := range k.c.Intake.DTMF {
		if a.DTMF != "" && hides(code, a.DTMF) {
			codes = append(codes, code)
		}
	}
	if slices.Sort(codes); len(codes) > 0 {
		k.at("assist.dtmf", "%s and the intake code %s begin alike, so that one of them can never be dialled; change one of them", a.DTMF, codes[0])
	}
	if kinds := []string{"join", "handover"}; !slices.Contains(kinds, a.Kind) {
		k.at("assist.kind", "unknown kind %s%s", quote(a.Kind), didYouMean(a.Kind, kinds))
	}
	if !slices.Contains(supervisorModes(), a.Mode) {
		k.at("assist.mode", "unknown mode %s%s", quote(a.Mode), didYouMean(a.Mode, supervisorModes()))
	}
}

func (k *checker) webrtc() {
	w := k.c.Console.WebRTC
	if !w.Given() {
		return
	}
	m := k.c.Media.Ports
	if p := w.Listen.Port(); p >= m.Low && p <= m.High && !k.refused("media.ports") {
		k.at("console.webrtc.listen", "port %d is also in media.ports (%s); move one of them", p, m)
	}
	for _, l := range k.c.SIP.Listen {
		if l.Network == "udp" && overlap(w.Listen.AddrPort, l.Addr) {
			k.at("console.webrtc.listen", "%s is also in sip.listen (%s); give browsers a port of their own", w.Listen, l)
		}
	}
}
