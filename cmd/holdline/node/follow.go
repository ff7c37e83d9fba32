package node

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"holdline/policy"
	"holdline/recorder"
)

const (
	// lookBack is how much of the past is followed again after a start.
	lookBack = 35 * 24 * time.Hour
	// stillNews is how old a finding of the past may be to be raised after a
	// start, if it was not before: what the node was down for, and not what a
	// newer version sees in an old journal.
	stillNews = 24 * time.Hour
	// mostAtOnce is how many findings of one cause a start raises: the latest.
	mostAtOnce = 20
	// restless is how soon a follower is called again at the earliest, so that
	// one that always wants to be costs nothing.
	restless = 100 * time.Millisecond
)

// follower feeds the journal to all who draw conclusions from it, and raises
// what they find. It has a goroutine of its own, and reads a subscription:
// calls do not wait for it, however slow it is, and it misses nothing.
type follower struct {
	journal *recorder.Journal
	log     *zap.Logger
	all     []policy.Follower
	failed  func(reason string) // told of a follower that panicked
	live    func()              // called once when the past has been followed; may be nil

	past    uint64          // the last record of the life before
	present bool            // the past is over
	raised  map[string]bool // alerts by id: true while they are not resolved
	pending []timed         // found in the past, not known to be raised
	dead    []bool          // followers that panicked when told the time

	mu      sync.Mutex
	applied uint64
	more    chan struct{} // closed and replaced when applied grows
	caught  chan struct{} // closed when the past has been followed
}

// timed is a finding with the time of what it rests on.
type timed struct {
	at time.Time
	policy.Finding
}

func newFollower(j *recorder.Journal, log *zap.Logger, failed func(string), all ...policy.Follower) *follower {
	return &follower{
		journal: j, log: log, all: all, failed: failed, raised: map[string]bool{}, dead: make([]bool, len(all)),
		past: j.Health().LastSeq, more: make(chan struct{}), caught: make(chan struct{}),
	}
}

// run follows the journal until ctx or the journal is over.
func (f *follower) run(ctx context.Context) {
	begin := time.Now()
	after, err := seqBefore(ctx, f.journal, begin.Add(-lookBack))
	if err != nil {
		f.log.Error("the journal's past cannot be read; only what happens from now on is followed", zap.Error(err))
		after = f.past
	}
	s := f.journal.Subscribe(after)
	defer s.Close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if f.present {
			f.tick(time.Now())
			timer.Reset(f.wait(time.Now()))
		}
		select {
		case r, open := <-s.C:
			if !open {
				return
			}
			f.take(r, begin)
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// take applies one record. Up to the end of the past the time is that of the
// records, so that the past is followed as it was.
func (f *follower) take(r recorder.Record, begin time.Time) {
	if !f.present {
		f.tick(r.Time)
		if r.Seq > f.past {
			f.arrive(begin)
		}
	}
	f.note(r)
	rec := policy.Record{Seq: r.Seq, Time: r.Time, Node: r.Node, Call: r.Call, Kind: r.Kind, Data: r.Data}
	for i := range f.all {
		f.guarded(i, func() { f.found(r.Time, f.all[i].Apply(rec)) })
	}
	f.mu.Lock()
	f.applied = r.Seq
	close(f.more)
	f.more = make(chan struct{})
	f.mu.Unlock()
	if f.present && r.Kind == "node.started" && r.Seq > f.past {
		select {
		case <-f.caught:
		default:
			close(f.caught)
			if f.live != nil {
				f.live()
			}
		}
	}
}

// note remembers which alerts there are, and which of them are resolved.
func (f *follower) note(r recorder.Record) {
	var d struct{ ID, Alert string }
	switch {
	case r.Kind != "alert.raised" && r.Kind != "alert.resolved" || json.Unmarshal(r.Data, &d) != nil:
	case r.Kind == "alert.raised" && d.ID != "":
		if _, known := f.raised[d.ID]; !known {
			f.raised[d.ID] = true
		}
	case r.Kind == "alert.resolved" && d.Alert != "":
		f.raised[d.Alert] = false
	}
}

// tick tells followers the time, each as often as it has to do before now.
func (f *follower) tick(now time.Time) {
	for i, one := range f.all {
		f.guarded(i, func() {
			for !f.dead[i] {
				due := one.Due()
				if due.IsZero() || due.After(now) {
					return
				}
				f.dead[i] = true // until it has come back
				f.found(due, one.Tick(due))
				f.dead[i] = false
				if next := one.Due(); !next.IsZero() && !next.After(due) {
					return // it wants to be called for ever
				}
			}
		})
	}
}

// wait is how long nobody is due.
func (f *follower) wait(now time.Time) time.Duration {
	d := time.Hour
	for i, one := range f.all {
		f.guarded(i, func() {
			if due := one.Due(); !f.dead[i] && !due.IsZero() {
				d = min(d, due.Sub(now))
			}
		})
	}
	return max(d, restless) // those that were due have just been called
}

// guarded runs a follower's code. A panic in it is a bug of ours and costs what
// that follower would have found, and nothing else.
func (f *follower) guarded(i int, do func()) {
	defer func() {
		if r := recover(); r != nil {
			f.log.Error("panic recovered in a follower of the journal", zap.Int("follower", i), zap.Any("panic", r), zap.Stack("stack"))
			f.failed("a panic in what follows the journal was recovered")
		}
	}()
	do()
}

// found raises findings, or keeps them until the past is over.
func (f *follower) found(at time.Time, all []policy.Finding) {
	for _, one := range all {
		if !f.present {
			f.pending = append(f.pending, timed{at, one})
			continue
		}
		f.raise(time.Now(), one)
	}
}

// arrive ends the past: what was found in it and is news is raised now.
func (f *follower) arrive(now time.Time) {
	f.present = true
	count := map[string]int{}
	var news []policy.Finding
	for _, one := range slices.Backward(f.pending) {
		if one.Resolves != "" { // it must not stay open because the node went down
			news = append(news, one.Finding)
			continue
		}
		if _, known := f.raised[one.ID]; known || now.Sub(one.at) > stillNews {
			continue
		}
		if count[one.Cause]++; count[one.Cause] <= mostAtOnce {
			news = append(news, one.Finding)
		}
	}
	for _, one := range slices.Backward(news) {
		f.raise(time.Now(), one)
	}
	for cause, n := range count {
		if n > mostAtOnce {
			f.log.Warn("older findings are not raised", zap.String("cause", cause), zap.Int("left", n-mostAtOnce))
		}
	}
	f.pending = nil
}

// raisedData is alert.raised for a finding; what it carries follows.
type raisedData struct {
	ID       string `json:"id"`
	Cause    string `json:"cause"`
	Position string `json:"position,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Why      string `json:"why"`
}

// raise writes the alert of a finding, once.
func (f *follower) raise(at time.Time, one policy.Finding) {
	if one.Resolves != "" {
		f.resolve(at, one)
		return
	}
	if _, known := f.raised[one.ID]; known {
		return
	}
	f.raised[one.ID] = true
	data, err := json.Marshal(raisedData{one.ID, one.Cause, one.Position, one.Agent, one.Rule, one.Why})
	if err == nil && one.Data != nil {
		data, err = joined(data, one.Data)
	}
	if err != nil {
		f.log.Error("finding cannot be written down whole", zap.String("cause", one.Cause), zap.Error(err))
	}
	f.journal.Append(recorder.Entry{Time: at, Call: one.Call, Kind: "alert.raised", Data: json.RawMessage(data)})
	f.log.Info("alert raised", zap.String("cause", one.Cause), zap.String("id", one.ID), zap.String("call", one.Call))
}

// resolve writes that the cause of an alert is gone, once.
func (f *follower) resolve(at time.Time, one policy.Finding) {
	if !f.raised[one.Resolves] {
		return
	}
	f.raised[one.Resolves] = false
	f.journal.Append(recorder.Entry{Time: at, Kind: "alert.resolved", Data: struct {
		Alert string `json:"alert"`
		Why   string `json:"why"`
	}{one.Resolves, one.Why}})
}

// joined adds the fields of another object to a JSON object.
func joined(object []byte, more any) ([]byte, error) {
	extra, err := json.Marshal(more)
	if err != nil {
		return object, err
	}
	if len(extra) < 3 || extra[0] != '{' { // {} adds nothing
		return object, nil
	}
	return bytes.Join([][]byte{object[:len(object)-1], extra[1:]}, []byte(",")), nil
}

// known waits until every record that the journal has accepted by now, on disk or
// not yet, is followed; it
// reports false when that takes longer than ctx, and while the past is read.
func (f *follower) known(ctx context.Context) bool {
	h := f.journal.Health()
	want := h.LastSeq + uint64(h.Pending)
	select {
	case <-f.caught:
		return f.reached(ctx, want)
	default:
		return false
	}
}

// reached waits until a record is followed, as long as ctx.
func (f *follower) reached(ctx context.Context, want uint64) bool {
	for {
		f.mu.Lock()
		applied, more := f.applied, f.more
		f.mu.Unlock()
		if applied >= want {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}

// seqBefore returns the number of the last record before a time; 0 when there
// is none. Records are in the order of time but for moments, so that a few
// single ones show the way, however long the journal is.
func seqBefore(ctx context.Context, j *recorder.Journal, at time.Time) (uint64, error) {
	low, high := uint64(0), j.Health().LastSeq // records up to low are before, those after high are not
	for low < high {
		mid := low + (high-low)/2
		var next recorder.Record
		err := j.Read(ctx, recorder.Query{After: mid, Limit: 1}, func(r recorder.Record) error { next = r; return nil })
		if err != nil {
			return 0, err
		}
		if next.Seq == 0 || !next.Time.Before(at) {
			high = mid
		} else {
			low = next.Seq
		}
	}
	return low, nil
}
