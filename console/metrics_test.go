package console

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

func fullSources() Sources {
	return Sources{
		Guard: func() sip.Stats {
			return sip.Stats{
				InProgress: map[sip.State]int64{sip.Bridged: 2, sip.Waiting: 1},
				Offered:    map[policy.CallKind]int64{policy.Emergency: 9, policy.Admin: 1},
				Ended:      map[string]int64{"caller": 3, "position": 4},
				Allowed:    4, Intercepted: 2, Reviewed: 1, Rescued: 2,
			}
		},
		Journal: func() recorder.Health {
			return recorder.Health{Written: 12, Pending: 3, Commits: 6, CommitSecondsSum: 0.012, Degraded: true}
		},
		Media: func() media.EngineStats {
			return media.EngineStats{Sessions: 2, Ports: 8, Relayed: 1000, Refused: 4, Dropped: 1}
		},
		Audio:   func() AudioStats { return AudioStats{Open: 2, Lost: 5} },
		Reloads: func() (uint64, uint64) { return 1, 2 },
	}
}

func TestMetrics(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Sources = fullSources()
		o.Ready = func() []string { return []string{"draining"} }
	})
	b.console.Rescued(1500 * time.Millisecond)
	b.console.Rescued(40 * time.Second)
	page := b.do("GET", "/metrics", "").Body.String()
	for _, want := range []string{
		`holdline_build_info{version="1.2.3"} 1`,
		`holdline_ready 0`,
		`holdline_calls_in_progress{state="bridged"} 2`,
		`holdline_calls_in_progress{state="waiting"} 1`,
		`holdline_calls_offered_total{kind="emergency"} 9`,
		`holdline_calls_ended_total{by="position"} 4`,
		`holdline_releases_total{verdict="allow"} 4`,
		`holdline_releases_total{verdict="intercept"} 2`,
		`holdline_releases_total{verdict="review"} 1`,
		`holdline_rescues_answered_total 2`,
		`holdline_rescue_seconds_bucket{le="2"} 1`,
		`holdline_rescue_seconds_sum 41.5`,
		`holdline_journal_records_total 12`,
		`holdline_journal_pending_records 3`,
		`holdline_journal_degraded 1`,
		`holdline_journal_commit_seconds_sum 0.012`,
		`holdline_journal_commit_seconds_count 6`,
		`holdline_media_sessions 2`,
		`holdline_media_ports 8`,
		`holdline_media_packets_relayed_total 1000`,
		`holdline_media_packets_refused_total 4`,
		`holdline_media_packets_dropped_total 1`,
		`holdline_recordings_open 2`,
		`holdline_recording_packets_lost_total 5`,
		`holdline_reloads_total{result="refused"} 2`,
		`go_goroutines `,
	} {
		if !strings.Contains(page, "\n"+want) {
			t.Errorf("no line %q", want)
		}
	}
}

// TestMetricsWithoutSources: what nobody counts is left out, and nothing fails.
func TestMetricsWithoutSources(t *testing.T) {
	b := newBench(t)
	alone := callView("w", "waiting")
	alone.Waiting = time.Now().Add(-90 * time.Second)
	b.board.calls = []sip.CallView{alone}
	page := b.do("GET", "/metrics", "").Body.String()
	if !strings.Contains(page, "\nholdline_callers_waiting_longest_seconds 90.") || !strings.Contains(page, "\nholdline_ready 1\n") {
		t.Errorf("page:\n%s", page)
	}
	if strings.Contains(page, "holdline_journal") {
		t.Error("numbers of a journal that is not there")
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
