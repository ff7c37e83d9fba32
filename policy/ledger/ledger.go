// Package ledger keeps account of the people behind calls, from what the
// journal says: who is owed a callback, whose emergency was heard and not
// passed on, who calls again after being dropped, and who sits where. It is
// pure: records and the time go in, lists and findings come out, so that a
// restart that reads the same journal comes to the same account.
package ledger

import (
	"encoding/json"
	"sync"
	"time"

	"holdline/policy"
)

// Options is how the account is kept.
type Options struct {
	// Complete tells whether intake is complete by sources that prove, as
	// policy.Policy.Complete does. nil: every source proves.
	Complete func(policy.Intake) bool
	Relay    Relay
	// Owed is how long a callback may be owed until somebody is told; 0: nobody is.
	Owed time.Duration
	// Redial is how soon after an earlier call another one of the same caller
	// is a redial; 0: none is.
	Redial time.Duration
	// Node is whose calls end with it: those of other nodes go on.
	Node string
}

// Relay says when a call that was taken counts as not passed on.
type Relay struct {
	Within   time.Duration // from complete intake to the dispatch mark; 0: nobody looks
	Talk     time.Duration // a call answered for so long must have an incident; 0: none must
	Incident bool          // an incident counts as passed on
	Alerts   int           // how many alerts one call gets, Within apart
}

const (
	keepCalls  = 2 * time.Hour  // a call that is over is remembered for so long
	keepClosed = 24 * time.Hour // an item that is done is shown for so long
)

// Ledger is the account. Its methods may be called from any goroutine; none
// of them waits for anything but the others.
type Ledger struct {
	o Options

	mu      sync.RWMutex
	last    uint64           // the record that was applied last
	calls   map[string]*call // by Call-ID: the latest of that name
	urns    map[string]*call // by emergency call identifier
	callers map[string]*caller

	incidents map[string][]*call // by incident identifier, those that somebody dropped
	over      []*call            // in the order in which they ended
	owed      map[string]*Callback
	late      map[string]*Unrelayed
	backs     map[string]*Callback // that a call which is still up has closed, by its Call-ID
	waits     map[*call]struct{}   // answered calls that are not passed on yet
	next      time.Time            // when something may be due
	closed    []closing
	surge     bool
	orphans   []Orphan
	ends      []policy.Finding // alerts whose items were closed by the record that is applied
}

var _ policy.Follower = (*Ledger)(nil)

// New returns an empty Ledger.
func New(o Options) *Ledger {
	if o.Complete == nil {
		o.Complete = policy.Intake.Complete
	}
	return &Ledger{
		o: o, calls: map[string]*call{}, urns: map[string]*call{}, incidents: map[string][]*call{}, backs: map[string]*Callback{}, callers: map[string]*caller{},
		owed: map[string]*Callback{}, late: map[string]*Unrelayed{}, waits: map[*call]struct{}{},
	}
}

// Adjust takes over new limits; what is open stays open.
func (l *Ledger) Adjust(r Relay, owed, redial time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Relay, l.o.Owed, l.o.Redial = r, owed, redial
	for _, b := range l.owed {
		l.earliest(l.overdue(b))
	}
	for c := range l.waits {
		l.wait(c)
	}
}

// Apply takes the next record of the journal (policy.Follower).
func (l *Ledger) Apply(r policy.Record) []policy.Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Seq <= l.last {
		return nil
	}
	l.last = r.Seq
	var found []policy.Finding
	switch r.Kind {
	case "call.offered", "rescue.offered":
		apply(r, l.offered)
	case "call.answered", "rescue.answered":
		apply(r, l.answered)
	case "intake.marked":
		apply(r, l.marked)
	case "release.requested":
		apply(r, l.requested)
	case "release.intercepted":
		apply(r, l.intercepted)
	case "rescue.calledoff":
		apply(r, l.calledOff)
	case "call.ended":
		apply(r, l.ended)
	case "callback.started":
		apply(r, l.callbackStarted)
	case "callback.done":
		apply(r, l.callbackDone)
	case "unrelayed.done":
		apply(r, l.relayedDone)
	case "surge.started":
		apply(r, func(r policy.Record, d Surge) { found = append(found, l.surged(r, d)) })
	case "surge.ended":
		l.surge = false
	case "node.started":
		l.restarted(r)
	}
	l.forget(r.Time)
	found = append(found, l.ends...)
	l.ends = nil
	return found
}

// apply gives f a record with its data; what cannot be read is passed over,
// because one record must not keep the others from being counted.
func apply[T any](r policy.Record, f func(policy.Record, T)) {
	var d T
	if json.Unmarshal(r.Data, &d) == nil {
		f(r, d)
	}
}

// forget lets go of what is over and done for long enough.
func (l *Ledger) forget(now time.Time) {
	for len(l.over) > 0 && now.Sub(l.over[0].ended) > keepCalls {
		l.drop(l.over[0])
		l.over = l.over[1:]
	}
	for len(l.closed) > 0 && now.Sub(l.closed[0].at) > keepClosed {
		c := l.closed[0]
		if b := l.owed[c.callback]; b != nil && b.Closed != nil && b.Closed.At.Equal(c.at) {
			delete(l.backs, b.Closed.Call)
			delete(l.owed, c.callback)
		}
		if u := l.late[c.unrelayed]; u != nil && u.Closed != nil && u.Closed.At.Equal(c.at) {
			delete(l.late, c.unrelayed)
		}
		l.closed = l.closed[1:]
	}
}

// closing is an item that is done, by its identifier.
type closing struct {
	at                  time.Time
	callback, unrelayed string
}

// Closed says how an open item came to its end.
type Closed struct {
	At   time.Time `json:"at"`
	By   string    `json:"by,omitempty"`   // who did it, as far as it is known
	How  string    `json:"how"`            // in words
	Call string    `json:"call,omitempty"` // the call that closed it
	Note string    `json:"note,omitempty"`
}

// words says it in a sentence.
func (c Closed) words() string {
	if c.By == "" {
		return c.How
	}
	return c.How + ", says " + c.By
}
