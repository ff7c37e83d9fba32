package media

import "time"

// slot is when something is to make its next packet, and its place in the heap
// of those that do.
type slot struct {
	at    time.Duration
	place int
}

func (s *slot) next() *slot { return s }

// slots is a heap by the time of the next slot, for container/heap.
type slots[T interface{ next() *slot }] []T

func (s slots[T]) Len() int           { return len(s) }
func (s slots[T]) Less(i, j int) bool { return s[i].next().at < s[j].next().at }
func (s slots[T]) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].next().place, s[j].next().place = i, j
}

// Push is for container/heap.
func (s *slots[T]) Push(x any) {
	one := x.(T) //nolint:forcetypeassert // nothing else is pushed
	one.next().place = len(*s)
	*s = append(*s, one)
}

// Pop is for container/heap.
func (s *slots[T]) Pop() any {
	last := len(*s) - 1
	one := (*s)[last]
	clear((*s)[last:])
	*s = (*s)[:last]
	return one
}
