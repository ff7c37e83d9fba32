package sources

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"holdline/policy/eido"
	"holdline/recorder"
	"holdline/sip"
)

// Bounds of a log event.
const (
	MaxEvent  = 256 << 10 // bytes of a message; more is refused
	keptEvent = 16 << 10  // bytes of it that are kept in the journal
)

// prologue is what every log event begins with (NENA-STA-010.3 section
// 4.12.3.1), and the members of those that are used.
type prologue struct {
	Type       string `json:"logEventType"`
	Timestamp  string `json:"timestamp"`
	ElementID  string `json:"elementId"`
	AgencyID   string `json:"agencyId"`
	Agent      string `json:"agencyAgentId"`
	Position   string `json:"agencyPositionId"`
	CallID     string `json:"callId"`
	IncidentID string `json:"incidentId"`
	CallIDSIP  string `json:"callIdSip"` // names are compared without regard to case: callIdSIP is seen too

	Primary   string          `json:"primaryAgentState"`
	Secondary string          `json:"secondaryAgentState"`
	Device    string          `json:"deviceId"`
	State     string          `json:"state"`
	LegCallID string          `json:"legCallId"`
	Target    string          `json:"target"` // of a transfer
	Body      json.RawMessage `json:"body"`
	EIDO      json.RawMessage `json:"eido"` // where some have it instead
}

// eventData is log.event: a log event of the call-handling system as it came.
type eventData struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	At        string          `json:"at"` // as the sender has it
	Element   string          `json:"element"`
	Agency    string          `json:"agency,omitempty"`
	Agent     string          `json:"agent,omitempty"`
	Position  string          `json:"position,omitempty"`
	Signer    string          `json:"signer"` // "nobody": it came without a signature
	Event     json.RawMessage `json:"event,omitempty"`
	Truncated string          `json:"truncated,omitempty"` // the beginning of one that is too large to be kept
}

// droppedData is log.dropped: events that were too many to be kept.
type droppedData struct {
	Events uint64    `json:"events"`
	Since  time.Time `json:"since"`
}

// dropped counts the events of a flood, until there is room to say so.
type dropped struct {
	mu     sync.Mutex
	events uint64
	since  time.Time
}

// LogEvent takes a message to the i3 logging service and returns the identifier
// it gave it. The error is a *LogError.
func (in *Intake) LogEvent(ctx context.Context, message []byte) (id string, err error) {
	defer func() {
		if err != nil {
			in.counts.refused.Add(1)
		}
	}()
	if len(message) > MaxEvent {
		return "", logError(statusTooBig, "keep media and documents out of log events", "the log event has more than %d bytes", MaxEvent)
	}
	payload, signer, err := in.settings.Load().open(message, in.o.Now())
	if err != nil {
		return "", err
	}
	payload = unwrapped(payload, "logEventType")
	var p prologue
	if err := json.Unmarshal(payload, &p); err != nil {
		return "", logError(statusBad, "the payload is a LogEvent (NENA-STA-010.3 section 4.12.3.1)", "the payload cannot be read: %v", err)
	}
	if p.Type == "" || p.ElementID == "" {
		return "", logError(statusBad, "set logEventType, timestamp, elementId and agencyId", "the log event has no logEventType or no elementId")
	}
	in.counts.events.Add(1)
	id = "urn:emergency:uid:logid:" + strings.ToLower(rand.Text()) + ":" + in.o.Node
	used := in.use(ctx, &p, signer)
	in.keepEvent(ctx, &p, payload, id, signer, used)
	return id, nil
}

// use draws from an event what follows from it; false when that is nothing.
func (in *Intake) use(ctx context.Context, p *prologue, signer string) bool {
	switch kind := strings.TrimSuffix(p.Type, "LogEvent"); kind {
	case "AgentStateChange":
		return in.agentState(ctx, p)
	case "CallStateChange":
		// Who answers sits there, whatever was heard of it before.
		return strings.EqualFold(p.State, "callAnswered") && in.sits(ctx, p, p.Position)
	case "CallTransfer":
		in.transferred(ctx, p)
		return true
	case "CallStart", "CallEnd":
		return true
	case "Eido":
		return in.eidoEvent(ctx, p, signer)
	}
	return false
}

// eidoEvent takes the EIDO of an EidoLogEvent (NENA-STA-024.1 section 2.9).
func (in *Intake) eidoEvent(ctx context.Context, p *prologue, signer string) bool {
	body := p.Body
	if len(body) == 0 {
		body = p.EIDO
	}
	if len(body) == 0 {
		return false
	}
	by := p.ElementID
	if signer != unsigned {
		by = signer
	}
	_, err := in.Documents(ctx, body, by, Logger)
	if err != nil && !errors.Is(err, eido.ErrNone) {
		in.log.Warn("EIDO in a log event not understood", zap.String("element", p.ElementID), zap.Error(err))
	}
	return err == nil
}

// transferred tells the calls of an event that they were given to somebody else
// where SIP does not show it, as behind a call server. It lets nobody go, and
// says that whoever leaves them next need not be the one who answered.
func (in *Intake) transferred(ctx context.Context, p *prologue) {
	for _, id := range in.o.Calls.Matching(p.calls()...) {
		if err := in.o.Calls.Transferred(ctx, id, p.Target); err != nil && !errors.Is(err, sip.ErrNoCall) {
			in.log.Warn("transfer from a log event not taken", zap.String("call", id), zap.Error(err))
		}
	}
}

// calls are the identifiers of the call that an event is about.
func (p *prologue) calls() []string {
	return slices.DeleteFunc([]string{p.CallIDSIP, p.CallID, p.LegCallID}, func(id string) bool { return id == "" })
}

// agentState keeps account of who sits where. An agent who is not available is
// still there, on a call or on a break; only one who logged out has left.
func (in *Intake) agentState(ctx context.Context, p *prologue) bool {
	seat := p.Position
	if seat == "" {
		seat = p.Device
	}
	if loggedOut(p.Primary) || loggedOut(p.Secondary) {
		position, ok := in.desk(seat)
		if !ok || in.o.Agents == nil {
			return false
		}
		return in.agentError(in.o.Agents.SignOut(ctx, position, Logger, p.ElementID))
	}
	return in.sits(ctx, p, seat)
}

// loggedOut tells a state, as systems write it, in which the agent has left.
func loggedOut(state string) bool {
	switch strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(state)) {
	case "loggedout", "logout", "signedout", "signout", "loggedoff", "logoff", "offline":
		return true
	}
	return false
}

// sits notes that the agent of an event is at a position.
func (in *Intake) sits(ctx context.Context, p *prologue, seat string) bool {
	position, ok := in.desk(seat)
	if !ok || p.Agent == "" || in.o.Agents == nil {
		return false
	}
	return in.agentError(in.o.Agents.SignIn(ctx, position, p.Agent, Logger, p.ElementID))
}

func (in *Intake) agentError(err error) bool {
	if err != nil {
		in.log.Warn("sign-in from a log event not taken", zap.Error(err))
	}
	return err == nil
}

// desk is the configured position that another system calls name: as the
// configuration says, by its id, or by its id at the agency's domain.
func (in *Intake) desk(name string) (id string, ok bool) {
	if name == "" {
		return "", false
	}
	local, _, _ := strings.Cut(strings.TrimPrefix(name, "sip:"), "@")
	desks := in.settings.Load().Desks
	for _, n := range []string{name, local} {
		if id, ok := desks[n]; ok {
			return id, true
		}
	}
	if in.o.Desk == nil {
		return name, true
	}
	for _, n := range []string{name, local} {
		if id, ok := in.o.Desk(n); ok {
			return id, true
		}
	}
	return "", false
}

// keepEvent writes the event down, with the call it is about. One that nothing
// follows from is kept as long as there are not too many.
func (in *Intake) keepEvent(ctx context.Context, p *prologue, payload []byte, id, signer string, used bool) {
	if !used && !in.allowed() {
		in.counts.dropped.Add(1)
		in.logged.add(in.o.Now())
		return
	}
	d := eventData{
		ID: id, Type: p.Type, At: p.Timestamp, Element: p.ElementID, Agency: p.AgencyID,
		Agent: p.Agent, Position: p.Position, Signer: signer,
	}
	if len(payload) <= keptEvent {
		d.Event = payload
	} else {
		d.Truncated = strings.ToValidUTF8(string(payload[:keptEvent]), "")
	}
	entries := []recorder.Entry{}
	if lost, since := in.logged.take(); lost > 0 {
		entries = append(entries, recorder.Entry{Time: in.o.Now(), Kind: "log.dropped", Data: droppedData{lost, since}})
	}
	entries = append(entries, recorder.Entry{Time: in.o.Now(), Call: in.callOf(p), Kind: "log.event", Data: d})
	in.commit(ctx, entries...)
}

// callOf is the Call-ID of the call that an event is about; "" when it is about
// none of ours.
func (in *Intake) callOf(p *prologue) string {
	ids := p.calls()
	if calls := in.o.Calls.Matching(ids...); len(calls) > 0 {
		return calls[0]
	}
	in.joiner.mu.Lock()
	defer in.joiner.mu.Unlock()
	for _, id := range ids {
		if e := in.joiner.over[id]; e != nil {
			return e.ref.ID
		}
	}
	return ""
}

// allowed tells whether there is room in the journal for what nothing follows
// from.
func (in *Intake) allowed() bool { return in.limit.Load().AllowN(in.o.Now(), 1) }

func (d *dropped) add(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.events == 0 {
		d.since = now
	}
	d.events++
}

func (d *dropped) take() (uint64, time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, since := d.events, d.since
	d.events = 0
	return n, since
}
