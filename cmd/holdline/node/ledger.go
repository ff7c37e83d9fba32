package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/console"
	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/recorder"
	"holdline/sip"
)

const (
	// sittings is how long ago somebody may have signed in and still sit there
	// after a restart.
	sittings = 7 * 24 * time.Hour
	// restoreWait is how long a start waits to know who sits where. On a journal
	// so large that it takes longer, calls come first.
	restoreWait = 2 * time.Second
)

// openLedger makes what the journal is followed for: the account of callers,
// who sits where, surge mode. Nothing is followed before the node starts.
func (n *Node) openLedger(c *config.Config) error {
	j := console.JournalOf(n.journal)
	complete := func(in policy.Intake) bool { return n.config.Load().Policy.Rules().Complete(in) }
	n.ledger = ledger.New(ledger.Options{Complete: complete, Relay: c.Relay.Limits(), Owed: c.Callbacks.Within.Std(), Redial: c.Redials.Within.Std(), Node: n.name})
	n.openPatterns(c)
	n.seating = console.NewSeating(j, n.hasPosition)
	n.surge = console.NewSurge(j)
	n.dialer = &dialer{n: n}
	n.past = &console.Past{
		Journal: j, Find: n.ledger.Find, Complete: complete,
		Read: func(ctx context.Context, call string, each func(recorder.Record) error) error {
			return n.journal.Read(ctx, recorder.Query{Call: call}, each)
		},
	}
	n.follower = newFollower(n.journal, n.log.Named("follow"), func(reason string) { n.degraded("alerts", reason) }, n.followers()...)
	n.follower.live = n.live
	n.stops.push("surge", func(context.Context) error { n.surge.Stop(); return nil })
	n.restore()
	return nil
}

// followers are all who draw conclusions from the journal.
func (n *Node) followers() []policy.Follower {
	return []policy.Follower{n.ledger, n.patterns, n.dialer}
}

// live runs when the past has been followed.
func (n *Node) live() {
	n.endOrphans()
	n.dialer.mu.Lock()
	n.dialer.live = true
	n.dialer.mu.Unlock()
}

// follow begins to follow the journal.
func (n *Node) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.follower.run(ctx)
	}()
	n.stops.push("follower", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

func (n *Node) hasPosition(id string) bool {
	for _, p := range n.config.Load().Positions {
		if p.ID == id {
			return true
		}
	}
	return false
}

// restore reads who sits where and whether surge mode is on, and waits for it
// as long as a start may take.
func (n *Node) restore() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.readBack(ctx); err != nil && !errors.Is(err, context.Canceled) {
			n.log.Error("who sits where, or surge mode, is not known from before", zap.Error(err))
		}
		n.surge.Resume()
	}()
	n.stops.push("restore", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
	select {
	case <-done:
	case <-time.After(restoreWait):
		n.log.Warn("the journal is long: who sits where becomes known later")
	}
}

func (n *Node) readBack(ctx context.Context) error {
	after, err := seqBefore(ctx, n.journal, time.Now().Add(-sittings))
	if err != nil {
		return err
	}
	// Two kinds at a time, in the order in which they were written.
	err = n.inOrder(ctx, after, n.seating.Apply, ledger.SignedIn, ledger.SignedOut)
	return errors.Join(err, n.inOrder(ctx, after, n.surge.Restore, "surge.started", "surge.ended"))
}

// inOrder gives each the records of two kinds, in order.
func (n *Node) inOrder(ctx context.Context, after uint64, each func(policy.Record), kinds ...string) error {
	var all []policy.Record
	for _, kind := range kinds {
		err := n.journal.Read(ctx, recorder.Query{After: after, Kind: kind}, func(r recorder.Record) error {
			all = append(all, policy.Record{Seq: r.Seq, Time: r.Time, Node: r.Node, Call: r.Call, Kind: r.Kind, Data: r.Data})
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(all, func(a, b policy.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, r := range all {
		each(r)
	}
	return nil
}

// earlier is what the guard asks of the account when a call comes in.
func (n *Node) earlier(who sip.CallerID, at time.Time) sip.Earlier {
	e := n.ledger.Earlier(who.From, who.Asserted, who.EmergencyID, who.IncidentID, at)
	return sip.Earlier{Redials: e.Redials, Avoid: e.Avoid, Note: e.Note}
}

// orphanData is call.ended of a call that was up when the node stopped.
type orphanData struct {
	By         string          `json:"by"`
	Reason     string          `json:"reason"`
	Kind       policy.CallKind `json:"kind"`
	Answered   time.Time       `json:"answered,omitzero"`
	DurationMS int64           `json:"durationMs"` // to the last that is known of it
	Rescues    int             `json:"rescues"`
	Complete   bool            `json:"intakeComplete"`
}

// endOrphans writes down the end of calls that were up when the node was
// stopped or killed, so that their callers are not forgotten. It is nobody's
// fault who sat at a position.
func (n *Node) endOrphans() {
	for _, o := range n.ledger.Orphans() {
		entry := recorder.Entry{Time: time.Now(), Call: o.Call, Kind: "call.ended", Data: orphanData{
			By: "error", Reason: "the node stopped", Kind: o.Kind, Answered: o.Answered,
			DurationMS: o.Seen.Sub(o.Started).Milliseconds(), Rescues: o.Rescues, Complete: o.Complete,
		}}
		n.journal.Commit(func(bool) { // said when it can be asked for
			n.log.Warn("call was up when the node stopped", zap.String("call", o.Call))
		}, entry)
	}
}
