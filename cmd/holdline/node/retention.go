package node

import (
	"context"
	"time"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/recorder/retention"
)

// How often what is too old is looked for, and how long after the start first:
// a node that was just started has better things to do.
const (
	sweepEvery = 24 * time.Hour
	sweepFirst = 5 * time.Minute
)

// openRetention begins to delete what has been kept long enough.
func (n *Node) openRetention(*config.Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		timer := time.NewTimer(sweepFirst)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
				n.sweep(ctx)
				timer.Reset(sweepEvery)
			}
		}
	}()
	n.stops.push("retention", func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

func (n *Node) sweep(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil {
			n.log.Error("panic recovered", zap.String("in", "retention"), zap.Any("panic", r), zap.Stack("stack"))
		}
	}()
	c := n.config.Load()
	k := retention.Keeper{Data: c.Data, Journal: n.journal, Periods: retention.Periods{
		Ordinary: c.Retention.Ordinary.Std(), Evidential: c.Retention.Evidential.Std(), Records: c.Retention.Records.Std(),
	}}
	if err := k.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
		n.degraded("retention", err.Error())
	}
}
