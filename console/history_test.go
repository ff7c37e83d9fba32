package console

import (
	"context"
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdline/console/history"
	"holdline/policy"
	"holdline/policy/ledger"
)

// past is an index with one call in it.
type past struct{ asked history.Query }

func (p *past) Find(_ context.Context, q history.Query) ([]history.Call, error) {
	p.asked = q
	return []history.Call{{
		ID: "a/b c", Kind: "emergency", From: "<sip:x&y@z>", Started: epoch, Ended: epoch.Add(90 * time.Second),
		Position: "pos-1", By: "caller", Verdicts: []string{"intercept"}, Rescues: 1,
	}}, nil
}

func (p *past) Report(context.Context, history.Group, time.Time, time.Time, *time.Location) ([]history.Line, error) {
	return []history.Line{{Of: "=cmd()", Calls: 2, Intercepted: 1, Rescued: 1, MedianMS: 3300, P90MS: 4100}}, nil
}

func (p *past) Reached(context.Context, uint64) bool { return true }

func TestPastCallsAreFound(t *testing.T) {
	p := &past{}
	b := newBench(t, func(o *Options) { o.History = p })
	w := b.do("GET", "/v1/history?caller=5045550123&verdict=intercept&since=2026-03-01&limit=5", "")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"id":"a/b c"`) || !strings.Contains(w.Body.String(), `"complete":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if p.asked.Caller != "5045550123" || p.asked.Limit != 5 || p.asked.Since.IsZero() {
		t.Errorf("asked for %+v", p.asked)
	}
	for _, bad := range []string{"verdict=maybe", "endedBy=me", "since=yesterday", "limit=-1"} {
		if w := b.do("GET", "/v1/history?"+bad, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
	page := b.do("GET", "/search?caller=%3Cscript%3E", "").Body.String()
	for _, want := range []string{`href="/calls/a%2Fb%20c"`, "&lt;script&gt;", "1:30", "x&amp;y@z", `aria-current="page"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s:\n%s", want, page)
		}
	}
}

func TestReports(t *testing.T) {
	b := newBench(t, func(o *Options) { o.History = &past{} })
	page := b.do("GET", "/reports?by=agent", "").Body.String()
	for _, want := range []string{"3.3 s", "4.1 s", "<th scope=\"row\">=cmd()", "/reports.csv?by=agent"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s:\n%s", want, page)
		}
	}
	account := ledger.New(ledger.Options{})
	account.Apply(policy.Record{
		Seq: 1, Time: time.Now().Add(-time.Minute), Call: "lost@x", Kind: "call.offered",
		Data: []byte(`{"kind":"emergency","from":"<sip:5045550100@x>","to":"urn:service:sos"}`),
	})
	account.Apply(policy.Record{Seq: 2, Time: time.Now(), Call: "lost@x", Kind: "call.ended", Data: []byte(`{"cause":"caller-bye","by":"caller"}`)})
	open := newBench(t, func(o *Options) { o.History, o.Account = &past{}, account })
	if w := open.do("GET", "/reports.csv?by=agent", ""); !strings.Contains(w.Body.String(), "(unknown),0,0,0,0,0,0,0,0,0,0,0,0.0,0.0,0,1,0\n") {
		t.Errorf("the callback that is owed is not in the report:\n%s", w.Body)
	}
	w := b.do("GET", "/reports.csv?by=agent", "")
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != "'=cmd()" || rows[1][1] != "2" || rows[0][0] != "agent" {
		t.Errorf("%v %q", err, rows)
	}
	if w := b.do("GET", "/reports.csv?by=weather", ""); w.Code != http.StatusBadRequest {
		t.Errorf("by weather: %d", w.Code)
	}
	if w := newBench(t).do("GET", "/v1/history", ""); w.Code != http.StatusNotImplemented {
		t.Errorf("without an index: %d", w.Code)
	}
}
