package node

import (
	"context"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/console/history"
	"holdline/recorder"
)

// openHistory opens the index of past calls. A node whose index cannot be
// opened goes on without it and says so.
func (n *Node) openHistory(c *config.Config) error {
	x, err := history.Open(c.Data, func(after uint64) history.Stream { return records{n.journal.Subscribe(after)} }, n.log.Named("history"))
	if err != nil {
		n.log.Error("past calls cannot be searched", zap.Error(err))
		n.degraded("history", "past calls cannot be searched: "+err.Error())
		return nil
	}
	n.history = x
	n.stops.push("history", func(context.Context) error { return x.Close() })
	return nil
}

// search is the index as the console asks it: who asks is told of everything that
// was recorded by then, in the database or on its way there.
type search struct {
	*history.Index
	journal *recorder.Journal
}

func (s search) Reached(ctx context.Context, seq uint64) bool {
	h := s.journal.Health()
	return s.Index.Reached(ctx, max(seq, h.LastSeq+uint64(h.Pending)))
}

// records is a subscription as the index reads it.
type records struct{ *recorder.Subscription }

func (r records) C() <-chan recorder.Record { return r.Subscription.C }
