package console

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"holdline/policy/pattern"
)

// agentsPage is the page of call takers: where they sit, and how often what
// patterns look at happened in their calls, beside what is usual here.
type agentsPage struct {
	Shell    Shell
	Last     uint64 // the newest record: the script's stream goes on after it
	Complete bool   // false while the journal is still being read after a start
	Seats    []AgentView
	Learning string          // how far the counting is, while nothing can be judged; "" afterwards
	Alarms   float64         // false alarms a month that the thresholds allow
	Signals  []signalView    // what is counted, and whether it can say anything yet
	Takers   []takerPatterns // those whose calls stand out first
}

// signalView is one thing that is counted.
type signalView struct {
	pattern.SignalState

	Name, Usual string
}

// takerPatterns is what was counted of one call taker.
type takerPatterns struct {
	Agent  string
	Out    bool // some signal crossed its threshold lately
	Charts []chartView
}

// chartView is one signal of a call taker as it is drawn. Widths are of a plot
// that is plotWidth wide.
type chartView struct {
	pattern.ChartState

	Name, What   string
	Percent      string
	Usual        string
	Own, Peers   int // widths: of the rate, and of what is usual
	Level, Limit int // width of the chart's value, and where the threshold stands; Limit 0: nothing is judged
	Out          bool
	Says         string
}

// lately is how long a call taker is pointed at after a chart crossed its
// threshold. The chart itself begins anew at that moment, so that its value
// does not tell any more.
const lately = 7 * 24 * time.Hour

// plotWidth is how wide plots are, in the units of their SVG.
const plotWidth = 200

// getAgents draws the page.
func (c *Console) getAgents(w http.ResponseWriter, r *http.Request) {
	p := agentsPage{Shell: c.shell(r), Last: c.o.Journal.Last(), Complete: c.caughtUp(r), Seats: visible(r, c.agents())}
	st := c.o.Patterns.State()
	p.Alarms, p.Signals = st.FalseAlarms, signalViews(st.Signals)
	if st.Days < st.WarmUpDays {
		p.Learning = fmt.Sprintf("day %d of %d", st.Days, st.WarmUpDays)
	}
	p.Takers = takersPatterns(st, p.Shell.Now)
	c.draw(w, "agents", p)
}

func signalViews(states []pattern.SignalState) []signalView {
	views := make([]signalView, 0, len(states))
	for _, s := range states {
		v := signalView{SignalState: s, Name: plainWords(s.Signal), Usual: "not known yet"}
		if s.Seen > 0 && s.State != pattern.Learning {
			v.Usual = percent(s.Rate)
		}
		views = append(views, v)
	}
	return views
}

// takersPatterns is what was counted of everybody. Those with a signal over
// its threshold lately come first, so that nobody has to look for them.
func takersPatterns(st pattern.State, now time.Time) []takerPatterns {
	signals := map[string]pattern.SignalState{}
	for _, s := range st.Signals {
		signals[s.Signal] = s
	}
	var out, others []takerPatterns
	for _, a := range st.Agents {
		t := takerPatterns{Agent: a.Agent}
		for _, s := range a.Signals {
			v := newChartView(s, signals[s.Signal], now)
			t.Charts, t.Out = append(t.Charts, v), t.Out || v.Out
		}
		if t.Out {
			out = append(out, t)
		} else {
			others = append(others, t)
		}
	}
	return append(out, others...)
}

func newChartView(s pattern.ChartState, about pattern.SignalState, now time.Time) chartView {
	v := chartView{ChartState: s, Name: plainWords(s.Signal), What: about.What, Percent: percent(s.Rate), Usual: "not known yet"}
	if about.State != pattern.Learning {
		v.Usual = percent(s.Peers)
		v.Peers = widthOf(s.Peers, max(s.Rate, s.Peers))
	}
	v.Own = widthOf(s.Rate, max(s.Rate, s.Peers))
	if s.Threshold > 0 {
		top := max(s.Threshold*1.25, s.Value)
		v.Level, v.Limit = widthOf(s.Value, top), widthOf(s.Threshold, top)
	}
	v.Out = !s.Alarm.IsZero() && now.Sub(s.Alarm) < lately
	v.Says = v.says(about.State)
	return v
}

// says tells in words what a plot shows. It speaks of calls, never of what
// somebody meant by them.
func (v chartView) says(state string) string {
	switch {
	case state == pattern.Learning:
		return "still learning what is usual here"
	case v.Threshold <= 0:
		return "says nothing about anybody at this centre"
	case v.Shared:
		return "over the threshold, and so are the peers of these hours: look at the centre, not at a person"
	case v.Out:
		return fmt.Sprintf("crossed the threshold on %s, which is hardly chance. The counting began anew then; the pattern alert names the calls", v.Alarm.Local().Format("2006-01-02 15:04"))
	case v.Value >= v.Threshold/2:
		return "more than usual; may well be chance"
	}
	return "as usual"
}

// widthOf is how wide v is drawn where top has the whole width.
func widthOf(v, top float64) int {
	if top <= 0 || v <= 0 {
		return 0
	}
	return int(math.Round(min(v/top, 1) * plotWidth))
}

func percent(rate float64) string {
	if rate > 0 && rate < 0.1 {
		return fmt.Sprintf("%.1f %%", rate*100)
	}
	return fmt.Sprintf("%.0f %%", rate*100)
}

// plainWords makes a signal's name readable.
func plainWords(name string) string {
	return strings.NewReplacer("-", " ", "_", " ").Replace(name)
}
