package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdline/policy"
)

// CauseUnrelayed is the cause of the alerts for calls that were heard and not
// passed on.
const CauseUnrelayed = "unrelayed"

// Unrelayed is a call that was taken and, as far as is known, not passed on.
type Unrelayed struct {
	Call        string    `json:"call"` // Call-ID
	EmergencyID string    `json:"emergencyId,omitempty"`
	IncidentID  string    `json:"incidentId,omitempty"`
	From        string    `json:"from"`
	Number      string    `json:"number,omitempty"`
	Location    string    `json:"location,omitempty"`
	Nature      string    `json:"nature,omitempty"`
	Incident    string    `json:"incident,omitempty"`
	Position    string    `json:"position,omitempty"`
	Agent       string    `json:"agent,omitempty"`
	State       string    `json:"state"` // of the call: in progress, ended
	Why         string    `json:"why"`
	Since       time.Time `json:"since"`  // intake complete, or answered
	Alerts      int       `json:"alerts"` // raised so far
	AgeMS       int64     `json:"ageMs"`
	Closed      *Closed   `json:"closed,omitempty"`

	complete bool      // intake is
	next     time.Time // when the next alert is due; zero: none
}

// closes tells whether a mark ends the wait for somebody to be sent.
func (l *Ledger) closes(f policy.Field, value string) bool {
	switch f {
	case policy.Dispatched:
		return true
	case policy.Incident:
		return l.o.Relay.Incident
	case policy.Disposition:
		return !strings.EqualFold(strings.TrimSpace(value), "emergency")
	default:
		return false
	}
}

// relayed is the mark by which c was passed on or needs not be.
func (l *Ledger) relayed(c *call) (policy.Field, bool) {
	for _, f := range []policy.Field{policy.Dispatched, policy.Disposition, policy.Incident} {
		if m, ok := c.intake[f]; ok && l.closes(f, m.Value) && l.proves(m.Source) {
			return f, true
		}
	}
	return "", false
}

func relayedHow(f policy.Field) string {
	switch f {
	case policy.Dispatched:
		return "dispatched"
	case policy.Incident:
		return "an incident was created"
	default:
		return "a disposition was given"
	}
}

// looksRelayed looks again at a call that got a mark.
func (l *Ledger) looksRelayed(c *call, at time.Time, by string) {
	f, yes := l.relayed(c)
	how := relayedHow(f)
	if c.outside && !yes {
		yes, how = true, "transferred to another centre"
	}
	u := l.late[c.id]
	switch {
	case yes:
		delete(l.waits, c)
		if u != nil && u.Closed == nil {
			l.closeLate(u, Closed{At: at, By: by, How: how})
		}
	case u == nil:
		l.wait(c)
	case u.Closed == nil:
		u.learn(c, l)
		l.earliest(u.next)
	}
}

// wait keeps an eye on c if there will be a time to look at it.
func (l *Ledger) wait(c *call) {
	due := l.due(c)
	if c.answered.IsZero() || due.IsZero() {
		delete(l.waits, c)
		return
	}
	l.waits[c] = struct{}{}
	l.earliest(due)
}

// earliest notes that something may be due at t. What is not due any more by
// then costs a look at all that wait, and no more.
func (l *Ledger) earliest(t time.Time) {
	if !t.IsZero() && (l.next.IsZero() || t.Before(l.next)) {
		l.next = t
	}
}

// due is when c becomes an item: intake complete and nobody sent, or answered
// long enough and no incident. Zero: never, as things are.
func (l *Ledger) due(c *call) time.Time {
	switch r := l.o.Relay; {
	case r.Within <= 0:
		return time.Time{}
	case !c.completed.IsZero():
		return later(c.completed, c.answered).Add(r.Within)
	case r.Talk <= 0 || c.surge:
		return time.Time{}
	case !c.ended.IsZero() && c.ended.Sub(c.answered) < r.Talk:
		return time.Time{}
	default:
		return c.answered.Add(max(r.Within, r.Talk))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Due is when the next call may become an item or the next alert may have to
// be raised (policy.Follower).
func (l *Ledger) Due() time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.next
}

// Tick makes items of calls whose time has come, and alerts of items that
// nobody has closed (policy.Follower).
func (l *Ledger) Tick(now time.Time) []policy.Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next.IsZero() || l.next.After(now) {
		return nil
	}
	var found []policy.Finding
	l.next = time.Time{}
	for c := range l.waits {
		due := l.due(c)
		if due.IsZero() || due.After(now) {
			l.wait(c)
			continue
		}
		delete(l.waits, c)
		found = append(found, l.lapse(c))
	}
	for _, b := range l.owed {
		if f, yes := l.remember(b, now); yes {
			found = append(found, f)
		}
	}
	for _, u := range l.late {
		for u.Closed == nil && !u.next.IsZero() && !u.next.After(now) {
			found = append(found, l.remind(u))
		}
		if u.Closed == nil {
			l.earliest(u.next)
		}
	}
	slices.SortFunc(found, func(a, b policy.Finding) int { return strings.Compare(a.ID, b.ID) })
	return found
}

// lapse makes c an item and gives its first alert.
func (l *Ledger) lapse(c *call) policy.Finding {
	u := &Unrelayed{
		Call: c.id, From: c.from, Number: c.number, EmergencyID: c.emergencyID, IncidentID: c.incidentID,
		Position: c.position, Agent: c.agent, Since: later(c.completed, c.answered),
	}
	l.late[c.id] = u
	u.learn(c, l)
	return l.remind(u)
}

// learn takes what c's marks say. Intake that is complete makes the item one
// that escalates.
func (u *Unrelayed) learn(c *call, l *Ledger) {
	for f, into := range map[policy.Field]*string{policy.Location: &u.Location, policy.Nature: &u.Nature, policy.Incident: &u.Incident} {
		if m, ok := c.intake[f]; ok && m.Value != "true" {
			*into = m.Value
		}
	}
	u.Why = "answered, and no incident since"
	if !c.completed.IsZero() {
		u.Why = "intake is complete, and nobody has marked that help was sent"
		if !u.complete && u.Alerts > 0 && u.Alerts < l.o.Relay.Alerts {
			u.next = c.completed.Add(l.o.Relay.Within)
		}
		u.complete = true
	}
}

// remind raises an alert for u and sets the time of the next. One that rests
// on the length of the call alone gets a single one.
func (l *Ledger) remind(u *Unrelayed) policy.Finding {
	r := l.o.Relay
	u.Alerts++
	at := u.Since.Add(time.Duration(u.Alerts) * r.Within)
	if !u.next.IsZero() {
		at = u.next
	}
	u.next = time.Time{}
	if u.complete && u.Alerts < r.Alerts {
		u.next = at.Add(r.Within)
	}
	d := unrelayedAlert{
		WaitingMS: at.Sub(u.Since).Milliseconds(), Number: u.Number, Location: u.Location, Level: u.Alerts,
		From: u.From, EmergencyID: u.EmergencyID, IncidentID: u.IncidentID,
	}
	if u.Alerts > 1 {
		d.After = u.alertID(u.Alerts - 1)
	}
	return policy.Finding{
		ID: u.alertID(u.Alerts), Cause: CauseUnrelayed, Call: u.Call, Position: u.Position, Agent: u.Agent, Data: d,
		Why: fmt.Sprintf("%s %s ago: %s", since(u.complete), at.Sub(u.Since).Round(time.Second), u.Why),
	}
}

// alertID names an alert by the call and its number, in a way that can stand
// in a URL.
func (u *Unrelayed) alertID(n int) string {
	return alertID(CauseUnrelayed, u.Call, u.Since, n)
}

func alertID(cause, call string, since time.Time, n int) string {
	sum := sha256.Sum256([]byte(call + " " + since.UTC().Format(time.RFC3339Nano)))
	return fmt.Sprintf("%s-%s-%d", cause, hex.EncodeToString(sum[:6]), n)
}

func since(complete bool) string {
	if complete {
		return "taken down"
	}
	return "answered"
}

// unrelayedAlert is what its alert carries beside the usual.
type unrelayedAlert struct {
	WaitingMS int64  `json:"waitingMs"`
	Number    string `json:"number,omitempty"`
	Location  string `json:"location,omitempty"`
	// Who is concerned, for when the call is over and cannot be asked any more.
	From        string `json:"from,omitempty"`
	EmergencyID string `json:"emergencyId,omitempty"`
	IncidentID  string `json:"incidentId,omitempty"`
	Level       int    `json:"level"`           // 1 for the first alert of the call, 2 for the next
	After       string `json:"after,omitempty"` // the alert before
}

// relayedDone takes somebody's word that a call was passed on.
func (l *Ledger) relayedDone(r policy.Record, d Done) {
	if u := l.late[d.ID]; u != nil && u.Closed == nil {
		l.closeLate(u, Closed{At: r.Time, By: d.By, How: "marked as done", Note: d.Note})
	}
}

func (l *Ledger) closeLate(u *Unrelayed, c Closed) {
	u.Closed, u.next = &c, time.Time{}
	for n := range u.Alerts {
		l.ends = append(l.ends, policy.Finding{Resolves: u.alertID(n + 1), Why: c.words()})
	}
	l.closed = append(l.closed, closing{at: c.At, unrelayed: u.Call})
}

// Unrelayed are the calls that were not passed on, the oldest first; all adds
// those of the last day that were in the end.
func (l *Ledger) Unrelayed(now time.Time, all bool) []Unrelayed {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := []Unrelayed{}
	for _, u := range l.late {
		if u.Closed == nil || all {
			out = append(out, l.seen(u, now))
		}
	}
	slices.SortFunc(out, func(a, b Unrelayed) int {
		if n := a.Since.Compare(b.Since); n != 0 {
			return n
		}
		return strings.Compare(a.Call, b.Call)
	})
	return out
}

// UnrelayedCall returns the item of one call.
func (l *Ledger) UnrelayedCall(id string, now time.Time) (Unrelayed, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	u := l.late[id]
	if u == nil {
		return Unrelayed{}, false
	}
	return l.seen(u, now), true
}

// seen is a copy of an item with what is true now.
func (l *Ledger) seen(u *Unrelayed, now time.Time) Unrelayed {
	out := *u
	end := now
	if u.Closed != nil {
		c := *u.Closed
		out.Closed, end = &c, c.At
	}
	out.AgeMS = max(end.Sub(u.Since).Milliseconds(), 0)
	out.State = "ended"
	if c := l.calls[u.Call]; c != nil && c.ended.IsZero() {
		out.State = "in progress"
	}
	return out
}
