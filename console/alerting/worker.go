package alerting

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The times of a channel's attempts.
const (
	sendTimeout  = 10 * time.Second // of one attempt, where the channel says nothing else
	firstRetry   = time.Second
	lastRetry    = time.Minute
	failsAfter   = 3 // attempts until a channel is called failing
	refusedAfter = 3 // attempts at a message that the other side does not take
)

// waiting is an event of an alert on its way to a channel.
type waiting struct {
	alert string
	event Event
	due   time.Time // since when it is to be told

	unresolved bool // only while the cause is there
}

// worker serves one channel: one message after the other, in order, each until
// it was taken. Nobody ever waits for it.
type worker struct {
	c    Channel
	d    *Desk
	wake chan struct{}

	mu       sync.Mutex
	queue    []waiting
	status   Status
	attempts int       // at the message that is on its way
	limit    int       // alerts in the next message, when the other side refused a larger one
	whole    time.Time // when Burst messages may come at once again
}

func newWorker(d *Desk, c Channel, sequence uint64) *worker {
	if c.Batch <= 0 {
		c.Batch = 1
	}
	if c.Timeout <= 0 {
		c.Timeout = sendTimeout
	}
	return &worker{
		c: c, d: d, wake: make(chan struct{}, 1),
		status: Status{Name: c.Name, Kind: c.Kind, Target: c.Target, State: Untried, Sequence: sequence},
	}
}

// add puts something into the queue.
func (w *worker) add(n waiting) {
	w.mu.Lock()
	w.queue = append(w.queue, n)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// resume sets the number of the last message, which the journal has told.
func (w *worker) resume(sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Sequence = max(w.status.Sequence, sequence)
}

// pending are the alerts that wait for the channel.
func (w *worker) pending() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.queue {
		ids = append(ids, n.alert)
	}
	return ids
}

// view is the channel's status now.
func (w *worker) view() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.status
	s.Pending = len(w.queue)
	return s
}

// failing tells whether the channel does not work at the moment.
func (w *worker) failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status.State == Failing
}

// run serves the queue until ctx is done.
func (w *worker) run(ctx context.Context) {
	for {
		batch := w.next()
		if len(batch) == 0 {
			select {
			case <-w.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if !pause(ctx, w.spacing()) {
			return
		}
		batch = w.next() // more may have come
		if !pause(ctx, w.try(ctx, batch)) {
			return
		}
	}
}

// pause waits; it returns false when ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// spacing is how long the next message must wait so that there are not too many.
// Each one costs Every; Burst of them can be had in advance.
func (w *worker) spacing() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, time.Until(w.whole)) - time.Duration(max(1, w.c.Burst)-1)*w.c.Every
}

// next is what the next message tells of: at most one event of each alert, so
// that a program sees the beginning of an alert before its end.
func (w *worker) next() []waiting {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := w.c.Batch
	if w.limit > 0 {
		most = w.limit
	}
	seen := map[string]bool{}
	for i, n := range w.queue {
		if i == most || seen[n.alert] {
			return append([]waiting(nil), w.queue[:i]...)
		}
		seen[n.alert] = true
	}
	return append([]waiting(nil), w.queue...)
}

// try makes one attempt at a message and returns how long to wait before the
// next one.
func (w *worker) try(ctx context.Context, batch []waiting) time.Duration {
	m := Message{Node: w.d.o.Node, Console: w.d.o.Console, Channel: w.c.Name}
	look, enough := context.WithTimeout(ctx, lookWait)
	defer enough()
	told := make([]waiting, 0, len(batch)) // without those that need no telling any more
	for _, n := range batch {
		if notice, ok := w.d.notice(look, n, w.c.Program); ok {
			m.Notices, told = append(m.Notices, notice), append(told, n)
		}
	}
	if len(told) == 0 {
		w.taken(batch, told, m, "", false)
		return 0
	}
	w.mu.Lock()
	m.Seq = w.status.Sequence + 1
	w.mu.Unlock()
	attempt, cancel := context.WithTimeout(ctx, w.c.Timeout)
	detail, err := send(attempt, w.c.Sender, m)
	cancel()
	switch {
	case err == nil:
		w.taken(batch, told, m, detail, false)
		return 0
	case ctx.Err() != nil: // we stop; it is still owed
		return 0
	}
	return w.failed(batch, told, m, err)
}

// send keeps a panic of a Sender from ending the process.
func send(ctx context.Context, s Sender, m Message) (detail string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the channel panicked: %v", r)
		}
	}()
	return s.Send(ctx, m)
}

// taken notes that the message needs no further attempt.
func (w *worker) taken(batch, told []waiting, m Message, detail string, gaveUp bool) {
	now := time.Now()
	w.mu.Lock()
	w.queue = w.queue[len(batch):]
	d := deliveredData{Channel: w.c.Name, Seq: m.Seq, Attempts: w.attempts + 1, Detail: detail, GaveUp: gaveUp}
	was := w.status.State
	w.attempts = 0
	if len(told) > 0 {
		if w.whole.Before(now) {
			w.whole = now
		}
		w.whole = w.whole.Add(w.c.Every)
	}
	if !gaveUp && len(told) > 0 {
		w.limit = 0
		w.status.State, w.status.Error, w.status.Failing, w.status.Next = Works, "", time.Time{}, time.Time{}
		w.status.Last, w.status.Sequence = now, m.Seq
		w.status.Delivered += uint64(len(told))
	}
	w.mu.Unlock()
	w.d.dropped(w.c.Name, slices.DeleteFunc(slices.Clone(batch), func(n waiting) bool { return slices.Contains(told, n) }))
	if len(told) == 0 {
		return
	}
	d.AfterMS = now.Sub(oldest(told)).Milliseconds()
	for _, n := range told {
		d.Alerts = append(d.Alerts, deliveredOne{n.alert, n.event})
	}
	w.d.took(w.c.Name, told, d, was != Works && !gaveUp)
}

func oldest(batch []waiting) time.Time {
	at := batch[0].due
	for _, n := range batch {
		if n.due.Before(at) {
			at = n.due
		}
	}
	return at
}

// failed notes an attempt that failed and returns when to try again.
func (w *worker) failed(batch, told []waiting, m Message, err error) time.Duration {
	_, refused := errors.AsType[Refused](err)
	w.mu.Lock()
	w.attempts++
	w.status.Failures++
	w.status.Error = err.Error()
	if w.status.Failing.IsZero() {
		w.status.Failing = time.Now()
	}
	news := w.attempts >= failsAfter && w.status.State != Failing
	if news {
		w.status.State = Failing
	}
	wait, givesUp := backoff(w.attempts), false
	f := failedData{Channel: w.c.Name, Attempts: w.attempts, Error: err.Error(), Waiting: len(w.queue)}
	if refused && w.attempts >= refusedAfter {
		wait, givesUp = 0, len(batch) == 1
		if !givesUp { // one of them is the cause: it must not hold up the others
			w.limit, w.attempts = 1, 0
		}
	}
	f.RetryMS = wait.Milliseconds()
	w.status.Next = time.Now().Add(wait)
	w.mu.Unlock()
	for _, n := range told {
		f.Alerts = append(f.Alerts, deliveredOne{n.alert, n.event})
	}
	w.d.missed(w, f, news)
	if givesUp {
		w.taken(batch, told, m, err.Error(), true)
	}
	return wait
}

// backoff is how long to wait after a number of attempts: twice as long each
// time, up to lastRetry, give or take a quarter, so that many nodes do not come
// back at the same moment.
func backoff(attempts int) time.Duration {
	d := lastRetry
	if attempts < 7 {
		d = min(lastRetry, firstRetry<<(attempts-1))
	}
	return d*3/4 + rand.N(d/2)
}
