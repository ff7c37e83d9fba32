// Package access knows who may do what at the console: people with passwords or
// from a sign-in of the centre's own (OpenID Connect), machines with tokens,
// their roles, and the sessions in which they work. It knows nothing of calls.
package access

import "slices"

// Permission is one thing that a person or a machine may do.
type Permission string

// The permissions. Every route of the console names one of them.
const (
	Anyone   Permission = "anyone"   // no sign-in: health, the sign-in itself
	Signed   Permission = "signed"   // the message carries its own proof: HMAC, JWS
	States   Permission = "states"   // that there are calls, alerts and positions, and how they are
	People   Permission = "people"   // names, numbers, places and words of callers and call takers
	Browse   Permission = "browse"   // lists of callers and of what call takers did, now and in the past
	Audio    Permission = "audio"    // recordings
	Evidence Permission = "evidence" // bundles of evidence: everything of a call
	Command  Permission = "command"  // the shift's work: acknowledge, release, call back
	Join     Permission = "join"     // listen, whisper, barge, take over
	Surge    Permission = "surge"    // relax the guard for the whole centre
	Hold     Permission = "hold"     // keep a call from being deleted
	Marks    Permission = "marks"    // say what has been established of a call
	Seats    Permission = "seats"    // say who sits where
	Channels Permission = "channels" // try the channels of alerts
	Metrics  Permission = "metrics"
	Users    Permission = "users" // who may sign in
)

// Role is what somebody is at this centre. It says what they may do.
type Role string

// The roles. Each may what its work needs and nothing else.
const (
	Supervisor  Role = "supervisor"
	Admin       Role = "admin"
	Auditor     Role = "auditor"
	Tester      Role = "tester"
	Integration Role = "integration" // a machine that says what has been established, and who sits where
	Scraper     Role = "metrics"     // a machine that reads the metrics
)

// Roles are those of people, then those of machines.
func Roles() []Role { return []Role{Supervisor, Admin, Auditor, Tester, Integration, Scraper} }

// Human tells whether people can have the role; the others are for tokens.
func (r Role) Human() bool { return slices.Contains(Roles()[:4], r) }

// Known tells whether there is such a role.
func (r Role) Known() bool { return slices.Contains(Roles(), r) }

// permissions is what each role may.
func permissions(r Role) []Permission {
	switch r {
	case Supervisor:
		return []Permission{States, People, Browse, Audio, Evidence, Command, Join, Surge, Hold, Marks, Seats, Channels, Metrics}
	case Admin:
		return []Permission{States, People, Browse, Surge, Hold, Seats, Channels, Metrics, Users}
	case Auditor:
		return []Permission{States, People, Browse, Audio, Evidence, Metrics}
	case Tester:
		return []Permission{States, Metrics}
	case Integration:
		return []Permission{Marks, Seats, People}
	case Scraper:
		return []Permission{Metrics}
	}
	return nil
}

// Can tells whether the role may do something.
func (r Role) Can(p Permission) bool {
	return p == Anyone || p == Signed || slices.Contains(permissions(r), p)
}

// User is who sends a request.
type User struct {
	Name    string
	Role    Role
	Machine bool // signed in with a token

	everything bool // this console asks nobody who they are
}

// Everybody is who sends a request to a console that needs no sign-in.
func Everybody() User { return User{everything: true} }

// Can tells whether the user may do something.
func (u User) Can(p Permission) bool { return u.everything || u.Role.Can(p) }
