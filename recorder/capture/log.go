package capture

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	waiting  = 8192                   // messages on their way to the file
	flushAt  = 256 << 10              // bytes that are written at once
	flushIn  = 200 * time.Millisecond // and how long fewer may wait
	gather   = 128                    // messages that are taken at once
	gatherIn = 50 * time.Millisecond  // and how long fewer may wait: to be woken for each costs more than the work
	segments = time.Hour              // of a file
	forget   = 24 * time.Hour         // a dialog whose call never told that it is over
	retry    = 5 * time.Second        // a disk that failed
	// maxMessage leaves room for the headers in a packet of 65,535 bytes.
	maxMessage = 65535 - 60
)

// Options is what a Log needs to know.
type Options struct {
	Dir string      // of the captures; created when the first is written
	Log *zap.Logger // nil: silent
	// Failing is told once when messages are being lost, Works when that is
	// over. Either may be nil.
	Failing func(reason string)
	Works   func()
}

// Message is one message that passed. Raw must not be changed afterwards.
type Message struct {
	At       time.Time
	Network  string // udp or tcp
	From, To string // host:port
	Raw      []byte
}

// Sum is what is proved of a call's messages: how many there were, and the
// SHA-256 over each one's length in decimal, a colon, its bytes and a comma
// (netstrings), in the order in which they passed.
type Sum struct {
	CallID   string `json:"callId"`
	Messages int    `json:"messages"`
	SHA256   string `json:"sha256"`
	Lost     bool   `json:"lost,omitempty"` // not all of them reached the file
}

// Log writes messages into captures. Seen and Close never wait: messages that
// find no room are lost, counted, and told of in the sums of their calls.
type Log struct {
	opts  Options
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}
	lost  atomic.Uint64
	soon  *time.Timer

	mu     sync.Mutex // so that everything Over has taken is answered
	in     []entry
	closed bool
}

type entry struct {
	Message
	close string // a Call-ID that is over
	done  func(Sum)
}

// New returns a Log that is ready to take messages. It does not touch the disk.
func New(o Options) *Log {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Failing == nil {
		o.Failing = func(string) {}
	}
	if o.Works == nil {
		o.Works = func() {}
	}
	l := &Log{opts: o, wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{})}
	l.soon = time.AfterFunc(time.Hour, l.nudge)
	l.soon.Stop()
	go l.run()
	return l
}

// Seen takes a message that passed.
func (l *Log) Seen(m Message) {
	if !l.add(entry{Message: m}) {
		l.lost.Add(1)
	}
}

// add queues an entry; it tells if there was room.
func (l *Log) add(e entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.in) >= waiting {
		return false
	}
	l.in = append(l.in, e)
	switch len(l.in) {
	case 1:
		l.soon.Reset(gatherIn)
	case gather:
		l.nudge()
	}
	return true
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// taken returns what is queued. done is what was taken before.
func (l *Log) taken(done []entry) []entry {
	clear(done)
	l.mu.Lock()
	defer l.mu.Unlock()
	in := l.in
	l.in = done[:0]
	return in
}

// Over says that no more messages of a Call-ID are expected. done is called
// once, from another goroutine, before Close returns; it must not wait.
func (l *Log) Over(callID string, done func(Sum)) {
	if l.add(entry{close: callID, done: done}) {
		return
	}
	l.lost.Add(1)
	go done(Sum{CallID: callID, Lost: true})
}

// Lost is the number of messages that could not be kept.
func (l *Log) Lost() uint64 { return l.lost.Load() }

// Close writes what is waiting and ends the Log.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.quit)
	}
	l.mu.Unlock()
	<-l.ended
	return nil
}

func (l *Log) run() {
	defer close(l.ended)
	k := &keeper{l: l, sums: map[string]*sum{}, flows: map[flow]uint32{}}
	idle := time.NewTimer(flushIn)
	defer idle.Stop()
	awake := true // idle is running: work that goes on does not put it off
	var todo []entry
	for {
		select {
		case <-l.wake:
			if !awake {
				awake = true
				idle.Reset(flushIn)
			}
			todo = k.work(todo)
		case <-idle.C:
			awake = false
			k.guarded(k.flush)
			k.guarded(k.tell)
		case <-l.quit:
			l.soon.Stop()
			k.work(todo)
			k.finish()
			return
		}
	}
}
