package policy

import (
	"encoding/json"
	"time"
)

// Record is one record of the journal as pure code sees it.
type Record struct {
	Seq  uint64    // place in the journal, from 1
	Time time.Time // when what it tells of happened
	Node string
	Call string // Call-ID, "" when the record is about no call
	Kind string
	Data json.RawMessage
}

// Finding is something that following the journal brought to light. It becomes
// an alert.raised record, or alert.resolved when it Resolves one.
type Finding struct {
	// Resolves is the ID of an alert whose cause is gone; Why says how. The
	// other fields are then empty.
	Resolves string
	// ID is the alert's. The same cause always gets the same one, made of what
	// the records say and of no clock, so that following the same records again
	// after a restart raises nothing twice.
	ID       string
	Cause    string // short and lower-case, like "unrelayed"
	Call     string // "" when it is about no call
	Position string
	Agent    string
	Rule     string
	Why      string // a sentence for a supervisor
	Data     any    // what else the alert carries; its JSON must be an object, nil: nothing
}

// Follower draws conclusions from the journal. It is pure: it sees records in
// their order and is told the time, so the same records always give the same
// findings. One goroutine uses it at a time.
type Follower interface {
	// Apply takes the next record. Records that it knows already, and kinds that
	// it does not know, change nothing.
	Apply(Record) []Finding
	// Due is when Tick wants to be called, zero: not before the next record.
	Due() time.Time
	// Tick says what time it is. After it, Due is later than now.
	Tick(now time.Time) []Finding
}
