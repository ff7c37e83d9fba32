// Package sources takes the word of other systems on the intake of calls: EIDO
// documents by HTTP and by subscription (NENA-STA-021.1, NENA-STA-024.1), the
// log events of a call-handling system whose second i3 logger Holdline is
// (NENA-STA-010.3 section 4.12), and signed messages. What they say is joined
// to calls by their identifiers, also when it comes a little before the call or
// after its end. No call ever waits for any of it.
package sources

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

// The sources, as they stand in marks and in a policy's sources.
const (
	EIDO    = "eido"
	Logger  = "logger"
	Webhook = "webhook"
	HTTP    = "http"
)

// Calls are the calls in progress; *sip.Guard is one.
type Calls interface {
	// Matching returns the Call-IDs of the calls that any of ids names.
	Matching(ids ...string) []string
	// MarkFrom sets intake fields; the error wraps sip.ErrNoCall when the call
	// is over.
	MarkFrom(ctx context.Context, id string, marks map[policy.Field]string, by, source string) (sip.CallView, error)
	// Transferred notes that the call-handling system says that whoever has the
	// call gave it to somebody else.
	Transferred(ctx context.Context, id, to string) error
}

// Past are the calls that have ended; *console.Past is it. The errors wrap
// sip.ErrNoCall when there is none of that name.
type Past interface {
	Get(ctx context.Context, id string) (sip.CallView, error)
	MarkFrom(ctx context.Context, id string, marks map[policy.Field]string, by, source string) (sip.CallView, error)
}

// Journal takes the records; *recorder.Journal is one.
type Journal interface {
	Commit(done func(durable bool), entries ...recorder.Entry)
}

// Agents keeps account of who sits where.
type Agents interface {
	SignIn(ctx context.Context, position, agent, source, by string) error
	SignOut(ctx context.Context, position, source, by string) error
}

// Options is everything an Intake is made of. Calls and Journal are required.
type Options struct {
	Node    string // names the identifiers of log events
	Calls   Calls
	Journal Journal
	Past    Past                                   // nil: what comes after the end of its call is only journaled
	Agents  Agents                                 // nil: log events of agents are only kept
	Desk    func(name string) (id string, ok bool) // the position that another system calls name; nil: names are ids
	Log     *zap.Logger                            // nil: silent
	Now     func() time.Time                       // nil: time.Now
}

// Settings are the part of an Intake that can change while it runs.
type Settings struct {
	Keep      time.Duration     // how long a document waits for its call
	Subscribe []Subscription    // EIDO services
	Keys      []Key             // of senders of log events
	Roots     *Roots            // authorities whose certificates sign log events; nil: none
	Unsigned  bool              // log events may come without a signature
	Desks     map[string]string // what other systems call positions -> position id
	Rate      int               // events a second that are kept in the journal though nothing follows from them
	Secret    []byte            // of the webhook; empty: there is none
	Window    time.Duration     // how old a signature of the webhook may be
}

// Subscription is one EIDO service to subscribe to.
type Subscription struct {
	URL     string        // wss://...
	Token   string        // sent as Authorization: Bearer; "": none
	Expires time.Duration // length that is asked for
	TLS     *tls.Config   // nil: the system's authorities
}

// Intake joins what other systems say to calls. Its methods may be called from
// any goroutine.
type Intake struct {
	o        Options
	log      *zap.Logger
	settings atomic.Pointer[Settings]
	limit    atomic.Pointer[rate.Limiter] // of what is kept though nothing follows from it
	joiner   joiner
	seen     replays
	logged   dropped
	counts   counts
	pace     pace // of reconnecting; tests are in a hurry

	mu      sync.Mutex // of the subscriptions
	clients []*client
	stop    context.CancelFunc
	running sync.WaitGroup
	closed  bool
}

// New returns an Intake that knows no settings yet: Reload gives it some.
func New(o Options) *Intake {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	in := &Intake{o: o, log: o.Log, pace: usualPace}
	in.joiner.early, in.joiner.over = map[string][]early{}, map[string]*ended{}
	in.settings.Store(&Settings{})
	in.limit.Store(rate.NewLimiter(0, 0))
	return in
}

// Reload takes over settings. Subscriptions that have changed are made anew.
func (in *Intake) Reload(s Settings) {
	before := in.settings.Swap(&s)
	if before.Rate != s.Rate {
		in.limit.Store(rate.NewLimiter(rate.Limit(s.Rate), 10*s.Rate))
	}
	if !sameSubscriptions(before.Subscribe, s.Subscribe) {
		in.subscribe(s.Subscribe)
	}
}

// Close ends the subscriptions.
func (in *Intake) Close() error {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.subscribe(nil)
	in.running.Wait()
	return nil
}

// Stats are what came in since the start.
type Stats struct {
	Documents, Events, Messages uint64 // EIDO documents, log events, webhook messages
	Joined, Late, Kept          uint64 // of these: joined to a call in progress, to one that had ended, to none yet
	Refused                     uint64 // messages that were not believed or not understood
	Dropped                     uint64 // log events that were too many to keep
	Subscriptions, Connected    int    // EIDO services: configured, and subscribed to now
}

type counts struct {
	documents, events, messages, joined, late, kept, refused, dropped atomic.Uint64
}

// Stats returns the present numbers.
func (in *Intake) Stats() Stats {
	c := &in.counts
	s := Stats{
		Documents: c.documents.Load(), Events: c.events.Load(), Messages: c.messages.Load(), Joined: c.joined.Load(),
		Late: c.late.Load(), Kept: c.kept.Load(), Refused: c.refused.Load(), Dropped: c.dropped.Load(),
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	s.Subscriptions = len(in.clients)
	for _, c := range in.clients {
		if c.connected.Load() {
			s.Connected++
		}
	}
	return s
}

// Troubles says which EIDO services cannot be reached. It is no reason to send
// calls elsewhere: the calls themselves are not affected.
func (in *Intake) Troubles() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var out []string
	for _, c := range in.clients {
		if why := c.trouble(); why != "" {
			out = append(out, "EIDO service "+c.URL+": "+why)
		}
	}
	return out
}

// commit waits for entries to be on disk, or for the disk to be too slow, in
// which case the journal keeps them and writes them when it can.
func (in *Intake) commit(ctx context.Context, entries ...recorder.Entry) {
	done := make(chan struct{})
	in.o.Journal.Commit(func(bool) { close(done) }, entries...)
	select {
	case <-done:
	case <-ctx.Done():
	}
}
