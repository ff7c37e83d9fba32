package history

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdline/recorder"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// script is a journal that is written beforehand.
type script struct {
	records []recorder.Record
}

func (s *script) add(at time.Duration, call, kind string, data map[string]any) {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	s.records = append(s.records, recorder.Record{Seq: uint64(len(s.records) + 1), Time: epoch.Add(at), Call: call, Kind: kind, Data: text})
}

type reading struct{ c chan recorder.Record }

func (r reading) C() <-chan recorder.Record { return r.c }
func (r reading) Close()                    {}

func (s *script) follow(after uint64) Stream {
	c := make(chan recorder.Record, len(s.records))
	for _, r := range s.records {
		if r.Seq > after {
			c <- r
		}
	}
	return reading{c}
}

type m = map[string]any

// two is a rescued call and one that its taker ended well.
func two() *script {
	s := &script{}
	s.add(0, "", "node.started", m{})
	s.add(0, "one", "call.offered", m{"from": "<sip:+15045550123@x>", "kind": "emergency", "position": "pos-1", "emergencyId": "urn:1"})
	s.add(2*time.Second, "one", "call.answered", m{"position": "pos-1", "agent": "ann"})
	s.add(5*time.Second, "one", "release.requested", m{"position": "pos-1", "agent": "ann", "how": "bye", "class": "operator", "talkMs": 3000})
	s.add(5*time.Second, "one", "release.intercepted", m{"position": "pos-1", "decision": "intercept", "rule": "intake-incomplete"})
	s.add(9*time.Second, "one", "rescue.answered", m{"position": "pos-2", "agent": "bob", "waitingMs": 4000})
	s.add(60*time.Second, "one", "call.ended", m{"by": "caller", "reason": "bye", "rescues": 1, "intakeComplete": true})
	s.add(25*time.Hour, "two", "call.offered", m{"from": "<sip:+15045559999@x>", "kind": "emergency"})
	s.add(25*time.Hour, "two", "call.answered", m{"position": "pos-1", "agent": "ann"})
	s.add(26*time.Hour, "two", "release.requested", m{"position": "pos-1", "agent": "ann", "class": "operator"})
	s.add(26*time.Hour, "two", "release.allowed", m{"decision": "review"})
	s.add(26*time.Hour, "two", "call.ended", m{"by": "position"})
	s.add(27*time.Hour, "test", "call.offered", m{"from": "<sip:t@x>", "kind": "test"})
	return s
}

func open(t *testing.T, dir string, s *script) *Index {
	t.Helper()
	x, err := Open(dir, s.follow, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !x.Reached(t.Context(), uint64(len(s.records))) {
		t.Fatal("the index stopped")
	}
	return x
}

func ids(t *testing.T, x *Index, q Query) []string {
	t.Helper()
	list, err := x.Find(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, c := range list {
		out = append(out, c.ID)
	}
	return out
}

func TestFind(t *testing.T) {
	x := open(t, t.TempDir(), two())
	defer x.Close()
	for name, c := range map[string]struct {
		q    Query
		want []string
	}{
		"everything":           {Query{}, []string{"test", "two", "one"}},
		"number":               {Query{Caller: "(504) 555-0123"}, []string{"one"}},
		"part of the address":  {Query{Caller: "9999"}, []string{"two"}},
		"emergency identifier": {Query{Caller: "urn:1"}, []string{"one"}},
		"first taker":          {Query{Agent: "ann"}, []string{"two", "one"}},
		"second taker":         {Query{Agent: "bob"}, []string{"one"}},
		"part of a name":       {Query{Agent: "an"}, []string{}},
		"position":             {Query{Position: "pos-2"}, []string{"one"}},
		"verdict":              {Query{Verdict: "intercept"}, []string{"one"}},
		"who ended it":         {Query{By: "position"}, []string{"two"}},
		"since":                {Query{Since: epoch.Add(time.Hour)}, []string{"test", "two"}},
		"until":                {Query{Until: epoch.Add(time.Hour)}, []string{"one"}},
		"limit":                {Query{Limit: 1}, []string{"test"}},
		"a quote":              {Query{Caller: "x' OR 1=1 --"}, []string{}},
	} {
		if got := ids(t, x, c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	list, err := x.Find(t.Context(), Query{Agent: "bob"})
	if err != nil || list[0].Duration() != time.Minute || !list[0].Complete || list[0].Rescues != 1 || list[0].Number != "5045550123" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestReport(t *testing.T) {
	x := open(t, t.TempDir(), two())
	defer x.Close()
	for _, c := range []struct {
		g    Group
		want []Line
	}{
		{ByDay, []Line{
			{Of: "2026-03-01", Calls: 1, Answered: 1, ByCaller: 1, Released: 1, Intercepted: 1, Rescued: 1, MedianMS: 4000, P90MS: 4000},
			{Of: "2026-03-02", Calls: 1, Answered: 1, ByPosition: 1, Released: 1, Reviewed: 1, Incomplete: 1},
		}},
		{ByAgent, []Line{
			{Of: "ann", Calls: 1, Answered: 1, ByPosition: 1, Released: 2, Intercepted: 1, Reviewed: 1, Rescued: 1, MedianMS: 4000, P90MS: 4000, Incomplete: 1},
			{Of: "bob", Calls: 1, Answered: 1, ByCaller: 1},
		}},
		{ByShift, []Line{
			{Of: "2026-03-01 06:00", Calls: 1, Answered: 1, ByCaller: 1, Released: 1, Intercepted: 1, Rescued: 1, MedianMS: 4000, P90MS: 4000},
			{Of: "2026-03-02 06:00", Calls: 1, Answered: 1, ByPosition: 1, Released: 1, Reviewed: 1, Incomplete: 1},
		}},
	} {
		got, err := x.Report(t.Context(), c.g, epoch.Add(-time.Hour), epoch.Add(100*time.Hour), time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i].waits = nil
		}
		if !slices.EqualFunc(got, c.want, func(a, b Line) bool { a.waits, b.waits = nil, nil; return equal(a, b) }) {
			t.Errorf("by %s:\n%+v\nwant\n%+v", c.g, got, c.want)
		}
	}
}

func equal(a, b Line) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// TestShiftsAcrossMidnight: the night shift belongs to the day on which it began.
func TestShiftsAcrossMidnight(t *testing.T) {
	for at, want := range map[string]string{
		"2026-03-02T05:59:00Z": "2026-03-01 22:00", "2026-03-02T06:00:00Z": "2026-03-02 06:00",
		"2026-03-02T14:00:00Z": "2026-03-02 14:00", "2026-03-02T23:00:00Z": "2026-03-02 22:00",
	} {
		when, err := time.Parse(time.RFC3339, at)
		if got := ByShift.name(when, "", ""); err != nil || got != want {
			t.Errorf("%s is in shift %s, want %s", at, got, want)
		}
	}
}

// TestRestartGoesOn: an index that is opened again goes on where it was, and
// counts nothing twice; one whose cursor was put back comes to the same.
func TestRestartGoesOn(t *testing.T) {
	dir, s := t.TempDir(), two()
	half := &script{records: s.records[:5]}
	x := open(t, dir, half)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, dir, s)
	if got := ids(t, x, Query{}); !slices.Equal(got, []string{"test", "two", "one"}) {
		t.Errorf("calls: %v", got)
	}
	got, err := x.Report(context.Background(), ByDay, epoch.Add(-time.Hour), epoch.Add(time.Hour), time.UTC)
	if err != nil || len(got) != 1 || got[0].Released != 1 || got[0].Intercepted != 1 {
		t.Errorf("report: %+v, %v", got, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestErasedCallersAreForgotten: what the journal does not know any more the
// index does not know either, and the counts stay.
func TestErasedCallersAreForgotten(t *testing.T) {
	s := two()
	s.add(48*time.Hour, "", recorder.KindErased, m{"ranges": [][2]uint64{{2, 7}}, "after": "1h0m0s"}) // and the other call is on legal hold
	x := open(t, t.TempDir(), s)
	defer x.Close()
	if got := ids(t, x, Query{Caller: "5045550123"}); len(got) > 0 {
		t.Errorf("found by an erased number: %v", got)
	}
	if got := ids(t, x, Query{Caller: "5045559999"}); !slices.Equal(got, []string{"two"}) {
		t.Errorf("a recent caller: %v", got)
	}
	if got := ids(t, x, Query{Verdict: "intercept"}); !slices.Equal(got, []string{"one"}) {
		t.Errorf("the call itself: %v", got)
	}
}

// TestWrittenWithoutBeingAsked: what nobody asks for is in the index after a
// moment all the same, in one transaction.
func TestWrittenWithoutBeingAsked(t *testing.T) {
	dir, s := t.TempDir(), two()
	synctest.Test(t, func(t *testing.T) {
		x, err := Open(dir, s.follow, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		state := func() (uint64, chan struct{}) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.applied, x.more
		}
		began := time.Now()
		_, more := state()
		<-more
		applied, _ := state()
		if took := time.Since(began); took != linger || applied != uint64(len(s.records)) {
			t.Errorf("record %d of %d after %v, want all after %v", applied, len(s.records), took, linger)
		}
	})
}

// TestVerdictAfterItsRelease: a verdict that comes when its release has been
// written already, or after a restart, still belongs to it.
func TestVerdictAfterItsRelease(t *testing.T) {
	dir, s := t.TempDir(), two()
	for n := range len(s.records) {
		x := open(t, dir, &script{records: s.records[:n+1]})
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	x := open(t, dir, s)
	defer x.Close()
	got, err := x.Report(t.Context(), ByAgent, epoch.Add(-time.Hour), epoch.Add(100*time.Hour), time.UTC)
	if err != nil || len(got) != 2 || got[0].Intercepted != 1 || got[0].Reviewed != 1 || got[0].Rescued != 1 || got[0].MedianMS != 4000 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAnotherJournal: an index that knows a record which the journal has not, for
// it was lost with the memory of a node, is built anew.
func TestAnotherJournal(t *testing.T) {
	dir, lost := t.TempDir(), two()
	for i := range lost.records {
		lost.records[i].Hash = "lost"
	}
	x := open(t, dir, &script{records: lost.records[:7]})
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	s := &script{}
	for _, call := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		s.add(0, call, "call.offered", m{"from": "<sip:1@x>", "kind": "emergency"})
		s.records[len(s.records)-1].Hash = call
	}
	for range 2 {
		x = open(t, dir, s)
		if got := ids(t, x, Query{}); len(got) != 8 || slices.Contains(got, "one") {
			t.Errorf("calls: %v", got)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
