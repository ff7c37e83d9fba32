// Package recorder writes down what happened: the journal, a hash-chained and
// signed record of events, and the audio of calls. It knows nothing of any
// other room: events and packets are plain values.
package recorder

import (
	"encoding/json"
	"time"
)

// Record is one entry of the journal as stored and exported.
type Record struct {
	Seq  uint64          `json:"seq"`
	Time time.Time       `json:"time"` // RFC 3339 with offset
	Node string          `json:"node"`
	Call string          `json:"call"` // "" for records of the node itself
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data"`
	Prev string          `json:"prev"` // hex SHA-256 of the record before
	Hash string          `json:"hash"` // hex SHA-256 of this record
}

// Entry is an event to be written. Data must not be changed after it was
// handed over: it is marshalled later, in the journal's own goroutine.
type Entry struct {
	Time time.Time
	Call string
	Kind string
	Data any
}
