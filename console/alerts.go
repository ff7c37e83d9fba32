package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"holdline/console/alerting"
)

// newDesk returns the keeper of the alerts.
func (c *Console) newDesk() *alerting.Desk {
	if c.o.URL == "" {
		c.o.URL = "http://" + c.Addr().String() + "/"
	}
	d := alerting.New(alerting.Options{
		Journal: c.o.Journal, Calls: c.o.Calls, Node: c.o.Node, Console: c.o.URL, Log: c.log.Named("alerts"),
		Watchers: func() int { return len(c.streams) },
	})
	d.Configure(c.o.Channels, c.o.Escalation)
	return d
}

// Configure replaces the channels over which people are told of alerts, and
// the escalation. Alerts that are open go on with the new ones.
func (c *Console) Configure(channels []alerting.Channel, escalation []alerting.Step) {
	c.desk.Configure(channels, escalation)
}

// listAlerts answers with all alerts, or with ?open=true only those nobody has
// acknowledged. While the journal cannot be read those since the start are there
// all the same, with the reason why others may be missing.
func (c *Console) listAlerts(w http.ResponseWriter, r *http.Request) {
	list, err := c.desk.List(r.Context(), r.URL.Query().Get("open") == "true")
	body := map[string]any{"alerts": list}
	if err != nil {
		body["incomplete"] = err.Error()
	}
	reply(w, http.StatusOK, body)
}

// postAck acknowledges an alert. The first acknowledgment stands; sending it
// again answers with that one.
func (c *Console) postAck(w http.ResponseWriter, r *http.Request) {
	var body struct {
		By   json.RawMessage `json:"by"`
		Note string          `json:"note"`
	}
	if r.ContentLength != 0 && !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	if problem == nil && utf8.RuneCountInString(body.Note) > maxWord {
		problem = &failure{fmt.Sprintf("the note has more than %d characters", maxWord), "shorten it"}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	a, err := c.desk.Acknowledge(r.Context(), r.PathValue("id"), by, body.Note)
	switch {
	case errors.Is(err, alerting.ErrNoAlert):
		fail(w, http.StatusNotFound, fmt.Sprintf("there is no alert %q", r.PathValue("id")), "GET /v1/alerts lists them")
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err.Error(), "look at GET /readyz")
	default:
		reply(w, http.StatusOK, a)
	}
}

// listChannels tells how the channels are doing, so that one that does not work
// is seen before it is needed.
func (c *Console) listChannels(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"channels": c.desk.Channels()})
}

// postChannelTest sends a test over a channel and answers how it went: 502 when
// the channel does not work.
func (c *Console) postChannelTest(w http.ResponseWriter, r *http.Request) {
	var body struct {
		By json.RawMessage `json:"by"`
	}
	if r.ContentLength != 0 && !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), writeTimeout)
	defer cancel()
	t, err := c.desk.Test(ctx, r.PathValue("name"), by)
	switch {
	case errors.Is(err, alerting.ErrNoChannel):
		fail(w, http.StatusNotFound, fmt.Sprintf("there is no channel %q", r.PathValue("name")), "GET /v1/channels lists them; the page needs no test")
	case !t.OK:
		fail(w, http.StatusBadGateway, fmt.Sprintf("channel %s (%s) failed after %d ms: %s", t.Channel, t.Kind, t.TookMS, t.Error), "correct alerts.channels, or what it leads to")
	default:
		reply(w, http.StatusOK, t)
	}
}
