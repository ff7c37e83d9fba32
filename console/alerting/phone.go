package alerting

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Phones is what the SIP side does for alerts.
type Phones interface {
	// Message sends a text outside of any call (RFC 3428).
	Message(ctx context.Context, uri, text string) error
	// Ring calls uri, shows it a display name and returns when it was answered;
	// the call ends then, because there is nobody to talk to.
	Ring(ctx context.Context, uri, display string) error
}

// Joiner rings a supervisor's phone and, on answer, brings the supervisor into a
// call.
type Joiner interface {
	Join(ctx context.Context, call, mode, uri, by string) error
}

// messageText is the longest text of a SIP MESSAGE: with its headers it must
// fit a datagram of 1300 bytes (RFC 3428 section 8).
const messageText = 800

// SIPMessage sends alerts as text to a phone.
type SIPMessage struct {
	Phones Phones
	URI    string
}

// Send implements Sender.
func (s SIPMessage) Send(ctx context.Context, m Message) (string, error) {
	if err := s.Phones.Message(ctx, s.URI, m.Text(messageText)); err != nil {
		if ctx.Err() != nil {
			err = errors.New("no answer in time")
		}
		return "", err
	}
	return "the phone took it", nil
}

// SIPCall rings a phone. When the alert is about a caller who is on the line,
// whoever answers is brought into that call; otherwise the ringing itself is
// the message.
type SIPCall struct {
	Phones Phones
	Joiner Joiner // nil: phones only ring
	URI    string
	Mode   string        // listen, whisper or barge
	Ring   time.Duration // how long it rings
	Name   string        // of the channel, for the journal
}

// Send implements Sender.
func (s SIPCall) Send(ctx context.Context, m Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Ring)
	defer cancel()
	a := urgent(m)
	display := "ALERT " + shorten(a.Cause, 40)
	if m.Test {
		display = "ALERT TEST"
	}
	if s.Joiner != nil && !m.Test && a.Situation != nil && a.Situation.State != callOver {
		err := s.Joiner.Join(ctx, a.Call, s.Mode, s.URI, "alert channel "+s.Name)
		if err == nil {
			return fmt.Sprintf("answered, and joined call %s (%s)", a.Call, s.Mode), nil
		}
		if !errors.Is(err, ErrCallOver) {
			return "", s.unanswered(ctx, err)
		}
	}
	if err := s.Phones.Ring(ctx, s.URI, display); err != nil {
		return "", s.unanswered(ctx, err)
	}
	return "answered", nil
}

// ErrCallOver is what a Joiner returns when the call that was to be joined is
// not in progress any more.
var ErrCallOver = errors.New("the call is over")

func (s SIPCall) unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("nobody answered within %s", s.Ring)
	}
	return err
}

// urgent is the alert of a message that its receiver must know of first: a
// caller who waits, the longest first.
func urgent(m Message) Alert {
	best := m.Notices[0].Alert
	for _, n := range m.Notices[1:] {
		if a := n.Alert; rank(a) > rank(best) {
			best = a
		}
	}
	return best
}

func rank(a Alert) int {
	r := 0
	if s := a.Situation; s != nil && s.State != callOver {
		r++
		if !s.Waiting.IsZero() {
			r += 2
		}
	}
	return r
}
