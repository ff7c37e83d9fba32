package phone

import (
	"context"
	"sync"
)

// queue is a list without a limit that somebody can wait on: what happened
// must not be lost because a test has not asked for it yet.
type queue[T any] struct {
	mu    sync.Mutex
	items []T
	wake  chan struct{} // closed and renewed by put
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{})} }

func (q *queue[T]) put(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	close(q.wake)
	q.wake = make(chan struct{})
}

// get takes the oldest item, or waits for one until ctx ends or done is
// closed, which is reported as over.
func (q *queue[T]) get(ctx context.Context, done <-chan struct{}, over error) (item T, err error) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			item, q.items = q.items[0], q.items[1:]
			q.mu.Unlock()
			return item, nil
		}
		wake := q.wake
		q.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return item, ctx.Err()
		case <-done:
			return item, over
		}
	}
}
