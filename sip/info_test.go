package sip

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"holdline/policy"
	"holdline/sip/phone"
)

// TestInfoMarks: an INFO of the taker's side that carries marks is for us and
// never reaches the caller; every other one passes as it did.
func TestInfoMarks(t *testing.T) {
	const js = "application/json"
	tests := map[string]struct {
		request phone.Request
		trusted bool
		want    policy.Field // "": it is not ours
		value   string
	}{
		"a body of fields":           {phone.Request{ContentType: js, Body: []byte(`{"nature":"fire","location":"12 Canal"}`)}, true, policy.Location, "12 Canal"},
		"a field that is only true":  {phone.Request{ContentType: js + ";charset=utf-8", Body: []byte(`{"incident":true}`)}, true, policy.Incident, "true"},
		"fields without anything":    {phone.Request{ContentType: js, Body: []byte(`{"incident":"","location":"12 Canal","callback":false,"nature":null}`)}, true, policy.Location, "12 Canal"},
		"nothing but empty ones":     {phone.Request{ContentType: js, Body: []byte(`{"incident":" ","disposition":""}`)}, true, "", ""},
		"an empty field of a header": {phone.Request{Headers: [][2]string{{"Holdline-Intake", `incident=""; disposition=; location="12 Canal"`}}}, true, policy.Location, "12 Canal"},
		"the intake header":          {phone.Request{Headers: [][2]string{{"Holdline-Intake", `disposition="pocket-dial"`}}}, true, policy.Disposition, "pocket-dial"},
		"from where nobody is heard": {phone.Request{ContentType: js, Body: []byte(`{"nature":"fire"}`)}, false, "", ""},
		"another system's object":    {phone.Request{ContentType: js, Body: []byte(`{"nature":"fire","floor":3}`)}, true, "", ""},
		"a number for a value":       {phone.Request{ContentType: js, Body: []byte(`{"nature":7}`)}, true, "", ""},
		"nothing in it":              {phone.Request{ContentType: js, Body: []byte(`{}`)}, true, "", ""},
		"not JSON at all":            {phone.Request{ContentType: js, Body: []byte(`{"nature"`)}, true, "", ""},
		"digits for the caller":      {phone.Request{ContentType: "application/dtmf-relay", Body: []byte("Signal=1")}, true, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := usualSettings()
			if !tc.trusted {
				s.IntakeTrust = nil
			}
			inWorld(t, s, []string{"caller", "pos-1", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				tc.request.Method = "INFO"
				res, err := pos.Request(w.ctx, tc.request)
				w.must(err)
				w.pass(time.Second)
				view, err := w.guard.Get(caller.ID())
				w.must(err)
				seen := len(caller.Requests()) > 0
				if res.StatusCode != 200 || seen == (tc.want != "") {
					t.Errorf("answered %d, the caller saw it: %v", res.StatusCode, seen)
				}
				mark, ok := view.Intake[tc.want]
				if len(view.Intake) > 1 && !strings.Contains(name, "body of fields") || ok != (tc.want != "") || mark.Value != tc.value || ok && (mark.Source != "info" || mark.By != "pos-1") {
					t.Errorf("marked %+v", view.Intake)
				}
				w.hangsUp(caller)
			})
		})
	}
}

// TestCodesByInfo: a phone that sends its keys by INFO gives a code like any
// other, and the caller sees none of it; other digits pass.
func TestCodesByInfo(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		press := func(contentType, body string) {
			res, err := pos.Request(w.ctx, phone.Request{Method: "INFO", ContentType: contentType, Body: []byte(body)})
			w.must(err)
			if res.StatusCode != 200 {
				t.Errorf("%q: %d", body, res.StatusCode)
			}
			w.pass(100 * time.Millisecond)
		}
		press("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n")
		press("application/dtmf-relay", "Signal=*\r\nDuration=160\r\n")
		press("application/dtmf-relay", "Signal=1\r\nDuration=160\r\n")
		press("application/dtmf", "9")
		if seen := len(caller.Requests()); seen != 1 {
			t.Errorf("the caller saw %d of the keys, want the one that is no code's", seen)
		}
		view, err := w.guard.Get(caller.ID())
		w.must(err)
		if m := view.Intake[policy.Disposition]; m.Value != "misdial" || m.Source != "dtmf" || m.By != "pos-1" {
			t.Errorf("marked %+v", view.Intake)
		}
		w.hangsUp(pos)
		w.ended(caller, "caller", "BYE", true)
	})
}

// TestCallersInfoPasses: what the caller sends is never taken for intake.
func TestCallersInfoPasses(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		_, err := caller.Request(w.ctx, phone.Request{Method: "INFO", ContentType: "application/json", Body: []byte(`{"incident":"1"}`)})
		w.must(err)
		if view, err := w.guard.Get(caller.ID()); err != nil || len(view.Intake) > 0 {
			t.Errorf("marked %+v, %v", view.Intake, err)
		}
		w.hangsUp(caller)
	})
}

// TestCompleteByTrustedSources: what is shown and journaled as complete is what
// a release would be judged by.
func TestCompleteByTrustedSources(t *testing.T) {
	p, err := policy.Parse("p.yaml", []byte("sources: {http: proves, header: softens, info: softens, dtmf: softens}\n"+
		"rules: [{name: done, when: intake.complete, verdict: allow, why: done}, {name: rest, verdict: review, why: claimed}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := usualSettings()
	s.Judge, s.Complete = p.Judge, p.Complete
	inWorld(t, s, []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		_, err := pos.Request(w.ctx, phone.Request{Method: "INFO", ContentType: "application/json", Body: []byte(`{"incident":"1"}`)})
		w.must(err)
		view, err := w.guard.Get(caller.ID())
		w.must(err)
		if m := last[markData](w, caller.ID(), "intake.marked"); view.Complete || m.Complete {
			t.Errorf("complete by the taker's own word: view %v, record %v", view.Complete, m.Complete)
		}
		view, err = w.guard.MarkFrom(w.ctx, caller.ID(), map[policy.Field]string{policy.Disposition: "misdial"}, "cad", "http")
		w.must(err)
		if m := last[markData](w, caller.ID(), "intake.marked"); !view.Complete || !m.Complete {
			t.Errorf("not complete by CAD's: view %v, record %v", view.Complete, m.Complete)
		}
		w.hangsUp(pos)
		if end := last[endData](w, caller.ID(), "call.ended"); !end.Complete {
			text, _ := json.Marshal(end)
			t.Errorf("ended as incomplete: %s", text)
		}
	})
}

// TestMatchingFindsCallsByEveryIdentifier: an incident has all its calls, and a
// call that is over has none of its names.
func TestMatchingFindsCallsByEveryIdentifier(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "caller2", "pos-1", "pos-2"}, func(w *world) {
		var began, over []CallRef
		w.guard.opts.Began = func(r CallRef) { began = append(began, r) }
		w.guard.opts.Over = func(r CallRef) { over = append(over, r); panic("a bug of theirs") }
		const incident = "urn:emergency:uid:incidentid:7:psap.example"
		withInfo := func(v *phone.Invite) {
			v.Headers = append(v.Headers, [2]string{"Call-Info", "<" + incident + ">;purpose=emergency-IncidentId"})
		}
		first := w.calls("caller", withInfo)
		w.answers("pos-1")
		second := w.calls("caller2", withInfo)
		w.answers("pos-2")
		if got := w.guard.Matching(incident, first.ID()); len(got) != 2 || got[0] != first.ID() || got[1] != second.ID() {
			t.Errorf("the incident's calls are %q", got)
		}
		if len(began) != 2 || began[0].IncidentID != incident || began[0].ID != first.ID() {
			t.Fatalf("began: %+v", began)
		}
		if got := w.guard.Matching(began[1].EmergencyID); len(got) != 1 || got[0] != second.ID() {
			t.Errorf("the call's identifier names %q", got)
		}
		w.hangsUp(first)
		if got := w.guard.Matching(incident, "nobody"); len(got) != 1 || got[0] != second.ID() {
			t.Errorf("after one ended: %q", got)
		}
		w.hangsUp(second)
		w.pass(time.Minute)
		if got := w.guard.Matching(incident); len(got) != 0 || len(over) != 2 || len(w.guard.byIncident) != 0 {
			t.Errorf("after both ended: %q, told %+v, kept %d", got, over, len(w.guard.byIncident))
		}
	})
}
