package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/recorder"
	"holdline/sip"
)

// accounts gives a bench a ledger that follows its journal, as a node does.
func accounts(t *testing.T) (*bench, *ledger.Ledger) {
	t.Helper()
	l := ledger.New(ledger.Options{Node: "psap-a", Relay: ledger.Relay{Within: time.Minute, Talk: 30 * time.Second, Alerts: 3}})
	var b *bench
	follow := func(context.Context) bool {
		b.journal.mu.Lock()
		defer b.journal.mu.Unlock()
		for _, r := range b.journal.records {
			l.Apply(policy.Record{Seq: r.Seq, Time: r.Time, Node: r.Node, Call: r.Call, Kind: r.Kind, Data: r.Data})
		}
		l.Tick(time.Now())
		return true
	}
	b = newBench(t, func(o *Options) {
		o.Account, o.CaughtUp = l, follow
		o.Seating = NewSeating(o.Journal, func(p string) bool { return p == "pos-1" || p == "pos-2" })
		o.Positions = func() []sip.PositionView {
			var out []sip.PositionView
			for _, id := range []string{"pos-1", "pos-2"} {
				agent, told := o.Seating.AgentAt(id)
				if !told {
					agent = "static-" + id
				}
				out = append(out, sip.PositionView{ID: id, URI: "sip:" + id + "@10.0.0.1", Agent: agent, Limit: 1})
			}
			return out
		}
		o.Past = &Past{Journal: o.Journal, Find: l.Find, Complete: policy.Intake.Complete, Read: func(_ context.Context, call string, each func(recorder.Record) error) error {
			if b.journal.broken != nil {
				return b.journal.broken
			}
			for _, r := range b.journal.records {
				if r.Call == call {
					_ = each(r)
				}
			}
			return nil
		}}
	})
	return b, l
}

// lost is a call that ended without intake.
func (b *bench) lost(call string) {
	b.journal.add(call, "call.offered", `{"kind":"emergency","from":"<sip:+15045550100@x>","emergencyId":"urn:emergency:uid:callid:`+call+`:x","to":"urn:service:sos","position":"pos-1"}`)
	b.journal.add(call, "call.answered", `{"position":"pos-1","agent":"ann"}`)
	b.journal.add(call, "call.ended", `{"by":"caller","reason":"bye"}`)
}

func read[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v
}

type owedList struct {
	Callbacks []ledger.Callback
	Unrelayed []ledger.Unrelayed
	Complete  bool
}

func (b *bench) list(path string) owedList {
	b.t.Helper()
	w := b.do("GET", path, "")
	if w.Code != 200 {
		b.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return read[owedList](b.t, w.Body.String())
}

// TestACallIsMarkedAfterItsEnd: what came of a call may be told when it is
// over, by either of its names, and closes what it left open.
func TestACallIsMarkedAfterItsEnd(t *testing.T) {
	for _, id := range []string{"c/1@x", "urn:emergency:uid:callid:c/1@x:x"} {
		b, _ := accounts(t)
		b.lost("c/1@x")
		if got := b.list("/v1/callbacks"); len(got.Callbacks) != 1 || got.Callbacks[0].Agent != "ann" || !got.Complete {
			t.Fatalf("callbacks: %+v", got)
		}
		w := b.do("PUT", "/v1/calls/"+url.PathEscape(id)+"/intake", `{"disposition":"pocket-dial","by":"cad"}`)
		v := read[sip.CallView](t, w.Body.String())
		if w.Code != 200 || v.ID != "c/1@x" || v.State != "ended" || !v.Complete || v.Taker != "pos-1" || v.Intake["disposition"].By != "cad" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if got := b.list("/v1/callbacks"); len(got.Callbacks) != 0 {
			t.Errorf("still owed: %+v", got)
		}
		if got := b.list("/v1/callbacks?all=true"); len(got.Callbacks) != 1 || got.Callbacks[0].Closed.How != "intake was completed" {
			t.Errorf("all: %+v", got)
		}
		last := b.journal.records[len(b.journal.records)-1]
		if last.Kind != "intake.marked" || last.Call != "c/1@x" || !strings.Contains(string(last.Data), `"complete":true`) {
			t.Errorf("last record %s %s %s", last.Kind, last.Call, last.Data)
		}
	}
}

func TestMarksOfUnknownCalls(t *testing.T) {
	b, _ := accounts(t)
	if w := b.do("PUT", "/v1/calls/nobody/intake", `{"nature":"fire"}`); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.journal.breaks(errors.New("disk gone"))
	if w := b.do("PUT", "/v1/calls/nobody/intake", `{"nature":"fire"}`); w.Code != 500 {
		t.Errorf("disk gone: %d %s", w.Code, w.Body)
	}
}

func TestOpenItemsAreDoneByHand(t *testing.T) {
	b, _ := accounts(t)
	b.lost("c1")
	b.journal.add("c2", "call.offered", `{"kind":"emergency","from":"<sip:+15045550101@x>","emergencyId":"urn:x","position":"pos-1"}`)
	b.journal.add("c2", "call.answered", `{"position":"pos-1"}`)
	b.journal.add("c2", "intake.marked", `{"field":"incident","value":"77","source":"http"}`)
	if got := b.list("/v1/unrelayed"); len(got.Unrelayed) != 1 || got.Unrelayed[0].Incident != "77" || got.Unrelayed[0].State != "in progress" || got.Unrelayed[0].AgeMS < 60_000 {
		t.Fatalf("unrelayed: %+v", got)
	}
	for _, tc := range []struct {
		path, body string
		code       int
		want       string
	}{
		{"/v1/callbacks/c1/done", `{"by":"sue","note":"all is well"}`, 200, `"by":"sue"`},
		{"/v1/callbacks/c1/done", `{"by":"tom"}`, 200, `"by":"sue"`}, // the first stands
		{"/v1/callbacks/no/done", `{}`, 404, "nobody is owed"},
		{"/v1/unrelayed/urn:x/done", `{"by":"sue"}`, 200, `"how":"marked as done"`},
		{"/v1/unrelayed/no/done", ``, 404, "no call waits"},
		{"/v1/unrelayed/c2/done", `{"by":7}`, 400, "must be a name"},
		{"/v1/callbacks/c1/done", `{"note":"` + strings.Repeat("x", 2000) + `"}`, 400, "more than"},
	} {
		if w := b.do("POST", tc.path, tc.body); w.Code != tc.code || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s %.40s: %d %s", tc.path, tc.body, w.Code, w.Body)
		}
	}
	if c, u := b.list("/v1/callbacks"), b.list("/v1/unrelayed"); len(c.Callbacks)+len(u.Unrelayed) != 0 {
		t.Errorf("open: %+v %+v", c, u)
	}
}

func TestSignInAndOut(t *testing.T) {
	b, _ := accounts(t)
	kinds := func() (out []string) {
		for _, r := range b.journal.records {
			d := read[ledger.Sitting](t, string(r.Data))
			out = append(out, strings.TrimPrefix(r.Kind, "agent.")+" "+d.Position+" "+d.Agent)
		}
		return out
	}
	for _, tc := range []struct {
		path, body string
		code       int
		want       string
	}{
		{"signin", `{"position":"pos-1","agent":"ann"}`, 200, `"agent":"ann"`},
		{"signin", `{"position":"pos-1","agent":"ann"}`, 200, `"source":"http"`}, // told again
		{"signin", `{"position":"pos-2","agent":"ann"}`, 200, `"position":"pos-2"`},
		{"signin", `{"position":"pos-2","agent":"bob","by":"sue"}`, 200, `"agent":"bob"`},
		{"signout", `{"position":"pos-2"}`, 200, `"position":"pos-2","uri":"sip:pos-2@10.0.0.1","since"`},
		{"signout", `{"position":"pos-2"}`, 200, `"pos-2"`},
		{"signin", `{"position":"pos-9","agent":"ann"}`, 404, "the positions are pos-1, pos-2"},
		{"signout", `{"position":"pos-9"}`, 404, "no position"},
		{"signin", `{"position":"pos-1"}`, 400, "needs a position and an agent"},
		{"signout", `{}`, 400, "needs a position"},
	} {
		if w := b.do("POST", "/v1/agents/"+tc.path, tc.body); w.Code != tc.code || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s %s: %d %s", tc.path, tc.body, w.Code, w.Body)
		}
	}
	want := "signedin pos-1 ann|signedout pos-1 ann|signedin pos-2 ann|signedout pos-2 ann|signedin pos-2 bob|signedout pos-2 bob"
	if got := strings.Join(kinds(), "|"); got != want {
		t.Errorf("records %s\nwant    %s", got, want)
	}
	again := NewSeating(b.journal, func(string) bool { return true })
	for _, r := range b.journal.records {
		again.Apply(policy.Record{Seq: r.Seq, Time: r.Time, Kind: r.Kind, Data: r.Data})
	}
	for _, p := range []string{"pos-1", "pos-2"} {
		if agent, told := again.AgentAt(p); agent != "" || !told {
			t.Errorf("after a restart %s has %q, told %v", p, agent, told)
		}
	}
}

func TestSurgeRequests(t *testing.T) {
	b, _ := accounts(t)
	for _, tc := range []struct {
		method, body string
		code         int
		want         string
	}{
		{"GET", "", 200, `{"on":false}`},
		{"DELETE", "", 200, `{"on":false}`},
		{"POST", `{"for":"30m"}`, 400, "needs a reason"},
		{"POST", `{"reason":"flood"}`, 400, "either for or until"},
		{"POST", `{"reason":"flood","for":"30m","until":"2030-01-01T00:00:00Z"}`, 400, "either for or until"},
		{"POST", `{"reason":"flood","for":"soon"}`, 400, "no length of time"},
		{"POST", `{"reason":"flood","until":"soon"}`, 400, "no time"},
		{"POST", `{"reason":"flood","until":"2020-01-01T00:00:00Z"}`, 400, "is over"},
		{"POST", `{"reason":"flood","for":"25h"}`, 400, "more than 24h"},
		{"POST", `{"reason":"flood","for":"30m","by":"sue"}`, 200, `"by":"sue","reason":"flood"`},
		{"GET", "", 200, `"on":true`},
		{"POST", `{"reason":"flood goes on","for":"1h","by":"tom"}`, 200, `"by":"tom"`},
		{"DELETE", "", 200, `{"on":false}`},
	} {
		if w := b.do(tc.method, "/v1/surge", tc.body); w.Code != tc.code || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s %s: %d %s", tc.method, tc.body, w.Code, w.Body)
		}
	}
	var kinds []string
	for _, r := range b.journal.records {
		kinds = append(kinds, r.Kind)
	}
	if got := strings.Join(kinds, " "); got != "surge.started surge.started surge.ended" {
		t.Errorf("records %s", got)
	}
}

// TestSurgeEndsByItself: at its time, also when the node was down then, and not
// before although it was restarted.
func TestSurgeEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newMemory()
		s := NewSurge(j)
		s.Start(t.Context(), time.Now().Add(time.Hour), "flood", "sue")
		time.Sleep(10 * time.Minute)
		s.Stop() // the node stops
		restart := func() *Surge {
			again := NewSurge(j)
			for _, r := range j.records {
				again.Restore(policy.Record{Seq: r.Seq, Time: r.Time, Kind: r.Kind, Data: r.Data})
			}
			again.Resume()
			synctest.Wait()
			return again
		}
		s = restart()
		if !s.On(time.Now()) || s.View(time.Now()).By != "sue" {
			t.Errorf("after a restart: %+v", s.View(time.Now()))
		}
		time.Sleep(49 * time.Minute)
		if !s.On(time.Now()) {
			t.Error("off a minute early")
		}
		s.Stop()
		time.Sleep(time.Hour)
		if s.On(time.Now()) {
			t.Error("on after its end")
		}
		s = restart() // its end passed while the node was down
		if last := j.records[len(j.records)-1]; last.Kind != "surge.ended" || len(j.records) != 2 {
			t.Errorf("%d records, the last is %s", len(j.records), last.Kind)
		}
		s.Start(t.Context(), time.Now().Add(time.Minute), "again", "sue")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if last := j.records[len(j.records)-1]; last.Kind != "surge.ended" || s.On(time.Now()) {
			t.Errorf("the last record is %s", last.Kind)
		}
	})
}
