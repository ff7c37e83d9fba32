// Package config reads Holdline's configuration: a YAML file that is read
// strictly, with every problem reported at once and in its place. The
// annotated sample in configs/holdline.yaml explains every key to those who
// write one; the types here carry the same keys and the defaults.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"holdline/configs"
	"holdline/media"
	"holdline/policy"
)

// Config is a whole configuration. A value returned by Load or Parse is
// complete and has been checked.
type Config struct {
	Node      string     `yaml:"node"` // name of this node in records; empty: the host's name
	Data      string     `yaml:"data"` // folder for the journal and the recordings
	SIP       SIP        `yaml:"sip"`
	Media     Media      `yaml:"media"`
	Positions []Position `yaml:"positions"`
	Routes    []Route    `yaml:"routes"`
	Fallback  []Tier     `yaml:"fallback"`
	Intake    Intake     `yaml:"intake"`
	Vigil     Vigil      `yaml:"vigil"`
	Transfer  Transfer   `yaml:"transfer"`
	Rescue    Rescue     `yaml:"rescue"`
	Redials   Redials    `yaml:"redials"`
	Relay     Relay      `yaml:"relay"`
	Callbacks Callbacks  `yaml:"callbacks"`
	Patterns  Patterns   `yaml:"patterns"`
	Policy    Policy     `yaml:"policy"`
	Recording Recording  `yaml:"recording"`
	Retention Retention  `yaml:"retention"`
	Console   Console    `yaml:"console"`

	Supervisors Supervisors `yaml:"supervisors"`
	Assist      Assist      `yaml:"assist"`

	Alerts Alerts `yaml:"alerts"`

	Log Log `yaml:"log"`

	// Digest is the hex SHA-256 of the file's bytes; it stands in node.started
	// so that a verdict can be traced to the configuration it was made under.
	Digest string `yaml:"-"`
}

// SIP is the signalling edge.
type SIP struct {
	Listen    []Listen  `yaml:"listen"`
	Trust     []Network `yaml:"trust"`      // networks that may send; everything else is dropped
	DeadAfter Duration  `yaml:"dead_after"` // a target that sent nothing at all within it is skipped
	NAT       []Network `yaml:"nat"`        // networks whose peers are answered where they sent from
	Watch     Watch     `yaml:"watch"`
}

// Watch is how positions and fallback targets are asked whether they are there.
type Watch struct {
	Interval Duration `yaml:"interval"` // between two OPTIONS to one target; 0: nobody is asked
	Failures int      `yaml:"failures"` // unanswered ones in a row until a target is dead
}

// Media is where the RTP of calls is anchored.
type Media struct {
	Address Addresses `yaml:"address,one"` // put into SDP: one IPv4, one IPv6 address, or both
	Ports   PortRange `yaml:"ports"`
	NAT     []Network `yaml:"nat"` // networks whose media may come from another address than their SDP says
}

// Position is one call-taking desk.
type Position struct {
	ID    string `yaml:"id"`
	URI   string `yaml:"uri"`
	Calls int    `yaml:"calls"` // calls at a time
	Agent string `yaml:"agent"` // who sits there when nothing else tells; "" when unknown
}

// Route says where calls for a request URI go.
type Route struct {
	Match string   `yaml:"match"` // glob on the request URI
	To    []string `yaml:"to"`    // ids of positions in order, or "{user}"
	Ring  Duration `yaml:"ring"`  // how long each is offered the call
	Kind  string   `yaml:"kind"`  // emergency or admin
}

// Tier is one level of the fallback queue.
type Tier struct {
	To       []string `yaml:"to"`       // SIP URIs or ids of positions
	Strategy string   `yaml:"strategy"` // ring-all, in-order, longest-idle
	Ring     Duration `yaml:"ring"`
}

// Intake is how marks reach the guard other than over HTTP.
type Intake struct {
	Header string            `yaml:"header"` // header on a BYE that carries marks
	Trust  []Network         `yaml:"trust"`  // whose header is believed; nil: those of sip.trust
	DTMF   map[string]string `yaml:"dtmf"`   // code -> field, or field=value

	Keep    Duration `yaml:"keep"` // how long what comes before its call waits for it
	EIDO    EIDO     `yaml:"eido"`
	Logger  Logger   `yaml:"logger"`
	Webhook Webhook  `yaml:"webhook"`
}

// Rescue is what a caller hears and reads, and what the next taker sees.
type Rescue struct {
	Prompt        string `yaml:"prompt"`         // WAV file; "": the prompt in the binary
	Text          string `yaml:"text"`           // words for T.140 callers (RFC 4103)
	DisplayPrefix string `yaml:"display_prefix"` // before the caller's display name at the next taker
}

// Policy is where the rules come from.
type Policy struct {
	File string `yaml:"file"` // "": the built-in policy

	rules *policy.Policy // what File says; nil: the built-in policy
}

// Rules returns the policy: that of the file, checked and compiled when the
// configuration was read, or the built-in one.
func (p Policy) Rules() *policy.Policy {
	if p.rules == nil {
		return policy.Builtin()
	}
	return p.rules
}

// Recording is what is kept of calls beside the journal: their audio, and their
// messages.
type Recording struct {
	Enabled    bool    `yaml:"enabled"`
	Signalling bool    `yaml:"signalling"`
	Encrypt    Encrypt `yaml:"encrypt"`
}

// Console is the HTTP server for people and programs.
type Console struct {
	Listen HostPort `yaml:"listen"`
	WebRTC WebRTC   `yaml:"webrtc"`
	Auth   Auth     `yaml:"auth"`
	TLS    TLS      `yaml:"tls"`
}

// Log is the program's log.
type Log struct {
	Level        string `yaml:"level"`         // debug, info, warn, error
	PersonalData bool   `yaml:"personal_data"` // numbers and names at info level
}

// The defaults of the lists of calls, applied to each entry.
const (
	defaultCalls        = 1
	defaultRouteRing    = Duration(15 * time.Second)
	defaultFallbackRing = Duration(20 * time.Second)
	defaultStrategy     = "ring-all"
	defaultKind         = "emergency"
)

// Default returns the configuration before anything was read: what every key
// means that a file leaves out. Positions, routes and the fallback queue have
// no default, because nobody but the user knows them.
func Default() Config {
	return Config{
		Data: "./data",
		SIP: SIP{
			Listen: []Listen{
				{"udp", netip.MustParseAddrPort("127.0.0.1:5060")},
				{"tcp", netip.MustParseAddrPort("127.0.0.1:5060")},
			},
			Trust:     []Network{{netip.MustParsePrefix("127.0.0.0/8")}},
			DeadAfter: Duration(2 * time.Second),
			Watch:     Watch{Failures: 3},
		},
		Media: Media{
			Address: Addresses{{netip.MustParseAddr("127.0.0.1")}},
			Ports:   PortRange{20000, 29999},
		},
		Intake: Intake{
			Header: "Holdline-Intake",
			DTMF: map[string]string{
				"*11": "location", "*12": "callback", "*13": "nature", "*14": "incident",
				"*21": "disposition=misdial", "*22": "disposition=pocket-dial",
				"*23": "disposition=duplicate", "*29": "disposition=prank",
			},
			Keep:    Duration(10 * time.Minute),
			EIDO:    EIDO{Subscribe: []string{}, Expires: Duration(time.Hour)},
			Logger:  Logger{Keys: []string{}, Positions: map[string]string{}, Rate: 100},
			Webhook: Webhook{Window: Duration(5 * time.Minute)},
		},
		Vigil:    defaultVigil(),
		Transfer: Transfer{Allow: []string{"*"}},
		Rescue: Rescue{
			Text:          media.DefaultPromptText,
			DisplayPrefix: "RESCUED ",
		},
		Redials:   Redials{Within: Duration(10 * time.Minute), DisplayPrefix: "REDIAL "},
		Relay:     defaultRelay(),
		Callbacks: defaultCallbacks(),
		Patterns:  defaultPatterns(),
		Recording: Recording{Enabled: true, Signalling: true},
		Retention: Retention{Ordinary: Period(120 * day), Evidential: Period(730 * day)},
		Console:   Console{Listen: HostPort{netip.MustParseAddrPort("127.0.0.1:8911")}, WebRTC: WebRTC{Enabled: true}, Auth: defaultAuth()},

		Supervisors: defaultSupervisors(),
		Assist:      Assist{DTMF: "*0", Kind: "join", Mode: "whisper"},

		Log: Log{Level: "info"},
	}
}

// Load reads and checks the file at path; "" stands for the configuration in
// the binary, which is configs/holdline.yaml. The error is Problems.
func Load(path string) (*Config, error) {
	if path == "" {
		return Parse("holdline.yaml (built in)", configs.Holdline)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, Problems{{File: path, Message: readProblem(err)}}
	}
	return Parse(path, src)
}

func readProblem(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file; name the configuration with --config FILE"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not read the file; change its permissions or run as its owner"
	default:
		return fmt.Sprintf("the file cannot be read: %v", err)
	}
}

// LoadPolicy reads, checks and compiles the policy file at path; "" stands for
// the built-in policy. The error is Problems.
func LoadPolicy(path string) (*policy.Policy, error) {
	if path == "" {
		return policy.Builtin(), nil
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, Problems{{File: path, Message: fmt.Sprintf("the policy cannot be read: %v", underlying(err))}}
	}
	return policy.Parse(path, src)
}

// Parse reads and checks src, the contents of the file called name. Paths of
// files that the configuration names are made relative to the folder of name.
// The error is Problems and holds everything that is wrong.
func Parse(name string, src []byte) (*Config, error) {
	d := newDecoder(name, src)
	c := Default()
	d.decode(&c)
	if !d.broken {
		c.complete(d)
		check(&c, d)
	}
	if len(d.problems) > 0 {
		return nil, d.problems.Sorted(name)
	}
	sum := sha256.Sum256(src)
	c.Digest = hex.EncodeToString(sum[:])
	return &c, nil
}

// complete fills in what depends on other keys or repeats in lists.
func (c *Config) complete(d *decoder) {
	for i := range c.Positions {
		if p := &c.Positions[i]; !d.given("positions[%d].calls", i) {
			p.Calls = defaultCalls
		}
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		if !d.given("routes[%d].ring", i) {
			r.Ring = defaultRouteRing
		}
		if !d.given("routes[%d].kind", i) {
			r.Kind = defaultKind
		}
	}
	for i := range c.Fallback {
		t := &c.Fallback[i]
		if !d.given("fallback[%d].ring", i) {
			t.Ring = defaultFallbackRing
		}
		if !d.given("fallback[%d].strategy", i) {
			t.Strategy = defaultStrategy
		}
	}
	c.completeSupervisors(d)
	c.completeAlerts(d)
	for _, path := range append(append(c.Intake.paths(), c.Console.paths()...), &c.Policy.File, &c.Rescue.Prompt, &c.Recording.Encrypt.Identity) {
		*path = d.beside(*path)
	}
}

// beside is a path that is relative to the folder of the file.
func (d *decoder) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.file), path)
}
