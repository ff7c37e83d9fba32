package ledger

import (
	"maps"
	"time"

	"holdline/policy"
)

// The record kinds that say who sits where.
const (
	SignedIn  = "agent.signedin"
	SignedOut = "agent.signedout"
)

// Seat is who sits at a position. An empty Agent says that nobody does, as far
// as anybody told.
type Seat struct {
	Agent  string
	Since  time.Time
	Source string // http, logger
}

// Sitting is the data of agent.signedin and agent.signedout.
type Sitting struct {
	Position string `json:"position"`
	Agent    string `json:"agent"`
	Source   string `json:"source"`
	By       string `json:"by"`
	Why      string `json:"why,omitempty"` // a sign-out that follows from something else
}

// Seats is who sits where, by position.
type Seats map[string]Seat

// Apply takes a record; only those of sign-ins and sign-outs change anything.
func (s Seats) Apply(r policy.Record) {
	if r.Kind != SignedIn && r.Kind != SignedOut {
		return
	}
	apply(r, func(r policy.Record, d Sitting) {
		if r.Kind == SignedIn {
			s.Sit(d.Position, Seat{d.Agent, r.Time, d.Source})
			return
		}
		s[d.Position] = Seat{Since: r.Time, Source: d.Source}
	})
}

// Sit puts somebody at a position and returns the positions where the same
// person sat before: nobody sits at two desks, and a desk that was left must
// not be counted against whoever left it.
func (s Seats) Sit(position string, seat Seat) (left []string) {
	for p, other := range s {
		if p != position && seat.Agent != "" && other.Agent == seat.Agent {
			s[p] = Seat{Since: seat.Since, Source: seat.Source}
			left = append(left, p)
		}
	}
	s[position] = seat
	return left
}

// Clone returns a copy.
func (s Seats) Clone() Seats { return maps.Clone(s) }
