package pattern

import (
	"encoding/json"
	"strings"
	"time"

	"holdline/policy"
	"holdline/policy/ledger"
)

// What is what an Event tells of.
type What int

// The events that signals are made of.
const (
	Offered  What = iota + 1 // a call was offered to a position, or came while none was free
	Answered                 // somebody took it
	Failed                   // an offer led to nobody
	Released                 // policy has judged that a taker left
	Marked                   // something was established
	Silent                   // a taker was on the line and not there: silence, hold, noise
	Astray                   // a taker tried to transfer a caller to where nobody takes them
	Ended                    // the caller's leg is over
	Surge                    // surge mode went on or off
)

// Event is a record of the journal as far as signals need it.
type Event struct {
	What     What
	Time     time.Time
	Call     string
	Leg      string
	Agent    string // "" when unknown
	Position string

	Kind      policy.CallKind // Offered
	Caller    string          // Offered: the caller's number, "" when callers cannot be told apart
	Refused   bool            // Failed: the position declined or let it ring out
	Field     policy.Field    // Marked
	Claimed   bool            // Marked: only by the taker's own word
	By        string          // Marked: who said so; Ended: which side
	Verdict   policy.Decision // Released
	Transfer  string          // Released: what became of the taker's transfer, "" when there was none
	Technical bool            // Released: a failure, or perhaps one, and not surely a person
	Surge     bool            // Surge: on; Released: it was on
}

// read takes what r says. It returns false for records that concern no signal,
// and for those whose data cannot be read: they are evidence for nothing.
func (b *Bank) read(r policy.Record) (Event, bool) {
	e := Event{Time: r.Time, Call: r.Call}
	switch r.Kind {
	case "release.requested":
		b.requested(r)
		return e, false
	case "call.offered", "rescue.offered":
		e.What = Offered
	case "call.answered", "rescue.answered":
		e.What = Answered
	case "call.failed", "rescue.failed":
		e.What = Failed
	case "release.allowed", "release.intercepted":
		e.What = Released
	case "intake.marked":
		e.What = Marked
	case "alert.raised":
		e.What = Silent
	case "call.ended":
		e.What = Ended
	case "surge.started", "surge.ended":
		return Event{What: Surge, Time: r.Time, Surge: r.Kind == "surge.started"}, true
	default:
		return e, false
	}
	var d data
	if json.Unmarshal(r.Data, &d) != nil {
		return e, false
	}
	e.Leg, e.Agent, e.Position = d.Leg, d.Agent, d.Position
	switch e.What {
	case Offered:
		e.Kind, e.Caller = d.Kind, ledger.NumberOf(d.From, d.Asserted)
	case Answered:
		if d.Seated != "" { // two people: whose call it was is not known, and each may be innocent
			e.Agent = ""
		}
	case Failed:
		e.Refused = refused(&d)
	case Released:
		return e, b.judged(&e, &d)
	case Marked:
		e.Field, e.By, e.Claimed = d.Field, d.By, b.o.Proves != nil && !b.o.Proves(d.Source)
	case Silent:
		return e, alerted(&e, &d)
	case Ended:
		e.By = d.By
	default:
	}
	return e, true
}

// data is what of a record's data is used, of every kind at once.
type data struct {
	Leg      string          `json:"leg"`
	Agent    string          `json:"agent"`
	Position string          `json:"position"`
	Kind     policy.CallKind `json:"kind"`
	From     string          `json:"from"`
	Asserted string          `json:"asserted"`
	Seated   string          `json:"agentSeated"`
	Code     int             `json:"code"`
	Reason   string          `json:"reason"`
	Class    string          `json:"class"`
	Field    policy.Field    `json:"field"`
	By       string          `json:"by"`
	Source   string          `json:"source"`
	Decision policy.Decision `json:"decision"`
	Cause    string          `json:"cause"`
}

// asking is a release.requested whose verdict has not come yet.
type asking struct {
	how       policy.Release
	technical bool
	surge     bool
	transfer  string
}

// requested keeps what the verdict, which comes in the next record, does not
// repeat.
func (b *Bank) requested(r policy.Record) {
	var d struct {
		Leg   string         `json:"leg"`
		How   policy.Release `json:"how"`
		Class string         `json:"class"`
		Facts *policy.Facts  `json:"facts"`
	}
	c := b.calls[r.Call]
	if c == nil || json.Unmarshal(r.Data, &d) != nil {
		return
	}
	ask := asking{how: d.How, technical: !deed(d.Class, d.How)}
	if d.Facts != nil {
		ask.surge, ask.transfer = d.Facts.Surge, d.Facts.Transfer
	}
	if c.asking == nil {
		c.asking = map[string]asking{}
	}
	c.asking[d.Leg] = ask
}

// judged completes a verdict by what was asked. A taker who is still on the
// line has not left: they are silent.
func (b *Bank) judged(e *Event, d *data) bool {
	c := b.calls[e.Call]
	if c == nil {
		return false
	}
	ask, ok := c.asking[d.Leg]
	delete(c.asking, d.Leg)
	if ok && connected(ask.how) {
		e.What = Silent
		return silence(string(ask.how)) && !ask.technical
	}
	e.Verdict, e.Technical, e.Surge, e.Transfer = d.Decision, !ok || ask.technical, ask.surge, ask.transfer
	return true
}

// alerted tells what an alert says of a taker, if it does.
func alerted(e *Event, d *data) bool {
	if d.Class != "" && d.Class != operator {
		return false
	}
	if strings.HasPrefix(d.Cause, "transfer-") {
		e.What = Astray
		return true
	}
	return silence(d.Cause)
}

// operator is the class of what a taker did, and not a phone or the network.
const operator = "operator"

// deed tells whether a release was somebody's deed without doubt. What may have
// been a failure is not counted against anybody.
func deed(class string, how policy.Release) bool {
	switch class {
	case operator:
		return true
	case "":
		return how == policy.ReleaseBye || silence(string(how))
	default:
		return false
	}
}

// refused tells a position that declined, said it was busy or away, sent the
// caller elsewhere or let it ring from one that is out of the network's reach
// or broken. Calls are offered to desks that are free, so that busy is a word
// of the person or of the phone; how often phones say it is in the peers' rate.
func refused(d *data) bool {
	switch {
	case d.Class != "" && d.Class != operator && d.Code != 480:
		return false
	case d.Code == 0:
		return strings.HasPrefix(d.Reason, "rang out")
	case d.Code >= 300 && d.Code < 400:
		return true
	default:
		return d.Code == 480 || d.Code == 486 || d.Code == 600 || d.Code == 603 || d.Code == 607
	}
}

// silence tells by which names somebody is on the line and not there.
func silence(how string) bool {
	switch how {
	case "dead-air", "held", "parked", "noise":
		return true
	default:
		return false
	}
}

// connected tells whether a taker who leaves in this way is still on the line
// and may come back.
func connected(how policy.Release) bool {
	return silence(string(how)) || how == "no-media" || how == "vanished" || how == "foreign-media"
}
