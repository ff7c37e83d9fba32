package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdline/policy/pattern"
	"holdline/recorder"
)

// TestPatternRaised: a journal in which somebody leaves callers in need makes
// one alert, and following it again after a restart makes none.
func TestPatternRaised(t *testing.T) {
	dir, start := t.TempDir(), time.Now().Add(-4*24*time.Hour)
	var records []recorder.Entry
	add := func(at time.Time, call, kind string, data map[string]any) {
		records = append(records, recorder.Entry{Time: at, Call: call, Kind: kind, Data: data})
	}
	for day := range 5 {
		for i := range 20 {
			for _, agent := range []string{"ann", "bob", "cid", "eve"} {
				id, at := fmt.Sprintf("%s-%d-%d", agent, day, i), start.AddDate(0, 0, day).Add(time.Duration(i)*time.Minute-time.Hour)
				bad := agent == "eve" && day == 4 && i%4 == 0
				add(at, id, "call.offered", map[string]any{"leg": "a", "agent": agent, "kind": "emergency", "from": "<sip:" + id + "@x>"})
				add(at, id, "call.answered", map[string]any{"leg": "a", "agent": agent})
				if bad {
					add(at.Add(time.Second), id, "release.requested", map[string]any{"leg": "a", "agent": agent, "how": "bye", "class": "operator"})
					add(at.Add(time.Second), id, "release.intercepted", map[string]any{"leg": "a", "agent": agent, "decision": "intercept"})
					add(at.Add(2*time.Second), id, "rescue.answered", map[string]any{"leg": "b"})
				}
				add(at.Add(9*time.Second), id, "intake.marked", map[string]any{"field": "incident", "by": "cad"})
				add(at.Add(9*time.Second), id, "call.ended", map[string]any{"by": "caller"})
			}
		}
	}
	bank := func() *pattern.Bank {
		return pattern.New(pattern.Options{WarmUpDays: 3, WarmUpTrials: 100})
	}
	j, err := recorder.OpenJournal(recorder.JournalOptions{Dir: dir, Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, j, records...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	lifetime(t, dir, func(j *recorder.Journal, _ *follower) {
		if ids := raisedIn(t, j, 1); !strings.HasPrefix(ids[0], "pattern-needed-eve-eve-4-") {
			t.Errorf("%v", ids)
		}
	}, bank())
	lifetime(t, dir, func(j *recorder.Journal, f *follower) {
		raised := 0
		err := j.Read(t.Context(), recorder.Query{Kind: "alert.raised"}, func(recorder.Record) error { raised++; return nil })
		if err != nil || raised != 1 || !f.known(t.Context()) {
			t.Errorf("%d alerts, %v", raised, err)
		}
	}, bank())
}
