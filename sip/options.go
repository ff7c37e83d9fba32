package sip

import (
	"net"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
	"holdline/recorder/capture"
)

// Options is everything a Guard is made of.
type Options struct {
	Node    string       // name of this node, in records and new emergency identifiers
	Version string       // for the Server header of answers that are our own
	Listen  []string     // "udp://127.0.0.1:5060", "tcp://[::1]:5060"
	UDP     []PacketConn // sockets that are already open, beside Listen; tests inject theirs
	Media   Media
	Journal Journal
	Audio   Audio // nil: nothing is recorded
	Wire    Wire  // nil: the messages of calls are not kept
	Log     *zap.Logger
	// Degraded is told what went wrong when a node has to do without
	// something, so that it can be journaled and shown. May be nil.
	Degraded func(reason string)
	// Rescued is told how long a caller waited when a rescue is answered. May be nil.
	Rescued func(waited time.Duration)
	// Began and Over are told of each call when it has been taken in, and when
	// it has ended. They run in the call's goroutine: they must not block and
	// must not ask the guard about calls. May be nil.
	Began, Over func(CallRef)
	// AgentAt tells who has signed in at a position, and whether anybody ever
	// told; "" then means that nobody sits there. May be nil: as configured.
	AgentAt func(position string) (agent string, told bool)
	// Earlier tells of the calls of the same caller shortly before at. It is
	// asked once, when a call comes in, and must not block. May be nil.
	Earlier func(who CallerID, at time.Time) Earlier
	// Surge tells whether supervisors have relaxed the guard. May be nil.
	Surge    func(at time.Time) bool
	Resolver Resolver // nil: the system's
	Settings Settings
}

// PacketConn is an open UDP socket and, where the socket is bound to a
// wildcard address, what the guard calls itself on it.
type PacketConn struct {
	net.PacketConn
}

// Settings is the part of the configuration that can be replaced while calls
// are up. A Settings value is never changed after it was handed over.
type Settings struct {
	Trust         []netip.Prefix // networks that may send; everything else is dropped
	Positions     []Position
	Routes        []Route
	Fallback      []Tier
	DeadAfter     time.Duration // a target that sent no response at all within it is skipped; 0: 2 s
	IntakeHeader  string        // header on a BYE that carries marks; "": Holdline-Intake
	IntakeTrust   []netip.Prefix
	IntakeDTMF    map[string]string // code -> "field" or "field=value"
	DisplayPrefix string            // put before the caller's display name on a rescue
	RedialPrefix  string            // the same when a caller who was dropped calls again
	Watch         Watch
	Supervisors   Supervisors
	Vigil         Vigil
	TransferTo    []string       // globs on URIs and position ids that takers may transfer to; nil: anywhere
	NAT           []netip.Prefix // networks whose peers are answered where they sent from, whatever their Contact says
	PersonalData  bool           // numbers and names may appear in the log at info level
	Judge         func(policy.Facts) policy.Verdict
	// Complete tells whether intake is complete by the sources that the policy
	// trusts to prove; nil: every mark is taken for proven.
	Complete func(policy.Intake) bool

	desks   map[string]int // index of Positions by id and by desk key, see index
	agentAt func(string) (string, bool)
}

// Position is one call-taking desk.
type Position struct {
	ID    string
	URI   string
	Agent string // who sits there, "" when unknown
	Calls int    // calls at a time; 0: 1
}

// Route says where calls for a request URI go.
type Route struct {
	Match string   // glob on the request URI, e.g. "urn:service:sos*"
	To    []string // position ids in order; "{user}" is the user part of the request URI
	Ring  time.Duration
	Kind  policy.CallKind // Emergency when empty
}

// Strategy is how the targets of a tier are offered a call.
type Strategy string

// The strategies of a tier.
const (
	RingAll     Strategy = "ring-all"
	InOrder     Strategy = "in-order"
	LongestIdle Strategy = "longest-idle"
)

// Tier is one level of the fallback queue.
type Tier struct {
	To       []string // SIP URIs or position ids
	Strategy Strategy
	Ring     time.Duration
}

// Media opens the media of a call; *media.Engine is one.
type Media interface {
	Open(call string, notify func(media.Event)) (media.Session, error)
}

// Journal takes the records; *recorder.Journal is one. Neither method blocks.
type Journal interface {
	Append(entries ...recorder.Entry)
	// Commit calls done once: true when the entries are on disk, false when
	// the disk took too long and the call must go on without waiting.
	Commit(done func(durable bool), entries ...recorder.Entry)
}

// Wire keeps the messages of calls; *capture.Log is one. Neither method waits.
type Wire interface {
	Seen(capture.Message)
	// Over says that a call is over; done is told what was kept of it.
	Over(callID string, done func(capture.Sum))
}

// Audio records calls; *recorder.Audio is one.
type Audio interface {
	Start(call string, at time.Time) (rec uint32, path string, err error)
	Mark(rec uint32, at time.Time, label string)
	Stop(rec uint32, done func(recorder.Closed))
}
