package alerting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"holdline/recorder"
	"holdline/sip"
)

// Journal is what the Desk needs of the journal.
type Journal interface {
	// Commit writes entries and calls done once, from any goroutine.
	Commit(done func(durable bool), entries ...recorder.Entry)
	// Read calls each for the records of a kind, or with a trailing * of all
	// kinds that begin so, in their order, until it returns an error.
	Read(ctx context.Context, kind string, each func(recorder.Record) error) error
	// Subscribe replays the records after seq and goes on with new ones.
	Subscribe(after uint64) Stream
	// Last returns the number of the newest record, 0 when there is none.
	Last() uint64
}

// Stream delivers records without gaps. A reader that is slow holds up nobody.
type Stream interface {
	// C delivers the records; it is closed when the journal is.
	C() <-chan recorder.Record
	Close()
}

// Calls shows calls in progress; the error is sip.ErrNoCall when there is none.
type Calls interface {
	Get(id string) (sip.CallView, error)
}

// Options is everything a Desk is made of. Journal and Calls are required.
type Options struct {
	Journal  Journal
	Calls    Calls
	Node     string
	Console  string     // URL under which people reach the console
	Watchers func() int // how many have the live page open; nil: unknown
	Log      *zap.Logger
}

// Desk keeps the alerts and sees to it that people are told. Its methods may be
// called from any goroutine; none waits for a channel.
type Desk struct {
	o       Options
	log     *zap.Logger
	metrics *metrics
	ctx     context.Context // done when the Desk stops
	cancel  context.CancelFunc
	running sync.WaitGroup
	nudged  chan struct{} // the next step may be due earlier

	mu       sync.Mutex
	x        *index
	started  bool
	past     error // why alerts of before the start are not known; errLoading at first
	applied  uint64
	alertSeq uint64        // the newest alert.* record in x
	news     chan struct{} // closed and replaced when applied or past changes
	agenda   agenda
	workers  map[string]*worker
	ends     map[string]context.CancelFunc // of workers
	steps    []Step
	raising  map[string]bool // alerts of our own on their way to the journal
	held     map[string]held // by part of the node
	shown    uint64          // alerts since the start
}

// Errors of the Desk.
var (
	ErrNoAlert = errors.New("no such alert")
	errLoading = errors.New("the alerts of before are still being read")
)

// The times of the Desk itself.
const (
	reloadEvery = 5 * time.Second // tries to read the past, while the disk does not work
	syncWait    = 2 * time.Second // at most, for the index to have what is in the journal
	lookWait    = time.Second     // for the calls of a message or a list to say how they are
)

// New returns a Desk that does nothing before Start.
func New(o Options) *Desk {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	d := &Desk{
		o: o, log: o.Log, x: newIndex(), past: errLoading, news: make(chan struct{}), nudged: make(chan struct{}, 1),
		workers: map[string]*worker{}, ends: map[string]context.CancelFunc{}, raising: map[string]bool{}, held: map[string]held{},
	}
	d.metrics = newMetrics(d)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Start begins to follow the journal. It returns at once.
func (d *Desk) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return
	}
	d.started = true
	d.running.Go(d.run)
}

// Stop ends everything. What was not delivered is delivered after the next start.
func (d *Desk) Stop() {
	d.cancel()
	d.running.Wait()
}

// run is the Desk's goroutine. A panic in it is a bug of ours; the Desk reads
// the journal anew and goes on.
func (d *Desk) run() {
	for d.ctx.Err() == nil {
		func() {
			defer func() {
				if r := recover(); r != nil {
					d.log.Error("panic recovered, alerts are read again", zap.Any("panic", r), zap.Stack("stack"))
				}
			}()
			d.follow()
		}()
		if !pause(d.ctx, time.Second) {
			return
		}
	}
}

// follow loads the past and takes record after record.
func (d *Desk) follow() {
	last := d.o.Journal.Last()
	stream := d.o.Journal.Subscribe(last)
	defer stream.Close()
	d.load(last)
	timer := time.NewTimer(d.turn())
	defer timer.Stop()
	for {
		select {
		case r, open := <-stream.C():
			if !open {
				<-d.ctx.Done()
				return
			}
			d.take(r)
		case <-timer.C:
			d.retryLoad()
		case <-d.nudged:
		case <-d.ctx.Done():
			return
		}
		timer.Reset(d.turn())
	}
}

// load builds the index from what the journal has. While the disk cannot be
// read, new alerts are served without the old ones.
func (d *Desk) load(last uint64) {
	x, newest := newIndex(), uint64(0)
	err := d.o.Journal.Read(d.ctx, "alert.*", func(r recorder.Record) error {
		x.apply(r)
		newest = r.Seq
		return d.ctx.Err()
	})
	var troubles []recorder.Record
	if err == nil {
		troubles, err = d.troubles()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.past = fmt.Errorf("the alerts of before cannot be read: %w", err)
		d.log.Error("alerts cannot be read", zap.Error(err))
	} else {
		for _, old := range d.x.list { // what is on its way stays on its way
			if e := x.byID[old.ID]; e != nil {
				for key, delivered := range old.sent {
					e.sent[key] = e.sent[key] || delivered
				}
				e.seen, e.early = old.seen, old.early
			}
		}
		d.x, d.past, d.alertSeq, d.agenda = x, nil, max(d.alertSeq, newest), nil
		for name, w := range d.workers {
			w.resume(x.cursors[name])
		}
		for _, r := range troubles {
			d.degraded(r)
		}
		d.orphans()
	}
	d.applied = max(d.applied, last)
	d.introduce()
	d.planAll()
	d.announce()
}

// retryLoad tries again to read the past.
func (d *Desk) retryLoad() {
	d.mu.Lock()
	failed, last := d.past != nil, d.applied
	d.mu.Unlock()
	if failed {
		d.load(last)
	}
}

// troubles are the records of this run, and of one that crashed before it, that
// tell what the node has to do without.
func (d *Desk) troubles() (out []recorder.Record, err error) {
	var starts []uint64
	var stopped uint64
	err = d.o.Journal.Read(d.ctx, "node.*", func(r recorder.Record) error {
		switch r.Kind {
		case kindStarted:
			starts = append(starts, r.Seq)
		case kindStopped:
			stopped = r.Seq
		case kindDegraded:
			out = append(out, r)
		}
		return d.ctx.Err()
	})
	from := stopped
	if n := len(starts); n > 1 {
		from = max(from, starts[n-2])
	}
	return slices.DeleteFunc(out, func(r recorder.Record) bool { return r.Seq <= from }), err
}

// take takes a record.
func (d *Desk) take(r recorder.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch r.Kind {
	case KindRaised, KindAcknowledged, KindResolved, KindEscalated, KindDelivered, KindChannel:
		if r.Seq > d.alertSeq { // not loaded already
			d.alertSeq = r.Seq
			d.changed(r)
		}
	case kindRescued:
		d.rescued(r)
	case kindBack:
		d.calledOff(r)
	case kindEnded:
		d.ended(r)
	case kindJoined, kindMode:
		d.joined(r)
	case kindAssisted:
		d.assisted(r)
	case kindSurgeEnd:
		d.surged(r)
	case kindDegraded:
		d.degraded(r)
	case kindStarted:
		d.restarted(r)
	}
	d.applied = max(d.applied, r.Seq)
	d.announce()
}

// changed takes a record of an alert.
func (d *Desk) changed(r recorder.Record) {
	e, raised := d.x.apply(r)
	if e == nil {
		return
	}
	if raised {
		d.shown++
		d.metrics.raised.WithLabelValues(string(e.Severity)).Inc()
		d.metrics.seconds.WithLabelValues(pageName).Observe(max(0, time.Since(r.Time).Seconds()))
		delete(d.raising, e.facts.key())
	}
	d.plan(e, time.Now())
}

// announce wakes who waits for the index. d.mu is held.
func (d *Desk) announce() {
	close(d.news)
	d.news = make(chan struct{})
}

// sync waits until the index has what was in the journal when it was called, so
// that who reads after writing sees it.
func (d *Desk) sync(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	last := d.o.Journal.Last()
	for {
		d.mu.Lock()
		ready := d.applied >= last && !errors.Is(d.past, errLoading) || !d.started
		news := d.news
		d.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// List returns the alerts, the newest first: all, or those nobody has
// acknowledged. The error says why it is not complete.
func (d *Desk) List(ctx context.Context, openOnly bool) ([]*Alert, error) {
	d.sync(ctx)
	d.mu.Lock()
	list, past := []*entry{}, d.past
	for _, e := range slices.Backward(d.x.list) {
		if !openOnly || e.Acknowledged == nil {
			list = append(list, e)
		}
	}
	out := make([]*Alert, len(list))
	for i, e := range list {
		out[i] = e.copy()
	}
	d.mu.Unlock()
	seen := map[string]*sip.CallView{}
	look, enough := context.WithTimeout(ctx, lookWait)
	defer enough()
	for i, a := range out {
		if a.Acknowledged == nil {
			d.describe(look, list[i], a, seen)
		}
	}
	return out, past
}

// Acknowledge notes that by has taken notice of the alert with id. The first
// acknowledgment stands; the alert that is returned carries it. The record is
// on disk when Acknowledge returns, or the disk is too slow and will have it
// later.
func (d *Desk) Acknowledge(ctx context.Context, id, by, note string) (*Alert, error) {
	d.sync(ctx)
	d.mu.Lock()
	e := d.x.byID[id]
	if e == nil {
		past := d.past
		d.mu.Unlock()
		if past != nil {
			return nil, past
		}
		return nil, ErrNoAlert
	}
	done := make(chan struct{})
	if e.Acknowledged == nil {
		a := &Acknowledgment{Alert: e.ID, By: by, Note: note, At: time.Now()}
		d.x.acknowledge(e, a)
		d.metrics.acknowledged.Inc()
		d.o.Journal.Commit(func(bool) { close(done) }, recorder.Entry{Time: a.At, Call: e.Call, Kind: KindAcknowledged, Data: *a})
		d.x.trim() // who was told of it is told of this when the record comes by
	} else {
		close(done)
	}
	out := e.copy()
	d.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
	}
	look, enough := context.WithTimeout(ctx, lookWait)
	defer enough()
	d.describe(look, e, out, map[string]*sip.CallView{})
	return out, nil
}

// record writes an entry without waiting for it.
func (d *Desk) record(kind, call string, data any) {
	d.o.Journal.Commit(func(bool) {}, recorder.Entry{Time: time.Now(), Call: call, Kind: kind, Data: data})
}
