package recorder

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Defaults and bounds of the journal.
const (
	defaultPatience     = 50 * time.Millisecond
	defaultMaxPending   = 1_000_000
	defaultMaxBytes     = 512 << 20
	checkpointEvery     = time.Second
	checkpointRecords   = 10_000
	linger              = 25 * time.Millisecond // an Append waits this long for company
	eager               = 256                   // this many waiting records are company enough
	maxBatch            = 4096
	paceEvery           = 2 * time.Millisecond // between commits, in the long run
	paceBurst           = 8                    // commits that may come at once
	recentKept          = 1024
	storeEvery          = 20 * time.Millisecond // between transactions, of records that the front has
	openWait            = 2 * time.Second
	closeWait           = 5 * time.Second
	retryFirst          = 50 * time.Millisecond
	retryLast           = 5 * time.Second
	calmBeforeRecovered = time.Second
)

// ErrClosed says that the journal does not take records any more.
var ErrClosed = errors.New("the journal is closed")

// JournalOptions is what a journal needs to know.
type JournalOptions struct {
	Dir  string      // data directory; created if it is not there
	Node string      // name of this node, written into every record
	Log  *zap.Logger // nil: no logs
	// Patience is how long a Commit waits for the disk, and how old a waiting
	// record may get before the journal calls itself degraded. 0: 50 ms.
	Patience time.Duration
	// OnDegraded is called once when the journal cannot keep up with its
	// promise, OnRecovered once when it can again, in turn, from a goroutine of
	// the journal. Both may use the journal. Either may be nil.
	OnDegraded  func(reason string)
	OnRecovered func()
	// MaxPending and MaxPendingBytes bound what is kept in memory while the
	// disk cannot be written. 0: 1,000,000 records and 512 MiB.
	MaxPending      int
	MaxPendingBytes int

	open func(dir, node string, have *key, now time.Time) (*opened, error) // for tests
}

// Health is the state of a journal, for /readyz and metrics.
type Health struct {
	Degraded   bool
	Reason     string    // why it is degraded, "" if it is not
	Since      time.Time // when that last changed
	Pending    int       // records accepted and not yet on disk
	Dropped    uint64    // records lost because too many were pending
	Written    uint64    // records written since start
	Commits    uint64    // transactions since start
	LastSeq    uint64    // number of the last record on disk
	LastCommit time.Time
	// CommitSeconds is how long the last transaction took, CommitSecondsSum how
	// long all of them took together.
	CommitSeconds    float64
	CommitSecondsSum float64
}

// Journal is the append-only record of what happened: hash-chained, signed,
// and on disk before anybody acts on it, as long as the disk can keep up. No
// method that records blocks: a call never waits for the disk longer than
// Patience, and never at all if it only appends. Journal is safe for use by
// any number of goroutines.
type Journal struct {
	opts JournalOptions
	log  *zap.Logger

	wake   chan struct{} // there is something to write at once
	quit   chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended
	tried  chan struct{} // closed when the disk was tried for the first time
	watch  *time.Timer   // looks after patience
	linger *time.Timer   // wakes the writer for records that nobody waits for
	rest   *time.Timer   // wakes it for those that the front has and the database has not

	watchMu sync.Mutex // one patience check at a time, callbacks included
	stageMu sync.Mutex // marshalling and chaining; never held over disk access
	stager  stager     // under stageMu

	mu       sync.Mutex
	queue    []queued // accepted, not yet marshalled
	spare    []queued
	waiters  []waiter
	accepted uint64 // position of the last entry accepted
	durable  uint64 // position of the last entry on disk
	stored   uint64 // of the last one in the database
	ahead    int    // of pending, how many are in the front and thus durable
	pending  []item // marshalled, in order, not yet on disk
	bytes    int    // in pending
	dropped  uint64
	lost     uint64 // of dropped, not yet told in a record
	armed    bool   // watch is running
	closed   bool
	failing  error // why the disk could not be used the last time
	trouble  time.Time
	health   Health
	key      *key
	recent   []item        // on disk, kept for subscribers, contiguous
	news     chan struct{} // closed and replaced when there is more for subscribers
	subs     int
	over     bool // nothing will be written any more

	readers readers
}

type queued struct {
	entry Entry
	pos   uint64
	at    time.Time
}

// waiter is a Commit that waits until everything up to pos is on disk.
type waiter struct {
	pos      uint64
	stored   bool      // waits until the database has it
	deadline time.Time // zero: waits for as long as it takes
	done     func(durable bool)
}

// OpenJournal opens the journal of a data directory, or starts one. It fails
// only on misuse: if the disk cannot be used, or does not answer within two
// seconds, it returns a degraded journal that keeps records in memory and goes
// on trying. What it finds wrong with an existing journal it records.
func OpenJournal(opts JournalOptions) (*Journal, error) {
	if opts.Dir == "" || opts.Node == "" {
		return nil, errors.New("opening the journal: Dir and Node must be set")
	}
	if opts.Patience < 0 || opts.MaxPending < 0 || opts.MaxPendingBytes < 0 {
		return nil, errors.New("opening the journal: Patience, MaxPending and MaxPendingBytes must not be negative")
	}
	j := newJournal(opts)
	go j.run()
	timer := time.NewTimer(openWait)
	defer timer.Stop()
	select {
	case <-j.tried:
	case <-timer.C:
		j.fail(errors.New("the disk did not answer when the journal was opened"))
	}
	if j.broken() {
		j.checkPatience() // so that Health says so at once
	}
	return j, nil
}

// broken tells that the disk could not be used the last time.
func (j *Journal) broken() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failing != nil
}

func newJournal(opts JournalOptions) *Journal {
	if opts.Patience == 0 {
		opts.Patience = defaultPatience
	}
	if opts.MaxPending == 0 {
		opts.MaxPending = defaultMaxPending
	}
	if opts.MaxPendingBytes == 0 {
		opts.MaxPendingBytes = defaultMaxBytes
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.open == nil {
		opts.open = openDir
	}
	opts.Node = cleanText(opts.Node)
	j := &Journal{
		opts: opts, log: opts.Log,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		tried: make(chan struct{}), news: make(chan struct{}),
		stager: stager{m: newMarshaller(), node: opts.Node},
	}
	j.readers.dir = opts.Dir
	j.watch = time.AfterFunc(time.Hour, j.checkPatience)
	j.watch.Stop()
	j.linger = time.AfterFunc(time.Hour, j.nudge)
	j.linger.Stop()
	j.rest = time.AfterFunc(time.Hour, j.nudge)
	j.rest.Stop()
	return j
}

// Append records entries, in this order, and returns at once. They reach the
// disk within some tens of milliseconds, or as soon as it works again.
func (j *Journal) Append(entries ...Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.accept(entries)
	switch {
	case len(j.queue) >= eager:
		j.nudge()
	case len(j.queue) == len(entries) && len(entries) > 0:
		j.linger.Reset(linger)
	}
}

// Commit records entries and calls done exactly once, from another goroutine:
// with true when they and everything recorded before are on disk, with false
// when Patience passed first or the journal is closed. The records are kept
// and written in either case. done must not block. Without entries Commit
// waits for what was recorded before.
func (j *Journal) Commit(done func(durable bool), entries ...Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	full := j.accept(entries)
	if done == nil {
		done = func(bool) {}
	}
	if full || j.closed {
		go j.call(done, false)
		return
	}
	j.waiters = append(j.waiters, waiter{pos: j.accepted, deadline: time.Now().Add(j.opts.Patience), done: done})
	j.arm()
	j.nudge()
}

// Flush waits until everything recorded so far is on disk, however long it
// takes, or until ctx ends.
func (j *Journal) Flush(ctx context.Context) error {
	ok := make(chan bool, 1)
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return fmt.Errorf("flushing the journal: %w", ErrClosed)
	}
	j.waiters = append(j.waiters, waiter{pos: j.accepted, stored: true, done: func(d bool) { ok <- d }})
	j.nudge()
	j.mu.Unlock()
	select {
	case durable := <-ok:
		if !durable {
			return fmt.Errorf("flushing the journal: %w", ErrClosed)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flushing the journal: %w", context.Cause(ctx))
	}
}

// accept queues entries; it tells if some had to be dropped. j.mu is held.
func (j *Journal) accept(entries []Entry) (full bool) {
	if j.closed || len(entries) == 0 {
		return false
	}
	waiting := len(j.queue) + len(j.pending)
	if waiting+len(entries) > j.opts.MaxPending || j.bytes > j.opts.MaxPendingBytes {
		j.dropped += uint64(len(entries))
		j.lost += uint64(len(entries))
		return true
	}
	now := time.Now()
	for _, e := range entries {
		if e.Time.IsZero() {
			e.Time = now
		}
		j.accepted++
		j.queue = append(j.queue, queued{entry: e, pos: j.accepted, at: now})
	}
	j.arm()
	return false
}

// arm starts the patience timer if it is not running. j.mu is held.
func (j *Journal) arm() {
	if !j.armed {
		j.armed = true
		j.watch.Reset(j.opts.Patience)
	}
}

// nudge wakes the writer.
func (j *Journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// call runs a callback of the user: its panic must not end the journal.
func (j *Journal) call(done func(bool), durable bool) {
	defer j.recovered("a journal callback panicked")
	done(durable)
}

func (j *Journal) recovered(what string) {
	if p := recover(); p != nil {
		j.log.Error(what, zap.Any("panic", p), zap.Stack("stack"))
	}
}

// Health returns the state of the journal.
func (j *Journal) Health() Health {
	j.mu.Lock()
	defer j.mu.Unlock()
	h := j.health
	h.Pending = len(j.queue) + len(j.pending)
	h.Dropped = j.dropped
	return h
}

// KeyID returns the fingerprint of the key that signs the journal's
// checkpoints, "" as long as the disk that holds it could not be read. It
// belongs into every node.started record as data.key: Verify compares.
func (j *Journal) KeyID() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.key == nil {
		return ""
	}
	return j.key.id
}

// Close writes what is pending and a last signed checkpoint, and ends the
// journal. It gives up after five seconds; the error then says how many
// records did not reach the disk. What is recorded after Close is dropped.
func (j *Journal) Close() error {
	// A patience check in the middle of staging has records in neither list.
	j.watchMu.Lock()
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		j.watchMu.Unlock()
		<-j.done
		return nil
	}
	j.closed = true
	close(j.quit)
	j.mu.Unlock()
	j.watchMu.Unlock()

	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-j.done:
	case <-timer.C:
	}
	j.watch.Stop()
	j.linger.Stop()
	j.rest.Stop()
	return j.closeReport()
}

// closeReport lets everybody go who still waits.
func (j *Journal) closeReport() error {
	j.mu.Lock()
	j.over = true
	waiters := j.waiters
	j.waiters = nil
	left, why := len(j.queue)+len(j.pending), j.failing
	j.announce()
	j.mu.Unlock()
	for _, w := range waiters {
		j.call(w.done, false)
	}
	j.readers.close()
	if left == 0 {
		return nil
	}
	if why == nil {
		why = errors.New("the disk did not answer in time")
	}
	return fmt.Errorf("closing the journal: %d records are not on disk: %w", left, why)
}
