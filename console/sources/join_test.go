package sources

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdline/policy"
	"holdline/sip"
)

var fire = []string{"location=12 Canal cad/eido", "nature=Fire cad/eido", "incident=26-7 cad/eido"}

func (d *desk) document(text string) Received {
	d.t.Helper()
	docs, err := d.in.Documents(d.t.Context(), []byte(text), "cad", EIDO)
	if err != nil || len(docs) != 1 {
		d.t.Fatalf("%d documents, %v", len(docs), err)
	}
	return docs[0]
}

func TestDocumentOfACallInProgress(t *testing.T) {
	d := newDesk(t, Settings{})
	d.begins(one)
	r := d.document(incidentDoc)
	if !r.Completes || r.Kept || len(r.Calls) != 1 || r.Calls[0] != one.ID {
		t.Errorf("joined %+v", r)
	}
	if diff := cmp.Diff(fire, d.has(one.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	kept := d.journaled("eido.received")
	if len(kept) != 1 || !strings.HasPrefix(kept[0], one.ID+" ") || !strings.Contains(kept[0], `"digest":"`) || !strings.Contains(kept[0], `"nature":"Fire"`) {
		t.Errorf("journaled %q", kept)
	}
}

// TestDocumentBeforeItsCall: it waits for the call, as long as is configured.
func TestDocumentBeforeItsCall(t *testing.T) {
	d := newDesk(t, Settings{Keep: time.Minute})
	if r := d.document(incidentDoc); !r.Kept || len(r.Calls) != 0 {
		t.Fatalf("joined %+v", r)
	}
	d.pass(59 * time.Second)
	d.begins(one)
	<-d.marked
	if diff := cmp.Diff(fire, d.has(one.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	d.ends(one)
	d.begins(one)
	d.in.running.Wait()
	if got := d.has(one.ID); len(got) != len(fire) {
		t.Errorf("joined twice: %q", got)
	}
	two := sip.CallRef{ID: "2@psap", EmergencyID: "urn:emergency:uid:callid:2:psap.example", IncidentID: "urn:emergency:uid:incidentid:2:psap.example"}
	d.document(strings.ReplaceAll(incidentDoc, "callid:1:", "callid:2:"))
	d.pass(61 * time.Second)
	d.begins(two)
	d.in.running.Wait()
	if got := d.has(two.ID); got != nil {
		t.Errorf("joined after its time: %q", got)
	}
}

// TestDocumentAfterTheEnd: help that is sent after the call is recorded with it,
// once.
func TestDocumentAfterTheEnd(t *testing.T) {
	d := newDesk(t, Settings{})
	d.begins(one)
	d.ends(one)
	r := d.document(dispatchDoc)
	d.document(dispatchDoc)
	if len(r.Late) != 1 || r.Late[0] != one.ID || r.Kept || len(r.Calls) != 0 {
		t.Errorf("joined %+v", r)
	}
	want := []string{"incident=" + incidentURN + " cad/eido", "dispatched=fire.example cad/eido"}
	if diff := cmp.Diff(want, d.has(one.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	d.pass(overFor + time.Second)
	if r := d.document(dispatchDoc); len(r.Late) != 0 || !r.Kept {
		t.Errorf("long after the call it was joined: %+v", r)
	}
}

// TestEveryCallOfAnIncident: an incident that several called for is taken for
// all of them.
func TestEveryCallOfAnIncident(t *testing.T) {
	d := newDesk(t, Settings{})
	other := sip.CallRef{ID: "2@psap", EmergencyID: "urn:emergency:uid:callid:2:psap.example", IncidentID: incidentURN}
	d.begins(one)
	d.begins(other)
	if r := d.document(dispatchDoc); len(r.Calls) != 2 {
		t.Errorf("joined %+v", r)
	}
}

// TestCallDataProvesNothing: the document that a call-handling system issues as
// a call comes in is journaled and marks nothing.
func TestCallDataProvesNothing(t *testing.T) {
	d := newDesk(t, Settings{Rate: 1})
	d.begins(one)
	for range 20 {
		r := d.document(`{"callComponent":[{"$id":"` + callURN + `"}],"locationComponent":[{"address":"the tower"}]}`)
		if r.Completes || r.Kept || len(r.Marks) != 0 || len(r.Calls) != 1 {
			t.Fatalf("joined %+v", r)
		}
	}
	if got := len(d.journaled("eido.received")); d.has(one.ID) != nil || got != 10 {
		t.Errorf("marked %q, journaled %d times, want 10 of a flood of 20", d.has(one.ID), got)
	}
}

// TestBoundsOfMemory: neither documents without a call nor calls that ended fill
// the memory.
func TestBoundsOfMemory(t *testing.T) {
	d := newDesk(t, Settings{})
	id := func(n int) string { return strings.Repeat("x", n%7) + time.Duration(n).String() }
	for n := range maxEarly + 100 {
		d.in.Join(t.Context(), Word{IDs: []string{id(n)}, Marks: map[policy.Field]string{policy.Nature: "fire"}})
	}
	for n := range maxOver + 100 {
		d.in.Over(sip.CallRef{ID: id(n)})
	}
	d.in.running.Wait()
	j := &d.in.joiner
	if j.kept > maxEarly || len(j.early) > maxEarly || len(j.over) > maxOver || len(j.order) > maxOver {
		t.Errorf("%d documents under %d names, %d calls under %d names", j.kept, len(j.early), len(j.order), len(j.over))
	}
	d.pass(24 * time.Hour)
	d.in.Join(t.Context(), Word{IDs: []string{"new"}, Marks: map[policy.Field]string{policy.Nature: "fire"}})
	if j.kept != 1 || len(j.over) != 0 {
		t.Errorf("a day later %d documents and %d calls are remembered", j.kept, len(j.over))
	}
}
