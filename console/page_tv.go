package console

import (
	"net/http"
	"time"

	"holdline/console/alerting"
)

// tvPage is for the screen on the wall: how many, how long, and nobody's name,
// number or place.
type tvPage struct {
	Shell     Shell
	Last      uint64
	Complete  bool
	Reasons   int       // why the node is degraded; how many
	Alone     int       // callers on the line with nobody
	Longest   time.Time // since when the first of them is
	Calls     int       // in progress, with somebody
	Free      int       // positions where somebody could take a call
	Positions int
	Critical  int // alerts that nobody has acknowledged, by how urgent they are
	Warning   int
	Info      int
	Callbacks int
	Unrelayed int
	Surge     SurgeView
	Blind     bool // alerts cannot be read
}

// getTV draws the page for the wall.
func (c *Console) getTV(w http.ResponseWriter, r *http.Request) {
	p := tvPage{Shell: c.shell(r), Last: c.o.Journal.Last(), Complete: c.caughtUp(r), Surge: c.o.Surge.View(time.Now())}
	p.Shell.User = ""
	if c.o.Ready != nil {
		p.Reasons = len(c.o.Ready())
	}
	for _, call := range c.calls() {
		if call.State != stateWaiting {
			p.Calls++
			continue
		}
		p.Alone++
		if p.Longest.IsZero() || call.Waiting.Before(p.Longest) {
			p.Longest = call.Waiting
		}
	}
	for _, a := range c.agents() {
		p.Positions++
		if a.State == agentIdle && a.Agent != "" {
			p.Free++
		}
	}
	alerts, err := c.desk.List(r.Context(), true)
	p.Blind = err != nil
	p.count(alerts)
	now := time.Now()
	p.Callbacks, p.Unrelayed = len(c.o.Account.Callbacks(now, false)), len(c.o.Account.Unrelayed(now, false))
	c.draw(w, "tv", p)
}

func (p *tvPage) count(alerts []*alerting.Alert) {
	for _, a := range alerts {
		switch a.Severity {
		case alerting.Critical:
			p.Critical++
		case alerting.Warning:
			p.Warning++
		default:
			p.Info++
		}
	}
}
