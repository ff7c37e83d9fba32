package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"holdline/recorder"
	"holdline/recorder/retention"
)

// holds reads the legal holds in force.
func (c *Console) holds(ctx context.Context) (map[string]retention.Hold, error) {
	var h retention.Holds
	for _, kind := range []string{retention.KindPlaced, retention.KindLifted} {
		err := c.o.Journal.Read(ctx, kind, func(r recorder.Record) error { h.Apply(r); return nil })
		if err != nil {
			return nil, fmt.Errorf("reading holds: %w", err)
		}
	}
	return h.InForce(), nil
}

func (c *Console) listHolds(w http.ResponseWriter, r *http.Request) {
	all, err := c.holds(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error(), "look at GET /readyz")
		return
	}
	list := make([]retention.Hold, 0, len(all))
	for _, h := range all {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b retention.Hold) int { return b.At.Compare(a.At) })
	reply(w, http.StatusOK, map[string]any{"holds": list})
}

// putHold places a hold on a call that the journal knows.
func (c *Console) putHold(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Reason string          `json:"reason"`
		By     json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	switch {
	case problem != nil:
		reply(w, http.StatusBadRequest, *problem)
		return
	case body.Reason == "" || utf8.RuneCountInString(body.Reason) > maxWord:
		fail(w, http.StatusBadRequest, "a hold needs a reason", fmt.Sprintf(`send {"reason": "subpoena 24-118"}, at most %d characters`, maxWord))
		return
	}
	call := r.PathValue("call")
	if known, err := c.known(r.Context(), call); err != nil || !known {
		fail(w, http.StatusNotFound, fmt.Sprintf("the journal has no call %q", call), "use the SIP Call-ID")
		return
	}
	h := retention.Hold{Call: call, Reason: body.Reason, By: by, At: time.Now()}
	c.commit(r.Context(), recorder.Entry{Time: h.At, Call: call, Kind: retention.KindPlaced, Data: h})
	reply(w, http.StatusOK, h)
}

func (c *Console) deleteHold(w http.ResponseWriter, r *http.Request) {
	call := r.PathValue("call")
	all, err := c.holds(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error(), "look at GET /readyz")
		return
	}
	if _, ok := all[call]; !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("there is no hold on call %q", call), "GET /v1/holds lists them")
		return
	}
	by, problem := author(r, quoted(r.URL.Query().Get("by")))
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.commit(r.Context(), recorder.Entry{Time: time.Now(), Call: call, Kind: retention.KindLifted, Data: map[string]string{"by": by}})
	w.WriteHeader(http.StatusNoContent)
}

func quoted(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return b
}

var errFound = errors.New("found")

// known tells whether the journal has a call.
func (c *Console) known(ctx context.Context, call string) (bool, error) {
	err := c.o.Journal.Read(ctx, "call.offered", func(r recorder.Record) error {
		if r.Call == call {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}
