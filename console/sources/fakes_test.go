package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	callURN     = "urn:emergency:uid:callid:1:psap.example"
	incidentURN = "urn:emergency:uid:incidentid:1:psap.example"
)

// one is a call with every identifier.
var one = sip.CallRef{ID: "1@psap", EmergencyID: callURN, IncidentID: incidentURN}

// desk is calls, journal and agents of a test.
type desk struct {
	t  *testing.T
	in *Intake

	mu      sync.Mutex
	now     time.Time
	calls   []sip.CallRef
	past    []sip.CallRef
	intake  map[string]policy.Intake
	marks   map[string][]string // Call-ID -> "field=value by/source"
	marked  chan string         // Call-IDs, as they are marked
	records []recorder.Entry
	signed  []string
	given   []string // "Call-ID to target"
}

func newDesk(t *testing.T, s Settings) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), marks: map[string][]string{}, intake: map[string]policy.Intake{}, marked: make(chan string, 100)}
	d.in = New(Options{
		Node: "psap-a", Calls: d, Journal: d, Agents: d, Past: (*pastDesk)(d), Now: d.clock,
		Desk: func(name string) (string, bool) { return name, name == "pos-1" || name == "pos-2" },
	})
	if s.Keep == 0 {
		s.Keep = 10 * time.Minute
	}
	d.in.Reload(s)
	t.Cleanup(func() { _ = d.in.Close() })
	return d
}

func (d *desk) clock() time.Time { d.mu.Lock(); defer d.mu.Unlock(); return d.now }

func (d *desk) pass(by time.Duration) { d.mu.Lock(); d.now = d.now.Add(by); d.mu.Unlock() }

func (d *desk) begins(c sip.CallRef) {
	d.mu.Lock()
	d.calls = append(d.calls, c)
	d.mu.Unlock()
	d.in.Began(c)
}

func (d *desk) ends(c sip.CallRef) {
	d.mu.Lock()
	d.past = append(d.past, c)
	d.calls = slices.DeleteFunc(d.calls, func(o sip.CallRef) bool { return o == c })
	d.mu.Unlock()
	d.in.Over(c)
}

func (d *desk) Matching(ids ...string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, c := range d.calls {
		if slices.Contains(ids, c.ID) || slices.Contains(ids, c.EmergencyID) || slices.Contains(ids, c.IncidentID) {
			out = append(out, c.ID)
		}
	}
	return out
}

func (d *desk) MarkFrom(_ context.Context, id string, marks map[policy.Field]string, by, source string) (sip.CallView, error) {
	if len(d.Matching(id)) == 0 {
		return sip.CallView{}, fmt.Errorf("marking: %w", sip.ErrNoCall)
	}
	d.note(id, marks, by, source)
	d.marked <- id
	return sip.CallView{ID: id}, nil
}

func (d *desk) Transferred(_ context.Context, id, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.given = append(d.given, id+" to "+to)
	return nil
}

func (d *desk) note(id string, marks map[policy.Field]string, by, source string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.intake[id] == nil {
		d.intake[id] = policy.Intake{}
	}
	for _, f := range policy.Fields() {
		if v, ok := marks[f]; ok {
			d.marks[id] = append(d.marks[id], string(f)+"="+v+" "+by+"/"+source)
			d.intake[id][f] = policy.Mark{Value: v, By: by, Source: source}
		}
	}
}

// pastDesk is the desk's calls that have ended.
type pastDesk desk

func (p *pastDesk) Get(_ context.Context, id string) (sip.CallView, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.past {
		if c.ID == id || c.EmergencyID == id {
			return sip.CallView{ID: c.ID, Intake: maps.Clone(p.intake[c.ID])}, nil
		}
	}
	return sip.CallView{}, fmt.Errorf("reading: %w", sip.ErrNoCall)
}

func (p *pastDesk) MarkFrom(ctx context.Context, id string, marks map[policy.Field]string, by, source string) (sip.CallView, error) {
	v, err := p.Get(ctx, id)
	if err == nil {
		(*desk)(p).note(v.ID, marks, by, source)
	}
	return v, err
}

func (d *desk) Commit(done func(bool), entries ...recorder.Entry) {
	d.mu.Lock()
	d.records = append(d.records, entries...)
	d.mu.Unlock()
	done(true)
}

func (d *desk) SignIn(_ context.Context, position, agent, source, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signed = append(d.signed, position+" "+agent+" "+source)
	return nil
}

func (d *desk) SignOut(_ context.Context, position, source, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.signed = append(d.signed, position+" out "+source)
	return nil
}

// journaled are the records of a kind, as "call data".
func (d *desk) journaled(kind string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, e := range d.records {
		if e.Kind == kind {
			text, err := json.Marshal(e.Data)
			if err != nil {
				d.t.Fatal(err)
			}
			out = append(out, e.Call+" "+string(text))
		}
	}
	return out
}

func (d *desk) has(id string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.marks[id])
}

const incidentDoc = `{"incidentComponent":[{"incidentTypeCommonRegistryText":"Fire","internalIncidentId":"26-7"}],
	"locationComponent":[{"address":"12 Canal"}],"callComponent":[{"$id":"` + callURN + `"}]}`

const dispatchDoc = `{"incidentTrackingIdentifier":"` + incidentURN + `","dispatchComponent":[{"organizationIdentification":"fire.example"}]}`
