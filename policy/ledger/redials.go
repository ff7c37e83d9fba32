package ledger

import (
	"fmt"
	"slices"
	"time"

	"holdline/policy"
)

// Earlier is what is known of a caller's calls shortly before a new one.
type Earlier struct {
	Redials int      // how many there were
	Avoid   []string // who dropped this caller: "agent ann", "target pos-1"
	Note    string   // for the next call taker; "" when nothing went wrong
}

// Earlier tells of the calls before one that comes in now, of the same number
// or under the same emergency call identifier. Calls of the same incident may be
// another caller's: they are no redials, and who dropped one of them is avoided
// all the same.
func (l *Ledger) Earlier(from, asserted, emergencyID, incidentID string, at time.Time) Earlier {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.o.Redial <= 0 {
		return Earlier{}
	}
	var before []*call
	if who := l.callers[NumberOf(from, asserted)]; who != nil {
		before = who.calls
	}
	if c := l.urns[emergencyID]; c != nil && emergencyID != "" && !slices.Contains(before, c) {
		before = append(slices.Clone(before), c)
	}
	var e Earlier
	var last *call // with something to tell
	for _, c := range before {
		if !l.shortlyBefore(c, at) {
			continue
		}
		e.Redials++
		for _, t := range c.dropped {
			e.add(t)
		}
		if len(c.dropped) > 0 || c.completed.IsZero() {
			last = c
		}
	}
	if last != nil {
		e.Note = last.note(fmt.Sprintf("redial: call %d of this caller", e.Redials+1), at)
	}
	for _, c := range l.incidents[incidentID] {
		if len(c.dropped) == 0 || slices.Contains(before, c) || !l.shortlyBefore(c, at) {
			continue
		}
		for _, t := range c.dropped {
			e.add(t)
		}
		if last == nil {
			e.Note = c.note("another call of this incident", at)
		}
	}
	return e
}

// shortlyBefore tells whether c may be an earlier call of somebody who calls at
// a time. One that somebody is talking to is another caller behind the same
// number.
func (l *Ledger) shortlyBefore(c *call, at time.Time) bool {
	if c.ended.IsZero() {
		return c.waiting && !c.started.After(at)
	}
	return !c.started.After(at) && at.Sub(c.ended) <= l.o.Redial
}

// add puts somebody on the list. A phone that failed is not the fault of who
// sits at it.
func (e *Earlier) add(t taker) {
	names := []string{"target " + t.position}
	if t.agent != "" && !t.technical {
		names = append(names, "agent "+t.agent)
	}
	for _, n := range names {
		if !slices.Contains(e.Avoid, n) {
			e.Avoid = append(e.Avoid, n)
		}
	}
}

// note says in one line what the next taker must know of the call c, which is
// so called.
func (c *call) note(what string, at time.Time) string {
	when := c.ended
	if when.IsZero() {
		when = c.seen
	}
	ago := max(at.Sub(when), 0).Round(time.Second)
	n := len(c.dropped)
	switch {
	case n > 0 && c.claimed:
		return fmt.Sprintf("%s; %s ago %s left, and only said that intake was complete", what, ago, c.dropped[n-1].position)
	case n > 0:
		return fmt.Sprintf("%s; %s ago %s left before intake was complete", what, ago, c.dropped[n-1].position)
	default:
		return fmt.Sprintf("%s; %s ago a call ended before intake was complete", what, ago)
	}
}

// Find returns the Call-ID of a call that is remembered, by Call-ID or
// emergency call identifier; "" when there is none.
func (l *Ledger) Find(id string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if c := l.urns[id]; c != nil {
		return c.id
	}
	for _, b := range l.owed {
		if b.EmergencyID == id || slices.Contains(b.Calls, id) {
			return b.Calls[len(b.Calls)-1]
		}
	}
	for _, u := range l.late {
		if u.EmergencyID == id {
			return u.Call
		}
	}
	if c := l.calls[id]; c != nil {
		return c.id
	}
	return ""
}

// Surge is a mass event: supervisors have relaxed the guard. It is the data
// of surge.started.
type Surge struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// surged raises the alert by which everybody sees that the guard is relaxed.
func (l *Ledger) surged(r policy.Record, d Surge) policy.Finding {
	l.surge = true
	return policy.Finding{
		ID: fmt.Sprintf("surge-%d", r.Time.UnixMilli()), Cause: "surge",
		Why: fmt.Sprintf("%s switched surge mode on until %s: %s", d.By, d.Until.Format(time.RFC3339), d.Reason),
	}
}
