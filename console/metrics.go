package console

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

// Sources are the numbers of the other rooms, asked for when the metrics are
// read. Each may be nil, and must not block.
type Sources struct {
	Journal func() JournalStats
	Media   func() MediaStats
	Audio   func() AudioStats
	Reloads func() (taken, refused uint64)
}

// JournalStats is how the journal is doing.
type JournalStats struct {
	Written  uint64        // records on disk since the start
	Pending  int           // records that wait for the disk
	Commit   time.Duration // how long the latest commit took
	Degraded bool
}

// MediaStats is what the media engine did since the start.
type MediaStats struct {
	Sessions int // calls with media
	Ports    int // UDP ports in use
	Relayed  uint64
	Refused  uint64 // packets from sources that may not send
	Dropped  uint64 // packets that could not be passed on
}

// AudioStats is how the recordings are doing.
type AudioStats struct {
	Open int    // files that are being written
	Lost uint64 // packets that could not be recorded
}

// metrics counts what the journal tells and collects what the rooms tell. The
// counters follow the journal rather than the calls, so that they and the
// evidence cannot disagree; test calls are left out (i3 section 9).
type metrics struct {
	handler    http.Handler
	registry   *prometheus.Registry
	ended      *prometheus.CounterVec
	releases   *prometheus.CounterVec
	rescued    prometheus.Counter
	rescueTime prometheus.Histogram
	marks      *prometheus.CounterVec
	alerts     prometheus.Counter

	mu    sync.Mutex
	calls map[string]*counted // calls in progress, by Call-ID
}

// counted is what must be remembered of a call to count it.
type counted struct {
	kind     string
	released time.Time // of the release that led to the rescue in progress
}

// rescueBuckets reach from a fallback taker who picks up at once to a caller
// who waited for minutes, in seconds.
func rescueBuckets() []float64 { return []float64{0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 120, 300} }

func newMetrics(o Options) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdline_calls_total", Help: "Calls that ended, by kind and by who ended them.",
		}, []string{"kind", "outcome"}),
		releases: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdline_releases_total", Help: "Releases by positions, by verdict.",
		}, []string{"verdict"}),
		rescued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdline_rescues_answered_total", Help: "Rescued callers who were answered by the fallback queue.",
		}),
		rescueTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "holdline_rescue_seconds", Help: "Time from a position's BYE to the answer of the next taker.", Buckets: rescueBuckets(),
		}),
		marks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdline_intake_marks_total", Help: "Intake fields that were marked, by how.",
		}, []string{"source"}),
		alerts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdline_alerts_total", Help: "Alerts raised for supervisors.",
		}),
		calls: map[string]*counted{},
	}
	m.registry.MustRegister(m.ended, m.releases, m.rescued, m.rescueTime, m.marks, m.alerts,
		newRooms(o), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, d := range []policy.Decision{policy.Allow, policy.Intercept, policy.Review} {
		m.releases.WithLabelValues(string(d)) // so that the series exist before the first release
	}
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
	return m
}

// fact is what the counters want to know of a record's data.
type fact struct {
	Kind     string `json:"kind"`
	By       string `json:"by"`
	Source   string `json:"source"`
	Decision string `json:"decision"`
	Verdict  struct {
		Decision string `json:"decision"`
	} `json:"verdict"`
}

// decision is the verdict of a release record, or what its kind implies.
func (f fact) decision(implied policy.Decision) string {
	for _, d := range []string{f.Verdict.Decision, f.Decision} {
		if d != "" {
			return d
		}
	}
	return string(implied)
}

// observe counts one record of the journal.
func (m *metrics) observe(r recorder.Record) {
	var f fact
	_ = json.Unmarshal(r.Data, &f) // a record of another shape is counted by its kind alone
	m.mu.Lock()
	defer m.mu.Unlock()
	call := m.call(r, f)
	if call.kind == string(policy.Test) {
		return
	}
	switch r.Kind {
	case "release.requested":
		call.released = r.Time
	case "release.allowed":
		m.releases.WithLabelValues(f.decision(policy.Allow)).Inc()
		call.released = time.Time{}
	case "release.intercepted":
		m.releases.WithLabelValues(string(policy.Intercept)).Inc()
	case "rescue.answered":
		m.rescued.Inc()
		if !call.released.IsZero() {
			m.rescueTime.Observe(r.Time.Sub(call.released).Seconds())
			call.released = time.Time{}
		}
	case "intake.marked":
		m.marks.WithLabelValues(known(f.Source, "http", "header", "dtmf")).Inc()
	case "call.ended":
		m.ended.WithLabelValues(call.kind, known(f.By, "caller", "position", "supervisor", "error")).Inc()
	case kindRaised:
		m.alerts.Inc()
	}
}

// call returns what is remembered of the record's call, and forgets calls that
// ended.
func (m *metrics) call(r recorder.Record, f fact) *counted {
	c := m.calls[r.Call]
	if c == nil {
		c = &counted{kind: "unknown"}
	}
	switch r.Kind {
	case "call.offered":
		c.kind = known(f.Kind, string(policy.Emergency), string(policy.Admin), string(policy.Test))
		m.calls[r.Call] = c
	case "call.ended":
		delete(m.calls, r.Call)
	}
	return c
}

// known keeps the values of a label few, whatever a record says.
func known(value string, values ...string) string {
	for _, v := range values {
		if v == value {
			return v
		}
	}
	return "unknown"
}

// rooms collects the numbers that other rooms keep.
type rooms struct {
	calls   sip.Calls
	sources Sources
	ready   func() []string
	descs   map[string]*prometheus.Desc
	version string
}

func newRooms(o Options) *rooms {
	r := &rooms{calls: o.Calls, sources: o.Sources, ready: o.Ready, version: o.Version, descs: map[string]*prometheus.Desc{}}
	add := func(name, help string, labels ...string) {
		r.descs[name] = prometheus.NewDesc("holdline_"+name, help, labels, nil)
	}
	add("build_info", "The version that runs; always 1.", "version")
	add("ready", "1 when new calls may be sent here, 0 when the node is draining or degraded.")
	add("calls_in_progress", "Calls in progress, by state.", "state")
	add("callers_waiting_longest_seconds", "How long the caller waits who has waited longest; 0 when nobody waits.")
	add("journal_records_total", "Records on disk since the start.")
	add("journal_pending_records", "Records that wait for the disk.")
	add("journal_commit_seconds", "How long the latest commit took.")
	add("journal_degraded", "1 while calls go on without their records on disk.")
	add("media_sessions", "Calls with media.")
	add("media_ports", "UDP ports in use for media.")
	add("media_packets_relayed_total", "RTP and RTCP packets passed on.")
	add("media_packets_refused_total", "Packets from sources that may not send.")
	add("media_packets_dropped_total", "Packets that could not be passed on.")
	add("recordings_open", "Recordings that are being written.")
	add("recording_packets_lost_total", "Packets that could not be recorded.")
	add("reloads_total", "Configurations that were to be taken over while running, by result.", "result")
	return r
}

// Describe implements prometheus.Collector.
func (r *rooms) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range r.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (r *rooms) Collect(ch chan<- prometheus.Metric) {
	send := func(t prometheus.ValueType, name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(r.descs[name], t, v, labels...)
	}
	gauge := func(name string, v float64, labels ...string) { send(prometheus.GaugeValue, name, v, labels...) }
	total := func(name string, v uint64, labels ...string) {
		send(prometheus.CounterValue, name, float64(v), labels...)
	}
	gauge("build_info", 1, r.version)
	gauge("ready", truth(r.ready == nil || len(r.ready()) == 0))
	r.collectCalls(gauge)
	if r.sources.Journal != nil {
		s := r.sources.Journal()
		total("journal_records_total", s.Written)
		gauge("journal_pending_records", float64(s.Pending))
		gauge("journal_commit_seconds", s.Commit.Seconds())
		gauge("journal_degraded", truth(s.Degraded))
	}
	if r.sources.Media != nil {
		s := r.sources.Media()
		gauge("media_sessions", float64(s.Sessions))
		gauge("media_ports", float64(s.Ports))
		total("media_packets_relayed_total", s.Relayed)
		total("media_packets_refused_total", s.Refused)
		total("media_packets_dropped_total", s.Dropped)
	}
	if r.sources.Audio != nil {
		s := r.sources.Audio()
		gauge("recordings_open", float64(s.Open))
		total("recording_packets_lost_total", s.Lost)
	}
	if r.sources.Reloads != nil {
		taken, refused := r.sources.Reloads()
		total("reloads_total", taken, "taken")
		total("reloads_total", refused, "refused")
	}
}

// stateWaiting is the state of a caller whom nobody serves at the moment.
const stateWaiting = "waiting"

// states are those of sip.CallView.
func states() []string { return []string{"offering", "bridged", "releasing", stateWaiting} }

func (r *rooms) collectCalls(gauge func(string, float64, ...string)) {
	count, longest := map[string]int{}, time.Duration(0)
	for _, v := range r.calls.List() {
		if v.Kind == string(policy.Test) {
			continue
		}
		count[v.State]++
		if v.State == stateWaiting && !v.Waiting.IsZero() {
			longest = max(longest, time.Since(v.Waiting))
		}
	}
	for _, s := range states() {
		gauge("calls_in_progress", float64(count[s]), s)
	}
	gauge("callers_waiting_longest_seconds", longest.Seconds())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
