package ledger

import (
	"slices"
	"time"

	"holdline/policy"
)

// call is what the account needs to know of one emergency call, or of a call
// that may be a callback.
type call struct {
	id                      string
	node                    string
	kind                    policy.CallKind
	emergencyID, incidentID string
	from, number            string // number is what callers are told apart by
	dialled                 string // whom it is to, for callbacks
	started, answered       time.Time
	seen                    time.Time // its latest record
	waiting                 bool      // in the fallback queue, after a release
	rescues                 int
	position, agent         string // who has it, or had it last
	dropped                 []taker
	intake                  policy.Intake
	completed               time.Time // when intake became complete
	release                 releaseData
	ended                   time.Time
	by                      string // who ended it
	claimed                 bool   // and did so on nothing but their own word that intake was complete
	outside                 bool   // another centre has it, or had it last
	surge                   bool   // surge mode was on when it was offered
}

// taker is who let a caller down.
type taker struct {
	position, agent string
	technical       bool // the phone or the network did it
}

// caller is everything of one number.
type caller struct {
	calls []*call   // remembered ones, in the order in which they began
	owed  *Callback // the open item
}

type offerData struct {
	Kind        policy.CallKind `json:"kind"`
	EmergencyID string          `json:"emergencyId"`
	IncidentID  string          `json:"incidentId"`
	From        string          `json:"from"`
	Asserted    string          `json:"asserted"`
	To          string          `json:"to"`
	RequestURI  string          `json:"requestUri"`
	Position    string          `json:"position"`
	Agent       string          `json:"agent"`
}

type answerData struct {
	Position string `json:"position"`
	Agent    string `json:"agent"`
	Outside  bool   `json:"outside"`
}

type releaseData struct {
	Position string `json:"position"`
	Agent    string `json:"agent"`
	How      string `json:"how"`
	Class    string `json:"class"`
}

type markData struct {
	Field  policy.Field `json:"field"`
	Value  string       `json:"value"`
	By     string       `json:"by"`
	Source string       `json:"source"`
}

type endData struct {
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Answered time.Time `json:"answered"`
	Rescues  int       `json:"rescues"`
}

// offered begins a call with its first offer; later ones change nothing.
func (l *Ledger) offered(r policy.Record, d offerData) {
	if c := l.calls[r.Call]; c != nil && c.ended.IsZero() {
		c.seen = r.Time
		return
	}
	if r.Kind != "call.offered" || d.Kind == policy.Test || r.Call == "" {
		return
	}
	c := &call{
		id: r.Call, node: r.Node, kind: d.Kind, emergencyID: d.EmergencyID, incidentID: d.IncidentID, from: d.From,
		dialled: NumberOf(d.RequestURI), started: r.Time, seen: r.Time, intake: policy.Intake{}, surge: l.surge,
	}
	c.number = NumberOf(d.From, d.Asserted)
	if c.dialled == "" {
		c.dialled = NumberOf(d.To)
	}
	l.calls[c.id] = c
	if c.kind != policy.Emergency {
		if b := l.owedTo(c.dialled); b != nil {
			b.tried(r.Time)
		}
		return
	}
	if c.emergencyID != "" {
		l.urns[c.emergencyID] = c
	}
	if c.number != "" {
		who := l.caller(c.number)
		who.calls = append(who.calls, c)
	}
}

func (l *Ledger) caller(number string) *caller {
	who := l.callers[number]
	if who == nil {
		who = &caller{}
		l.callers[number] = who
	}
	return who
}

// answered notes who has the call.
func (l *Ledger) answered(r policy.Record, d answerData) {
	c := l.open(r)
	if c == nil {
		return
	}
	moved := c.outside != d.Outside
	c.position, c.agent, c.waiting, c.outside = d.Position, d.Agent, false, d.Outside
	if c.kind != policy.Emergency {
		if c.answered.IsZero() {
			c.answered = r.Time
			l.reached(c, r.Time)
		}
		return
	}
	first := c.answered.IsZero()
	if first {
		c.answered = r.Time
	}
	if first || moved {
		l.looksRelayed(c, r.Time, "")
	}
}

// open is the call a record is about, while it is up.
func (l *Ledger) open(r policy.Record) *call {
	c := l.calls[r.Call]
	if c == nil || !c.ended.IsZero() {
		return nil
	}
	c.seen = r.Time
	return c
}

// marked takes an intake mark, also one that was made after the end.
func (l *Ledger) marked(r policy.Record, d markData) {
	c := l.calls[r.Call]
	if c == nil {
		// Its call is forgotten; what is open of it is not.
		l.markedLate(r, d)
		return
	}
	c.seen = r.Time
	c.intake[d.Field] = policy.Mark{Value: d.Value, By: d.By, Source: d.Source, At: r.Time}
	if c.kind != policy.Emergency {
		return
	}
	if c.completed.IsZero() && l.o.Complete(c.intake) {
		c.completed = r.Time
		l.settled(c, r.Time, d.By)
		l.resumed(c, r.Time, d.By)
	}
	l.looksRelayed(c, r.Time, d.By)
}

// proves tells whether a source's marks count as established.
func (l *Ledger) proves(source string) bool {
	// One incident makes intake complete, if its source is believed.
	return l.o.Complete(policy.Intake{policy.Incident: {Source: source}})
}

// requested keeps how the taker left, until the verdict and the end are known.
func (l *Ledger) requested(r policy.Record, d releaseData) {
	if c := l.open(r); c != nil {
		c.release = d
	}
}

// intercepted notes that a taker dropped the caller and the caller was kept.
func (l *Ledger) intercepted(r policy.Record, _ releaseData) {
	c := l.open(r)
	if c == nil {
		return
	}
	l.dropped(c)
	c.rescues++
	c.waiting = true
}

// drops puts the author of the last release on the list of those who let this
// caller down.
func (c *call) drops() {
	if t := c.release.author(); t.position != "" && !slices.Contains(c.dropped, t) {
		c.dropped = append(c.dropped, t)
	}
}

// dropped notes that somebody let c's caller down.
func (l *Ledger) dropped(c *call) {
	c.drops()
	if id := c.incidentID; id != "" && len(c.dropped) > 0 && !slices.Contains(l.incidents[id], c) {
		l.incidents[id] = append(l.incidents[id], c)
	}
}

func (d releaseData) author() taker {
	theirs := d.Class == "operator" || d.Class == "" && d.How == "bye"
	return taker{d.Position, d.Agent, !theirs}
}

// calledOff takes back what intercepted noted: the taker is there after all.
func (l *Ledger) calledOff(r policy.Record, _ releaseData) {
	c := l.open(r)
	if c == nil {
		return
	}
	c.waiting = false
	c.dropped = slices.DeleteFunc(c.dropped, func(o taker) bool { return o == c.release.author() })
}

// ended closes a call and opens what it leaves behind.
func (l *Ledger) ended(r policy.Record, d endData) {
	l.calledBack(r, d)
	c := l.open(r)
	if c == nil {
		return
	}
	c.ended, c.by = r.Time, d.By
	l.over = append(l.over, c)
	if c.kind != policy.Emergency {
		return
	}
	if _, waits := l.waits[c]; waits {
		l.wait(c)
	}
	complete := l.o.Complete(c.intake)
	if d.By == "position" && !complete && !c.outside {
		l.dropped(c)
		c.claimed = c.intake.Complete()
	}
	if why := c.owes(d, complete); why != "" {
		l.owe(c, why, d)
	}
}

// drop forgets a call.
func (l *Ledger) drop(c *call) {
	if l.calls[c.id] == c {
		delete(l.calls, c.id)
	}
	if l.urns[c.emergencyID] == c {
		delete(l.urns, c.emergencyID)
	}
	if rest := slices.DeleteFunc(l.incidents[c.incidentID], func(o *call) bool { return o == c }); len(rest) > 0 {
		l.incidents[c.incidentID] = rest
	} else {
		delete(l.incidents, c.incidentID)
	}
	if who := l.callers[c.number]; who != nil {
		who.calls = slices.DeleteFunc(who.calls, func(o *call) bool { return o == c })
		if len(who.calls) == 0 && who.owed == nil {
			delete(l.callers, c.number)
		}
	}
}

// Orphan is a call that was up when its node stopped.
type Orphan struct {
	Call     string
	Kind     policy.CallKind
	Started  time.Time
	Answered time.Time
	Seen     time.Time // its latest record
	Rescues  int
	Complete bool
}

// restarted takes the start of a node: calls of its life before are over,
// though nobody wrote it down.
func (l *Ledger) restarted(r policy.Record) {
	if r.Node != l.o.Node {
		return
	}
	l.orphans = nil
	for _, c := range l.calls {
		if c.ended.IsZero() && c.node == r.Node {
			l.orphans = append(l.orphans, Orphan{Call: c.id, Started: c.started})
		}
	}
}

// Orphans are the calls that were up when this node was last started and have
// no end in the journal.
func (l *Ledger) Orphans() []Orphan {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []Orphan
	for _, o := range l.orphans {
		// A call of the same name that began since is another one.
		if c := l.calls[o.Call]; c != nil && c.ended.IsZero() && c.started.Equal(o.Started) {
			out = append(out, Orphan{c.id, c.kind, c.started, c.answered, c.seen, c.rescues, l.o.Complete(c.intake)})
		}
	}
	slices.SortFunc(out, func(a, b Orphan) int { return a.Started.Compare(b.Started) })
	return out
}
