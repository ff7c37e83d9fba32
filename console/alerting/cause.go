package alerting

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdline/recorder"
	"holdline/sip"
)

// The records of other rooms that begin and end alerts.
const (
	kindRescued  = "rescue.answered"
	kindBack     = "rescue.calledoff"
	kindEnded    = "call.ended"
	kindJoined   = "supervisor.joined"
	kindMode     = "supervisor.mode"
	kindAssisted = "assist.ended"
	kindSurgeEnd = "surge.ended"
	kindStarted  = "node.started"
	kindStopped  = "node.stopped"
	kindDegraded = "node.degraded"
)

// resolve writes that the cause of e is over.
func (d *Desk) resolve(e *entry, at time.Time, why, with string) {
	if e.Resolved != nil || e.resolving {
		return
	}
	e.resolving = true
	d.record(KindResolved, e.Call, Resolution{Alert: e.ID, Why: why, With: with, At: at})
}

// rescued resolves the alerts of a caller who was alone, and about a taker who
// was on the line and not there: somebody else answered.
func (d *Desk) rescued(r recorder.Record) {
	var a struct{ Position, URI, Agent string }
	if json.Unmarshal(r.Data, &a) != nil {
		return
	}
	for _, e := range d.x.calls[r.Call] {
		if leaves(e.Cause) && e.Seq < r.Seq {
			who := whom(a.Position, a.Agent)
			d.resolve(e, r.Time, "the caller is with "+who, who)
		}
	}
}

// calledOff resolves the same alerts when the taker is back before anybody
// answered, or need not be.
func (d *Desk) calledOff(r recorder.Record) {
	var a struct{ Position, Agent, Why string }
	if json.Unmarshal(r.Data, &a) != nil {
		return
	}
	for _, e := range d.x.calls[r.Call] {
		if leaves(e.Cause) && e.Seq < r.Seq {
			d.resolve(e, r.Time, a.Why, whom(a.Position, a.Agent))
		}
	}
}

// joined resolves the same alerts when a supervisor speaks with a caller whom
// nobody else has.
func (d *Desk) joined(r recorder.Record) {
	var s struct{ Mode, Target, By, Taker string }
	if json.Unmarshal(r.Data, &s) != nil || s.Taker != "" || s.Mode != "barge" && s.Mode != "taker" {
		return
	}
	who := s.Target
	if who == "" {
		who = s.By
	}
	for _, e := range d.x.calls[r.Call] {
		if waits(e.Cause) && e.Seq < r.Seq {
			d.resolve(e, r.Time, "the caller is with the supervisor "+who, who)
		}
	}
}

// assisted resolves the request of a call taker who got help.
func (d *Desk) assisted(r recorder.Record) {
	var a struct{ Alert, How, With string }
	if json.Unmarshal(r.Data, &a) != nil || a.With == "" {
		return
	}
	for _, e := range d.x.calls[r.Call] {
		if e.ID == a.Alert || e.facts.After == a.Alert && e.Cause == causeAssist {
			d.resolve(e, r.Time, a.How+": "+a.With, a.With)
		}
	}
}

// surged resolves the alert about surge mode when that is over.
func (d *Desk) surged(r recorder.Record) {
	for e := range d.x.open {
		if e.Cause == causeSurge && e.Seq < r.Seq {
			d.resolve(e, r.Time, "surge mode is over", "")
		}
	}
}

// whom names who has a caller.
func whom(position, agent string) string {
	if agent == "" {
		return position
	}
	return position + " (" + agent + ")"
}

// ended resolves what was about a call in progress.
func (d *Desk) ended(r recorder.Record) {
	var end struct{ By, Reason string }
	if json.Unmarshal(r.Data, &end) != nil {
		return
	}
	for _, e := range d.x.calls[r.Call] {
		if outlives(e.Cause) || e.Seq >= r.Seq {
			continue
		}
		why := "the call is over, ended by the " + end.By
		if waits(e.Cause) && end.By == "caller" {
			why = fmt.Sprintf("the caller hung up %s after the alert, and nobody had answered", clock(r.Time.Sub(e.Raised)))
		}
		d.resolve(e, r.Time, why, "")
	}
}

// orphans resolves alerts about calls that ended while nobody followed the
// journal: a node that was stopped or crashed.
func (d *Desk) orphans() {
	for e := range d.x.open {
		if e.Call == "" || e.Resolved != nil || outlives(e.Cause) {
			continue
		}
		if _, err := d.o.Calls.Get(e.Call); errors.Is(err, sip.ErrNoCall) {
			d.resolve(e, time.Now(), "the call is not in progress any more", "")
		}
	}
}

// degraded raises an alert about a part of the node that cannot do what it
// should, one for each part, and resolves it when the part works again.
func (d *Desk) degraded(r recorder.Record) {
	var t struct {
		Part, Reason string
		Recovered    bool
		Journal, Why string // of what the journal finds wrong with itself
	}
	if json.Unmarshal(r.Data, &t) != nil {
		return
	}
	if t.Journal != "" {
		t.Part, t.Reason = "journal: "+t.Journal, t.Why
	}
	f := facts{ID: "degraded/" + strconv.FormatUint(r.Seq, 10), Cause: causeDegraded, Part: t.Part, Why: t.Part + ": " + t.Reason}
	switch t.Part {
	case "journal":
	case "recordings":
		f.Cause = causeRecording
	default: // nothing says when these are over
		f.Part += ": " + t.Reason
	}
	open := d.ofPart(f.Part)
	switch {
	case t.Recovered:
		if open != nil && open.Seq < r.Seq {
			d.resolve(open, r.Time, t.Part+": works again", "")
		}
		delete(d.raising, f.key())
		delete(d.held, f.Part)
		return
	case d.x.byID[f.ID] != nil || d.raising[f.key()] || open != nil && open.Resolved == nil && !open.resolving:
		return // it is known
	case open != nil:
		f.ID = open.ID // it is back
	}
	if strings.HasPrefix(t.Reason, slowDisk) {
		d.held[f.Part] = held{r.Time.Add(slowFor), f}
		d.nudge()
		return
	}
	delete(d.held, f.Part)
	d.raise(f, "")
}

// A disk that is slow for a moment is in the journal and in the metrics; it is
// an alert when it stays so. Everything else is one at once.
const (
	slowDisk = "the disk is slow"
	slowFor  = 3 * time.Second
)

// held is an alert that is raised unless its cause goes away before.
type held struct {
	at time.Time
	f  facts
}

// raiseHeld raises what has lasted long enough and returns when to look again.
func (d *Desk) raiseHeld(now time.Time) (next time.Time) {
	for part, h := range d.held {
		if !h.at.After(now) {
			delete(d.held, part)
			d.raise(h.f, "")
		} else if next.IsZero() || h.at.Before(next) {
			next = h.at
		}
	}
	return next
}

// ofPart is the alert about a part that nobody has acknowledged.
func (d *Desk) ofPart(part string) *entry {
	for e := range d.x.open {
		if e.facts.Part == part && (e.Cause == causeDegraded || e.Cause == causeRecording) {
			return e
		}
	}
	return nil
}

// restarted resolves what was wrong with a node before it was started again.
// What is still wrong is noted anew.
func (d *Desk) restarted(r recorder.Record) {
	for e := range d.x.open {
		if (e.Cause == causeDegraded || e.Cause == causeRecording) && e.Call == "" && e.Node == r.Node && e.Seq < r.Seq {
			d.resolve(e, r.Time, "the node was started again", "")
		}
	}
}

// key is what makes two alerts of our own the same.
func (f facts) key() string {
	switch f.Cause {
	case causeChannel:
		return "channel " + f.Channel
	case causeDegraded, causeRecording:
		return "part " + f.Part
	}
	return f.ID
}

// raise writes an alert of our own.
func (d *Desk) raise(f facts, call string) {
	d.raising[f.key()] = true
	d.record(KindRaised, call, ownData{f.ID, f.Cause, f.Why, f.Part, f.Channel})
}

// ownData is alert.raised for alerts that the Desk raises itself.
type ownData struct {
	ID      string `json:"id"`
	Cause   string `json:"cause"`
	Why     string `json:"why"`
	Part    string `json:"part,omitempty"`
	Channel string `json:"channel,omitempty"`
}
