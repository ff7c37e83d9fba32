package sip

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// queue keeps the callers who wait in their order: by Resource-Priority
// (RFC 7135), then first in, first out. Each call walks the tiers itself; the
// queue only sees to it that nobody is served before an earlier caller who
// wants the same target.
type queue struct {
	mu      sync.Mutex
	waiting []*ticket
}

// ticket is a call's place. wants are the targets that were busy for it.
type ticket struct {
	c     *Call
	rank  int
	since time.Time
	wants map[string]bool
}

func newQueue() *queue { return &queue{} }

// enter puts c into the queue; since is when its caller began to wait.
func (q *queue) enter(c *Call, rank int, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.find(c) >= 0 {
		return
	}
	t := &ticket{c: c, rank: rank, since: since, wants: map[string]bool{}}
	at, _ := slices.BinarySearchFunc(q.waiting, t, func(a, b *ticket) int {
		if a.rank != b.rank {
			return b.rank - a.rank
		}
		return a.since.Compare(b.since)
	})
	q.waiting = slices.Insert(q.waiting, at, t)
}

// leave takes c out; those who wait behind it may now have their turn.
func (q *queue) leave(c *Call) {
	q.mu.Lock()
	i := q.find(c)
	var wanted map[string]bool
	if i >= 0 {
		wanted = q.waiting[i].wants
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	for key := range wanted {
		q.freed(key)
	}
}

func (q *queue) find(c *Call) int {
	return slices.IndexFunc(q.waiting, func(t *ticket) bool { return t.c == c })
}

// place is c's position in the queue, from 1; 0 when it is not in it.
func (q *queue) place(c *Call) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.find(c) + 1
}

// may tells whether c may be offered to key: nobody who waits before it wants
// that target. A call that does not wait comes after all who do.
func (q *queue) may(c *Call, key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.waiting {
		if t.c == c {
			return true
		}
		if t.wants[key] {
			return false
		}
	}
	return true
}

// want notes that key was busy for c.
func (q *queue) want(c *Call, key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.find(c); i >= 0 {
		q.waiting[i].wants[key] = true
	}
}

// got notes that c is being offered to somebody: while it is, it holds no
// place before others.
func (q *queue) got(c *Call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := q.find(c); i >= 0 {
		clear(q.waiting[i].wants)
	}
}

// freed wakes those who want key, first in order.
func (q *queue) freed(key string) {
	q.mu.Lock()
	var wake []*Call
	for _, t := range q.waiting {
		if t.wants[key] {
			wake = append(wake, t.c)
		}
	}
	q.mu.Unlock()
	for _, c := range wake {
		c.post(c.tryAgain)
	}
}

// rank orders a Resource-Priority header: esnet.4 is the highest of its
// namespace (RFC 7135 section 2); what is not understood ranks lowest.
func rank(resourcePriority string) int {
	best := 0
	for v := range strings.SplitSeq(resourcePriority, ",") {
		ns, r, _ := strings.Cut(strings.ToLower(strings.TrimSpace(v)), ".")
		if n, err := strconv.Atoi(r); err == nil && ns == "esnet" {
			best = max(best, n+1)
		}
	}
	return best
}
