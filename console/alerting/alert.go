// Package alerting is the life of alerts, from the record alert.raised to the
// acknowledgment of a person: an index in memory that is fed by the journal, the
// channels over which people are told, and the escalation from one channel to
// the next while nobody takes notice.
//
// The journal is the only memory. Everything that the Desk decides is a record
// (alert.raised, alert.escalated, alert.resolved, alert.acknowledged,
// alert.delivered, alert.failed, alert.channel), and its state is what these
// records say, so that a restart forgets nothing and delivers what is owed.
package alerting

import (
	"encoding/json"
	"slices"
	"time"

	"holdline/policy"
)

// The record kinds of alerts.
const (
	KindRaised       = "alert.raised"
	KindAcknowledged = "alert.acknowledged"
	KindResolved     = "alert.resolved"
	KindEscalated    = "alert.escalated"
	KindDelivered    = "alert.delivered"
	KindFailed       = "alert.failed"
	KindChannel      = "alert.channel"
	KindTested       = "alert.tested"
)

// State is where an alert is in its life.
type State string

// The states of an alert. One that was resolved is still to be acknowledged.
const (
	Open         State = "open"
	Escalated    State = "escalated"    // nobody took notice in time, somebody else was told
	Resolved     State = "resolved"     // its cause is over
	Acknowledged State = "acknowledged" // a person has taken notice
)

// Severity says how fast somebody must look.
type Severity string

// The severities, the most urgent last.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical" // a caller may be without help
)

// Severities lists the severities, the least urgent first.
func Severities() []Severity { return []Severity{Info, Warning, Critical} }

// Reaches tells whether s is at least as urgent as least.
func (s Severity) Reaches(least Severity) bool {
	return slices.Index(Severities(), s) >= slices.Index(Severities(), least)
}

// Alert is something that a supervisor has to look at: what the journal says
// of it, and, while nobody has acknowledged it, how things stand now.
type Alert struct {
	ID           string          `json:"id"`
	Seq          uint64          `json:"seq"` // of the record alert.raised
	Raised       time.Time       `json:"raised"`
	Node         string          `json:"node"`
	Call         string          `json:"call,omitempty"`
	Cause        string          `json:"cause"`
	Severity     Severity        `json:"severity"`
	State        State           `json:"state"`
	Summary      string          `json:"summary"`           // what it is about, in a sentence
	Data         json.RawMessage `json:"data"`              // of the newest record that raised it
	Repeats      int             `json:"repeats"`           // how often the same cause was raised again
	Repeated     time.Time       `json:"repeated,omitzero"` // the last time
	Escalated    *Escalation     `json:"escalated,omitempty"`
	Resolved     *Resolution     `json:"resolved,omitempty"`
	Acknowledged *Acknowledgment `json:"acknowledged,omitempty"`
	Deliveries   []Delivery      `json:"deliveries"`
	Situation    *Situation      `json:"situation,omitempty"`
	Actions      []Action        `json:"actions,omitempty"`
}

// Acknowledgment says who has taken notice of an alert. It is the data of the
// record alert.acknowledged.
type Acknowledgment struct {
	Alert string    `json:"alert"` // its id
	By    string    `json:"by"`
	Note  string    `json:"note,omitempty"`
	At    time.Time `json:"at"`
}

// Resolution says that the cause of an alert is over. It is the data of the
// record alert.resolved.
type Resolution struct {
	Alert string    `json:"alert"`
	Why   string    `json:"why"`            // "the caller is with pos-2 (bob)"
	With  string    `json:"with,omitempty"` // who has the caller now
	At    time.Time `json:"at"`
}

// Escalation says that nobody took notice in time. It is the data of the record
// alert.escalated.
type Escalation struct {
	Alert    string    `json:"alert"`
	Step     int       `json:"step"` // of the configuration, from 1
	Channels []string  `json:"channels"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
}

// Delivery says that a channel has taken an alert.
type Delivery struct {
	Channel string    `json:"channel"`
	Event   Event     `json:"event"`
	At      time.Time `json:"at"`
}

// Event is what a channel is told of an alert.
type Event string

// The events. Only channels that programs listen to are told of the second.
const (
	Firing Event = "firing"
	Over   Event = "resolved" // the cause is over or a person has acknowledged it, whichever was first
)

// Situation is how things stand for the caller of an alert at this moment.
type Situation struct {
	State       string        `json:"state"`                 // of the call, or over, or unknown
	Waiting     time.Time     `json:"waitingSince,omitzero"` // since when the caller is alone
	WaitingMS   int64         `json:"waitingMs,omitempty"`   // and how long that is
	From        string        `json:"from,omitempty"`        // the caller
	To          string        `json:"to,omitempty"`          // what was called
	EmergencyID string        `json:"emergencyId,omitempty"` // urn:emergency:uid:callid:...
	With        string        `json:"with,omitempty"`        // who has the caller now
	Agent       string        `json:"agent,omitempty"`       // who sits there
	Rescues     int           `json:"rescues"`               // how often the caller was rescued
	Intake      policy.Intake `json:"intake,omitempty"`      // what is marked
	Complete    bool          `json:"intakeComplete"`
	Missing     []string      `json:"missing,omitempty"`   // what nobody has asked yet
	Recording   string        `json:"recording,omitempty"` // the file
}

// Action is something that a supervisor can do about an alert, as a request to
// the API.
type Action struct {
	Do     string         `json:"do"` // acknowledge, listen, whisper, barge, intake, release, play, call back
	Method string         `json:"method,omitempty"`
	Path   string         `json:"path,omitempty"`
	Body   map[string]any `json:"body,omitempty"`
	What   string         `json:"what"` // in words
}

// facts are the parts of alert.raised that everybody writes.
type facts struct {
	ID          string   `json:"id"`
	Cause       string   `json:"cause"`
	Why         string   `json:"why"`
	Severity    Severity `json:"severity"`
	Position    string   `json:"position"`
	Agent       string   `json:"agent"`
	Rule        string   `json:"rule"`
	After       string   `json:"after"`
	Level       int      `json:"level"` // how often the same was told under other ids
	From        string   `json:"from"`
	To          string   `json:"to"`
	EmergencyID string   `json:"emergencyId"`
	Channel     string   `json:"channel"` // of an alert about a channel
	Part        string   `json:"part"`    // of an alert about this node
}

// The causes that this package knows something about. Others are as good.
const (
	causeIntercept  = "intercept"
	causeEscalation = "escalation"
	causeUnanswered = "unanswered"
	causeReview     = "review"
	causeDead       = "target dead"
	causeAlive      = "target alive"
	causeDegraded   = "degraded"
	causeRecording  = "recording"
	causeChannel    = "channel"
	causeTest       = "test"
	causeAssist     = "assist"
	causeUnrelayed  = "unrelayed"
	causeSurge      = "surge"
)

// severityOf is how urgent a cause is when its record does not say.
func severityOf(f facts, call string) Severity {
	if slices.Contains(Severities(), f.Severity) {
		return f.Severity
	}
	if f.Cause == causeUnrelayed && f.Level > 1 {
		return Critical // it was told before, and nobody has acted
	}
	switch f.Cause {
	case causeTest, causeAlive:
		return Info
	case causeReview, causeDead, causeDegraded, causeRecording, causeChannel, "pattern", "callback", causeSurge, causeUnrelayed:
		return Warning
	}
	if call != "" {
		return Critical // a caller is concerned, and may be alone
	}
	return Warning
}

// waits tells whether a cause is that a caller has nobody.
func waits(cause string) bool {
	return cause == causeIntercept || cause == causeEscalation || cause == causeUnanswered
}

// leaves tells whether a cause is that a taker left a caller, or is on the line
// and not there.
func leaves(cause string) bool { return waits(cause) || policy.Release(cause).Connected() }

// outlives tells whether a cause is still there when its call is over: what
// happened must be looked at all the same, or something is still owed.
func outlives(cause string) bool {
	switch cause {
	case causeReview, causeRecording, "pattern", "callback", causeUnrelayed:
		return true
	}
	return false
}
