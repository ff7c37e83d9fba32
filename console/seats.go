package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/recorder"
)

// Agents is told who sits where. source is how it was told: http, logger.
type Agents interface {
	SignIn(ctx context.Context, position, agent, source, by string) error
	SignOut(ctx context.Context, position, source, by string) error
}

// ErrNoPosition says that there is no position of that name.
var ErrNoPosition = errors.New("no such position")

// Seating knows who sits where: from sign-ins and sign-outs, each of which is
// journaled. It may be used from any goroutine.
type Seating struct {
	journal Journal
	known   func(position string) bool

	signing sync.Mutex // one change at a time, so that records have their order
	mu      sync.RWMutex
	seats   ledger.Seats
}

var _ Agents = (*Seating)(nil)

// NewSeating returns a Seating in which nobody sits anywhere. known tells
// whether there is a position of a name.
func NewSeating(j Journal, known func(position string) bool) *Seating {
	return &Seating{journal: j, known: known, seats: ledger.Seats{}}
}

// Apply takes a sign-in or sign-out of the past, when the node starts.
func (s *Seating) Apply(r policy.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seats.Apply(r)
}

// AgentAt returns who sits at a position, and whether anybody ever told.
func (s *Seating) AgentAt(position string) (agent string, told bool) {
	seat, told := s.At(position)
	return seat.Agent, told
}

// At returns the seat at a position, and whether anybody ever told of it.
func (s *Seating) At(position string) (ledger.Seat, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	seat, told := s.seats[position]
	return seat, told
}

// SignIn says that agent sits at position from now on. Whoever sat there
// before does not any more, and neither does agent anywhere else.
func (s *Seating) SignIn(ctx context.Context, position, agent, source, by string) error {
	if !s.known(position) {
		return fmt.Errorf("%w: %q", ErrNoPosition, position)
	}
	s.signing.Lock()
	defer s.signing.Unlock()
	before, _ := s.At(position)
	if before.Agent == agent {
		return nil // told again
	}
	now := time.Now()
	var entries []recorder.Entry
	if before.Agent != "" {
		entries = append(entries, sitting(now, ledger.SignedOut, ledger.Sitting{Position: position, Agent: before.Agent, Source: source, By: by, Why: agent + " signed in"}))
	}
	s.mu.Lock()
	left := s.seats.Sit(position, ledger.Seat{Agent: agent, Since: now, Source: source})
	s.mu.Unlock()
	slices.Sort(left)
	for _, p := range left {
		entries = append(entries, sitting(now, ledger.SignedOut, ledger.Sitting{Position: p, Agent: agent, Source: source, By: by, Why: "signed in at " + position}))
	}
	entries = append(entries, sitting(now, ledger.SignedIn, ledger.Sitting{Position: position, Agent: agent, Source: source, By: by}))
	commit(ctx, s.journal, entries...)
	return nil
}

// SignOut says that nobody sits at position any more.
func (s *Seating) SignOut(ctx context.Context, position, source, by string) error {
	if !s.known(position) {
		return fmt.Errorf("%w: %q", ErrNoPosition, position)
	}
	s.signing.Lock()
	defer s.signing.Unlock()
	before, told := s.At(position)
	if told && before.Agent == "" {
		return nil
	}
	now := time.Now()
	s.mu.Lock()
	s.seats[position] = ledger.Seat{Since: now, Source: source}
	s.mu.Unlock()
	commit(ctx, s.journal, sitting(now, ledger.SignedOut, ledger.Sitting{Position: position, Agent: before.Agent, Source: source, By: by}))
	return nil
}

func sitting(at time.Time, kind string, d ledger.Sitting) recorder.Entry {
	return recorder.Entry{Time: at, Kind: kind, Data: d}
}

// commit waits for entries to be on disk, or for the disk to be too slow, in
// which case the journal keeps them and writes them when it can.
func commit(ctx context.Context, j Journal, entries ...recorder.Entry) {
	done := make(chan struct{})
	j.Commit(func(bool) { close(done) }, entries...)
	select {
	case <-done:
	case <-ctx.Done():
	}
}
