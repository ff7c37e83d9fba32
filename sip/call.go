package sip

import (
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
	"holdline/sip/edge"
)

// CallState is what of a call must survive its goroutine: plain values only,
// from which the call can be written down and taken up again.
type CallState struct {
	ID          string          `json:"id"`
	Kind        policy.CallKind `json:"kind"`
	EmergencyID string          `json:"emergencyId,omitempty"`
	IncidentID  string          `json:"incidentId,omitempty"`
	From        string          `json:"from"`
	Asserted    string          `json:"asserted,omitempty"` // P-Asserted-Identity
	To          string          `json:"to"`
	RequestURI  string          `json:"requestUri"`
	Priority    string          `json:"priority,omitempty"`
	Started     time.Time       `json:"started"`
	Answered    time.Time       `json:"answered,omitzero"` // by whoever was first
	Taken       time.Time       `json:"taken,omitzero"`    // by the present taker
	WaitingFrom time.Time       `json:"waitingFrom,omitzero"`
	Intake      policy.Intake   `json:"intake"`
	Rescues     int             `json:"rescues"`
	Verdicts    []VerdictView   `json:"verdicts,omitempty"`
	Released    []string        `json:"released,omitempty"`   // targets and agents that must not get this call again
	Redials     int             `json:"redials,omitempty"`    // calls of this caller shortly before
	Redirected  []string        `json:"redirected,omitempty"` // desks that a redirect of this tier named
	Avoid       []string        `json:"avoid,omitempty"`      // who dropped this caller on one of them
	Note        string          `json:"note,omitempty"`       // of them, for the next taker
	Place       Place           `json:"place"`
	InUse       [][]media.Codec `json:"inUse,omitempty"` // what the caller was told it will be sent, per stream
	Offer       string          `json:"offer,omitempty"` // the caller's latest SDP
	Recording   uint32          `json:"recording,omitempty"`
	RecordedTo  string          `json:"recordedTo,omitempty"`
	State       State           `json:"state"`
	Invite      string          `json:"invite"`             // the caller's INVITE as it came: every later one is made from it
	OtherIDs    []string        `json:"otherIds,omitempty"` // Call-IDs of legs that called us
	NewIDs      []string        `json:"newIds,omitempty"`   // Call-Info values that we made
	ViaUs       bool            `json:"viaUs,omitempty"`    // its INVITE came by a Route that names us: to a contact that registered through us
	Caller      string          `json:"caller"`             // our tag on the caller's leg
	Taker       string          `json:"taker,omitempty"`    // our tag on the taker's leg; "" when nobody is bridged
	Legs        map[string]Leg  `json:"legs"`               // by our tag; filled in by snapshot
	Route       Route           `json:"route"`
	History     []string        `json:"history,omitempty"` // History-Info entries of those who left
	Held        bool            `json:"held,omitempty"`    // the taker put the caller on hold
	Direction   `json:"direction"`
}

// ending is how and by whom a call was ended, for call.ended.
type ending struct {
	By      string // caller, position, supervisor, error
	Reason  string
	Who     string          // the supervisor
	Bye     *gosip.Request  // the BYE or CANCEL that ended it
	Code    int             // what an unanswered caller is told
	Refusal *gosip.Response // or the whole answer

	class    Class // of a release that ended it
	evidence []string
}

// Call is one call: the state of it, and the inbox through which alone it is
// touched, by one goroutine at a time.
type Call struct {
	CallState
	g      *Guard
	log    *zap.Logger
	media  media.Session
	inbox  inbox
	handle *handle

	invite    *gosip.Request  // the caller's INVITE
	inviteTx  *gosip.ServerTx // its transaction, until answered finally
	inviteSeq uint32
	over      over
	up        over // the caller was answered
	byes      byes
	legs      map[string]*leg // by our tag
	caller    *leg
	taker     *leg // whoever is bridged; nil when nobody is
	early     *leg // whose early media and in-dialog requests the caller gets
	offers    []*leg
	plan      []target        // of the present tier, still to be offered
	answer200 *gosip.Response // the 2xx that is about to be bridged
	ended     ending
	owed      []*relayed          // what the caller asked the other side, not answered yet
	reliables map[uint32]reliable // by the number the caller knows them by

	transfer    *transfer // the one that is under way
	asked       *asking   // the last request for help
	relief      *relief   // the handover that is under way
	pending     *release  // the release that is being judged
	ready       *leg      // a target that answered while it was
	vigil       vigil
	forgedAlert bool      // a supervisor was told of a request in the caller's name
	back        *callback // nil but for a call that we make ourselves

	prompted  time.Time // when the running rescue began
	alertID   string
	retry     *time.Timer
	linger    *time.Timer
	mediaOver bool
	quiet     bool      // nothing crosses the end of the call any more
	escalated time.Time // the last time a supervisor was told that nobody answers

	done bool
}

// snapshot is all of the call that must be kept to carry it on: a value of its
// own, that shares nothing with the running call but strings.
func (c *Call) snapshot() CallState {
	s := c.CallState
	s.Invite = string(edge.ArrivalOf(c.invite).Raw)
	s.Caller, s.Taker = c.caller.Dialog.LocalTag, ""
	if c.taker != nil {
		s.Taker = c.taker.Dialog.LocalTag
	}
	s.Intake = c.intake()
	s.Verdicts, s.Released, s.History = slices.Clone(c.Verdicts), slices.Clone(c.Released), slices.Clone(c.History)
	s.InUse, s.NewIDs, s.OtherIDs = slices.Clone(c.InUse), slices.Clone(c.NewIDs), slices.Clone(c.OtherIDs)
	s.Avoid, s.Redirected = slices.Clone(c.Avoid), slices.Clone(c.Redirected)
	s.Legs = make(map[string]Leg, len(c.legs))
	for t, l := range c.legs {
		s.Legs[t] = l.Leg
	}
	return s
}

// guarded runs one event. A panic in it is a bug of ours, and is not the
// caller's problem: the call stays as it was and goes on with the next event.
func (c *Call) guarded(f func()) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("panic recovered, the call goes on", zap.Any("panic", r), zap.Stack("stack"))
			c.g.degraded("a panic in a call was recovered")
		}
	}()
	f()
}

// after posts f when d has passed. The timer must be stopped when f would be
// wrong; f must itself check what may have changed meanwhile.
func (c *Call) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { c.enter(f) })
}

func stop(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// record appends to the journal; test calls leave no statistics but are
// journaled like all others.
func (c *Call) record(kind string, data any) {
	c.g.opts.Journal.Append(c.entry(kind, data))
}

func (c *Call) entry(kind string, data any) recorder.Entry {
	if d, ok := data.(alertData); ok {
		data = d.of(c)
	}
	return recorder.Entry{Time: time.Now(), Call: c.ID, Kind: kind, Data: data}
}

func (c *Call) takerName() string {
	if c.taker == nil {
		return ""
	}
	return c.taker.Target
}

func (c *Call) rule() string {
	if len(c.Verdicts) == 0 {
		return ""
	}
	return c.Verdicts[len(c.Verdicts)-1].Rule
}

// guardedKind tells whether takers may not leave this call as they please.
func (c *Call) guardedKind() bool { return c.Kind == policy.Emergency }

// onMedia takes media's events; it is called from a packet loop.
func (c *Call) onMedia(e media.Event) {
	c.post(func() {
		switch e.Kind {
		case media.EventCode:
			c.codeDialled(e)
		case media.EventPrompt:
			c.promptStarted(e)
		case media.EventAttend:
			if l := c.legWith(e.Leg); l != nil {
				c.attended(e.Track, e.Reason, l)
			}
		case media.EventFirst:
			c.log.Debug("first media packet", zap.Int("leg", int(e.Leg)), zap.Int("stream", e.Stream))
		}
	})
}

// legWith finds a leg by its number in media; nil when there is none.
func (c *Call) legWith(id media.LegID) *leg {
	for _, l := range c.legs {
		if l.hasMedia && l.ID == id {
			return l
		}
	}
	return nil
}

// promptStarted records what the caller hears, or why nothing.
func (c *Call) promptStarted(e media.Event) {
	data := promptData{Played: e.Played, Reason: e.Reason, At: e.At}
	if e.Played {
		data.GapMS = float64(e.Gap.Microseconds()) / 1000
		if !c.prompted.IsZero() {
			data.AfterMS = float64(e.At.Sub(c.prompted).Microseconds()) / 1000
		}
	}
	c.record("rescue.prompted", data)
}
