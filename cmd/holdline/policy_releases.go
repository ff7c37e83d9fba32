package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"holdline/policy"
	"holdline/recorder"
)

// releaseRecord is one release as the journal has it: release.requested, and
// the verdict that followed.
type releaseRecord struct {
	Call     string
	At       time.Time
	Seq      uint64
	Position string
	Agent    string
	Facts    *policy.Facts  // nil: the record holds none
	Verdict  policy.Verdict // of the journal
}

// name is who left, for people.
func (r releaseRecord) name() string {
	if r.Agent == "" {
		return r.Position
	}
	return r.Position + " (" + r.Agent + ")"
}

// scan reads a journal for releases and for the policies that were in force.
// It is an io.Writer for recorder.Export and keeps only what is open.
type scan struct {
	release func(releaseRecord) error
	policy  func(digest, rules string) // of every node.started and node.reloaded; may be nil
	offered func(call, emergencyID string)

	rest []byte
	open map[string]releaseRecord // by call and leg: asked, and no verdict yet
}

// readReleases calls release with every release that q selects, in the order
// of the verdicts.
func readReleases(dir string, q recorder.Query, s *scan) error {
	s.open = map[string]releaseRecord{}
	return recorder.Export(dir, q, s)
}

// Write takes a piece of an export.
func (s *scan) Write(piece []byte) (int, error) {
	s.rest = append(s.rest, piece...)
	for {
		end := bytes.IndexByte(s.rest, '\n')
		if end < 0 {
			return len(piece), nil
		}
		if err := s.line(s.rest[:end]); err != nil {
			return 0, err
		}
		s.rest = s.rest[end+1:]
	}
}

// line takes one record. Most are about something else, and are not decoded.
func (s *scan) line(line []byte) error {
	if !bytes.Contains(line, []byte(`"kind":"release.`)) && !bytes.Contains(line, []byte(`"kind":"node.`)) && s.offered == nil {
		return nil
	}
	var r recorder.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	var err error
	switch r.Kind {
	case "call.offered":
		err = s.isOffered(r)
	case "node.started", "node.reloaded":
		err = s.inForce(r)
	case "release.requested":
		err = s.requested(r)
	case "release.allowed", "release.intercepted":
		return s.judged(r)
	}
	if err != nil {
		return fmt.Errorf("reading record %d: %w", r.Seq, err)
	}
	return nil
}

func (s *scan) isOffered(r recorder.Record) error {
	var d struct{ EmergencyID string }
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return err
	}
	s.offered(r.Call, d.EmergencyID)
	return nil
}

func (s *scan) inForce(r recorder.Record) error {
	if s.policy == nil {
		return nil
	}
	var d struct{ Policy, Rules string }
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return err
	}
	s.policy(d.Policy, d.Rules)
	return nil
}

func (s *scan) requested(r recorder.Record) error {
	var d struct {
		Leg, Position, Agent string
		Facts                *policy.Facts
	}
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return err
	}
	s.open[r.Call+"\x00"+d.Leg] = releaseRecord{
		Call: r.Call, At: r.Time, Seq: r.Seq, Position: d.Position, Agent: d.Agent, Facts: d.Facts,
	}
	return nil
}

// judged closes a release. A verdict whose request came before what was asked
// for has nothing to be compared with.
func (s *scan) judged(r recorder.Record) error {
	var d struct {
		Leg string
		policy.Verdict
	}
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return fmt.Errorf("reading record %d: %w", r.Seq, err)
	}
	key := r.Call + "\x00" + d.Leg
	rel, ok := s.open[key]
	if !ok {
		return nil
	}
	delete(s.open, key)
	rel.Verdict = d.Verdict
	return s.release(rel)
}
