package media

import (
	"container/heap"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	tickEvery   = 80 * time.Millisecond // the tap is promised 100 ms
	batchSize   = 256                   // sockets served for one reading of the clock
	maxDatagram = 65536
)

// loop serves the packets of its calls, alone: what belongs to a call is
// touched by no other goroutine, so that packets need no lock.
type loop struct {
	engine *Engine
	log    *zap.Logger
	poll   Poller
	tap    Tap
	laws   *laws

	buf      []byte
	out      [1500]byte // packets of our own
	ports    []port     // by socket ID
	players  slots[*player]
	desk     desk
	sessions int
	lastTick time.Duration
	now      time.Duration // engine time of this batch
	wall     int64         // the same in Unix nanoseconds

	mu      sync.Mutex
	mailbox []func()
	spare   []func()
	woken   bool // the poller was told of the mailbox
	stopped bool // no more commands are taken

	count counters
}

// port says whose socket it is.
type port struct {
	sock    Socket
	stream  *stream
	control bool // the RTCP port
}

type counters struct {
	relayed, refused, dropped, prompts, panics atomic.Uint64
}

func newLoop(e *Engine) (*loop, error) {
	p, err := e.net.NewPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{engine: e, log: e.log, poll: p, laws: e.laws, buf: make([]byte, maxDatagram)}
	if e.opts.NewTap != nil {
		l.tap = e.opts.NewTap()
	}
	return l, nil
}

// post hands a command to the loop. Commands are executed in the order in
// which they were posted; false means that the loop has stopped.
func (l *loop) post(f func()) bool { return l.command(f, true) }

// note hands over a command that has time until the next packet comes or
// something else wakes the loop: to be woken costs a loop as much as several
// packets do, and a call is set up with half a dozen of commands.
func (l *loop) note(f func()) bool { return l.command(f, false) }

func (l *loop) command(f func(), wake bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.mailbox = append(l.mailbox, f)
	if wake && !l.woken {
		l.woken = true
		l.poll.Wake() // under the lock: the poller is closed only after stopped
	}
	return true
}

// stop makes the loop end after the commands posted so far.
func (l *loop) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.poll.Wake()
}

// run serves until stop. Level-triggered readiness and one datagram for each
// readable socket in a round: a socket that is flooded cannot keep others
// waiting, and no system call is spent on finding a socket empty.
func (l *loop) run() {
	defer l.finish()
	if p, ok := l.poll.(interface{ Own() }); ok {
		p.Own()
	}
	ready := make([]int, batchSize)
	for {
		n, err := l.poll.Wait(ready, l.deadline())
		if err != nil {
			l.log.Error("packet loop cannot wait", zap.Error(err))
			time.Sleep(10 * time.Millisecond) // do not spin; calls may recover
		}
		l.readClock()
		if l.commands() {
			return
		}
		for _, id := range ready[:n] {
			l.serve(id)
		}
		l.due()
	}
}

// readClock takes the time once for a whole batch.
func (l *loop) readClock() {
	t := time.Now()
	l.now, l.wall = t.Sub(l.engine.start), t.UnixNano()
}

// deadline is when the loop must wake although no packet came; an idle loop
// sleeps for good.
func (l *loop) deadline() time.Time {
	next := time.Duration(-1)
	if l.tap != nil && l.sessions > 0 {
		next = l.lastTick + tickEvery
	}
	if len(l.players) > 0 && (next < 0 || l.players[0].at < next) {
		next = l.players[0].at
	}
	if at := l.desk.next(); at >= 0 && (next < 0 || at < next) {
		next = at
	}
	if next < 0 {
		return time.Time{}
	}
	return l.engine.start.Add(next)
}

// commands executes what was posted and reports whether the loop must end.
func (l *loop) commands() (end bool) {
	l.mu.Lock()
	todo := l.mailbox
	l.mailbox, l.spare = l.spare[:0], todo
	end = l.stopped
	l.woken = false
	l.mu.Unlock()
	for i, f := range todo {
		l.execute(f)
		todo[i] = nil
	}
	return end
}

func (l *loop) execute(f func()) {
	defer l.recover("command")
	f()
}

// serve takes one datagram from a socket. The socket may be gone by now.
func (l *loop) serve(id int) {
	defer l.recover("packet")
	if id >= len(l.ports) || l.ports[id].sock == nil {
		return
	}
	p := &l.ports[id]
	n, from, err := p.sock.Recv(l.buf)
	if err != nil {
		l.unreachable(p.stream, err)
		return
	}
	if p.control {
		l.controlArrived(p.stream, l.buf[:n], from)
	} else {
		l.mediaArrived(p.stream, l.buf[:n], from)
	}
}

// due plays what is due and lets the tap know the time.
func (l *loop) due() {
	for len(l.players) > 0 && l.players[0].at <= l.now {
		l.slot(l.players[0])
	}
	l.mixDue()
	if l.tap != nil && l.sessions > 0 && l.now >= l.lastTick+tickEvery {
		l.tick()
	}
}

func (l *loop) tick() {
	defer l.recover("tick")
	l.lastTick = l.now
	l.tap.Tick(l.wall)
}

// slot gives a player its turn. A player that fails is tried again later.
func (l *loop) slot(p *player) {
	defer l.recover("prompt")
	p.at += frameTime // in case play fails
	heap.Fix(&l.players, p.place)
	l.play(p)
}

// recover keeps a bug in the handling of one packet from ending calls.
func (l *loop) recover(what string) {
	r := recover()
	if r == nil {
		return
	}
	l.count.panics.Add(1)
	l.log.Error("recovered from a failure in a packet loop", zap.String("during", what),
		zap.String("panic", fmt.Sprint(r)), zap.ByteString("stack", debug.Stack()))
}

// join and leave count sessions, for ticks.
func (l *loop) join() {
	if l.sessions++; l.sessions == 1 {
		l.lastTick = l.now
	}
}

func (l *loop) leave() {
	l.sessions--
	if l.tap != nil && l.sessions == 0 {
		l.tick() // the tap may have to write what it still holds
	}
}

// attach makes the loop the owner of a stream's sockets.
func (l *loop) attach(s *stream) {
	for _, p := range []port{{s.pair.rtp, s, false}, {s.pair.rtcp, s, true}} {
		id := p.sock.ID()
		for id >= len(l.ports) {
			l.ports = append(l.ports, make([]port, max(64, len(l.ports)))...)
		}
		l.ports[id] = p
	}
}

// detach closes a stream's sockets. They are forgotten first: their numbers
// may be used again at once.
func (l *loop) detach(s *stream) {
	l.ports[s.pair.rtp.ID()] = port{}
	l.ports[s.pair.rtcp.ID()] = port{}
	if err := s.pair.free(); err != nil {
		l.log.Warn("closing media ports failed", zap.Error(err))
	}
}

// finish closes what is still open when the engine ends.
func (l *loop) finish() {
	for id := range l.ports {
		if s := l.ports[id].stream; s != nil && !l.ports[id].control {
			l.detach(s)
		}
	}
	if err := l.poll.Close(); err != nil {
		l.log.Warn("closing a packet loop failed", zap.Error(err))
	}
}
