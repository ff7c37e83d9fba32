package node

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/sip"
)

// breath is how long nobody is called back after a callback: it is the same
// call takers who have to talk to all of them.
const breath = 10 * time.Second

// dialer calls back who is owed it, one after the other. It follows the
// journal after the ledger, for its sense of time; it finds nothing. Of the
// past it does nothing at all.
type dialer struct {
	n *Node

	mu   sync.Mutex
	live bool      // the past is over
	busy bool      // a callback is under way
	rest time.Time // not before
}

// Apply has nothing to learn from single records: the ledger has.
func (d *dialer) Apply(policy.Record) []policy.Finding { return nil }

// Due is when the next caller is to be called back.
func (d *dialer) Due() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.n.config.Load().Callbacks
	if !d.live || d.busy || !c.Automatic || d.n.guard.Draining() {
		return time.Time{}
	}
	_, at := d.n.ledger.NextCallback(c.Calling())
	if at.IsZero() {
		return at
	}
	if s := d.n.surge.View(time.Now()); s.On && s.Until.After(at) {
		at = s.Until // in a mass event nobody has the time
	}
	if d.rest.After(at) {
		at = d.rest
	}
	return at
}

// Tick begins the callback that is due.
func (d *dialer) Tick(now time.Time) []policy.Finding {
	c := d.n.config.Load().Callbacks
	item, at := d.n.ledger.NextCallback(c.Calling())
	if at.IsZero() || at.After(now) {
		return nil
	}
	d.mu.Lock()
	d.busy = true
	d.mu.Unlock()
	d.call(c, item)
	return nil
}

// callbackStarted is callback.started, callbackMissed callback.missed.
type (
	callbackStarted struct {
		ID      string `json:"id"` // of the item
		Number  string `json:"number"`
		URI     string `json:"uri"`
		Attempt int    `json:"attempt"`
	}
	callbackMissed struct {
		ID   string `json:"id"`
		Call string `json:"call,omitempty"` // the callback's own Call-ID
		Why  string `json:"why"`
	}
)

func (d *dialer) call(c config.Callbacks, item ledger.Callback) {
	uri := c.URI(item.Number)
	d.n.record("callback.started", item.ID, callbackStarted{item.ID, item.Number, uri, item.Attempts + 1})
	_, err := d.n.guard.CallBack(sip.CallbackRequest{
		Item: item.ID, Number: item.Number, To: uri, From: c.From, EmergencyID: item.EmergencyID, IncidentID: item.IncidentID,
		Note: "callback owed: " + item.Why, Ring: c.Ring.Std(),
		Done: func(r sip.CallbackResult) { d.done(item, r) },
	})
	if err != nil {
		d.n.log.Error("callback cannot begin", zap.String("item", item.ID), zap.Error(err))
		d.done(item, sip.CallbackResult{Why: err.Error()})
	}
}

// done writes down how a callback went and lets the next one come.
func (d *dialer) done(item ledger.Callback, r sip.CallbackResult) {
	d.mu.Lock()
	d.busy, d.rest = false, time.Now().Add(breath)
	d.mu.Unlock()
	if !r.Reached {
		d.n.record("callback.missed", item.ID, callbackMissed{item.ID, r.Call, r.Why})
		return
	}
	by := r.Agent
	if by == "" {
		by = r.Position
	}
	d.n.record("callback.done", item.ID, ledger.Done{ID: item.ID, By: by, How: "the caller was called back and answered", Call: r.Call})
}
