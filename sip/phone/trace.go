package phone

import (
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// traceLimit is how many messages a phone remembers; the oldest go first.
const traceLimit = 20000

// Message is one message as it was on the wire.
type Message struct {
	At   time.Time
	Sent bool   // by this phone
	Peer string // host:port of the other side
	Raw  []byte
}

// Parse reads the message; an error says why it is none.
func (m Message) Parse() (gosip.Message, error) { return newParser().ParseSIP(m.Raw) }

// Is tells whether the message is a request of that method ("BYE") or a
// response with that status to that method ("200 BYE").
func (m Message) Is(what string) bool { return m.label() == what }

func (m Message) label() string {
	msg, err := m.Parse()
	if err != nil {
		return "malformed"
	}
	if req, ok := msg.(*gosip.Request); ok {
		return string(req.Method)
	}
	status, _, _ := strings.Cut(strings.TrimPrefix(string(m.Raw), "SIP/2.0 "), " ")
	_, method := cseqOf(msg)
	return status + " " + method
}

// note keeps a message. Callers hold mu.
func (p *Phone) note(m Message) {
	if len(p.trace) >= traceLimit {
		p.trace = append(p.trace[:0], p.trace[traceLimit/2:]...)
	}
	p.trace = append(p.trace, m)
}

// Trace returns every message sent and received so far, in order, those that
// were sent again included.
func (p *Phone) Trace() []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Message(nil), p.trace...)
}

// Ladder returns the trace as one line a message, such as "> INVITE" for what
// was sent and "< 180 INVITE" for what was received.
func (p *Phone) Ladder() []string {
	var lines []string
	for _, m := range p.Trace() {
		arrow := "< "
		if m.Sent {
			arrow = "> "
		}
		lines = append(lines, arrow+m.label())
	}
	return lines
}

// Count tells how often the phone sent (or received) what, in Message.Is form.
func (p *Phone) Count(sent bool, what string) (n int) {
	for _, m := range p.Trace() {
		if m.Sent == sent && m.Is(what) {
			n++
		}
	}
	return n
}
