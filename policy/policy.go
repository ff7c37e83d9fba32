// Package policy judges releases: facts in, verdict out. It is pure: no
// input or output, no clock, no knowledge of SIP.
package policy

import "time"

// Decision is what is to be done with a release.
type Decision string

// The decisions. Review lets the release pass and asks a supervisor to look at it.
const (
	Allow     Decision = "allow"
	Intercept Decision = "intercept"
	Review    Decision = "review"
)

// CallKind is what sort of call it is; it decides how strictly it is guarded.
type CallKind string

// The kinds of call. A test call (urn:service:test..., i3 section 9) is never guarded.
const (
	Emergency CallKind = "emergency"
	Admin     CallKind = "admin"
	Test      CallKind = "test"
)

// Field is one of the intake fields of the console's API.
type Field string

// The intake fields, in the order in which call takers usually establish them.
const (
	Location    Field = "location"
	Callback    Field = "callback"
	Nature      Field = "nature"
	Incident    Field = "incident"
	Dispatched  Field = "dispatched"
	Disposition Field = "disposition"
)

// Fields lists every intake field.
func Fields() []Field {
	return []Field{Location, Callback, Nature, Incident, Dispatched, Disposition}
}

// Mark is one established fact of an intake: what, who said so and how.
type Mark struct {
	Value  string    `json:"value"`
	By     string    `json:"by"`     // user, agent or system
	Source string    `json:"source"` // http, header, dtmf
	At     time.Time `json:"at"`
}

// Intake is what the call taker has established so far.
type Intake map[Field]Mark

// Complete tells whether intake allows the position to leave: location,
// callback and nature are marked, or an incident is, or a disposition is.
func (in Intake) Complete() bool {
	return in.has(Incident) || in.has(Disposition) ||
		in.has(Location) && in.has(Callback) && in.has(Nature)
}

func (in Intake) has(f Field) bool { _, ok := in[f]; return ok }

// Release is how a position leaves the caller.
type Release string

// The ways a position leaves (guide: evasion); more come with later detectors.
const (
	ReleaseBye Release = "bye"
)

// Facts is everything a verdict may depend on.
type Facts struct {
	Kind     CallKind
	Release  Release
	Position string        // id of the position, "" for a fallback target
	Agent    string        // "" when unknown
	Talk     time.Duration // since the taker answered
	Rescues  int           // how often this call was rescued before
	Transfer string        // of this release's author: "", pending, succeeded
	Intake   Intake
}

// Verdict is the decision with the rule that made it and the reason in words.
type Verdict struct {
	Decision Decision `json:"decision"`
	Rule     string   `json:"rule"`
	Why      string   `json:"why"`
	Policy   string   `json:"policy"` // digest of the policy that judged
}
