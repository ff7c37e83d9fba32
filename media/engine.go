package media

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// ErrClosed is returned for a session or an engine that has ended.
var ErrClosed = errors.New("media session is closed")

// Options configures an Engine. Addresses is the only required field.
type Options struct {
	Addresses  []netip.Addr   // local addresses, at most one of each family
	PortLo     uint16         // first port of the range; 0: the system chooses ports
	PortHi     uint16         // last port of the range; RTP is on even ports, RTCP on the next
	NAT        []netip.Prefix // networks whose legs may send from another address than in their SDP
	Quarantine time.Duration  // how long a freed port rests, default 10 s
	Loops      int            // packet loops, default half of GOMAXPROCS; keep it below GOMAXPROCS
	NewTap     func() Tap     // makes the tap of each loop; nil: no tap
	Prompt     *Prompt        // default BuiltinPrompt
	PromptText string         // the prompt for real-time text, default DefaultPromptText
	Network    Network        // default: the kernel's, through epoll
	Log        *zap.Logger    // default: none
}

// DefaultQuarantine is how long a freed port rests unless configured.
const DefaultQuarantine = 10 * time.Second

// Engine owns the media ports of a node. Each call belongs to one of its
// packet loops, which alone touches the call's packets.
type Engine struct {
	opts    Options
	log     *zap.Logger
	net     Network
	start   time.Time
	v4, v6  *allocator
	files   budget
	loops   []*loop
	turn    atomic.Uint32
	laws    *laws
	samples *samples
	text    []string // the prompt's words in small pieces

	sessions atomic.Int64
	closing  sync.Once
	running  sync.WaitGroup
}

// EngineStats counts what the engine did since it was made.
type EngineStats struct {
	Relayed       uint64 // packets sent on from one leg to another
	Refused       uint64 // packets from sources that may not send
	Dropped       uint64 // malformed or unexpected packets, and packets that could not be sent
	Prompts       uint64 // packets of prompts sent
	Panics        uint64 // failures that were recovered from; each is a bug and is logged
	Sessions      int    // calls in progress
	Ports         int    // UDP ports bound
	ReceiveBuffer int    // bytes granted to each port for packets that wait; 0: unknown or unlimited
	FileLimit     int    // ports and other files that may be open; 0: unlimited
}

// New makes an engine and starts its loops. It fails when the options do not
// fit together or the system refuses what a packet loop needs.
func New(o Options) (*Engine, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	e := &Engine{opts: o, log: o.Log, net: o.Network, start: time.Now(), laws: newLaws(), samples: newSamples(), text: textPieces(o.PromptText)}
	e.files.most = int64(e.net.FileLimit()) / 4 * 3
	for _, a := range o.Addresses {
		alloc := newAllocator(e.net, &e.files, a, o.PortLo, o.PortHi, o.Quarantine, e.clock)
		if a.Is4() {
			e.v4 = alloc
		} else {
			e.v6 = alloc
		}
		if err := alloc.probe(); err != nil {
			return nil, fmt.Errorf("media: address %v cannot be used, is it one of this machine? %w", a, err)
		}
	}
	for range o.Loops {
		l, err := newLoop(e)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("media: %w", err), e.Close())
		}
		e.loops = append(e.loops, l)
		e.running.Go(l.run)
	}
	e.warn()
	e.log.Info("media ready", zap.Int("loops", o.Loops),
		zap.Int("receive_buffer", e.net.ReceiveBuffer()), zap.Int("file_limit", e.net.FileLimit()))
	return e, nil
}

// warn tells of limits of the system that a large node would run into.
func (e *Engine) warn() {
	files, ports := e.net.FileLimit(), int(e.opts.PortHi)-int(e.opts.PortLo)+1
	if most := files / 4 * 3; files > 0 && e.opts.PortLo > 0 && most < ports {
		e.log.Warn("fewer files may be open than all media ports need, of which media takes three quarters at most; raise LimitNOFILE",
			zap.Int("file_limit", files), zap.Int("media_ports_at_most", most), zap.Int("ports", ports))
	}
	if granted := e.net.ReceiveBuffer(); granted > 0 && granted < audioBuffer {
		e.log.Warn("receive buffers are small, bursts may be lost; raise net.core.rmem_max",
			zap.Int("granted", granted), zap.Int("wanted", audioBuffer))
	}
}

// complete checks the options and fills in what was left out.
func (o *Options) complete() error {
	seen := [2]bool{}
	for i, a := range o.Addresses {
		a = a.Unmap()
		o.Addresses[i] = a
		family := 0
		if a.Is6() {
			family = 1
		}
		switch {
		case !a.IsValid() || a.IsUnspecified():
			return fmt.Errorf("address %v: give the address callers can reach, not a wildcard", a)
		case seen[family]:
			return fmt.Errorf("address %v: only one address of each family is possible", a)
		}
		seen[family] = true
	}
	switch {
	case len(o.Addresses) == 0:
		return errors.New("no local address is given")
	case o.PortLo == 0 && o.PortHi != 0 || o.PortLo != 0 && int(o.PortHi) < int(o.PortLo)+int(o.PortLo&1)+1:
		return fmt.Errorf("ports %d-%d: the range must hold an even port and the next", o.PortLo, o.PortHi)
	case o.Quarantine < 0 || o.Loops < 0:
		return errors.New("quarantine and loops must not be negative")
	}
	return o.defaults()
}

func (o *Options) defaults() (err error) {
	if o.Quarantine == 0 {
		o.Quarantine = DefaultQuarantine
	}
	if o.Loops == 0 {
		// A loop that waits in epoll holds on to one of the scheduler's
		// processors. With none to spare the scheduler keeps taking it away,
		// which costs a quarter more for each packet, and signalling has to
		// wait for that.
		o.Loops = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.Prompt == nil {
		o.Prompt = BuiltinPrompt()
	}
	if o.PromptText == "" {
		o.PromptText = DefaultPromptText
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Network == nil {
		o.Network, err = newKernelNetwork()
	}
	return err
}

// clock is the engine's own time: monotonic, zero when it was made.
func (e *Engine) clock() time.Duration { return time.Since(e.start) }

// Open starts the media of a call. notify is called from a packet loop and
// must not block; nil is allowed.
func (e *Engine) Open(call string, notify func(Event)) (Session, error) {
	if notify == nil {
		notify = func(Event) {}
	}
	l := e.loops[int(e.turn.Add(1)-1)%len(e.loops)]
	s := &session{engine: e, loop: l, call: call, notify: notify}
	first := e.sessions.Add(1) == 1
	if !l.command(l.join, first) {
		e.sessions.Add(-1)
		return nil, ErrClosed
	}
	return s, nil
}

// InUse tells how many sessions are open and how many UDP ports are bound.
func (e *Engine) InUse() (sessions, ports int) {
	return int(e.sessions.Load()), int(e.files.used.Load())
}

// Stats sums up what all loops have counted.
func (e *Engine) Stats() EngineStats {
	st := EngineStats{ReceiveBuffer: e.net.ReceiveBuffer(), FileLimit: e.net.FileLimit()}
	st.Sessions, st.Ports = e.InUse()
	for _, l := range e.loops {
		st.Relayed += l.count.relayed.Load()
		st.Refused += l.count.refused.Load()
		st.Dropped += l.count.dropped.Load()
		st.Prompts += l.count.prompts.Load()
		st.Panics += l.count.panics.Load()
	}
	return st
}

// Close ends all sessions and stops the loops. It may be called again.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		for _, l := range e.loops {
			l.stop()
		}
		e.running.Wait()
	})
	return nil
}

// allocator returns the ports of an address family.
func (e *Engine) allocator(ipv6 bool) (*allocator, error) {
	a, family := e.v4, "IPv4"
	if ipv6 {
		a, family = e.v6, "IPv6"
	}
	if a == nil {
		return nil, fmt.Errorf("no local %s address for media is configured; add one to media.address", family)
	}
	return a, nil
}
