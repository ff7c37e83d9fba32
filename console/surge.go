package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/recorder"
)

// The record kinds of surge mode.
const (
	kindSurgeStarted = "surge.started"
	kindSurgeEnded   = "surge.ended"
)

// longestSurge bounds how long the guard can be relaxed at a time: nobody may
// forget it for days.
const longestSurge = 24 * time.Hour

// SurgeView is surge mode as people and programs see it.
type SurgeView struct {
	On     bool      `json:"on"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// surgeEnd is the data of surge.ended.
type surgeEnd struct {
	By    string    `json:"by"` // "" when its time was over
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
}

// Surge is the switch by which supervisors relax the guard for the whole
// centre in a mass event. It has an end from the beginning. It may be used
// from any goroutine.
type Surge struct {
	journal Journal
	now     atomic.Pointer[SurgeView] // nil when it is off

	mu    sync.Mutex // of changes
	timer *time.Timer
	over  bool
}

// NewSurge returns a Surge that is off.
func NewSurge(j Journal) *Surge { return &Surge{journal: j} }

// On tells whether the guard is relaxed at a time.
func (s *Surge) On(at time.Time) bool {
	v := s.now.Load()
	return v != nil && at.Before(v.Until)
}

// View returns the present state.
func (s *Surge) View(at time.Time) SurgeView {
	if !s.On(at) {
		return SurgeView{}
	}
	return *s.now.Load()
}

// Restore takes a record of the past, when the node starts, in order.
func (s *Surge) Restore(r policy.Record) {
	var d ledger.Surge
	switch {
	case r.Kind == kindSurgeEnded:
		s.now.Store(nil)
	case r.Kind == kindSurgeStarted && json.Unmarshal(r.Data, &d) == nil:
		s.now.Store(&SurgeView{On: true, Since: r.Time, Until: d.Until, By: d.By, Reason: d.Reason})
	}
}

// Resume goes on with what was restored: until its end, or ends it when that
// has passed while the node was not there.
func (s *Surge) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait()
}

// wait arms the timer for the end. s.mu is held.
func (s *Surge) wait() {
	if s.timer != nil {
		s.timer.Stop()
	}
	if v := s.now.Load(); v != nil && !s.over {
		s.timer = time.AfterFunc(time.Until(v.Until), func() { s.expire(v) })
	}
}

func (s *Surge) expire(v *SurgeView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.now.Load() != v {
		return // it was prolonged or ended meanwhile
	}
	s.now.Store(nil)
	s.journal.Commit(func(bool) {}, recorder.Entry{Time: time.Now(), Kind: kindSurgeEnded, Data: surgeEnd{Why: "its time was over", Since: v.Since}})
}

// Start switches surge mode on, or sets another end for it.
func (s *Surge) Start(ctx context.Context, until time.Time, reason, by string) SurgeView {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	v := &SurgeView{On: true, Since: now, Until: until, By: by, Reason: reason}
	if s.On(now) {
		v.Since = s.now.Load().Since
	}
	commit(ctx, s.journal, recorder.Entry{Time: now, Kind: kindSurgeStarted, Data: ledger.Surge{By: by, Reason: reason, Until: until}})
	s.now.Store(v)
	s.wait()
	return *v
}

// End switches surge mode off; it reports false when it was off.
func (s *Surge) End(ctx context.Context, by string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.now.Swap(nil)
	if v == nil {
		return false
	}
	s.wait()
	commit(ctx, s.journal, recorder.Entry{Time: time.Now(), Kind: kindSurgeEnded, Data: surgeEnd{By: by, Why: "switched off", Since: v.Since}})
	return true
}

// Stop forgets the timer; the state is in the journal.
func (s *Surge) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (c *Console) getSurge(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, c.o.Surge.View(time.Now()))
}

// postSurge switches surge mode on until a time or for a while.
func (c *Console) postSurge(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Until  string          `json:"until"`
		For    string          `json:"for"`
		Reason string          `json:"reason"`
		By     json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	now := time.Now()
	by, problem := author(r, body.By)
	reason := strings.TrimSpace(body.Reason)
	var until time.Time
	switch {
	case problem != nil:
	case reason == "":
		problem = &failure{"surge mode needs a reason", `send {"for": "30m", "reason": "building collapse, hundreds of callers", "by": "your name"}; it is journaled`}
	case utf8.RuneCountInString(reason) > maxWord:
		problem = &failure{fmt.Sprintf("the reason has more than %d characters", maxWord), "shorten it"}
	default:
		until, problem = surgeUntil(body.Until, body.For, now)
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.log.Warn("surge mode is on: releases are not intercepted")
	reply(w, http.StatusOK, c.o.Surge.Start(r.Context(), until, reason, by))
}

// surgeUntil reads when surge mode is to end.
func surgeUntil(until, length string, now time.Time) (time.Time, *failure) {
	const how = `send "for": "30m", or "until": "2026-08-14T18:00:00Z"`
	var end time.Time
	switch {
	case (until == "") == (length == ""):
		return end, &failure{"surge mode needs an end: either for or until", how}
	case length != "":
		d, err := time.ParseDuration(length)
		if err != nil || d <= 0 {
			return end, &failure{fmt.Sprintf("%q is no length of time", length), how}
		}
		end = now.Add(d)
	default:
		t, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return end, &failure{fmt.Sprintf("%q is no time", until), how}
		}
		end = t
	}
	switch {
	case !end.After(now):
		return end, &failure{fmt.Sprintf("%s is over", end.Format(time.RFC3339)), "name a time in the future"}
	case end.Sub(now) > longestSurge:
		return end, &failure{fmt.Sprintf("surge mode cannot be on for more than %s", longestSurge), "set an earlier end; it can be prolonged"}
	}
	return end, nil
}

// deleteSurge switches surge mode off.
func (c *Console) deleteSurge(w http.ResponseWriter, r *http.Request) {
	var by json.RawMessage
	if v := r.URL.Query().Get("by"); v != "" {
		by, _ = json.Marshal(v)
	}
	name, problem := author(r, by)
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	if !c.o.Surge.End(r.Context(), name) {
		c.log.Debug("surge mode was off already")
	}
	reply(w, http.StatusOK, c.o.Surge.View(time.Now()))
}
