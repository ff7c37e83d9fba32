package pattern

import (
	"encoding/json"
	"strings"
	"time"

	"holdline/policy"
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
	Silent                   // silence on the line while a taker had the caller
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
	From      string          // Offered: the caller's address
	Incident  string          // Offered: the incident it was said to belong to
	Refused   bool            // Failed: the position declined or let it ring out
	Field     policy.Field    // Marked
	By        string          // Marked: who said so; Ended: which side
	Verdict   policy.Decision // Released
	Transfer  string          // Released: what became of the taker's transfer, "" when there was none
	Technical bool            // Released, Silent: a failure, not a person
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
		e.Kind, e.From, e.Incident = d.Kind, d.From, d.IncidentID
	case Failed:
		e.Refused = refused(d.Code, d.Reason)
	case Released:
		b.judged(&e, &d)
	case Marked:
		e.Field, e.By = d.Field, d.By
	case Silent:
		return e, silence(d.Cause)
	case Ended:
		e.By = d.By
	default:
	}
	return e, true
}

// data is what of a record's data is used, of every kind at once.
type data struct {
	Leg        string          `json:"leg"`
	Agent      string          `json:"agent"`
	Position   string          `json:"position"`
	Kind       policy.CallKind `json:"kind"`
	From       string          `json:"from"`
	IncidentID string          `json:"incidentId"`
	Code       int             `json:"code"`
	Reason     string          `json:"reason"`
	Field      policy.Field    `json:"field"`
	By         string          `json:"by"`
	Decision   policy.Decision `json:"decision"`
	Cause      string          `json:"cause"`
}

// asking is a release.requested whose verdict has not come yet.
type asking struct {
	technical bool
	surge     bool
	transfer  string
}

// requested keeps what the verdict, which comes in the next record, does not
// repeat.
func (b *Bank) requested(r policy.Record) {
	var d struct {
		Leg   string        `json:"leg"`
		How   string        `json:"how"`
		Facts *policy.Facts `json:"facts"`
	}
	c := b.calls[r.Call]
	if c == nil || json.Unmarshal(r.Data, &d) != nil {
		return
	}
	ask := asking{technical: technical(d.How)}
	if d.Facts != nil {
		ask.surge, ask.transfer = d.Facts.Surge, d.Facts.Transfer
	}
	if c.asking == nil {
		c.asking = map[string]asking{}
	}
	c.asking[d.Leg] = ask
}

func (b *Bank) judged(e *Event, d *data) {
	e.Verdict = d.Decision
	c := b.calls[e.Call]
	if c == nil {
		return
	}
	ask, ok := c.asking[d.Leg]
	delete(c.asking, d.Leg)
	e.Technical, e.Surge, e.Transfer = !ok || ask.technical, ask.surge, ask.transfer
}

// technical tells whether a taker was lost and did not leave: only a BYE is
// somebody's deed without doubt.
func technical(how string) bool { return how != string(policy.ReleaseBye) }

// refused tells a position that declined, said it was busy or away, sent the
// caller elsewhere or let it ring from one that is out of the network's reach
// or broken. Calls are offered to desks that are free, so that busy is a word
// of the person or of the phone; how often phones say it is in the peers' rate.
func refused(code int, reason string) bool {
	switch code {
	case 480, 486, 600, 603, 607:
		return true
	case 0:
		return strings.HasPrefix(reason, "rang out")
	default:
		return code >= 300 && code < 400
	}
}

// silence tells which alerts say that a taker left a caller in silence.
func silence(cause string) bool {
	switch cause {
	case "dead-air", "hold", "muted":
		return true
	default:
		return false
	}
}

// number is the caller's number, or address, without what differs from call to
// call; "" for callers who cannot be told from others.
func number(from string) string {
	uri := from
	if i := strings.IndexByte(uri, '<'); i >= 0 {
		uri = uri[i+1:]
	}
	uri = strings.ToLower(strings.Trim(uri, " \""))
	for _, scheme := range []string{"sip:", "sips:", "tel:"} {
		uri = strings.TrimPrefix(uri, scheme)
	}
	if i := strings.IndexAny(uri, ">;?"); i >= 0 {
		uri = uri[:i]
	}
	user, host, found := strings.Cut(uri, "@")
	if !found {
		user = uri
	}
	if user == "" || user == "anonymous" || strings.HasSuffix(host, ".invalid") {
		return ""
	}
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		if strings.ContainsRune("+-. ()", r) {
			return -1
		}
		return 'x'
	}, user)
	if len(digits) < 7 || strings.ContainsRune(digits, 'x') {
		return uri // a name, or a number that means something only at its host
	}
	if len(digits) == 11 && digits[0] == '1' {
		digits = digits[1:] // North America, with and without the country code
	}
	return digits
}
