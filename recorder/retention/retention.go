// Package retention deletes what has been kept long enough: recordings and
// messages by the class of their call, and on request what the journal's
// records say. What is held for a court stays. Every deletion is journaled
// before it happens, with the hashes of what goes, and the journal's chain
// stays whole: a record that was erased keeps its place and its hash.
package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdline/recorder"
	"holdline/recorder/capture"
)

// Class is how long a call is of interest.
type Class string

// The classes. A call is evidential when a release of it was intercepted or
// reviewed, or anything about it made somebody raise an alert.
const (
	Ordinary   Class = "ordinary"
	Evidential Class = "evidential"
)

// Periods say how long what is kept stays; 0 is for ever.
type Periods struct {
	Ordinary   time.Duration // recordings and messages of ordinary calls
	Evidential time.Duration // and of evidential ones
	Records    time.Duration // the contents of journal records that belong to a call
}

func (p Periods) of(c Class) time.Duration {
	if c == Evidential {
		return p.Evidential
	}
	return p.Ordinary
}

// Journal takes the records of deletions; *recorder.Journal is one.
type Journal interface {
	Commit(done func(durable bool), entries ...recorder.Entry)
}

// Keeper deletes.
type Keeper struct {
	Data    string // the node's data directory
	Periods Periods
	Journal Journal
}

// Deleted is retention.deleted: the files of a call that are gone.
type Deleted struct {
	Class Class    `json:"class"`
	After string   `json:"after"` // the period that was over
	Files []string `json:"files"`
	SHA   []string `json:"sha256"`
}

// Sweep deletes everything whose time is over at now. What cannot be deleted
// is tried again with the next sweep; the error says what it was.
func (k *Keeper) Sweep(ctx context.Context, now time.Time) error {
	held, err := Held(ctx, k.Data)
	if err != nil {
		return err
	}
	s := &sweep{Keeper: k, now: now, held: held, calls: map[string]*call{}}
	return errors.Join(s.recordings(ctx), s.messages(ctx), s.records(ctx))
}

// sweep is one pass.
type sweep struct {
	*Keeper
	now   time.Time
	held  map[string]Hold
	calls map[string]*call
}

// call is what a sweep has to know of a call.
type call struct {
	class Class
	ended time.Time
}

// look reads a call's class from its records.
func (s *sweep) look(ctx context.Context, id string) (*call, error) {
	if c := s.calls[id]; c != nil {
		return c, nil
	}
	c := &call{class: Ordinary}
	err := recorder.ReadDir(ctx, s.Data, recorder.Query{Call: id}, func(r recorder.Record) error {
		c.ended = r.Time
		if evidential(r) {
			c.class = Evidential
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.calls[id] = c
	return c, nil
}

func evidential(r recorder.Record) bool {
	switch r.Kind {
	case "release.intercepted", "alert.raised", "rescue.offered", "callback.owed":
		return true
	case "release.allowed":
		var d struct{ Decision string }
		return json.Unmarshal(r.Data, &d) == nil && d.Decision == "review"
	}
	return false
}

// over tells whether a call's time is over, and why not to touch it if not.
func (s *sweep) over(ctx context.Context, id string) (c *call, over bool, err error) {
	if _, ok := s.held[id]; ok {
		return nil, false, nil
	}
	if c, err = s.look(ctx, id); err != nil {
		return nil, false, err
	}
	period := s.Periods.of(c.class)
	return c, period > 0 && !c.ended.IsZero() && s.now.Sub(c.ended) > period, nil
}

// shortest is the period after which a sweep has to look at something.
func (s *sweep) shortest() time.Duration {
	a, b := s.Periods.Ordinary, s.Periods.Evidential
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// recordings deletes the recordings of calls whose time is over, found by what
// recording.closed says of them.
func (s *sweep) recordings(ctx context.Context) error {
	shortest := s.shortest()
	if shortest == 0 || !old(filepath.Join(s.Data, "recordings"), s.now.Add(-shortest)) {
		return nil
	}
	var errs []error
	err := recorder.ReadDir(ctx, s.Data, recorder.Query{Kind: "recording.closed"}, func(r recorder.Record) error {
		if s.now.Sub(r.Time) <= shortest {
			return errRecent
		}
		if err := s.recording(ctx, r); err != nil {
			errs = append(errs, err)
		}
		return nil
	})
	if errors.Is(err, errRecent) {
		err = nil
	}
	return errors.Join(append(errs, err)...)
}

var errRecent = errors.New("from here on everything is recent")

// old tells whether a folder of days has one that ended before t.
func old(dir string, t time.Time) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if day, err := time.Parse(time.DateOnly, e.Name()); err == nil && day.Before(t) {
			return true
		}
	}
	return false
}

func (s *sweep) recording(ctx context.Context, r recorder.Record) error {
	var d struct {
		Path     string   `json:"path"`
		SHA256   string   `json:"sha256"`
		Extra    []string `json:"extra"`
		ExtraSHA []string `json:"extraSha256"`
	}
	if json.Unmarshal(r.Data, &d) != nil || d.Path == "" {
		return nil //nolint:nilerr // a record of another shape names no file
	}
	paths, sums := append([]string{d.Path}, d.Extra...), append([]string{d.SHA256}, d.ExtraSHA...)
	gone := Deleted{}
	var files []string
	for i, p := range paths {
		at := recorder.Find(s.Data, p)
		if _, err := os.Stat(at); err != nil {
			continue
		}
		files = append(files, at)
		gone.Files = append(gone.Files, p)
		if i < len(sums) {
			gone.SHA = append(gone.SHA, sums[i])
		}
	}
	if len(files) == 0 {
		return nil
	}
	c, over, err := s.over(ctx, r.Call)
	if err != nil || !over {
		return err
	}
	gone.Class, gone.After = c.class, s.Periods.of(c.class).String()
	if !s.journal(ctx, r.Call, "retention.deleted", gone) {
		return fmt.Errorf("recording of call %q: its deletion could not be journaled, so it stays", r.Call)
	}
	var errs []error
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("deleting a recording: %w", err))
			continue
		}
		_ = os.Remove(filepath.Dir(f)) // the day's folder, once it is empty
	}
	return errors.Join(errs...)
}

// journal writes a record and tells whether it is on disk.
func (s *sweep) journal(ctx context.Context, callID, kind string, data any) bool {
	done := make(chan bool, 1)
	s.Journal.Commit(func(durable bool) { done <- durable }, recorder.Entry{Time: s.now, Call: callID, Kind: kind, Data: data})
	select {
	case ok := <-done:
		return ok
	case <-ctx.Done():
		return false
	}
}

// Thinned is retention.thinned: messages that are gone from a capture.
type Thinned struct {
	File     string   `json:"file"`
	Calls    []string `json:"calls"` // Call-IDs
	Messages int      `json:"messages"`
}

// messages takes the calls whose time is over out of the captures.
func (s *sweep) messages(ctx context.Context) error {
	shortest := s.shortest()
	if shortest == 0 {
		return nil
	}
	files, err := capture.Before(filepath.Join(s.Data, "signalling"), s.now.Add(-shortest))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		if err := s.thin(ctx, file); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *sweep) thin(ctx context.Context, file string) error {
	count := map[string]int{}
	if err := capture.Count(file, count); err != nil {
		return err
	}
	gone := Thinned{File: strings.TrimPrefix(file, s.Data+string(filepath.Separator))}
	drop := map[string]bool{}
	for id, n := range count {
		_, over, err := s.over(ctx, id)
		if err != nil {
			return err
		}
		if over {
			drop[id] = true
			gone.Calls = append(gone.Calls, id)
			gone.Messages += n
		}
	}
	if len(drop) == 0 {
		return nil
	}
	if !s.journal(ctx, "", "retention.thinned", gone) {
		return fmt.Errorf("messages in %s: their deletion could not be journaled, so they stay", file)
	}
	return capture.Thin(file, func(callID string) bool { return !drop[callID] })
}

// records erases what old records of calls say.
func (s *sweep) records(ctx context.Context) error {
	if s.Periods.Records == 0 {
		return nil
	}
	held := make(map[string]bool, len(s.held))
	for id := range s.held {
		held[id] = true
	}
	old, err := recorder.Erasable(ctx, s.Data, s.now.Add(-s.Periods.Records), held)
	if err != nil || len(old) == 0 {
		return err
	}
	if !s.journal(ctx, "", recorder.KindErased, recorder.ErasedData{Ranges: old, After: s.Periods.Records.String()}) {
		return errors.New("old records: their erasure could not be journaled, so they stay")
	}
	return recorder.Erase(ctx, s.Data, old)
}
