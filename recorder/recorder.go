// Package recorder writes down what happened: the journal, a hash-chained and
// signed record of events, and the audio of calls. It knows nothing of any
// other room: events and packets are plain values.
//
// # The journal
//
// OpenJournal opens one SQLite file per node. Append and Commit never block: a
// single goroutine takes whatever has been recorded, chains it, signs the new
// head and commits all of it with one fsync, however many calls wait for it.
// A Commit is told within JournalOptions.Patience whether its records are on
// disk; if they are not the call goes on, and they are written when the disk
// works again. Subscribe follows the journal live, Read searches it, Verify
// and Export work on the directory of a running node as well as of a stopped
// one. The format, and what it proves, is in docs/journal.md.
//
// # Audio
//
// OpenAudio opens the directory of recordings. Each packet loop of the media
// engine gets a Tap, which copies packets into blocks and hands them to the
// recorder's goroutine, without locks, allocations or waiting. A recording is
// a WAV file of two channels, G.711 as it was on the wire (format 7 mu-law, 6
// A-law), the caller on the left and what the caller hears on the right.
// Packets are placed by their RTP timestamps, anchored at the arrival of the
// first one and led after the sender's clock, so that jitter does not shift
// samples, loss leaves silence and both channels stay together for hours. The
// file can be played at any time: its sizes are put in when it is closed, or
// at the next start after a crash. Packets that are not G.711 go into an
// rtpdump file beside it.
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
