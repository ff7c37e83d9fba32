package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"holdline/policy/ledger"
	"holdline/policy/pattern"
	"holdline/recorder"
)

// Account is who is owed a callback and which calls were not passed on;
// *ledger.Ledger keeps it.
type Account interface {
	Callbacks(now time.Time, all bool) []ledger.Callback
	Callback(id string, now time.Time) (ledger.Callback, bool)
	Unrelayed(now time.Time, all bool) []ledger.Unrelayed
	UnrelayedCall(id string, now time.Time) (ledger.Unrelayed, bool)
	// Find returns the Call-ID of a call of the last hours, by Call-ID or
	// emergency call identifier; "" when there is none.
	Find(id string) string
}

// Accounts is what is kept of callers and call takers beside the calls in
// progress. The zero Accounts is one of a centre where nothing is known.
type Accounts struct {
	Seating *Seating // who sits where; nil: nobody can sign in
	Surge   *Surge   // nil: always off
	Account Account  // who is owed a callback; nil: nobody
	Past    *Past    // calls that are over; nil: none can be marked
	// Patterns is what is counted of each call taker; nil: nothing.
	Patterns Patterns
	// CaughtUp waits until Account knows what the journal has, and reports
	// false if it does not when ctx is done. nil: it always knows.
	CaughtUp func(ctx context.Context) bool
}

// complete puts an empty account in the place of each that is not kept.
func (a *Accounts) complete(j Journal) {
	if a.Seating == nil {
		a.Seating = NewSeating(j, func(string) bool { return false })
	}
	if a.Surge == nil {
		a.Surge = NewSurge(j)
	}
	if a.Account == nil {
		a.Account = ledger.New(ledger.Options{})
	}
	if a.Patterns == nil {
		a.Patterns = pattern.New(pattern.Options{})
	}
}

// The record kinds by which somebody says that an open item is done.
const (
	kindCallbackDone  = "callback.done"
	kindUnrelayedDone = "unrelayed.done"
)

// catchUpWait is how long a question about open items waits for the latest
// records to be counted.
const catchUpWait = time.Second

// listCallbacks answers with the callers who are owed a callback; with
// ?all=true also those of the last day who are not any more.
func (c *Console) listCallbacks(w http.ResponseWriter, r *http.Request) {
	complete := c.caughtUp(r)
	reply(w, http.StatusOK, map[string]any{"callbacks": c.o.Account.Callbacks(time.Now(), r.URL.Query().Get("all") == "true"), "complete": complete})
}

// listUnrelayed answers with the calls that were taken and not passed on.
func (c *Console) listUnrelayed(w http.ResponseWriter, r *http.Request) {
	complete := c.caughtUp(r)
	reply(w, http.StatusOK, map[string]any{"unrelayed": c.o.Account.Unrelayed(time.Now(), r.URL.Query().Get("all") == "true"), "complete": complete})
}

// caughtUp waits a moment for the account to know what the journal knows, and
// tells whether it does: after a start it first reads what happened before.
func (c *Console) caughtUp(r *http.Request) bool {
	if c.o.CaughtUp == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(r.Context(), catchUpWait)
	defer cancel()
	return c.o.CaughtUp(ctx)
}

func (c *Console) postCallbackDone(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	c.caughtUp(r)
	item, ok := c.o.Account.Callback(id, time.Now())
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("nobody is owed a callback under %q", id), "GET /v1/callbacks lists them; percent-encode / ? # and % in an identifier")
		return
	}
	if c.done(w, r, kindCallbackDone, id, id, item.Closed == nil) {
		item, _ = c.o.Account.Callback(id, time.Now())
		reply(w, http.StatusOK, item)
	}
}

func (c *Console) postUnrelayedDone(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	c.caughtUp(r)
	item, ok := c.o.Account.UnrelayedCall(id, time.Now())
	if !ok {
		if call := c.o.Account.Find(id); call != "" {
			item, ok = c.o.Account.UnrelayedCall(call, time.Now())
		}
	}
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("no call waits to be passed on under %q", id), "GET /v1/unrelayed lists them; percent-encode / ? # and % in an identifier")
		return
	}
	if c.done(w, r, kindUnrelayedDone, item.Call, item.Call, item.Closed == nil) {
		item, _ = c.o.Account.UnrelayedCall(item.Call, time.Now())
		reply(w, http.StatusOK, item)
	}
}

// done journals that somebody has done what was open, and waits for the
// account to know. One that is closed stays as it was closed. It answers
// itself, and returns false, when the request is not understood.
func (c *Console) done(w http.ResponseWriter, r *http.Request, kind, id, call string, open bool) bool {
	var body struct {
		By   json.RawMessage `json:"by"`
		Note string          `json:"note"`
	}
	if r.ContentLength != 0 && !readObject(w, r, &body) {
		return false
	}
	by, problem := author(r, body.By)
	if problem == nil && utf8.RuneCountInString(body.Note) > maxWord {
		problem = &failure{fmt.Sprintf("the note has more than %d characters", maxWord), "shorten it"}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return false
	}
	if open {
		commit(r.Context(), c.o.Journal, recorder.Entry{
			Time: time.Now(), Call: call, Kind: kind, Data: ledger.Done{ID: id, By: by, Note: body.Note},
		})
		c.caughtUp(r)
	}
	return true
}
