package alerting

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Sender is the way to somebody: a web server, a phone, a mailbox. It is used
// by one goroutine at a time, and by another one for tests.
type Sender interface {
	// Send delivers m, or says why it could not. detail is what the other side
	// answered, in a few words. The error must not hold secrets: it is shown.
	Send(ctx context.Context, m Message) (detail string, err error)
}

// Channel is a Sender with what the Desk must know of it.
type Channel struct {
	Name    string
	Kind    string // webhook, sip-message, sip-call, mail
	Target  string // for people, without secrets
	Sender  Sender
	Timeout time.Duration // of one attempt; 0: 10 s
	Batch   int           // alerts in one message; 0: 1
	// Every is the time between two messages in the long run, Burst how many may
	// come at once. What is raised meanwhile goes into the next one, so that a
	// storm of alerts is a few messages. 0: there is no such limit.
	Every time.Duration
	Burst int
	// Program says that a program listens: it is told of everything in its
	// order, also of what was acknowledged meanwhile, and of the end of alerts.
	Program bool
	// Config tells one configuration of the channel from another.
	Config string
}

// Step is a level of escalation.
type Step struct {
	Channels   []string      // their names
	After      time.Duration // since the alert was raised
	Severity   Severity      // only alerts at least as urgent; "": all
	Causes     []string      // only these; empty: all
	Unresolved bool          // only while the cause is there
}

// takes tells whether an alert goes this way.
func (s Step) takes(e *entry) bool {
	if s.Severity != "" && !e.Severity.Reaches(s.Severity) {
		return false
	}
	if len(s.Causes) > 0 && !slices.Contains(s.Causes, e.Cause) {
		return false
	}
	return true
}

// Message is what a channel is to deliver: one alert, or several when more
// came than the channel takes at a time.
type Message struct {
	Node    string
	Console string // URL under which people reach the console
	Channel string
	// Seq counts the messages that the channel has taken, from 1 and without a
	// gap: one that is missing was missed, one that comes again is an attempt
	// whose answer was lost. A test has none.
	Seq     uint64
	Notices []Notice
	Test    bool // nobody is in need; somebody tries the channel
}

// Notice is one event of an alert, with the alert as it is now.
type Notice struct {
	Event Event
	Alert Alert
	Ends  time.Time // of Over
	Why   string    // of Over
}

// Refused is an error of a Sender that trying again will not help: the other
// side was reached and does not take this message.
type Refused struct{ Err error }

// Error implements error.
func (r Refused) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r Refused) Unwrap() error { return r.Err }

// Status is a channel as people and programs see it.
type Status struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Target    string    `json:"target,omitempty"`
	State     string    `json:"state"`   // works, failing, untried
	Pending   int       `json:"pending"` // alerts that wait for it
	Delivered uint64    `json:"delivered"`
	Failures  uint64    `json:"failures"` // attempts that failed
	Last      time.Time `json:"lastDelivery,omitzero"`
	Failing   time.Time `json:"failingSince,omitzero"`
	Error     string    `json:"error,omitempty"`    // of the last attempt that failed, while it fails
	Next      time.Time `json:"nextTry,omitzero"`   // when it is tried again
	Sequence  uint64    `json:"sequence"`           // number of the last message that it took
	Watchers  *int      `json:"watchers,omitempty"` // of the page: how many have it open
}

// The states of a channel.
const (
	Works   = "works"
	Failing = "failing"
	Untried = "untried" // nothing was sent since the start
)

// ErrNoChannel says that no channel has that name.
var ErrNoChannel = errors.New("there is no such channel")

// channelData is alert.channel: a channel came or went with a configuration.
// Alerts that are older than it are not sent over it.
type channelData struct {
	Channel string `json:"channel"`
	Kind    string `json:"kind,omitempty"`
	Target  string `json:"target,omitempty"`
	Removed bool   `json:"removed,omitempty"`
}

// deliveredData is alert.delivered: a channel has taken a message.
type deliveredData struct {
	Channel  string         `json:"channel"`
	Seq      uint64         `json:"seq"`
	Alerts   []deliveredOne `json:"alerts"`
	Attempts int            `json:"attempts"`
	AfterMS  int64          `json:"afterMs"` // since the oldest of them was due
	Detail   string         `json:"detail,omitempty"`
	GaveUp   bool           `json:"gaveUp,omitempty"` // the other side does not take it; it is not tried again
}

type deliveredOne struct {
	Alert string `json:"alert"`
	Event Event  `json:"event"`
}

// failedData is alert.failed: a channel could not be used. An outage is told
// with its first attempt, and then whenever the number of attempts has doubled.
type failedData struct {
	Channel  string         `json:"channel"`
	Alerts   []deliveredOne `json:"alerts"`
	Attempts int            `json:"attempts"`
	Error    string         `json:"error"`
	RetryMS  int64          `json:"retryMs"`
	Waiting  int            `json:"waiting"` // alerts that wait for the channel
}

// testedData is alert.tested: somebody has tried a channel.
type testedData struct {
	Channel string `json:"channel"`
	By      string `json:"by"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail,omitempty"`
	Error   string `json:"error,omitempty"`
	TookMS  int64  `json:"tookMs"`
}
