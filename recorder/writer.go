package recorder

import (
	"errors"
	"runtime"
	"time"

	"go.uber.org/zap"
)

// writer is the one goroutine that touches the disk.
type writer struct {
	j         *Journal
	disk      *opened // nil while the disk cannot be used
	tree      tree
	last      uint64 // number and hash of the last record on disk
	lastHash  digest
	head      head // the newest one
	kept      head // the newest one that is kept as a checkpoint
	looked    time.Time
	retry     time.Duration // how long to pause before the disk is tried again
	tried     bool          // the disk was tried, and nothing was written since
	corrupted int           // commits in a row that found the database corrupt
	deadline  time.Time     // when a closing journal gives up
	tick      *time.Ticker
	due       time.Time // of the next commit, if they come at a steady pace
	stored    time.Time // when the last transaction ended
}

// run writes until the journal is closed and everything is on disk.
func (j *Journal) run() {
	defer close(j.done)
	w := &writer{j: j, retry: retryFirst, tick: time.NewTicker(checkpointEvery)}
	defer w.tick.Stop()
	for first := true; ; first = false {
		end := w.turn()
		if first {
			close(j.tried)
		}
		if end {
			return
		}
	}
}

// turn waits for work, does it, and recovers from whatever goes wrong in it.
// It tells when the writer's work is over.
func (w *writer) turn() (end bool) {
	defer w.j.recovered("the journal's writer panicked")
	if w.disk == nil {
		if w.tried && w.pause() {
			return true
		}
		w.tried = true
		if w.open() {
			w.j.nudge()
		}
		return false
	}
	closing := w.wait()
	if !closing && w.disk.front == nil {
		w.pace()
	}
	w.j.stage()
	w.toFront()
	w.j.settle()
	if !closing && w.rests() {
		return false
	}
	for w.disk != nil && w.step() {
	}
	w.stored = time.Now()
	w.turnFront()
	if w.disk == nil {
		return false
	}
	w.housekeep()
	if closing && w.j.drained() {
		return w.finish()
	}
	return false
}

// pause waits before the disk is tried again. A closing journal goes on
// trying until its time is over, if there is anything left to write.
func (w *writer) pause() (end bool) {
	wait := w.retry
	w.retry = min(2*w.retry, retryLast)
	quit := w.j.quit
	if w.closing() {
		if w.j.drained() || !time.Now().Before(w.deadline) {
			return true
		}
		wait, quit = retryFirst, nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-quit:
	}
	return false
}

// closing tells that Close was called, and sets the time to give up.
func (w *writer) closing() bool {
	select {
	case <-w.j.quit:
		if w.deadline.IsZero() {
			w.deadline = time.Now().Add(closeWait)
		}
		return true
	default:
		return false
	}
}

// wait returns when there is something to write or to look after.
func (w *writer) wait() (closing bool) {
	select {
	case <-w.j.wake:
	case <-w.tick.C:
	case <-w.j.quit:
	}
	return w.closing()
}

// pace lets a few commits through at once, but not more than a steady number a
// second: under load, waiting up to two milliseconds for company makes far
// fewer transactions, signatures and fsyncs of the same records.
func (w *writer) pace() {
	now := time.Now()
	if w.due.Before(now) {
		w.due = now
	}
	w.due = w.due.Add(paceEvery)
	if early := w.due.Sub(now) - paceBurst*paceEvery; early > 0 {
		time.Sleep(early)
	}
}

// rests tells that everything is in the front and nobody waits for more, so that
// the database can wait for company: each transaction costs a signature, and
// wakes everybody who follows the journal. The writer is woken again for it.
func (w *writer) rests() bool {
	if w.disk == nil || w.disk.front == nil || !w.j.patient() {
		return false
	}
	left := storeEvery - time.Since(w.stored)
	if left <= 0 {
		return false
	}
	w.j.rest.Reset(left)
	return true
}

// open tries to open the data directory.
func (w *writer) open() bool {
	var extra []finding
	if w.corrupted > 1 {
		o := &opener{dir: w.j.opts.Dir, now: time.Now(), out: &opened{}}
		if err := o.moveAside(errors.New("every commit found it corrupt")); err == nil {
			extra, w.corrupted = o.out.findings, 0
		}
	}
	o, err := w.j.opts.open(w.j.opts.Dir, w.j.opts.Node, w.key(), time.Now())
	if err != nil {
		w.j.fail(err)
		return false
	}
	o.findings = append(extra, o.findings...)
	w.j.readers.reset()
	waiters := w.j.adopt(o, w.last, w.lastHash)
	w.disk, w.tree, w.last, w.lastHash = o, o.tree, o.seq, o.hash
	w.head, w.kept = head{}, head{}
	for _, wt := range waiters {
		w.j.call(wt.done, true)
	}
	for _, f := range o.findings {
		w.j.log.Error("journal evidence does not agree with the journal", zap.String("journal", f.Journal),
			zap.String("why", f.Why), zap.Uint64("head", f.HeadSeq), zap.Uint64("tail", f.TailSeq))
		w.j.Append(Entry{Kind: kindDegraded, Data: f})
	}
	w.j.works()
	return true
}

// key returns the key of an earlier opening: it must outlive a disk that was
// taken away.
func (w *writer) key() *key {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	return w.j.key
}

// toFront makes what waits durable, and lets go who waited for it, before the
// longer work of putting it into the database.
func (w *writer) toFront() {
	if w.disk.front == nil {
		return
	}
	items := w.j.unfronted()
	if len(items) == 0 {
		return
	}
	start := time.Now()
	fits, err := w.disk.front.write(items)
	if err != nil { // it stops nothing: the database makes them durable
		w.j.log.Error("journal goes on without its front, more slowly", zap.Error(err))
		w.disk.front.failed, w.disk.front.full = true, true
	}
	if !fits {
		return // step makes them durable
	}
	w.j.measured(time.Since(start))
	for _, wt := range w.j.fronted(items) {
		w.j.call(wt.done, true)
	}
	runtime.Gosched() // they go first: what follows has time
}

// step writes one batch; it tells if there is another one.
func (w *writer) step() (more bool) {
	items, more := w.j.batch()
	if len(items) == 0 {
		return false
	}
	t := w.tree.clone()
	for i := range items {
		t.add(items[i].hash)
	}
	last := &items[len(items)-1]
	c := &commit{items: items, edge: t.marshal(), head: head{
		size: t.size, root: t.root(), seq: last.seq, hash: last.hash, time: time.Now().UnixNano(),
	}}
	if !w.write(c) {
		return false
	}
	if w.disk.front != nil && !w.j.isDurable(last.pos) {
		if err := w.disk.store.sync(); err != nil {
			w.fail(err)
			return false
		}
	}
	w.tree, w.last, w.lastHash = t, c.head.seq, c.head.hash
	for _, wt := range w.j.committed(items) {
		w.j.call(wt.done, true)
	}
	w.corrupted = 0
	w.sidecar(c.signed)
	return more
}

// write signs and commits; when that fails it lets the disk go, to be opened
// again.
func (w *writer) write(c *commit) bool {
	var err error
	c.node = w.j.opts.Node
	if c.signed, err = w.disk.key.sign(c.head); err != nil {
		w.fail(err)
		return false
	}
	c.checkpoint = c.checkpoint || w.kept.size == 0 ||
		c.head.size-w.kept.size >= checkpointRecords || c.head.time-w.kept.time >= int64(checkpointEvery)
	start := time.Now()
	if err = w.disk.store.write(c); err != nil {
		if corrupt(err) {
			w.corrupted++
		}
		w.fail(err)
		return false
	}
	if w.disk.front == nil {
		w.j.measured(time.Since(start))
	}
	w.j.usable()
	w.tried, w.retry = false, retryFirst
	w.head = c.head
	if c.checkpoint {
		w.kept = c.head
	}
	return true
}

func (w *writer) sidecar(signed []byte) {
	if err := w.disk.side.write(signed); err != nil {
		w.fail(err)
	}
}

// fail lets the disk go after an error.
func (w *writer) fail(err error) {
	_ = w.release() // there is nothing better to tell than err
	w.j.fail(err)
}

// release closes whatever is open.
func (w *writer) release() error {
	o := w.disk
	w.disk = nil
	if o == nil {
		return nil
	}
	return o.close()
}

// housekeep looks, once a second, whether the files are still there, and keeps a
// checkpoint of what was written since the last one.
func (w *writer) housekeep() {
	if err := w.disk.store.tidy(); err != nil {
		w.j.log.Warn("journal could not be tidied", zap.Error(err))
	}
	now := time.Now()
	if w.tidyFront(now); w.disk == nil || now.Sub(w.looked) < checkpointEvery {
		return
	}
	w.looked = now
	err := w.disk.store.moved()
	if err == nil && w.disk.front != nil {
		err = w.disk.front.moved()
	}
	if err != nil {
		w.fail(err)
		return
	}
	if now.UnixNano()-w.kept.time >= int64(checkpointEvery) {
		w.checkpoint()
	}
	w.j.tellLost()
}

// turnFront makes room in the front when it is half full, or takes nothing more,
// and all that is in it is in the database.
func (w *writer) turnFront() {
	if w.disk == nil || w.disk.front == nil || w.disk.front.at < frontRoom/2 && !w.disk.front.full {
		return
	}
	err := w.disk.store.sync()
	if err == nil && w.disk.front.failed {
		err = w.disk.store.relax(false)
	}
	if err != nil {
		w.fail(err)
		return
	}
	if w.disk.front.failed {
		_ = errors.Join(w.disk.front.remove(), w.disk.front.close()) // the database has all of it
		w.disk.front = nil
		return
	}
	w.disk.front.turn()
}

// tidyFront clears the front of old frames once in a while.
func (w *writer) tidyFront(now time.Time) {
	if w.disk.front == nil || !w.disk.front.due(now) {
		return
	}
	err := w.disk.store.sync()
	if err == nil {
		err = w.disk.front.tidy(now)
	}
	if err != nil {
		w.fail(err)
	}
}

// checkpoint keeps the newest head, if it is not kept yet.
func (w *writer) checkpoint() {
	if w.head.size == w.kept.size {
		return
	}
	c := &commit{head: w.head, edge: w.tree.marshal(), checkpoint: true}
	c.head.time = time.Now().UnixNano()
	if w.write(c) {
		w.sidecar(c.signed)
	}
}

// finish ends a journal whose records are all on disk.
func (w *writer) finish() bool {
	w.checkpoint()
	if w.disk == nil {
		return false
	}
	if w.disk.front != nil {
		err := w.disk.store.sync()
		if err == nil {
			err = w.disk.front.remove()
		}
		if err != nil {
			w.j.log.Warn("journal's front could not be put away", zap.Error(err))
		}
	}
	if err := w.release(); err != nil {
		w.j.log.Warn("journal did not close cleanly", zap.Error(err))
	}
	return true
}

// close closes everything of a data directory.
func (o *opened) close() error {
	var errs []error
	if o.side != nil {
		errs = append(errs, o.side.close())
	}
	if o.front != nil {
		errs = append(errs, o.front.close())
	}
	errs = append(errs, o.store.close())
	if o.lock != nil {
		errs = append(errs, o.lock.Close())
	}
	return errors.Join(errs...)
}
