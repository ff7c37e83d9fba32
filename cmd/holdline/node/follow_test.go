package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"holdline/policy"
	"holdline/recorder"
)

// watcher is a follower that finds something in every record of a kind, and
// once more when a time has come.
type watcher struct {
	mu   sync.Mutex
	kind string
	due  time.Time
	seen []string
	bug  string // kind that makes it panic
}

func (w *watcher) Apply(r policy.Record) []policy.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Kind == w.bug {
		panic("bug")
	}
	w.seen = append(w.seen, r.Kind)
	if r.Kind != w.kind {
		return nil
	}
	w.due = r.Time.Add(50 * time.Millisecond)
	return []policy.Finding{{
		ID: "found-" + r.Call, Cause: "found", Call: r.Call, Agent: "ann", Why: "because", Data: map[string]int{"level": 7},
	}}
}

func (w *watcher) Due() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.due
}

func (w *watcher) Tick(now time.Time) []policy.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := fmt.Sprintf("late-%d", w.due.UnixNano())
	w.due = time.Time{}
	return []policy.Finding{{ID: id, Cause: "late", Why: "later"}}
}

// lifetime follows the journal in dir with the watchers for as long as test runs.
func lifetime(t *testing.T, dir string, test func(j *recorder.Journal, f *follower), all ...policy.Follower) {
	t.Helper()
	j, err := recorder.OpenJournal(recorder.JournalOptions{Dir: dir, Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	f := newFollower(j, zap.NewNop(), func(string) {}, all...)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.run(ctx) })
	j.Append(recorder.Entry{Time: time.Now(), Kind: "node.started", Data: struct{}{}})
	select {
	case <-f.caught:
	case <-time.After(20 * time.Second):
		t.Fatal("the past is never over")
	}
	test(j, f)
	cancel()
	running.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// write puts records on the disk.
func write(t *testing.T, j *recorder.Journal, entries ...recorder.Entry) {
	t.Helper()
	j.Append(entries...)
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// raisedIn waits for n alerts in all and returns their ids.
func raisedIn(t *testing.T, j *recorder.Journal, n int) (ids []string) {
	t.Helper()
	s := j.Subscribe(0)
	defer s.Close()
	late := time.After(20 * time.Second)
	for len(ids) < n {
		select {
		case r := <-s.C:
			if r.Kind == "alert.raised" {
				var d struct{ ID string }
				if err := json.Unmarshal(r.Data, &d); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, d.ID)
			}
		case <-late:
			t.Fatalf("alerts: %v, want %d", ids, n)
		}
	}
	return ids
}

// TestFindingsAreRaisedOnce: also when the journal is followed again.
func TestFindingsAreRaisedOnce(t *testing.T) {
	dir := t.TempDir()
	var first []string
	lifetime(t, dir, func(j *recorder.Journal, f *follower) {
		write(t, j, recorder.Entry{Time: time.Now(), Call: "c1", Kind: "thing"})
		first = raisedIn(t, j, 2)
		if first[0] != "found-c1" || !strings.HasPrefix(first[1], "late-") {
			t.Errorf("raised %v", first)
		}
		var data string
		err := j.Read(t.Context(), recorder.Query{Kind: "alert.raised", Limit: 1}, func(r recorder.Record) error {
			data = r.Call + " " + string(r.Data)
			return nil
		})
		if want := `c1 {"id":"found-c1","cause":"found","agent":"ann","why":"because","level":7}`; err != nil || data != want {
			t.Errorf("%s, %v\nwant %s", data, err, want)
		}
	}, &watcher{kind: "thing"})

	lifetime(t, dir, func(j *recorder.Journal, f *follower) {
		write(t, j, recorder.Entry{Time: time.Now(), Call: "c2", Kind: "thing"})
		again := raisedIn(t, j, 4)
		if !slices.Equal(again[:2], first) || again[2] != "found-c2" {
			t.Errorf("raised %v, before %v", again, first)
		}
		if !f.known(t.Context()) {
			t.Error("not all is followed")
		}
	}, &watcher{kind: "thing"})
}

// TestWhatWasMissedIsRaised: a node that was down when something became due
// raises it when it is back, but not what is long past, and no storm.
func TestWhatWasMissedIsRaised(t *testing.T) {
	dir := t.TempDir()
	lifetime(t, dir, func(j *recorder.Journal, _ *follower) {
		old := time.Now().Add(-2 * stillNews)
		write(t, j, recorder.Entry{Time: old, Call: "old", Kind: "thing"})
		for i := range mostAtOnce + 5 {
			write(t, j, recorder.Entry{Time: time.Now(), Call: fmt.Sprintf("new-%02d", i), Kind: "thing"})
		}
	})
	lifetime(t, dir, func(j *recorder.Journal, _ *follower) {
		write(t, j, recorder.Entry{Time: time.Now(), Call: "last", Kind: "thing"})
		var ids []string
		for n := mostAtOnce + 1; !slices.Contains(ids, "found-last"); n++ {
			ids = raisedIn(t, j, n)
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, "found-") })
		if len(ids) != mostAtOnce+1 || ids[0] != "found-new-05" || ids[mostAtOnce] != "found-last" {
			t.Errorf("raised %v", ids)
		}
	}, &watcher{kind: "thing"})
}

// TestABugInAFollower costs only what that follower would have found.
func TestABugInAFollower(t *testing.T) {
	w := &watcher{kind: "thing"}
	lifetime(t, t.TempDir(), func(j *recorder.Journal, f *follower) {
		write(t, j, recorder.Entry{Time: time.Now(), Call: "c", Kind: "thing"})
		raisedIn(t, j, 1)
		write(t, j, recorder.Entry{Time: time.Now(), Call: "c2", Kind: "other"})
		if !f.known(t.Context()) {
			t.Error("the journal is not followed any more")
		}
	}, &watcher{bug: "thing"}, w)
	if !slices.Contains(w.seen, "other") {
		t.Errorf("seen %v", w.seen)
	}
}

// TestSeqBefore finds the place of a time in a journal.
func TestSeqBefore(t *testing.T) {
	j, err := recorder.OpenJournal(recorder.JournalOptions{Dir: t.TempDir(), Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 50 {
		write(t, j, recorder.Entry{Time: epoch.Add(time.Duration(i) * time.Hour), Kind: "x"})
	}
	for at, want := range map[time.Duration]uint64{-time.Hour: 0, 0: 0, time.Minute: 1, time.Hour: 1, 10 * time.Hour: 10, 49 * time.Hour: 49, 500 * time.Hour: 50} {
		if got, err := seqBefore(t.Context(), j, epoch.Add(at)); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", at, got, err, want)
		}
	}
}
