package console

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

// Past is the calls that are over, as the journal has them: what was
// established of one may be told when it has ended.
type Past struct {
	Journal  Journal
	Read     func(ctx context.Context, call string, each func(recorder.Record) error) error
	Find     func(id string) string   // Call-ID by emergency call identifier; "" when it is not known
	Complete func(policy.Intake) bool // by the policy's trust in sources
}

// Get returns a call that is over. The error wraps sip.ErrNoCall when there
// was none of that name.
func (p *Past) Get(ctx context.Context, id string) (sip.CallView, error) {
	if call := p.Find(id); call != "" {
		id = call
	}
	v := sip.CallView{ID: id, State: "ended", Intake: policy.Intake{}, Legs: []sip.LegView{}}
	err := p.Read(ctx, id, func(r recorder.Record) error { took(&v, r); return nil })
	if err != nil {
		return v, fmt.Errorf("reading a call: %w", err)
	}
	if v.Started.IsZero() {
		return v, sip.ErrNoCall
	}
	v.Complete = p.Complete(v.Intake)
	return v, nil
}

// took adds to a call's view what one of its records says. What cannot be read
// is left out.
func took(v *sip.CallView, r recorder.Record) {
	var d struct {
		Kind, EmergencyID, IncidentID, From, To, Priority string
		Position, Agent, Path                             string
		Field                                             policy.Field
		Value, By, Source                                 string
	}
	if json.Unmarshal(r.Data, &d) != nil {
		return
	}
	switch r.Kind {
	case "call.offered":
		if !v.Started.IsZero() {
			return
		}
		v.Started, v.Kind, v.From, v.To, v.Priority = r.Time, d.Kind, d.From, d.To, d.Priority
		v.EmergencyID, v.IncidentID = d.EmergencyID, d.IncidentID
	case "call.answered", "rescue.answered":
		v.Taker, v.Agent = d.Position, d.Agent
		if v.Answered.IsZero() {
			v.Answered = r.Time
		}
	case "release.intercepted":
		v.Rescues++
	case "recording.started":
		v.Recording = d.Path
	case "intake.marked":
		v.Intake[d.Field] = policy.Mark{Value: d.Value, By: d.By, Source: d.Source, At: r.Time}
	}
}

// MarkFrom sets intake fields of a call that is over, as told by source. It
// returns the call after it.
func (p *Past) MarkFrom(ctx context.Context, id string, marks map[policy.Field]string, by, source string) (sip.CallView, error) {
	v, err := p.Get(ctx, id)
	if err != nil {
		return v, err
	}
	now := time.Now()
	var entries []recorder.Entry
	for _, f := range policy.Fields() {
		if value, ok := marks[f]; ok {
			v.Intake[f] = sip.NewMark(value, by, source, now)
			entries = append(entries, sip.MarkEntry(v.ID, f, v.Intake[f], p.Complete(v.Intake)))
		}
	}
	commit(ctx, p.Journal, entries...)
	v.Complete = p.Complete(v.Intake)
	return v, nil
}
