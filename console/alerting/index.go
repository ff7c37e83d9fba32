package alerting

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdline/recorder"
)

// The bounds of the index, and of what counts as the same cause.
const (
	closedKept = 10_000          // acknowledged alerts that stay in memory
	calmAfter  = 2 * time.Minute // after an acknowledgment, until the same caller's next escalation is news
)

// index is what the journal says of alerts. It changes by records alone, apart
// from an acknowledgment, which stands from the moment it was given.
type index struct {
	byID   map[string]*entry   // also by the ids of alerts that were folded into another
	list   []*entry            // by number of record
	open   map[*entry]bool     // not acknowledged
	calls  map[string][]*entry // of open, by call
	closed int

	channels map[string]uint64 // by name: the record after which alerts concern it
	cursors  map[string]uint64 // by name: the number of the last message that it took
}

// entry is one alert with what belongs to it and is not shown.
type entry struct {
	Alert
	facts     facts
	sent      map[sending]bool // true: delivered, false: on its way
	early     int              // steps that are due before their time, because the channels before do not work
	wake      time.Time        // when the next step is due
	resolving bool             // alert.resolved is on its way to the journal
	seen      *Situation       // the last one, for when the call is over
}

// sending is one event of an alert on one channel.
type sending struct {
	channel string
	event   Event
}

func newIndex() *index {
	return &index{byID: map[string]*entry{}, open: map[*entry]bool{}, calls: map[string][]*entry{}, channels: map[string]uint64{}, cursors: map[string]uint64{}}
}

// apply takes a record; it returns the alert that it changed, and whether that
// one is new.
func (x *index) apply(r recorder.Record) (e *entry, raised bool) {
	switch r.Kind {
	case KindRaised:
		return x.raise(r)
	case KindAcknowledged:
		var a Acknowledgment
		if json.Unmarshal(r.Data, &a) == nil {
			e = x.byID[a.Alert]
			x.acknowledge(e, &a)
		}
	case KindResolved:
		var s Resolution
		if json.Unmarshal(r.Data, &s) == nil {
			if e = x.byID[s.Alert]; e != nil && e.Resolved == nil {
				if s.At.IsZero() {
					s.At = r.Time
				}
				e.Resolved, e.resolving = &s, false
			}
		}
	case KindEscalated:
		var s Escalation
		if json.Unmarshal(r.Data, &s) == nil {
			if e = x.byID[s.Alert]; e != nil && (e.Escalated == nil || e.Escalated.Step < s.Step) {
				e.Escalated = &s
			}
		}
	case KindDelivered:
		x.delivered(r)
	case KindChannel:
		var c channelData
		if json.Unmarshal(r.Data, &c) == nil {
			delete(x.channels, c.Channel)
			if !c.Removed {
				x.channels[c.Channel] = r.Seq
			}
		}
	}
	if e != nil {
		e.State = e.state()
	}
	return e, false
}

// raise adds an alert, or folds it into the one there is for the same cause.
func (x *index) raise(r recorder.Record) (*entry, bool) {
	var f facts
	if json.Unmarshal(r.Data, &f) != nil {
		f = facts{}
	}
	if f.ID == "" {
		f.ID = strconv.FormatUint(r.Seq, 10)
	}
	if e := x.same(f, r); e != nil {
		x.byID[f.ID] = e
		if r.Seq == e.Seq {
			return e, false // the record itself, once more
		}
		x.fold(e, f, r)
		return e, false
	}
	e := &entry{facts: f, sent: map[sending]bool{}, Alert: Alert{
		ID: f.ID, Seq: r.Seq, Raised: r.Time, Node: r.Node, Call: r.Call, Cause: f.Cause, State: Open,
		Severity: severityOf(f, r.Call), Summary: words(f), Data: r.Data, Deliveries: []Delivery{},
	}}
	x.byID[e.ID] = e
	x.list = append(x.list, e)
	x.open[e] = true
	if e.Call != "" {
		x.calls[e.Call] = append(x.calls[e.Call], e)
	}
	return e, true
}

// same returns the alert that tells of the same cause already; nil for none.
func (x *index) same(f facts, r recorder.Record) *entry {
	if e := x.byID[f.ID]; e != nil {
		return e
	}
	var match func(e *entry) bool
	switch {
	case f.Cause == causeEscalation && r.Call != "":
		match = func(e *entry) bool {
			quiet := e.Acknowledged != nil && r.Time.Sub(e.Acknowledged.At) > calmAfter
			return e.Call == r.Call && e.Cause == f.Cause && !quiet && (e.Resolved == nil || e.Acknowledged == nil)
		}
	case f.Cause == causeDead || f.Cause == causeAlive:
		match = func(e *entry) bool {
			return e.Cause == causeDead && e.facts.Position == f.Position && e.Acknowledged == nil
		}
	default:
		return nil
	}
	for _, e := range slices.Backward(x.list[max(0, len(x.list)-1000):]) {
		if match(e) {
			return e
		}
	}
	return nil
}

// fold notes that the cause of e was raised again, or, for a target that
// answers again, that it is over.
func (x *index) fold(e *entry, f facts, r recorder.Record) {
	if f.Cause == causeAlive {
		if e.Resolved == nil {
			e.Resolved = &Resolution{Alert: e.ID, Why: f.Why, At: r.Time}
		}
		e.State = e.state()
		return
	}
	e.Repeats++
	e.Repeated, e.Data, e.facts, e.Summary = r.Time, r.Data, f, words(f)
	if e.Acknowledged == nil && e.Resolved != nil { // it is back
		e.Resolved = nil
		for key := range e.sent {
			if key.event == Over { // who was told of the end is told again
				delete(e.sent, key)
				delete(e.sent, sending{key.channel, Firing})
			}
		}
	}
	e.State = e.state()
}

// acknowledge takes the first acknowledgment of e and no other.
func (x *index) acknowledge(e *entry, a *Acknowledgment) {
	if e == nil || e.Acknowledged != nil {
		return
	}
	e.Acknowledged = a
	e.State = Acknowledged
	delete(x.open, e)
	x.closed++
	if x.calls[e.Call] = slices.DeleteFunc(x.calls[e.Call], func(o *entry) bool { return o == e }); len(x.calls[e.Call]) == 0 {
		delete(x.calls, e.Call)
	}
}

// delivered notes what a channel has taken.
func (x *index) delivered(r recorder.Record) {
	var d deliveredData
	if json.Unmarshal(r.Data, &d) != nil {
		return
	}
	if !d.GaveUp {
		x.cursors[d.Channel] = max(x.cursors[d.Channel], d.Seq)
	}
	for _, n := range d.Alerts {
		e, key := x.byID[n.Alert], sending{d.Channel, n.Event}
		if e == nil || e.sent[key] {
			continue
		}
		e.sent[key] = true
		if !d.GaveUp {
			e.Deliveries = append(e.Deliveries, Delivery{d.Channel, n.Event, r.Time})
		}
	}
}

// trim forgets the oldest alerts that a person has acknowledged and that no
// channel waits for, so that a node can run for years.
func (x *index) trim() {
	if x.closed <= closedKept+closedKept/10 {
		return
	}
	drop := x.closed - closedKept
	gone := map[*entry]bool{}
	x.list = slices.DeleteFunc(x.list, func(e *entry) bool {
		if drop == 0 || e.Acknowledged == nil || e.owed() {
			return false
		}
		drop--
		gone[e] = true
		return true
	})
	x.closed -= len(gone)
	for id, e := range x.byID {
		if gone[e] {
			delete(x.byID, id)
		}
	}
}

// owed tells whether something of e is on its way to a channel.
func (e *entry) owed() bool {
	for _, delivered := range e.sent {
		if !delivered {
			return true
		}
	}
	return false
}

func (e *entry) state() State {
	switch {
	case e.Acknowledged != nil:
		return Acknowledged
	case e.Resolved != nil:
		return Resolved
	case e.Escalated != nil:
		return Escalated
	}
	return Open
}

// settled is when the alert was over for a program: resolved or acknowledged.
func (e *entry) settled() (at time.Time, why string) {
	if r := e.Resolved; r != nil {
		at, why = r.At, r.Why
	}
	if a := e.Acknowledged; a != nil && (at.IsZero() || a.At.Before(at)) {
		at, why = a.At, "acknowledged by "+a.By
		if a.Note != "" {
			why += ": " + a.Note
		}
	}
	return at, why
}

// copy is the alert as others may keep it.
func (e *entry) copy() *Alert {
	a := e.Alert
	a.Deliveries = slices.Clone(e.Deliveries)
	return &a
}

// words says in a sentence what an alert is about.
func words(f facts) string {
	why := f.Why
	if why == "" {
		why = "look at this call"
	}
	var who []string
	for _, w := range []string{f.Position, f.Agent} {
		if w != "" {
			who = append(who, w)
		}
	}
	head, names := f.Cause, strings.Join(who, ", ")
	switch {
	case names == "" || head == "":
	case f.Cause == causeIntercept:
		head = names + " left a caller"
	case f.Cause == causeReview:
		head = names + " let a caller go, look at it"
	default:
		head = fmt.Sprintf("%s (%s)", f.Cause, names)
	}
	if head == "" {
		return why
	}
	return head + ": " + why
}
