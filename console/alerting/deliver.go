package alerting

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"holdline/sip"
)

// notice is what a channel is told of an alert now; false when it need not be
// told any more, because a person has taken notice meanwhile, or the cause is
// over that alone was worth telling.
func (d *Desk) notice(ctx context.Context, n waiting, program bool) (Notice, bool) {
	d.mu.Lock()
	e := d.x.byID[n.alert]
	if e == nil || e.Acknowledged != nil && !program || n.unresolved && e.Resolved != nil {
		d.mu.Unlock()
		return Notice{}, false
	}
	a := e.copy()
	out := Notice{Event: n.event}
	if n.event == Over {
		out.Ends, out.Why = e.settled()
	}
	d.mu.Unlock()
	d.describe(ctx, e, a, map[string]*sip.CallView{})
	out.Alert = *a
	return out, true
}

// took notes what a channel has taken. back says that it had been failing, or
// had not been used since the start: it may have failed before that.
func (d *Desk) took(channel string, batch []waiting, data deliveredData, back bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, n := range batch {
		if e := d.x.byID[n.alert]; e != nil {
			e.sent[sending{channel, n.event}] = false // true when the record comes by
		}
		if !data.GaveUp {
			d.metrics.seconds.WithLabelValues(channel).Observe(max(0, now.Sub(n.due).Seconds()))
		}
	}
	d.record(KindDelivered, "", data)
	if !back {
		return
	}
	if e := d.ofChannel(channel); e != nil {
		d.log.Info("alert channel works again", zapChannel(channel))
		d.resolve(e, now, "the channel "+channel+" works again", "")
	}
}

// dropped notes that a channel need not be told of these alerts any more. One
// whose cause comes back is news again.
func (d *Desk) dropped(channel string, batch []waiting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range batch {
		e, key := d.x.byID[n.alert], sending{channel, n.event}
		switch {
		case e == nil:
		case e.Acknowledged != nil:
			e.sent[key] = true
		default:
			delete(e.sent, key)
		}
	}
}

// missed notes that a channel could not be used. news says that it is called
// failing from now on: an alert tells of it over the other channels, and what
// waits for it goes on to the next step of the escalation.
func (d *Desk) missed(w *worker, f failedData, news bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.metrics.failures.WithLabelValues(f.Channel).Inc()
	if bits.OnesCount(uint(f.Attempts)) == 1 {
		d.log.Warn("alert channel failed", zapChannel(f.Channel), zapError(f.Error))
		d.record(KindFailed, "", f)
	}
	if !news {
		return
	}
	own := facts{
		Cause: causeChannel, Channel: f.Channel, ID: fmt.Sprintf("channel/%s/%d", f.Channel, time.Now().UnixMilli()),
		Why: fmt.Sprintf("the alert channel %s (%s) fails: %s; what waits for it goes to the next one", f.Channel, w.c.Kind, f.Error),
	}
	if e := d.ofChannel(f.Channel); e != nil {
		own.ID = e.ID
		if e.Resolved == nil && !e.resolving {
			own.ID = "" // it is known
		}
	}
	if own.ID != "" && !d.raising[own.key()] {
		d.raise(own, "")
	}
	now := time.Now()
	for _, id := range w.pending() {
		if e := d.x.byID[id]; e != nil {
			d.plan(e, now)
		}
	}
}

// ofChannel is the alert about a channel that nobody has acknowledged.
func (d *Desk) ofChannel(name string) *entry {
	for e := range d.x.open {
		if e.facts.Channel == name && e.Cause == causeChannel {
			return e
		}
	}
	return nil
}

// Channels tells how the channels are doing, the live page first.
func (d *Desk) Channels() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	page := Status{Name: pageName, Kind: pageName, State: Works, Delivered: d.shown}
	if d.past != nil {
		page.State, page.Error = Failing, d.past.Error()
	}
	if d.o.Watchers != nil {
		n := d.o.Watchers()
		page.Watchers = &n
	}
	out := []Status{}
	for _, w := range d.workers {
		out = append(out, w.view())
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return append([]Status{page}, out...)
}

// pageName is the live page among the channels: it shows every alert.
const pageName = "page"

// Tested is how the test of a channel went.
type Tested struct {
	Channel string `json:"channel"`
	Kind    string `json:"kind"`
	Target  string `json:"target,omitempty"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail,omitempty"` // what the other side answered
	Error   string `json:"error,omitempty"`
	TookMS  int64  `json:"tookMs"`
}

// Test sends a test over a channel, at once and past what waits for it.
func (d *Desk) Test(ctx context.Context, name, by string) (Tested, error) {
	d.mu.Lock()
	w := d.workers[name]
	d.mu.Unlock()
	if w == nil {
		return Tested{}, ErrNoChannel
	}
	t := Try(ctx, w.c, d.o.Node, d.o.Console)
	d.record(KindTested, "", testedData{Channel: name, By: by, OK: t.OK, Detail: t.Detail, Error: t.Error, TookMS: t.TookMS})
	return t, nil
}

// Try sends a test over a channel that needs no Desk.
func Try(ctx context.Context, c Channel, node, console string) Tested {
	if c.Timeout <= 0 {
		c.Timeout = sendTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	begin := time.Now()
	m := Message{Node: node, Console: console, Channel: c.Name, Test: true, Notices: []Notice{{Event: Firing, Alert: Alert{
		ID: fmt.Sprintf("test/%d", begin.UnixMilli()), Raised: begin, Node: node, Cause: causeTest, Severity: Info, State: Open,
		Summary: "test: somebody tries the channel " + c.Name + "; nobody is in need", Data: []byte(`{"cause":"test"}`), Deliveries: []Delivery{},
	}}}}
	detail, err := send(ctx, c.Sender, m)
	t := Tested{Channel: c.Name, Kind: c.Kind, Target: c.Target, OK: err == nil, Detail: detail, TookMS: time.Since(begin).Milliseconds()}
	if err != nil {
		t.Error = err.Error()
	}
	return t
}
