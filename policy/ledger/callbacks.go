package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"holdline/policy"
)

// Callback is a caller who is owed one: the call ended and nobody had
// established what it was about.
type Callback struct {
	ID          string    `json:"id"`    // Call-ID of the first call
	Calls       []string  `json:"calls"` // Call-IDs, if the caller was lost more than once
	EmergencyID string    `json:"emergencyId,omitempty"`
	IncidentID  string    `json:"incidentId,omitempty"`
	From        string    `json:"from"`
	Number      string    `json:"number,omitempty"` // digits; "" when nobody can be called back
	Location    string    `json:"location,omitempty"`
	Nature      string    `json:"nature,omitempty"`
	Position    string    `json:"position,omitempty"` // who had the caller last
	Agent       string    `json:"agent,omitempty"`
	Cause       Cause     `json:"cause"`
	Why         string    `json:"why"`
	Since       time.Time `json:"since"` // when the caller was lost first
	Last        time.Time `json:"last"`  // and last
	Attempts    int       `json:"attempts,omitempty"`
	Attempted   time.Time `json:"attempted,omitzero"`
	Alert       string    `json:"alert,omitempty"`   // that it is owed for too long
	InTouch     string    `json:"inTouch,omitempty"` // Call-ID of a call of this caller that is up
	AgeMS       int64     `json:"ageMs"`
	Closed      *Closed   `json:"closed,omitempty"`

	number   string // it is open under
	reopened int    // how often a callback that was cut short opened it again
}

// Cause is in what way a caller was lost.
type Cause string

// The causes.
const (
	Abandoned Cause = "abandoned" // hung up before anybody answered
	HungUp    Cause = "hung-up"   // hung up while a call taker had the call
	Gone      Cause = "gone"      // hung up in the queue, after a call taker had left
	Technical Cause = "technical" // a phone, the network or this node failed
	Released  Cause = "released"  // a call taker left, and was allowed to
)

// owes says in what way a call leaves somebody to be called back; "" when it
// does not. A supervisor who ended it has decided.
func (c *call) owes(d endData, complete bool) Cause {
	switch {
	case complete || d.By == "supervisor":
		return ""
	case c.outside && !c.waiting && (d.By == "position" || d.By == "caller"):
		return "" // another centre has taken the caller over
	case d.By == "position" && c.intake.Complete():
		return "" // by the call taker's own word, which a supervisor reviews
	case d.By == "position":
		return Released
	case d.By != "caller":
		return Technical
	case c.answered.IsZero() && c.rescues == 0:
		return Abandoned
	case c.waiting:
		return Gone
	default:
		return HungUp
	}
}

func (c *call) why(cause Cause, d endData) string {
	who := c.position
	if who == "" {
		who = "nobody"
	}
	switch cause {
	case Abandoned:
		return "the caller hung up before anybody answered"
	case HungUp:
		return "the caller hung up on " + who + " before intake was complete"
	case Gone:
		return "the caller was left by " + c.release.Position + " and hung up before somebody else answered"
	case Released:
		if c.surge {
			return who + " let the caller go before intake was complete, in surge mode"
		}
		return who + " let the caller go before intake was complete"
	default:
		return "the call was lost before intake was complete: " + d.Reason
	}
}

// owe opens an item, or adds the call to the one that its number has.
func (l *Ledger) owe(c *call, cause Cause, d endData) {
	var b *Callback
	if c.number != "" {
		b = l.caller(c.number).owed
	}
	if same := l.owed[c.id]; b == nil && same != nil && same.Closed == nil {
		b = same
	}
	if b == nil {
		b = &Callback{ID: c.id, From: c.from, Number: c.number, Since: c.ended, number: c.number}
		l.owed[b.ID] = b
		if c.number != "" {
			l.caller(c.number).owed = b
		}
	}
	if !slices.Contains(b.Calls, c.id) {
		b.Calls = append(b.Calls, c.id)
	}
	b.Cause, b.Why, b.Last, b.Position, b.Agent = cause, c.why(cause, d), c.ended, c.position, c.agent
	b.EmergencyID, b.IncidentID = c.emergencyID, c.incidentID
	b.learn(c.intake)
	l.earliest(l.overdue(b))
}

// CauseCallback is the cause of the alerts for callbacks that are owed for too
// long.
const CauseCallback = "callback"

// overdue is when somebody must be told of b; zero: never, as things are.
func (l *Ledger) overdue(b *Callback) time.Time {
	if l.o.Owed <= 0 || b.Closed != nil || b.Alert != "" {
		return time.Time{}
	}
	return b.Since.Add(l.o.Owed)
}

// remember gives the alert about a callback that is owed for too long. While
// the caller is on the line again nobody has to be told: that call counts.
func (l *Ledger) remember(b *Callback, now time.Time) (policy.Finding, bool) {
	due := l.overdue(b)
	switch {
	case due.IsZero():
		return policy.Finding{}, false
	case due.After(now):
		l.earliest(due)
		return policy.Finding{}, false
	case l.inTouch(b) != "":
		l.earliest(now.Add(l.o.Owed))
		return policy.Finding{}, false
	}
	b.Alert = alertID(CauseCallback, b.ID, b.Since, 1+b.reopened)
	return policy.Finding{
		ID: b.Alert, Cause: CauseCallback, Call: b.ID, Position: b.Position, Agent: b.Agent,
		Why: fmt.Sprintf("a callback is owed for %s, and nobody has called: %s", now.Sub(b.Since).Round(time.Second), b.Why),
		Data: callbackAlert{
			WaitingMS: now.Sub(b.Since).Milliseconds(), Number: b.Number, Location: b.Location,
			From: b.From, EmergencyID: b.EmergencyID, IncidentID: b.IncidentID,
		},
	}, true
}

// callbackAlert is what such an alert carries beside the usual.
type callbackAlert struct {
	WaitingMS   int64  `json:"waitingMs"`
	Number      string `json:"number,omitempty"`
	Location    string `json:"location,omitempty"`
	From        string `json:"from,omitempty"`
	EmergencyID string `json:"emergencyId,omitempty"`
	IncidentID  string `json:"incidentId,omitempty"`
}

// learn takes what is known of the place and the need.
func (b *Callback) learn(in policy.Intake) {
	if m, ok := in[policy.Location]; ok && m.Value != "true" {
		b.Location = m.Value
	}
	if m, ok := in[policy.Nature]; ok && m.Value != "true" {
		b.Nature = m.Value
	}
}

// settled closes what c's caller was owed: intake of c is complete.
func (l *Ledger) settled(c *call, at time.Time, by string) {
	for _, b := range []*Callback{l.owed[c.id], l.owedTo(c.number)} {
		if b == nil || b.Closed != nil {
			continue
		}
		how := "intake was completed"
		if !slices.Contains(b.Calls, c.id) {
			how = "the caller called again, and intake was completed"
		}
		l.close(b, Closed{At: at, By: by, How: how, Call: c.id})
	}
}

// resumed closes the items of earlier calls of c's caller that rest on nothing
// but their length: what they were about has been taken down now, and c has a
// clock of its own.
func (l *Ledger) resumed(c *call, at time.Time, by string) {
	who := l.callers[c.number]
	if who == nil {
		return
	}
	for _, o := range who.calls {
		if o == c || o.ended.IsZero() || !o.completed.IsZero() {
			continue
		}
		delete(l.waits, o)
		if u := l.late[o.id]; u != nil && u.Closed == nil {
			l.closeLate(u, Closed{At: at, By: by, How: "the caller called again, and intake was completed", Call: c.id})
		}
	}
}

func (l *Ledger) owedTo(number string) *Callback {
	if who := l.callers[number]; who != nil {
		return who.owed
	}
	return nil
}

// markedLate takes a mark for a call that is forgotten but left something open.
func (l *Ledger) markedLate(r policy.Record, d markData) {
	if !l.proves(d.Source) {
		return
	}
	for _, b := range l.owed {
		if b.Closed == nil && slices.Contains(b.Calls, r.Call) {
			b.learn(policy.Intake{d.Field: {Value: d.Value}})
			if d.Field == policy.Disposition || d.Field == policy.Incident {
				l.close(b, Closed{At: r.Time, By: d.By, How: "intake was completed", Call: r.Call})
			}
		}
	}
	if u := l.late[r.Call]; u != nil && u.Closed == nil && l.closes(d.Field, d.Value) {
		l.closeLate(u, Closed{At: r.Time, By: d.By, How: relayedHow(d.Field)})
	}
}

// reached closes what is owed to the number that an outbound call was answered at.
func (l *Ledger) reached(c *call, at time.Time) {
	if b := l.owedTo(c.dialled); b != nil {
		l.close(b, Closed{At: at, By: c.agent, How: "the caller was called back and answered", Call: c.id})
		l.backs[c.id] = b
	}
}

// callbackTalk is how long a callback lasts at least that was one: whoever hangs
// up on a caller sooner has not spoken to them.
const callbackTalk = 10 * time.Second

// calledBack takes the end of a callback. One that the call taker, or a failure,
// cut short was none, and the caller is owed one as before.
func (l *Ledger) calledBack(r policy.Record, d endData) {
	b := l.backs[r.Call]
	if b == nil {
		return
	}
	delete(l.backs, r.Call)
	if b.Closed == nil || b.Closed.Call != r.Call {
		return
	}
	talk := r.Time.Sub(b.Closed.At)
	if talk >= callbackTalk || d.By == "caller" || d.By == "supervisor" || l.owedTo(b.number) != nil {
		return
	}
	b.Closed, b.Alert, b.Last = nil, "", r.Time
	b.reopened++
	b.Why = fmt.Sprintf("the caller was called back, and that ended after %s, by %s", talk.Round(time.Second), d.By)
	if b.number != "" {
		l.caller(b.number).owed = b
	}
	l.earliest(l.overdue(b))
}

// tried notes an attempt to call back.
func (b *Callback) tried(at time.Time) {
	b.Attempts++
	b.Attempted = at
}

// callbackStarted takes an attempt that Holdline made.
func (l *Ledger) callbackStarted(r policy.Record, d Done) {
	if b := l.owed[d.ID]; b != nil && b.Closed == nil {
		b.tried(r.Time)
	}
}

// callbackDone takes somebody's word that an item is done.
func (l *Ledger) callbackDone(r policy.Record, d Done) {
	if b := l.owed[d.ID]; b != nil && b.Closed == nil {
		how := d.How
		if how == "" {
			how = "marked as done"
		}
		l.close(b, Closed{At: r.Time, By: d.By, How: how, Note: d.Note, Call: d.Call})
		if d.Call != "" {
			l.backs[d.Call] = b
		}
	}
}

// Done is the data of callback.done and unrelayed.done.
type Done struct {
	ID   string `json:"id"` // of the item
	By   string `json:"by"`
	Note string `json:"note,omitempty"`
	How  string `json:"how,omitempty"`
	Call string `json:"call,omitempty"` // the call that did it
}

func (l *Ledger) close(b *Callback, c Closed) {
	b.Closed = &c
	if b.Alert != "" {
		l.ends = append(l.ends, policy.Finding{Resolves: b.Alert, Why: c.words()})
	}
	if who := l.callers[b.number]; who != nil && who.owed == b {
		who.owed = nil
		if len(who.calls) == 0 {
			delete(l.callers, b.number)
		}
	}
	l.closed = append(l.closed, closing{at: c.At, callback: b.ID})
}

// Callbacks are the callers who are owed a callback, the one who has waited
// longest first; all adds those of the last day who are not any more.
func (l *Ledger) Callbacks(now time.Time, all bool) []Callback {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := []Callback{}
	for _, b := range l.owed {
		if b.Closed == nil || all {
			out = append(out, l.shown(b, now))
		}
	}
	slices.SortFunc(out, func(a, b Callback) int {
		if n := a.Since.Compare(b.Since); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Callback returns one item.
func (l *Ledger) Callback(id string, now time.Time) (Callback, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	b := l.owed[id]
	if b == nil {
		return Callback{}, false
	}
	return l.shown(b, now), true
}

// shown is a copy of an item with what is true now.
func (l *Ledger) shown(b *Callback, now time.Time) Callback {
	out := *b
	out.Calls = slices.Clone(b.Calls)
	end := now
	if b.Closed != nil {
		c := *b.Closed
		out.Closed, end = &c, c.At
	}
	out.AgeMS = max(end.Sub(b.Since).Milliseconds(), 0)
	out.InTouch = l.inTouch(b)
	return out
}
