package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"holdline/recorder"
)

// The record kinds of alerts.
const (
	kindRaised       = "alert.raised"
	kindAcknowledged = "alert.acknowledged"
)

// Alert is something that a supervisor has to look at, as told by the journal.
type Alert struct {
	ID           string          `json:"id"`
	Seq          uint64          `json:"seq"` // of the record alert.raised
	Raised       time.Time       `json:"raised"`
	Node         string          `json:"node"`
	Call         string          `json:"call,omitempty"`
	Data         json.RawMessage `json:"data"` // what the alert says
	Acknowledged *Acknowledgment `json:"acknowledged,omitempty"`
}

// Acknowledgment says who has taken notice of an alert. It is the data of the
// record alert.acknowledged.
type Acknowledgment struct {
	Alert string    `json:"alert"` // its id
	By    string    `json:"by"`
	Note  string    `json:"note,omitempty"`
	At    time.Time `json:"at"`
}

// alerts reads every alert from the journal, the newest first. The journal is
// the only memory of alerts, so that a restart forgets none.
func (c *Console) alerts(ctx context.Context) ([]*Alert, error) {
	list, byID := []*Alert{}, map[string]*Alert{}
	err := c.o.Journal.Read(ctx, kindRaised, func(r recorder.Record) error {
		a := &Alert{ID: alertID(r), Seq: r.Seq, Raised: r.Time, Node: r.Node, Call: r.Call, Data: r.Data}
		list = append(list, a)
		byID[a.ID] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading alerts: %w", err)
	}
	err = c.o.Journal.Read(ctx, kindAcknowledged, func(r recorder.Record) error {
		var ack Acknowledgment
		if json.Unmarshal(r.Data, &ack) == nil && byID[ack.Alert] != nil && byID[ack.Alert].Acknowledged == nil {
			byID[ack.Alert].Acknowledged = &ack
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading acknowledgments: %w", err)
	}
	slices.Reverse(list)
	return list, nil
}

// openAlerts are those nobody has acknowledged.
func (c *Console) openAlerts(ctx context.Context) ([]*Alert, error) {
	list, err := c.alerts(ctx)
	return slices.DeleteFunc(list, func(a *Alert) bool { return a.Acknowledged != nil }), err
}

// Words says in a sentence what the alert is about.
func (a *Alert) Words() string {
	var data struct{ Cause, Why string }
	if json.Unmarshal(a.Data, &data) != nil || data.Why == "" {
		return "look at this call"
	}
	if data.Cause == "" {
		return data.Why
	}
	return data.Cause + ": " + data.Why
}

// alertID is the id the alert gave itself, or the number of its record.
func alertID(r recorder.Record) string {
	var data struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(r.Data, &data) == nil && data.ID != "" {
		return data.ID
	}
	return strconv.FormatUint(r.Seq, 10)
}

// listAlerts answers with all alerts, or with ?open=true only those nobody has
// acknowledged.
func (c *Console) listAlerts(w http.ResponseWriter, r *http.Request) {
	read := c.alerts
	if r.URL.Query().Get("open") == "true" {
		read = c.openAlerts
	}
	list, err := read(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error(), "look at GET /readyz")
		return
	}
	reply(w, http.StatusOK, map[string]any{"alerts": list})
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
	a, err := c.alert(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, errNoAlert):
		fail(w, http.StatusNotFound, fmt.Sprintf("there is no alert %q", r.PathValue("id")), "GET /v1/alerts lists them")
		return
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err.Error(), "look at GET /readyz")
		return
	}
	if a.Acknowledged == nil {
		a.Acknowledged = &Acknowledgment{Alert: a.ID, By: by, Note: body.Note, At: time.Now()}
		c.commit(r.Context(), recorder.Entry{Time: a.Acknowledged.At, Call: a.Call, Kind: kindAcknowledged, Data: *a.Acknowledged})
	}
	reply(w, http.StatusOK, a)
}

var errNoAlert = errors.New("no such alert")

func (c *Console) alert(ctx context.Context, id string) (*Alert, error) {
	list, err := c.alerts(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if a.ID == id {
			return a, nil
		}
	}
	return nil, errNoAlert
}

// commit waits for an entry to be on disk, or for the disk to be too slow, in
// which case the journal keeps the entry and writes it when it can.
func (c *Console) commit(ctx context.Context, e recorder.Entry) {
	done := make(chan struct{})
	c.o.Journal.Commit(func(bool) { close(done) }, e)
	select {
	case <-done:
	case <-ctx.Done():
	}
}
