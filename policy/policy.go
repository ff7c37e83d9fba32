// Package policy judges releases: facts in, verdict out. It is pure: no
// input or output, no clock, no knowledge of SIP.
//
// A policy is a file of rules in YAML, of which the first that matches decides;
// conditions are expressions over facts. Parse checks and compiles one, Builtin
// is the one that comes with Holdline, Judge gives a verdict, and Explain says
// how it came about. docs/policy.md shows how to write one.
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
	Source string    `json:"source"` // http, eido, logger, webhook, header, info, dtmf, speech
	At     time.Time `json:"at"`
}

// Intake is what the call taker has established so far.
type Intake map[Field]Mark

// Complete tells whether intake allows the position to leave: location,
// callback and nature are marked, or an incident is, or a disposition is.
// It takes every mark for proven; Policy.Complete asks how far their sources
// are trusted.
func (in Intake) Complete() bool {
	return in.has(Incident) || in.has(Disposition) ||
		in.has(Location) && in.has(Callback) && in.has(Nature)
}

func (in Intake) has(f Field) bool { _, ok := in[f]; return ok }

// Release is how a position leaves the caller: "bye", or in words how else it
// was lost, such as "session timer expired".
type Release string

// The ways a position leaves. Only with the first has it said so; with the
// others it is still connected, and policy is asked whether the caller is
// offered to somebody else meanwhile.
const (
	ReleaseBye          Release = "bye"
	ReleaseHeld         Release = "held"          // the caller has been on hold for long
	ReleaseParked       Release = "parked"        // on hold, while the desk has another call
	ReleaseDeadAir      Release = "dead-air"      // the taker says nothing
	ReleaseNoise        Release = "noise"         // what comes from the taker is audible and no speech
	ReleaseNoMedia      Release = "no-media"      // nothing comes from the taker, while the caller's media flows
	ReleaseVanished     Release = "vanished"      // nobody is at the taker's address any more
	ReleaseForeignMedia Release = "foreign-media" // media was moved to an unknown address, where nobody speaks
)

// Connected tells whether a position that leaves in this way is still on the
// line, and may come back.
func (r Release) Connected() bool {
	switch r {
	case ReleaseHeld, ReleaseParked, ReleaseDeadAir, ReleaseNoise, ReleaseNoMedia, ReleaseVanished, ReleaseForeignMedia:
		return true
	default:
		return false
	}
}

// Span is a length of time that may be unknown. The zero Span is unknown,
// which is something else than zero seconds: nobody listened.
type Span struct {
	Known bool
	For   time.Duration
}

// Measured returns a Span that is known.
func Measured(d time.Duration) Span { return Span{Known: true, For: d} }

// Facts is everything a verdict may depend on. A zero value means unknown, or
// that it did not happen, so that whoever cannot tell leaves the field out.
// What conditions see of it is described by FactList.
type Facts struct {
	Kind       CallKind
	Service    string // request URI of the caller's INVITE: urn:service:sos..., or a SIP URI
	Priority   string // value of Resource-Priority (RFC 4412), as esnet.1
	Release    Release
	Class      string        // whose doing it was, as far as the evidence goes: operator, technical, unknown
	Position   string        // id of the position, "" for a fallback target
	Agent      string        // "" when unknown
	Talk       time.Duration // since the taker answered
	Rescues    int           // how often this call was rescued before
	Transfer   string        // of this release's author: "", pending, succeeded, failed
	TransferTo string        // whom that transfer is to: position id or SIP URI
	// Outside tells that the author is another centre: the call was transferred to
	// it, and the list of those that calls may be transferred to names it.
	Outside bool
	// TransferReported is whom the call-handling system says that it went to,
	// where SIP shows nothing of it.
	TransferReported string
	Hold             time.Duration // how long this taker had the caller on hold, all in all
	Holding          bool          // the caller is on hold now
	Intake           Intake
	CallerSpeech     Span      // how long the caller was heard to speak since this taker answered
	TakerSpeech      Span      // how long this taker was heard to speak
	Redials          int       // calls of the same caller shortly before this one
	Surge            bool      // the centre is in surge mode
	At               time.Time // when the release came, in the time of the centre
}

// Skipped is a rule that could not be evaluated for a release, and why.
type Skipped struct {
	Rule  string `json:"rule"`
	Error string `json:"error"`
}

// Verdict is the decision with the rule that made it and the reason in words.
type Verdict struct {
	Decision Decision  `json:"decision"`
	Rule     string    `json:"rule"`
	Why      string    `json:"why"`
	Policy   string    `json:"policy"`            // digest of the policy that judged
	Skipped  []Skipped `json:"skipped,omitempty"` // rules that failed on these facts
}
