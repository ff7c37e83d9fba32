// Package node puts the rooms of Holdline together: journal, recordings, media,
// guard and console, started in this order and stopped in the reverse one. It
// decides nothing about calls.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"holdline/cmd/holdline/config"
	"holdline/console"
	"holdline/console/history"
	"holdline/console/sources"
	"holdline/media"
	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/policy/pattern"
	"holdline/recorder"
	"holdline/recorder/capture"
	"holdline/recorder/evidence"
	"holdline/sip"
)

// Options is everything a Node is made of.
type Options struct {
	Config  *config.Config
	Version string
	Log     *zap.Logger      // nil: silent
	Level   *zap.AtomicLevel // follows log.level at a reload; nil: nothing does
	Heap    *Heap            // nil: the runtime is left as it is
}

// Node is one running Holdline. Its methods may be called from any goroutine.
type Node struct {
	version string
	name    string
	log     *zap.Logger
	level   *zap.AtomicLevel
	heap    *Heap
	config  atomic.Pointer[config.Config]

	journal  *recorder.Journal
	notes    atomic.Pointer[recorder.Journal] // the same, for callbacks that may come before it is set
	audio    *recorder.Audio                  // nil when nothing is recorded
	capture  *capture.Log                     // nil when messages are not kept
	history  *history.Index                   // nil when it cannot be opened
	engine   *media.Engine
	guard    *sip.Guard
	ledger   *ledger.Ledger
	patterns *pattern.Bank
	seating  *console.Seating
	surge    *console.Surge
	past     *console.Past

	follower    *follower
	dialer      *dialer
	console     *console.Console
	certificate certificate
	intake      *sources.Intake

	troubles         troubles
	reload           sync.Mutex // one reload at a time
	reloads, refused atomic.Uint64
	started          atomic.Bool
	left             atomic.Int64 // calls in progress when Stop was called
	stops            stops
}

// Start opens everything and begins to take calls. When something the node
// cannot do without is missing, what was opened is closed again and the error
// says what it was.
func Start(o Options) (*Node, error) {
	n := &Node{version: o.Version, name: o.Config.Node, log: o.Log, level: o.Level, heap: o.Heap}
	if n.log == nil {
		n.log = zap.NewNop()
	}
	if n.name == "" {
		n.name = hostName()
	}
	n.stops.log = n.log
	n.troubles.keep = troubleMemory
	n.config.Store(o.Config)
	n.setLevel(o.Config.Log.Level)
	for _, step := range []func(*config.Config) error{
		n.openJournal, n.openLedger, n.openAudio, n.openHistory, n.openWire, n.openRetention, n.openMedia, n.openGuard, n.openIntake, n.openConsole, n.start,
	} {
		if err := step(o.Config); err != nil {
			ctx, cancel := context.WithTimeout(context.Background(), stopWait)
			defer cancel()
			return nil, errors.Join(err, n.Stop(ctx))
		}
	}
	return n, nil
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "holdline"
	}
	return name
}

func (n *Node) setLevel(level string) {
	if l, err := zapcore.ParseLevel(level); err == nil && n.level != nil {
		n.level.SetLevel(l)
	}
}

// openJournal opens the journal. A disk that does not work makes it a degraded
// one and not an error: calls come first.
func (n *Node) openJournal(c *config.Config) error {
	if err := os.MkdirAll(c.Data, 0o750); err != nil {
		n.log.Error("data folder cannot be made", zap.Error(err)) // the journal tries again and says so
	}
	j, err := recorder.OpenJournal(recorder.JournalOptions{
		Dir: c.Data, Node: n.name, Log: n.log.Named("journal"),
		OnDegraded: n.failing("journal"), OnRecovered: n.works("journal"),
	})
	if err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	n.journal = j
	n.notes.Store(j)
	if h := j.Health(); h.Degraded {
		n.failing("journal")(h.Reason) // nobody could note it while the journal was being opened
	}
	n.stops.push("journal", func(context.Context) error { return j.Close() })
	// Stopped after all that notes something, so that node.stopped comes after
	// the recordings that the stop closes.
	n.stops.push("last record", func(context.Context) error { n.recordStop(); return nil })
	return nil
}

// openAudio opens the recordings. A node whose recordings cannot be opened goes
// on without them and says so.
func (n *Node) openAudio(c *config.Config) error {
	if !c.Recording.Enabled {
		return nil
	}
	a, repaired, err := recorder.OpenAudio(recorder.AudioOptions{
		Dir: filepath.Join(c.Data, "recordings"), Log: n.log.Named("audio"),
		Recipients: c.Recording.Encrypt.For(), Identities: c.Recording.Encrypt.Identities(),
		OnDegraded: n.failing("recordings"), OnRecovered: n.works("recordings"),
	})
	if err != nil {
		n.degraded("recordings", "calls are not recorded: "+err.Error())
		return nil //nolint:nilerr // a call without a recording is better than no call
	}
	for _, r := range repaired {
		n.log.Warn("recording left by a crash was repaired", zap.String("path", r.Path))
		n.record("recording.closed", r.Call, repairedData{r.Path, r.SHA256, r.Duration.Milliseconds(), r.Extra, true})
	}
	n.audio = a
	n.stops.push("recordings", func(context.Context) error { return a.Close() })
	return nil
}

// builtinRules are the rules that come with Holdline, if the digest is theirs.
func builtinRules(digest string) []byte {
	if p := policy.Builtin(); p.Digest() == digest {
		return p.Source()
	}
	return nil
}

// repairedData is recording.closed for a recording that a crash left open.
type repairedData struct {
	Path       string   `json:"path"`
	SHA256     string   `json:"sha256"`
	DurationMS int64    `json:"durationMs"`
	Extra      []string `json:"extra,omitempty"` // files with packets that are not G.711
	Repaired   bool     `json:"repaired"`
}

// openWire opens the log of calls' messages.
func (n *Node) openWire(c *config.Config) error {
	if !c.Recording.Signalling {
		return nil
	}
	n.capture = capture.New(capture.Options{
		Dir: filepath.Join(c.Data, "signalling"), Log: n.log.Named("wire"),
		Failing: n.failing("signalling"), Works: n.works("signalling"),
	})
	n.stops.push("signalling", func(context.Context) error { return n.capture.Close() })
	return nil
}

func (n *Node) openMedia(c *config.Config) error {
	o := media.Options{
		PortLo: c.Media.Ports.Low, PortHi: c.Media.Ports.High, NAT: config.Prefixes(c.Media.NAT),
		PromptText: c.Rescue.Text, Log: n.log.Named("media"),
	}
	for _, a := range c.Media.Address {
		o.Addresses = append(o.Addresses, a.Addr)
	}
	if c.Rescue.Prompt != "" {
		p, err := media.LoadPrompt(c.Rescue.Prompt)
		if err != nil {
			return fmt.Errorf("rescue.prompt: %w", err)
		}
		o.Prompt = p
	}
	if n.audio != nil {
		o.NewTap = func() media.Tap { return n.audio.NewTap() }
	}
	e, err := media.New(o)
	if err != nil {
		return fmt.Errorf("starting the media engine: %w", err)
	}
	n.engine = e
	n.stops.push("media", func(context.Context) error { return e.Close() })
	return nil
}

func (n *Node) openGuard(c *config.Config) error {
	o := sip.Options{
		Node: n.name, Version: n.version, Media: n.engine, Journal: n.journal, Log: n.log.Named("sip"),
		Degraded: func(reason string) { n.degraded("calls", reason) },
		Rescued:  func(waited time.Duration) { n.console.Rescued(waited) },
		AgentAt:  n.seating.AgentAt, Earlier: n.earlier, Surge: n.surge.On,
		Began: n.began, Over: n.over,
		Settings: settings(c),
	}
	if n.audio != nil { // a nil *recorder.Audio would not be a nil interface
		o.Audio = n.audio
	}
	if n.capture != nil {
		o.Wire = n.capture
	}
	for _, l := range c.SIP.Listen {
		o.Listen = append(o.Listen, l.String())
	}
	g, err := sip.New(o)
	if err != nil {
		return fmt.Errorf("building the guard: %w", err)
	}
	n.guard = g
	n.stops.push("guard", func(context.Context) error { return g.Stop() })
	return nil
}

// evidenceWait is how long evidence waits for records that are on their way into
// the database.
const evidenceWait = 2 * time.Second

func (n *Node) openConsole(c *config.Config) error {
	o := console.Options{
		Calls: n.guard, Journal: console.JournalOf(n.journal), Positions: n.guard.Positions, Ready: n.reasons, Notes: n.intake.Troubles, Intake: n.intake,
		Accounts: console.Accounts{Seating: n.seating, Surge: n.surge, Account: n.ledger, Patterns: n.patterns, Past: n.past, CaughtUp: n.follower.known},
		Sources: console.Sources{
			Guard: n.guard.Stats, Journal: n.journal.Health, Media: n.engine.Stats,
			Intake:  n.intake.Stats,
			Reloads: func() (uint64, uint64) { return n.reloads.Load(), n.refused.Load() },
		},
		Channels: Channels(c, n.guard, summoner{n.guard, n.journal}), Escalation: escalation(c), URL: c.Alerts.URL,
		Hosts: consoleNames(c), Version: n.version, Node: n.name, Log: n.log.Named("console"),
		Listen: func() (net.Listener, error) {
			var l net.ListenConfig
			return l.Listen(context.Background(), "tcp", c.Console.Listen.String())
		},
	}
	o.Evidence = func(ctx context.Context, call, by string, w io.Writer) (evidence.Manifest, error) {
		stored, cancel := context.WithTimeout(ctx, evidenceWait)
		defer cancel()
		_ = n.journal.Flush(stored) // what is not in the database by then is not proved
		return evidence.Write(ctx, evidence.Options{
			Data: c.Data, Call: call, By: by, Policy: builtinRules,
			Identities: c.Recording.Encrypt.Identities(),
		}, w)
	}
	if n.history != nil {
		o.History = search{n.history, n.journal}
	}
	if n.capture != nil {
		o.Messages = messagesIn(c.Data)
	}
	if n.audio != nil {
		o.Recordings = n.audio
		o.Sources.Audio = n.audioStats
	}
	if err := n.certificate.load(c.Console.TLS); err != nil {
		return err
	}
	o.Gate, o.Secure, o.TLS = gate(c), overTLS(c), n.certificate.config()
	browsers, err := n.openBrowsers(c)
	if err != nil {
		return err
	}
	o.Browsers = browsers
	con, err := console.New(o)
	if err != nil {
		return fmt.Errorf("console.listen: %w", err)
	}
	n.console = con
	n.stops.push("console", con.Stop)
	switch {
	case o.Gate != nil:
		n.offerSetup(c, o.Gate)
		if o.TLS == nil && !c.Console.Listen.Addr().IsLoopback() {
			n.log.Warn("passwords reach the console unencrypted; set console.tls, or put a proxy with TLS before it", zap.Stringer("listen", c.Console.Listen))
		}
	case !c.Console.Listen.Addr().IsLoopback():
		n.log.Warn("the console is reachable from other hosts and asks nobody to sign in (console.auth.required: never)", zap.Stringer("listen", c.Console.Listen))
	}
	return nil
}

// start opens the doors: node.started is in the journal before the first call
// can be.
func (n *Node) start(c *config.Config) error {
	n.record("node.started", "", n.startedData(c, nil))
	n.started.Store(true)
	n.follow()
	if err := n.guard.Start(); err != nil {
		return fmt.Errorf("sip.listen: %w", err)
	}
	n.console.Start()
	n.log.Info("node started", zap.String("node", n.name), zap.String("version", n.version),
		zap.Stringer("console", n.console.Addr()), zap.String("config", c.Digest))
	return nil
}

// startedData is node.started and node.reloaded.
type startedData struct {
	Version string   `json:"version"`
	Config  string   `json:"config"`            // digest of the configuration
	Policy  string   `json:"policy"`            // digest of the policy
	Rules   string   `json:"rules,omitempty"`   // the policy file as it was, or the built-in one
	Key     string   `json:"key"`               // what signs the journal's checkpoints; Verify compares it
	Refused []string `json:"refused,omitempty"` // keys that need a restart
}

// startedData says what is in force. The rules themselves are in it, so that
// every verdict can be explained as long as the journal is there: those of the
// built-in policy too, which another version of Holdline does not know.
func (n *Node) startedData(c *config.Config, refused []string) startedData {
	rules := c.Policy.Rules()
	return startedData{
		Version: n.version, Config: c.Digest, Policy: rules.Digest(), Rules: string(rules.Source()), Key: n.journal.KeyID(), Refused: refused,
	}
}

// record writes an entry to the journal.
func (n *Node) record(kind, call string, data any) {
	n.journal.Append(recorder.Entry{Time: time.Now(), Call: call, Kind: kind, Data: data})
}

// ConsoleAddr returns where the console listens.
func (n *Node) ConsoleAddr() net.Addr { return n.console.Addr() }

// SIPAddrs returns where SIP is received, in the order of sip.listen.
func (n *Node) SIPAddrs() []netip.AddrPort { return n.guard.Addrs() }

// Calls returns the number of calls in progress.
func (n *Node) Calls() int { return n.guard.InProgress() }

// Drain refuses new calls from now on. Calls in progress go on.
func (n *Node) Drain() {
	n.guard.Drain()
	n.log.Info("draining: no new calls are taken", zap.Int("calls", n.Calls()))
}

// Stop ends the node at once: sockets close, recordings and the journal are
// finished, and no BYE is sent to anybody. It may be called more than once.
func (n *Node) Stop(ctx context.Context) error {
	n.stops.once(func() {
		if n.started.Load() {
			n.left.Store(int64(n.Calls())) // while there is still a guard to ask
		}
	})
	return n.stops.run(ctx)
}

// recordStop notes the end of a node that had begun to take calls.
func (n *Node) recordStop() {
	if n.started.Load() {
		n.record("node.stopped", "", struct {
			Calls int64 `json:"calls"` // in progress when the node stopped
		}{n.left.Load()})
	}
}
