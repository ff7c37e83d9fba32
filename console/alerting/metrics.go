package alerting

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// metrics is what the Desk counts.
type metrics struct {
	raised       *prometheus.CounterVec
	acknowledged prometheus.Counter
	seconds      *prometheus.HistogramVec
	failures     *prometheus.CounterVec
	d            *Desk
	open         *prometheus.Desc
	failing      *prometheus.Desc
	pending      *prometheus.Desc
}

// delayBuckets reach from at once to an outage of an hour, in seconds.
func delayBuckets() []float64 {
	return []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600}
}

func newMetrics(d *Desk) *metrics {
	m := &metrics{
		d: d,
		raised: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdline_alerts_raised_total", Help: "Alerts since the start, by severity.",
		}, []string{"severity"}),
		acknowledged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdline_alerts_acknowledged_total", Help: "Alerts that a person has acknowledged since the start.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdline_alert_delivery_seconds", Help: "Time from when a channel was to be told of an alert until it had taken it; the channel page is the console.",
			Buckets: delayBuckets(),
		}, []string{"channel"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdline_alert_failures_total", Help: "Attempts to tell a channel of an alert that failed.",
		}, []string{"channel"}),
		open:    prometheus.NewDesc("holdline_alerts_open", "Alerts that nobody has acknowledged, by severity.", []string{"severity"}, nil),
		failing: prometheus.NewDesc("holdline_alert_channel_failing", "1 while a channel does not work.", []string{"channel"}, nil),
		pending: prometheus.NewDesc("holdline_alert_channel_pending", "Alerts that wait for a channel.", []string{"channel"}, nil),
	}
	for _, s := range Severities() {
		m.raised.WithLabelValues(string(s))
	}
	m.introduce(pageName)
	return m
}

// introduce makes a channel's numbers visible before there are any.
func (m *metrics) introduce(channel string) {
	m.seconds.WithLabelValues(channel)
	m.failures.WithLabelValues(channel)
}

// Collector is the Desk's metrics.
func (d *Desk) Collector() prometheus.Collector { return d.metrics }

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.raised.Describe(ch)
	m.acknowledged.Describe(ch)
	m.seconds.Describe(ch)
	m.failures.Describe(ch)
	ch <- m.open
	ch <- m.failing
	ch <- m.pending
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.raised.Collect(ch)
	m.acknowledged.Collect(ch)
	m.seconds.Collect(ch)
	m.failures.Collect(ch)
	open := map[Severity]int{}
	m.d.mu.Lock()
	for e := range m.d.x.open {
		open[e.Severity]++
	}
	m.d.mu.Unlock()
	for _, s := range Severities() {
		ch <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(open[s]), string(s))
	}
	for _, c := range m.d.Channels() {
		failing := 0.0
		if c.State == Failing {
			failing = 1
		}
		ch <- prometheus.MustNewConstMetric(m.failing, prometheus.GaugeValue, failing, c.Name)
		ch <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(c.Pending), c.Name)
	}
}

func zapChannel(name string) zap.Field { return zap.String("channel", name) }
func zapError(text string) zap.Field   { return zap.String("error", text) }
