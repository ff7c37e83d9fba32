package sip

import (
	"sync"
	"sync/atomic"
)

// inbox holds what a call has still to do, in order. Whoever finds the call at
// rest becomes its goroutine until nothing is left to do: a call that waits
// has none, and a message is handled by the goroutine that brought it. It
// grows as needed: whoever posts never waits.
type inbox struct {
	mu     sync.Mutex
	queue  []func()
	spare  []func() // the room of a queue that was worked off
	owned  bool     // a goroutine has the call, and will do what is posted
	closed bool
}

// add queues f. mine tells that the call was at rest and is the caller's now:
// work must follow. ok is false when the call is over and f will not run.
func (b *inbox) add(f func(), working *sync.WaitGroup) (mine, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false, false
	}
	if b.queue == nil {
		b.queue, b.spare = b.spare, nil
	}
	b.queue = append(b.queue, f)
	if mine = !b.owned; mine {
		b.owned = true
		working.Add(1) // under the lock: after close nobody begins
	}
	return mine, true
}

// take returns what there is to do; when that is nothing, the call is at rest.
// done is what was taken before: its room is used again.
func (b *inbox) take(done []func()) []func() {
	clear(done)
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queue
	b.queue, b.owned = nil, len(q) > 0
	if b.spare == nil && cap(done) <= inboxRoom {
		b.spare = done[:0]
	}
	return q
}

// inboxRoom is how much room an inbox keeps for the next events.
const inboxRoom = 16

// close refuses everything from now on and returns what was not done.
func (b *inbox) close() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	q := b.queue
	b.queue = nil
	return q
}

// post has f done by the call, in another goroutine than this one. It never
// waits. False says that the call is over and f will not run.
func (c *Call) post(f func()) bool {
	mine, ok := c.inbox.add(f, &c.g.wg)
	if mine {
		go c.work()
	}
	return ok
}

// enter has f done by the call, here and now if it is at rest. It is for
// goroutines that have nothing else to do and hold no lock: they do whatever
// else is posted meanwhile.
func (c *Call) enter(f func()) bool {
	mine, ok := c.inbox.add(f, &c.g.wg)
	if mine {
		c.work()
	}
	return ok
}

// work does what is in the inbox. The call is forgotten when the caller is
// gone, every leg is cleaned up and the media is closed; when the guard stops,
// it stays as it is.
func (c *Call) work() {
	defer c.g.wg.Done()
	for todo := c.inbox.take(nil); len(todo) > 0; todo = c.inbox.take(todo) {
		for _, f := range todo {
			c.guarded(f)
		}
		if c.done {
			c.closeSignalling()
			c.g.forget(c)
			for _, f := range c.inbox.close() {
				c.guarded(f)
			}
			c.guarded(c.dissolve)
			return
		}
	}
}

// dissolve lets go what would keep a call in memory when it is over: the
// library's transactions last longer than calls do.
func (c *Call) dissolve() {
	for _, l := range c.legs {
		l.sent.Forget()
	}
	if c.inviteTx == nil {
		return // we called
	}
	c.handle.Store(nil)
	if c.answered() {
		c.g.edge.Forget(c.inviteTx)
	}
}

// handle is a call for those who may outlive it: the library keeps the
// transaction of an INVITE, and what it was given, long after the call.
type handle struct{ atomic.Pointer[Call] }

// post has f done by the call, unless it was forgotten.
func (h *handle) post(f func(*Call)) {
	if c := h.Load(); c != nil {
		c.post(func() { f(c) })
	}
}
