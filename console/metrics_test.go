package console

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdline/recorder"
	"holdline/sip"
)

func fullSources() Sources {
	return Sources{
		Journal: func() JournalStats {
			return JournalStats{Written: 12, Pending: 3, Commit: 2 * time.Millisecond, Degraded: true}
		},
		Media:   func() MediaStats { return MediaStats{2, 8, 1000, 4, 1} },
		Audio:   func() AudioStats { return AudioStats{2, 5} },
		Reloads: func() (uint64, uint64) { return 1, 2 },
	}
}

func TestMetricsFollowTheJournal(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Sources = fullSources() })
	waiting := callView("w", "waiting")
	waiting.Kind = "test"
	b.board.calls = []sip.CallView{callView("a", "bridged"), callView("b", "bridged"), waiting}
	m, records := b.console.metrics, newMemory() // a journal that the console does not follow by itself
	for _, r := range []struct{ call, kind, data string }{
		{"one", "call.offered", `{"kind":"emergency"}`},
		{"one", "intake.marked", `{"source":"http"}`},
		{"one", "release.requested", `{}`},
		{"one", "release.intercepted", `{}`},
		{"one", "alert.raised", `{}`},
		{"one", "rescue.answered", `{}`}, // 3 s after the release
		{"one", "release.requested", `{}`},
		{"one", "release.allowed", `{"decision":"review"}`},
		{"one", "call.ended", `{"by":"position"}`},
		{"two", "call.offered", `{"kind":"test"}`},
		{"two", "call.ended", `{"by":"position"}`},
		{"three", "call.ended", `{"by":"nobody knows"}`},
		{"", "node.degraded", `null`},
	} {
		m.observe(records.add(r.call, r.kind, r.data))
	}
	want := `
# HELP holdline_alerts_total Alerts raised for supervisors.
# TYPE holdline_alerts_total counter
holdline_alerts_total 1
# HELP holdline_calls_in_progress Calls in progress, by state.
# TYPE holdline_calls_in_progress gauge
holdline_calls_in_progress{state="bridged"} 2
holdline_calls_in_progress{state="offering"} 0
holdline_calls_in_progress{state="releasing"} 0
holdline_calls_in_progress{state="waiting"} 0
# HELP holdline_calls_total Calls that ended, by kind and by who ended them.
# TYPE holdline_calls_total counter
holdline_calls_total{kind="emergency",outcome="position"} 1
holdline_calls_total{kind="unknown",outcome="unknown"} 1
# HELP holdline_intake_marks_total Intake fields that were marked, by how.
# TYPE holdline_intake_marks_total counter
holdline_intake_marks_total{source="http"} 1
# HELP holdline_releases_total Releases by positions, by verdict.
# TYPE holdline_releases_total counter
holdline_releases_total{verdict="allow"} 0
holdline_releases_total{verdict="intercept"} 1
holdline_releases_total{verdict="review"} 1
# HELP holdline_rescues_answered_total Rescued callers who were answered by the fallback queue.
# TYPE holdline_rescues_answered_total counter
holdline_rescues_answered_total 1
# HELP holdline_journal_commit_seconds How long the latest commit took.
# TYPE holdline_journal_commit_seconds gauge
holdline_journal_commit_seconds 0.002
# HELP holdline_reloads_total Configurations that were to be taken over while running, by result.
# TYPE holdline_reloads_total counter
holdline_reloads_total{result="refused"} 2
holdline_reloads_total{result="taken"} 1
`
	names := []string{
		"holdline_alerts_total", "holdline_calls_in_progress", "holdline_calls_total", "holdline_intake_marks_total", "holdline_releases_total",
		"holdline_rescues_answered_total", "holdline_journal_commit_seconds", "holdline_reloads_total",
	}
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if body := b.do("GET", "/metrics", "").Body.String(); !strings.Contains(body, "holdline_rescue_seconds_sum 3\n") {
		t.Error("the rescue's time, 3 s, is not in the histogram")
	}
	if len(m.calls) != 0 {
		t.Errorf("calls that ended are remembered: %v", m.calls)
	}
}

// ended is a stream that delivers some records and ends.
type ended chan recorder.Record

func (s ended) C() <-chan recorder.Record { return s }
func (s ended) Close()                    {}

// TestMetricsArriveByTheStream: the console counts what it is told until the
// journal is closed.
func TestMetricsArriveByTheStream(t *testing.T) {
	b := newBench(t)
	stream := make(ended, 2)
	stream <- recorder.Record{Seq: 1, Kind: "alert.raised"}
	stream <- recorder.Record{Seq: 2, Kind: "alert.raised"}
	close(stream)
	b.console.count(stream)
	if got := testutil.ToFloat64(b.console.metrics.alerts); got != 2 {
		t.Errorf("%v alerts counted, want 2", got)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Sources = fullSources() })
	problems, err := testutil.GatherAndLint(b.console.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "holdline_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
