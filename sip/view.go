package sip

import (
	"context"
	"time"

	"holdline/media"
	"holdline/policy"
)

// CallView is a call as people and programs see it: a copy, safe to keep.
type CallView struct {
	ID          string        `json:"id"`                    // SIP Call-ID
	EmergencyID string        `json:"emergencyId,omitempty"` // urn:emergency:uid:callid:... (i3 section 2.1.6)
	IncidentID  string        `json:"incidentId,omitempty"`  // urn:emergency:uid:incidentid:...
	Kind        string        `json:"kind"`                  // emergency, admin, test
	State       string        `json:"state"`                 // offering, bridged, relieving, releasing, waiting, ended
	From        string        `json:"from"`
	To          string        `json:"to"`
	Priority    string        `json:"priority,omitempty"` // Resource-Priority
	Started     time.Time     `json:"started"`
	Answered    time.Time     `json:"answered,omitzero"`
	Waiting     time.Time     `json:"waitingSince,omitzero"`
	Taker       string        `json:"taker,omitempty"` // position id or fallback URI
	Agent       string        `json:"agent,omitempty"`
	Rescues     int           `json:"rescues"`
	Intake      policy.Intake `json:"intake"`
	Complete    bool          `json:"intakeComplete"`
	Recording   string        `json:"recording,omitempty"`
	Legs        []LegView     `json:"legs"`
	Verdicts    []VerdictView `json:"verdicts,omitempty"`
}

// LegView is one leg of a call.
type LegView struct {
	Role   string    `json:"role"` // caller, taker, listener, whisperer, barger
	Target string    `json:"target"`
	State  string    `json:"state"` // calling, early, confirmed, ended
	Since  time.Time `json:"since"`
	Join   string    `json:"join,omitempty"` // of a supervisor: the id to switch, leave or take over with
	By     string    `json:"by,omitempty"`   // of a supervisor: who joined
	Sound  *Sound    `json:"sound,omitempty"`
}

// Sound is what was heard from a leg until now, on all its streams together.
// Durations are in milliseconds.
type Sound struct {
	Activity media.Activity `json:"activity,omitempty"`    // how speech is told from the rest; empty: it cannot be
	SpeechMS int64          `json:"speechMs"`              // how long somebody spoke, all in all
	NoiseMS  int64          `json:"noiseMs"`               // and how long something else was audible
	Spoke    time.Time      `json:"lastSpeech,omitzero"`   // or the last character
	Received time.Time      `json:"lastReceived,omitzero"` // the last packet
	Pauses   bool           `json:"pauses,omitempty"`      // nothing is sent while there is silence
}

// VerdictView is a verdict with its time and the position it was about.
type VerdictView struct {
	At       time.Time `json:"at"`
	Position string    `json:"position"`
	How      string    `json:"how,omitempty"` // how the position left, as in release.requested
	policy.Verdict
}

// Calls is what the console may ask of and tell to calls. Every method may
// be called from any goroutine. id is the SIP Call-ID or the emergency call
// identifier. ErrNoCall says that no call in progress has that id.
type Calls interface {
	List() []CallView
	Get(id string) (CallView, error)
	// MarkIntake sets the given fields on behalf of by; it returns the call after it.
	MarkIntake(ctx context.Context, id string, marks map[policy.Field]string, by string) (CallView, error)
	// Release ends the call by a supervisor's decision, with the reason logged.
	Release(ctx context.Context, id, reason, by string) error
	// Join brings a supervisor into the call, at any stage of it.
	Join(ctx context.Context, id string, q JoinRequest) (JoinView, error)
	// SetMode, Leave and TakeOver act on a supervisor's part; ErrNoJoin says
	// that there is none with that id, ErrNotNow that it cannot be done now.
	SetMode(ctx context.Context, id, join string, mode Mode, by string) (JoinView, error)
	Leave(ctx context.Context, id, join, by string) (JoinView, error)
	TakeOver(ctx context.Context, id, join, by string) (JoinView, error)
	// Assist asks for help on behalf of the call's taker.
	Assist(ctx context.Context, id string, q AssistRequest) (AssistView, error)
}
