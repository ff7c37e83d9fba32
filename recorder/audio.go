package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"
	"github.com/zaf/g711"
	"go.uber.org/zap"
)

const (
	defaultBlocks = 256 // 16 MiB of packets on their way
	beat          = 250 * time.Millisecond
	idleFlush     = time.Second      // what nobody added to is written after this
	lookEvery     = 10 * time.Second // at whether the file is still there
	stopWait      = time.Second      // for the taps to hand over what they hold
	audioTrouble  = 3 * time.Second  // without trouble until recordings are well again
	stuckAfter    = 2 * time.Second  // the recorder does not take packets any more
	audioWait     = 10 * time.Second // Close gives up
)

// AudioOptions is what the recorder of audio needs to know.
type AudioOptions struct {
	Dir string      // directory of the recordings; created if it is not there
	Log *zap.Logger // nil: no logs
	// OnDegraded is called once when audio is being lost or cannot be written,
	// OnRecovered once when that is over, in turn, from a goroutine of the
	// recorder. Either may be nil.
	OnDegraded  func(reason string)
	OnRecovered func()
	// Blocks bounds the memory for packets on their way from the packet loops
	// to the disk, in blocks of 64 KiB. 0: 256.
	Blocks int
	// Recipients are whom finished recordings are encrypted for; nil: they
	// stay in clear. Identities open them again, to be heard and exported.
	Recipients []age.Recipient
	Identities []age.Identity
}

// Closed is what became of a recording.
type Closed struct {
	Path     string
	SHA256   string // of the file at Path, hex; "" if it could not be read
	Duration time.Duration
	Packets  uint64 // taken from the tap
	Lost     uint64 // missing from the RTP sequence, or too late for their place
	// Extra are the files beside it: rtpdump files with packets that are not
	// G.711, and a WAV file of each supervisor who could be heard.
	// ExtraSHA256 are their hashes in the same order.
	Extra       []string
	ExtraSHA256 []string
	// The hashes before encryption, empty when the recording is in clear.
	PlainSHA256      string
	PlainExtraSHA256 []string
	// Err says why the recording is not whole, nil if it is.
	Err error
}

// Repaired is a recording that a crash had left unfinished.
type Repaired struct {
	Path     string
	Call     string
	SHA256   string
	Duration time.Duration
	Began    time.Time
	Extra    []string
}

// AudioHealth is the state of the recorder of audio.
type AudioHealth struct {
	Degraded bool
	Reason   string
	Open     int    // recordings in progress
	Dropped  uint64 // packets that found no room on their way to the disk
	Lost     uint64 // all packets that could not be recorded: Dropped, too late, or not written
	Failures uint64 // writes that failed
}

// Audio records calls: one stereo WAV file each, the caller on the left, what
// the caller hears on the right, G.711 as it was on the wire. Packets come
// through taps, which never wait for the disk. Audio is safe for use by any
// number of goroutines.
type Audio struct {
	opts AudioOptions
	log  *zap.Logger
	conv [2][256]byte // to mu-law, to A-law

	full    chan *block
	free    chan *block
	blocks  atomic.Int64
	dropped atomic.Uint64
	taken   atomic.Uint64 // blocks the recorder has dealt with
	wake    chan struct{}
	quit    chan struct{}
	ended   chan struct{}

	mu       sync.Mutex
	taps     []*Tap
	active   map[uint32]*recording // started and not yet closed
	paths    map[string]bool       // of active
	commands []func(*recorderLoop)
	next     uint32
	closed   bool
	health   AudioHealth
	reason   string    // the newest trouble
	trouble  time.Time // when it was
	lost     uint64

	closer closer
	ledger *ledger
	others sync.WaitGroup
}

// OpenAudio opens the directory of recordings and repairs those that a crash
// has left unfinished. It fails only on misuse: if the directory cannot be
// used, it returns a degraded recorder that goes on trying.
func OpenAudio(opts AudioOptions) (*Audio, []Repaired, error) {
	if opts.Dir == "" || opts.Blocks < 0 {
		return nil, nil, errors.New("opening recordings: Dir must be set and Blocks not negative")
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.Blocks == 0 {
		opts.Blocks = defaultBlocks
	}
	ledger, repaired, err := openRecordings(opts.Dir, opts.Log)
	if err != nil { // tried again with every recording
		ledger = newLedger(opts.Dir, nil, false)
		opts.Log.Error("recordings cannot be written", zap.Error(err))
	}
	lockRepaired(repaired, opts.Recipients, opts.Log)
	a := &Audio{
		opts: opts, log: opts.Log,
		full: make(chan *block, opts.Blocks), free: make(chan *block, opts.Blocks),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
		active: make(map[uint32]*recording), paths: make(map[string]bool), ledger: ledger,
	}
	for i := range 256 {
		a.conv[0][i] = g711.Alaw2UlawFrame(uint8(i))
		a.conv[1][i] = g711.Ulaw2AlawFrame(uint8(i))
	}
	if err != nil {
		a.troubled(err.Error())
	}
	a.closer.init(a)
	a.others.Add(2)
	go a.closer.run()
	go a.watch()
	go a.run()
	return a, repaired, nil
}

// openRecordings locks the directory and repairs what is in it. If another
// process is still recording there, its recordings are left alone.
func openRecordings(dir string, log *zap.Logger) (*ledger, []Repaired, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, fmt.Errorf("creating the directory: %w", err)
	}
	lock, err := lockDir(dir)
	if errors.Is(err, errLocked) {
		log.Warn("recordings of another process are in progress: none was repaired", zap.Error(err))
		return newLedger(dir, nil, false), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	repaired, err := repairAll(dir, log)
	if err != nil {
		if lock != nil {
			_ = lock.Close()
		}
		return nil, nil, err
	}
	return newLedger(dir, lock, true), repaired, nil
}

// Start begins a recording and returns its number for the tap and the file it
// will be in. It does not touch the disk. The error is about misuse only: the
// recorder is closed.
func (a *Audio) Start(call string, at time.Time) (rec uint32, path string, err error) {
	call = cleanText(call)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, "", errors.New("starting a recording: the recorder is closed")
	}
	path = recordingPath(a.opts.Dir, call, at)
	for a.paths[path] {
		at = at.Add(time.Microsecond)
		path = recordingPath(a.opts.Dir, call, at)
	}
	a.next++
	if a.next == 0 { // 0 means no recording
		a.next++
	}
	r := &recording{id: a.next, call: call, path: path, began: at}
	a.active[r.id], a.paths[path] = r, true
	a.command(func(l *recorderLoop) { l.start(r) })
	return r.id, path, nil
}

// Mark names a moment of a recording, such as a change of takers. It becomes a
// cue point of the file when that is closed.
func (a *Audio) Mark(rec uint32, at time.Time, label string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.command(func(l *recorderLoop) {
		if r := l.recs[rec]; r != nil && len(r.marks) < 1000 {
			r.marks = append(r.marks, pendingMark{at: at.UnixNano(), label: label[:min(len(label), 200)]})
		}
	})
}

// Stop ends a recording after the packets that are still on their way: media
// must have handed over its last one. done, which may be nil, is called once
// from another goroutine when the file is finished and hashed.
func (a *Audio) Stop(rec uint32, done func(Closed)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.active[rec]; !ok || a.closed {
		if done != nil {
			go a.callDone(done, Closed{Err: fmt.Errorf("stopping recording %d: it is not in progress", rec)})
		}
		return
	}
	a.command(func(l *recorderLoop) { l.stop(rec, done) })
}

// command posts something to the recorder's goroutine. a.mu is held.
func (a *Audio) command(f func(*recorderLoop)) {
	a.commands = append(a.commands, f)
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *Audio) callDone(done func(Closed), c Closed) {
	defer a.recovered("a recording callback panicked")
	done(c)
}

func (a *Audio) recovered(what string) {
	if p := recover(); p != nil {
		a.log.Error(what, zap.Any("panic", p), zap.Stack("stack"))
	}
}

// Health returns the state of the recorder.
func (a *Audio) Health() AudioHealth {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.health
	h.Open = len(a.active)
	h.Dropped = a.dropped.Load()
	h.Lost = a.lost + h.Dropped
	return h
}

// Close finishes all recordings and ends the recorder. It waits at most ten
// seconds; what is unfinished then is repaired at the next start.
func (a *Audio) Close() error {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.quit)
	}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), audioWait)
	defer cancel()
	done := make(chan struct{})
	go func() {
		a.others.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("closing recordings: the disk did not answer in time; unfinished ones are repaired at the next start")
	}
}

// troubled notes that something went wrong.
func (a *Audio) troubled(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reason, a.trouble = reason, time.Now()
}

// watch tells about changes of the recorder's state, even when its goroutine
// is stuck in the disk.
func (a *Audio) watch() {
	defer a.others.Done()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	var w audioWatch
	for {
		select {
		case <-a.ended:
			return
		case <-tick.C:
			a.judge(&w)
		}
	}
}

type audioWatch struct {
	taken, dropped uint64
	moved          time.Time
}

func (a *Audio) judge(w *audioWatch) {
	defer a.recovered("the recorder's watch panicked")
	now := time.Now()
	taken, dropped := a.taken.Load(), a.dropped.Load()
	if taken != w.taken || len(a.full) == 0 {
		w.taken, w.moved = taken, now
	}
	if dropped != w.dropped {
		w.dropped = dropped
		a.troubled("the disk is too slow: packets are missing from recordings")
	}
	if now.Sub(w.moved) >= stuckAfter {
		a.troubled("the disk does not answer: recordings have stopped growing")
	}
	a.mu.Lock()
	was := a.health.Degraded
	is := !a.trouble.IsZero() && now.Sub(a.trouble) < audioTrouble
	a.health.Degraded, a.health.Reason = is, ""
	if is {
		a.health.Reason = a.reason
	}
	reason := a.health.Reason
	a.mu.Unlock()
	if is != was {
		a.tell(is, reason)
	}
}

func (a *Audio) tell(degraded bool, reason string) {
	if degraded {
		a.log.Error("recordings degraded", zap.String("reason", reason))
		if a.opts.OnDegraded != nil {
			a.opts.OnDegraded(reason)
		}
		return
	}
	a.log.Info("recordings recovered")
	if a.opts.OnRecovered != nil {
		a.opts.OnRecovered()
	}
}
