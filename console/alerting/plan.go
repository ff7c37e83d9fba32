package alerting

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"
)

// agenda holds when the next steps of alerts are due.
type agenda []appointment

type appointment struct {
	at time.Time
	e  *entry
}

// Len implements heap.Interface, and so do the others.
func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(v any)        { *a = append(*a, v.(appointment)) }
func (a *agenda) Pop() any {
	old := *a
	last := old[len(old)-1]
	*a = old[:len(old)-1]
	return last
}

// turn does what is due and returns how long until something is again.
func (d *Desk) turn() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for len(d.agenda) > 0 && !d.agenda[0].at.After(now) {
		next := heap.Pop(&d.agenda).(appointment)
		if next.at.Equal(next.e.wake) {
			next.e.wake = time.Time{}
			d.plan(next.e, now)
		}
	}
	wait := time.Hour
	if next := d.raiseHeld(now); !next.IsZero() {
		wait = next.Sub(now)
	}
	if len(d.agenda) > 0 {
		wait = min(wait, d.agenda[0].at.Sub(now))
	}
	if d.past != nil {
		wait = min(wait, reloadEvery)
	}
	return wait
}

// planAll looks at every alert: after a start, and after a change of channels.
func (d *Desk) planAll() {
	now := time.Now()
	for _, e := range d.x.list {
		e.wake = time.Time{}
		d.plan(e, now)
	}
}

// plan gives e to the channels whose time has come and notes when the next
// one's will. d.mu is held.
func (d *Desk) plan(e *entry, now time.Time) {
	for i, s := range d.steps {
		at := e.Raised.Add(s.After)
		if i < e.early && now.Before(at) {
			at = now
		}
		if !s.takes(e) || e.Acknowledged != nil && e.Acknowledged.At.Before(at) || s.Unresolved && e.Resolved != nil {
			continue
		}
		if at.After(now) {
			if e.wake.IsZero() || at.Before(e.wake) {
				e.wake = at
				heap.Push(&d.agenda, appointment{at, e})
				d.nudge()
			}
			continue
		}
		d.step(e, i, at)
	}
	d.planEnd(e)
}

// step gives e to the channels of one step. When none of them works, the next
// step is due at once.
func (d *Desk) step(e *entry, i int, at time.Time) {
	var told []string
	concerned, works := false, false
	for _, name := range d.steps[i].Channels {
		w := d.workers[name]
		if w == nil || e.Seq <= d.x.channels[name] {
			continue
		}
		concerned = true
		if e.facts.Channel == name { // it cannot tell of itself
			continue
		}
		works = works || !w.failing()
		key := sending{name, Firing}
		if _, known := e.sent[key]; known || e.Acknowledged != nil && !w.c.Program {
			continue
		}
		e.sent[key] = false
		told = append(told, name)
		w.add(waiting{e.ID, Firing, at, d.steps[i].Unresolved && !w.c.Program})
	}
	if concerned && !works {
		e.early = max(e.early, i+2)
	}
	if len(told) == 0 || i == 0 && d.steps[i].After == 0 || e.Escalated != nil && e.Escalated.Step > i {
		return
	}
	why := fmt.Sprintf("nobody acknowledged it within %s", d.steps[i].After)
	if i < e.early {
		why = "the channels before do not work"
	}
	e.Escalated = &Escalation{Alert: e.ID, Step: i + 1, Channels: told, Why: why, At: at}
	e.State = e.state()
	d.record(KindEscalated, e.Call, *e.Escalated)
}

// planEnd tells programs that were told of e that it is over.
func (d *Desk) planEnd(e *entry) {
	at, _ := e.settled()
	if at.IsZero() {
		return
	}
	for name, w := range d.workers {
		_, told := e.sent[sending{name, Firing}]
		if _, known := e.sent[sending{name, Over}]; w.c.Program && told && !known {
			e.sent[sending{name, Over}] = false
			w.add(waiting{alert: e.ID, event: Over, due: at})
		}
	}
}

func (d *Desk) nudge() {
	select {
	case d.nudged <- struct{}{}:
	default:
	}
}

// Configure sets the channels and the escalation. It may be called before Start
// and at any time after it. Channels that did not change go on as they are; the
// others begin anew with what is owed to them.
func (d *Desk) Configure(channels []Channel, steps []Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = slices.Clone(steps)
	slices.SortStableFunc(d.steps, func(a, b Step) int { return int(a.After - b.After) })
	kept := map[string]*worker{}
	for _, c := range channels {
		if w := d.workers[c.Name]; w != nil && w.c.Config == c.Config && w.c.Kind == c.Kind {
			kept[c.Name] = w
		}
	}
	for name := range d.workers {
		if kept[name] == nil {
			d.ends[name]()
			delete(d.ends, name)
			d.forget(name)
		}
	}
	d.workers = kept
	for _, c := range channels {
		if kept[c.Name] == nil {
			d.employ(c)
		}
	}
	d.introduce()
	d.planAll()
}

// forget takes back what is on its way over a channel: it is owed again.
func (d *Desk) forget(name string) {
	for _, e := range d.x.list {
		for _, event := range []Event{Firing, Over} {
			if delivered, known := e.sent[sending{name, event}]; known && !delivered {
				delete(e.sent, sending{name, event})
			}
		}
	}
}

// employ starts the worker of a channel.
func (d *Desk) employ(c Channel) {
	w := newWorker(d, c, d.x.cursors[c.Name])
	ctx, end := context.WithCancel(d.ctx)
	d.workers[c.Name], d.ends[c.Name] = w, end
	d.running.Go(func() { w.run(ctx) })
	d.metrics.introduce(c.Name)
}

// introduce writes down which channels came and went, so that a new channel is
// not given all alerts of the past.
func (d *Desk) introduce() {
	if d.past != nil {
		return // not known yet which ones are new
	}
	for name, w := range d.workers {
		if _, known := d.x.channels[name]; !known {
			d.x.channels[name] = d.o.Journal.Last()
			d.record(KindChannel, "", channelData{Channel: name, Kind: w.c.Kind, Target: w.c.Target})
		}
	}
	for name := range d.x.channels {
		if d.workers[name] == nil {
			delete(d.x.channels, name)
			d.record(KindChannel, "", channelData{Channel: name, Removed: true})
		}
	}
}
