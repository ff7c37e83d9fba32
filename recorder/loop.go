package recorder

import (
	"time"

	"go.uber.org/zap"
)

// recorderLoop is the goroutine that puts packets where they belong. Only it
// touches recordings in progress.
type recorderLoop struct {
	a        *Audio
	recs     map[uint32]*recording
	stopping []*recording
	closing  time.Time
}

// run serves until the recorder is closed and all recordings are finished.
func (a *Audio) run() {
	l := &recorderLoop{a: a, recs: make(map[uint32]*recording)}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	defer close(a.ended)
	defer a.closer.end()
	for !l.turn(tick.C) {
	}
}

// turn does one piece of work and recovers from whatever goes wrong in it.
func (l *recorderLoop) turn(tick <-chan time.Time) (end bool) {
	defer l.a.recovered("the recorder panicked")
	var b *block
	quit := l.a.quit
	if !l.closing.IsZero() {
		quit = nil
	}
	select {
	case b = <-l.a.full:
	case <-l.a.wake:
	case <-tick:
		l.beat(time.Now())
	case <-quit:
		l.closeAll()
	}
	l.commands() // before the packets: a recording is started before it gets any
	if b != nil {
		l.block(b)
	}
	l.finish(time.Now())
	return !l.closing.IsZero() && len(l.recs) == 0
}

// commands does what was asked for.
func (l *recorderLoop) commands() {
	l.a.mu.Lock()
	todo := l.a.commands
	l.a.commands = nil
	l.a.mu.Unlock()
	for _, f := range todo {
		l.do(f)
	}
}

func (l *recorderLoop) do(f func(*recorderLoop)) {
	defer l.a.recovered("a recorder command panicked")
	f(l)
}

// start creates the file of a recording.
func (l *recorderLoop) start(r *recording) {
	l.recs[r.id] = r
	l.a.ledger.open(r.path)
	r.write(nil)
	l.check(r)
}

// stop asks every tap for what it holds; finish closes the recording then.
func (l *recorderLoop) stop(rec uint32, done func(Closed)) {
	r := l.recs[rec]
	if r == nil || r.stopping {
		if done != nil {
			go l.a.callDone(done, Closed{})
		}
		return
	}
	r.stopping, r.done, r.deadline = true, done, time.Now().Add(stopWait)
	l.stopping = append(l.stopping, r)
	for _, t := range l.taps() {
		w := awaited{tap: t, turn: t.done}
		if t.holds.Load() { // else all it had is in the channel
			w.turn = t.want.Add(1)
		}
		w.handed = t.handed.Load()
		r.awaited = append(r.awaited, w)
	}
}

func (l *recorderLoop) taps() []*Tap {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	return l.a.taps
}

// block deals with the packets of one tap.
func (l *recorderLoop) block(b *block) {
	defer func() {
		b.tap.done = b.turn
		b.tap.got++
		b.tap = nil
		l.a.taken.Add(1)
		l.a.free <- b // there is room: never more blocks than that
	}()
	b.packets(func(rec uint32, side, codec, stream uint8, at int64, pkt []byte) {
		if r := l.recs[rec]; r != nil {
			l.packet(r, side, codec, stream, at, pkt)
		}
	})
}

// packet is a function of its own so that a panic costs one packet.
func (l *recorderLoop) packet(r *recording, side, codec, stream uint8, at int64, pkt []byte) {
	defer l.a.recovered("recording a packet panicked")
	if side >= firstTrackSide {
		r, side, stream = l.track(r, stream, at), side-firstTrackSide, 0
	}
	was := r.failures
	r.packet(side, codec, stream, at, pkt, &l.a.conv)
	if r.failures != was {
		l.check(r)
	}
}

// check tells when a recording cannot be written.
func (l *recorderLoop) check(r *recording) {
	if r.failed == nil {
		return
	}
	l.a.troubled(r.failed.Error())
	l.a.mu.Lock()
	l.a.health.Failures++
	l.a.mu.Unlock()
	if !r.told {
		r.told = true
		l.a.log.Error("recording cannot be written", zap.String("path", r.path), zap.Error(r.failed))
	}
}

// beat writes what has rested in memory, and looks after the files.
func (l *recorderLoop) beat(now time.Time) {
	for r := range l.files() {
		if now.Sub(r.looked) >= lookEvery {
			if !r.looked.IsZero() {
				r.look()
			}
			r.looked = now
		}
		if r.slid {
			r.slid, r.flushed = false, now
		}
		if now.Sub(r.flushed) >= idleFlush && (r.fresh || r.failed != nil || r.f == nil || r.dump != nil) {
			r.flush()
			r.flushed = now
			l.check(r)
		}
	}
}

// finish closes the recordings whose last packets have arrived.
func (l *recorderLoop) finish(now time.Time) {
	rest := l.stopping[:0]
	for _, r := range l.stopping {
		if !l.arrived(r) && now.Before(r.deadline) {
			rest = append(rest, r)
			continue
		}
		delete(l.recs, r.id)
		l.a.closer.add(r)
	}
	clear(l.stopping[len(rest):])
	l.stopping = rest
}

// arrived tells that every tap has handed over what it held when the recording
// was stopped.
func (l *recorderLoop) arrived(r *recording) bool {
	for i := range r.awaited {
		if !r.awaited[i].arrived() {
			return false
		}
	}
	return true
}

// closeAll stops what is still being recorded when the recorder is closed.
func (l *recorderLoop) closeAll() {
	l.closing = time.Now()
	l.commands()
	for id := range l.recs {
		l.stop(id, nil)
	}
}
