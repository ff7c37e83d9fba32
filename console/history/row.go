package history

import (
	"context"
	"encoding/json"

	"holdline/policy/ledger"
	"holdline/recorder"
)

// row is a call as the index keeps it. It is in memory while the call is in
// progress, so that most calls are written once or twice and never read.
type row struct {
	call                        string
	seq                         int64 // of the record with which it began
	started, answered, ended    int64 // Unix ms, 0: not yet
	kind, caller, number        string
	emergency, incident         string
	position, agent, takers     string
	by, reason, class, verdicts string
	rescues                     int
	complete, dirty             bool
	released                    *release // the last one, if it has no verdict and is not written yet
}

// release is a taker's release, and what was decided on it.
type release struct {
	seq                         int64
	call                        string
	at, talk                    int64 // Unix ms; ms
	position, agent, how, class string
	decision, rule              string
}

// verdict is a decision on a release that came before.
type verdict struct {
	seq                  int64
	call, decision, rule string
}

// rescue is a rescue that somebody answered.
type rescue struct {
	seq        int64
	call       string
	at, waited int64 // Unix ms; ms
}

// data is what of a record's data the index keeps.
type data struct {
	Position    string
	Agent       string
	Kind        string
	From        string
	Asserted    string
	EmergencyID string `json:"emergencyId"`
	IncidentID  string `json:"incidentId"`
	How         string
	Class       string
	TalkMS      int64 `json:"talkMs"`
	WaitingMS   int64 `json:"waitingMs"`
	Decision    string
	Rule        string
	By          string
	Reason      string
	Rescues     int
	Complete    bool `json:"intakeComplete"`
}

// concerns tells whether records of a kind change the index.
func concerns(kind string) bool {
	switch kind {
	case "call.offered", "call.answered", "rescue.answered", "release.requested", "release.allowed", "release.intercepted", "call.ended":
		return true
	}
	return false
}

// apply takes one record. What cannot be read of it is passed over.
func (w *writer) apply(r recorder.Record) error {
	if r.Kind == recorder.KindErased {
		return w.erased(r)
	}
	if r.Call == "" || !concerns(r.Kind) {
		return nil
	}
	var d data
	_ = json.Unmarshal(r.Data, &d) // a record of another shape leaves what it has
	at := r.Time.UnixMilli()
	if r.Kind == "call.offered" {
		if d.From != "" { // else to another position
			w.rows[r.Call] = &row{
				call: r.Call, seq: int64(r.Seq), started: at, kind: d.Kind, caller: d.From, number: ledger.NumberOf(d.Asserted, d.From),
				emergency: d.EmergencyID, incident: d.IncidentID, dirty: true,
			}
		}
		return nil
	}
	c, err := w.row(r.Call)
	if err != nil || c == nil { // it began before the journal did
		return err
	}
	c.dirty = true
	switch r.Kind {
	case "call.answered", "rescue.answered":
		if c.answered == 0 {
			c.answered = at
		}
		c.position, c.agent = d.Position, d.Agent
		c.takers += " " + d.Position + " " + d.Agent + " "
		if r.Kind == "rescue.answered" {
			w.rescues = append(w.rescues, rescue{int64(r.Seq), r.Call, at, d.WaitingMS})
		}
	case "release.requested":
		c.released = &release{
			seq: int64(r.Seq), call: r.Call, at: at, talk: d.TalkMS,
			position: d.Position, agent: d.Agent, how: d.How, class: d.Class,
		}
		w.releases = append(w.releases, c.released)
	case "release.allowed", "release.intercepted":
		c.verdicts += d.Decision + " "
		if c.released == nil {
			w.verdicts = append(w.verdicts, verdict{int64(r.Seq), r.Call, d.Decision, d.Rule})
			break
		}
		c.released.decision, c.released.rule = d.Decision, d.Rule
		c.released = nil
	case "call.ended":
		c.ended, c.by, c.reason, c.class, c.rescues, c.complete = at, d.By, d.Reason, d.Class, d.Rescues, d.Complete
	}
	return nil
}

// erased forgets who called in calls whose records were erased: their numbers
// stay for the reports, and nothing else. Calls on legal hold are not among them.
func (w *writer) erased(r recorder.Record) error {
	var d recorder.ErasedData
	if json.Unmarshal(r.Data, &d) != nil {
		return nil //nolint:nilerr // a record of another shape erased nothing here
	}
	if err := w.flush(); err != nil {
		return err
	}
	clear(w.rows) // they are read again
	for _, span := range d.Ranges {
		_, err := w.x.db.ExecContext(context.Background(), "UPDATE calls SET caller = '', number = '', emergency = '', incident = '' WHERE seq BETWEEN ? AND ?",
			int64(span[0]), int64(span[1]))
		if err != nil {
			return err
		}
	}
	return nil
}
