package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// stopWait is how long one part may take to stop before the next one is
// stopped without it.
const stopWait = 10 * time.Second

// stops is a stack of the parts that were started: the last one started is the
// first one stopped.
type stops struct {
	log    *zap.Logger
	first  sync.Once
	mu     sync.Mutex
	parts  []part
	failed error // of parts that were stopped already
}

type part struct {
	name string
	stop func(context.Context) error
}

func (s *stops) push(name string, stop func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, part{name, stop})
}

// once runs f before the first stop and never again.
func (s *stops) once(f func()) { s.first.Do(f) }

// run stops every part that is still running. A part that fails, panics or
// takes too long does not keep the others from being stopped.
func (s *stops) run(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.parts) > 0 {
		p := s.parts[len(s.parts)-1]
		s.parts = s.parts[:len(s.parts)-1]
		if err := p.run(ctx); err != nil {
			s.log.Error("part did not stop cleanly", zap.String("part", p.name), zap.Error(err))
			s.failed = errors.Join(s.failed, fmt.Errorf("stopping the %s: %w", p.name, err))
		}
	}
	return s.failed
}

func (p part) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("panic: %v", r)
			}
		}()
		done <- p.stop(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it still runs: %w", ctx.Err())
	}
}
