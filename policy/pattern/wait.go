package pattern

import (
	"container/heap"
	"slices"
	"time"
)

// wait keeps a stint until all that can come to light about it has.
func (b *Bank) wait(s *stint, entry bool) {
	d := b.o.RedialWithin
	if entry {
		d = b.o.EnteredWithin
	}
	if s.agent == "" || s.call.exempt {
		return
	}
	s.call.waits++
	b.order++
	heap.Push(&b.pending, wait{s.to.Add(d), b.order, s, entry})
	if from := s.call.from; !entry && from != "" {
		b.left[from] = append(b.left[from], s)
	}
}

// wait is a place in the line of what is waited for.
type wait struct {
	due   time.Time
	order uint64 // ties in the order in which they came
	s     *stint
	entry bool // for an incident; otherwise for a redial or for help
}

// expire counts what has not come to light until now.
func (b *Bank) expire(now time.Time) {
	for len(b.pending) > 0 && !b.pending[0].due.After(now) {
		w, _ := heap.Pop(&b.pending).(wait)
		b.newDay(w.due)
		b.timeOut(w)
	}
}

func (b *Bank) timeOut(w wait) {
	s := w.s
	if w.entry {
		b.count(s, Unentered, !s.call.marks().entered(), w.due)
		b.done(s)
		return
	}
	if from := s.call.from; from != "" {
		b.left[from] = slices.DeleteFunc(b.left[from], func(x *stint) bool { return x == s })
		if len(b.left[from]) == 0 {
			delete(b.left, from)
		}
	}
	b.count(s, Redial, false, w.due)
	b.count(s, GaveUp, false, w.due)
	if s.counted&(1<<Needed) == 0 && s.extended < patience && b.served(s) {
		s.extended++
		w.due = w.due.Add(b.o.RedialWithin)
		heap.Push(&b.pending, w)
		return
	}
	b.count(s, Needed, false, w.due)
	b.done(s)
}

// served tells whether the caller that s left is still with somebody.
func (b *Bank) served(s *stint) bool {
	return !s.call.over || slices.ContainsFunc(s.redials, func(c *call) bool { return !c.over })
}

// done ends the wait for a stint.
func (b *Bank) done(s *stint) {
	s.call.waits--
	b.forget(s.call)
}

// forget drops a call of which nothing more can come to light.
func (b *Bank) forget(c *call) {
	if !c.over || c.waits > 0 {
		return
	}
	delete(b.calls, c.id)
}

// waits is a heap, the first to be due on top.
type waits []wait

func (w waits) Len() int { return len(w) }
func (w waits) Less(i, j int) bool {
	if w[i].due.Equal(w[j].due) {
		return w[i].order < w[j].order
	}
	return w[i].due.Before(w[j].due)
}
func (w waits) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push is heap.Interface.
func (w *waits) Push(x any) {
	if v, ok := x.(wait); ok {
		*w = append(*w, v)
	}
}

// Pop is heap.Interface.
func (w *waits) Pop() any {
	old := *w
	last := old[len(old)-1]
	*w = old[:len(old)-1]
	return last
}
