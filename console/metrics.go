package console

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdline/console/sources"
	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

// Sources are the numbers of the other rooms, asked for when the metrics are
// read. Each may be nil, and must not block.
type Sources struct {
	Guard   func() sip.Stats
	Journal func() recorder.Health
	Media   func() media.EngineStats
	Audio   func() AudioStats
	Reloads func() (taken, refused uint64)
	Intake  func() sources.Stats
}

// AudioStats is how the recordings are doing.
type AudioStats struct {
	Open int    // files that are being written
	Lost uint64 // packets that could not be recorded
}

// metrics is everything that is measured: the rooms are asked for their
// numbers when somebody looks, so that measuring costs calls nothing.
type metrics struct {
	handler  http.Handler
	registry *prometheus.Registry
	rescue   prometheus.Histogram
}

// rescueBuckets reach from a fallback taker who picks up at once to a caller
// who waited for minutes, in seconds.
func rescueBuckets() []float64 { return []float64{0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 120, 300} }

func newMetrics(o Options, more ...prometheus.Collector) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		rescue: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "holdline_rescue_seconds", Help: "Time from a position's BYE to the answer of the next taker.", Buckets: rescueBuckets(),
		}),
	}
	m.registry.MustRegister(m.rescue, newRooms(o), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(more...)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
	return m
}

// Rescued tells the metrics how long a rescued caller waited for the next
// taker. It never blocks.
func (c *Console) Rescued(waited time.Duration) { c.metrics.rescue.Observe(waited.Seconds()) }

// rooms collects the numbers that other rooms keep.
type rooms struct {
	calls    sip.Calls
	sources  Sources
	accounts Accounts
	ready    func() []string
	descs    map[string]*prometheus.Desc
	version  string
}

func newRooms(o Options) *rooms {
	r := &rooms{calls: o.Calls, sources: o.Sources, accounts: o.Accounts, ready: o.Ready, version: o.Version, descs: map[string]*prometheus.Desc{}}
	add := func(name, help string, labels ...string) {
		r.descs[name] = prometheus.NewDesc("holdline_"+name, help, labels, nil)
	}
	add("build_info", "The version that runs; always 1.", "version")
	add("ready", "1 when new calls may be sent here, 0 when the node is draining or degraded.")
	add("calls_in_progress", "Calls in progress, by state; test calls are not counted.", "state")
	add("calls_offered_total", "Calls that came in, by kind; test calls are not counted.", "kind")
	add("calls_ended_total", "Calls that ended, by who ended them.", "by")
	add("releases_total", "Releases by positions, by verdict.", "verdict")
	add("rescues_answered_total", "Rescued callers who were answered by the fallback queue.")
	add("callers_waiting_longest_seconds", "How long the caller waits who has waited longest; 0 when nobody waits.")
	add("journal_records_total", "Records on disk since the start.")
	add("journal_pending_records", "Records that wait for the disk.")
	add("journal_dropped_total", "Records that were lost because too many waited for the disk.")
	add("journal_commit_seconds", "Time spent in commits, and their number.")
	add("journal_degraded", "1 while calls go on without their records on disk.")
	add("media_sessions", "Calls with media.")
	add("media_ports", "UDP ports in use for media.")
	add("media_packets_relayed_total", "RTP and RTCP packets passed on.")
	add("media_packets_refused_total", "Packets from sources that may not send.")
	add("media_packets_dropped_total", "Malformed packets, and packets that could not be sent.")
	add("media_prompt_packets_total", "Packets of prompts sent to callers.")
	add("media_panics_total", "Failures of the media engine that were recovered from; each is a bug.")
	add("media_receive_buffer_bytes", "Receive buffer that the system granted to each port.")
	add("recordings_open", "Recordings that are being written.")
	add("recording_packets_lost_total", "Packets that could not be recorded.")
	add("callbacks_owed", "Callers whose call ended before intake was complete, and who were not called back.")
	add("calls_unrelayed", "Calls that were taken and, as far as is known, not passed on.")
	add("surge", "1 while supervisors have relaxed the guard.")
	add("reloads_total", "Configurations that were to be taken over while running, by result.", "result")
	add("intake_received_total", "What other systems said of intakes, by sort: EIDO documents, log events, webhook messages.", "sort")
	add("intake_joined_total", "Of these, what was joined to calls: in progress, ended, or not here yet.", "call")
	add("intake_refused_total", "Messages of other systems that were not believed or not understood.")
	add("log_events_dropped_total", "Log events of other systems that were too many to keep.")
	add("eido_subscriptions", "Subscriptions to EIDO services, by whether they stand.", "state")
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
	gauge("callers_waiting_longest_seconds", r.longestWait().Seconds())
	now := time.Now()
	gauge("callbacks_owed", float64(len(r.accounts.Account.Callbacks(now, false))))
	gauge("calls_unrelayed", float64(len(r.accounts.Account.Unrelayed(now, false))))
	gauge("surge", truth(r.accounts.Surge.On(now)))
	if r.sources.Guard != nil {
		collectGuard(r.sources.Guard(), gauge, total)
	}
	if r.sources.Journal != nil {
		s := r.sources.Journal()
		total("journal_records_total", s.Written)
		total("journal_dropped_total", s.Dropped)
		gauge("journal_pending_records", float64(s.Pending))
		gauge("journal_degraded", truth(s.Degraded))
		ch <- prometheus.MustNewConstSummary(r.descs["journal_commit_seconds"], s.Commits, s.CommitSecondsSum, nil)
	}
	if r.sources.Media != nil {
		collectMedia(r.sources.Media(), gauge, total)
	}
	if r.sources.Audio != nil {
		s := r.sources.Audio()
		gauge("recordings_open", float64(s.Open))
		total("recording_packets_lost_total", s.Lost)
	}
	if r.sources.Intake != nil {
		collectIntake(r.sources.Intake(), gauge, total)
	}
	if r.sources.Reloads != nil {
		taken, refused := r.sources.Reloads()
		total("reloads_total", taken, "taken")
		total("reloads_total", refused, "refused")
	}
}

// stateWaiting is the state of a caller whom nobody serves at the moment.
const stateWaiting = "waiting"

// gaugeFunc and totalFunc send one value of a metric.
type (
	gaugeFunc func(name string, v float64, labels ...string)
	totalFunc func(name string, v uint64, labels ...string)
)

func collectGuard(s sip.Stats, gauge gaugeFunc, total totalFunc) {
	for state, n := range s.InProgress {
		gauge("calls_in_progress", float64(n), string(state))
	}
	for kind, n := range s.Offered {
		total("calls_offered_total", uint64(n), string(kind))
	}
	for by, n := range s.Ended {
		total("calls_ended_total", uint64(n), by)
	}
	total("releases_total", uint64(s.Allowed), string(policy.Allow))
	total("releases_total", uint64(s.Intercepted), string(policy.Intercept))
	total("releases_total", uint64(s.Reviewed), string(policy.Review))
	total("rescues_answered_total", uint64(s.Rescued))
}

func collectMedia(s media.EngineStats, gauge gaugeFunc, total totalFunc) {
	gauge("media_sessions", float64(s.Sessions))
	gauge("media_ports", float64(s.Ports))
	gauge("media_receive_buffer_bytes", float64(s.ReceiveBuffer))
	total("media_packets_relayed_total", s.Relayed)
	total("media_packets_refused_total", s.Refused)
	total("media_packets_dropped_total", s.Dropped)
	total("media_prompt_packets_total", s.Prompts)
	total("media_panics_total", s.Panics)
}

func collectIntake(s sources.Stats, gauge gaugeFunc, total totalFunc) {
	total("intake_received_total", s.Documents, "eido")
	total("intake_received_total", s.Events, "log_event")
	total("intake_received_total", s.Messages, "webhook")
	total("intake_joined_total", s.Joined, "in_progress")
	total("intake_joined_total", s.Late, "ended")
	total("intake_joined_total", s.Kept, "awaited")
	total("intake_refused_total", s.Refused)
	total("log_events_dropped_total", s.Dropped)
	gauge("eido_subscriptions", float64(s.Connected), "subscribed")
	gauge("eido_subscriptions", float64(s.Subscriptions-s.Connected), "lost")
}

// longestWait is how long the caller waits who has waited longest.
func (r *rooms) longestWait() time.Duration {
	var longest time.Duration
	for _, v := range r.calls.List() {
		if v.State == stateWaiting && !v.Waiting.IsZero() {
			longest = max(longest, time.Since(v.Waiting))
		}
	}
	return longest
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
