package sources

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip"
)

// Bounds of what is remembered of calls that are not there.
const (
	maxEarly   = 10_000           // documents that wait for their call
	maxOver    = 20_000           // calls that have ended
	overFor    = 4 * time.Hour    // how long after its end a call can still be told of
	joinLimit  = 10 * time.Second // for a call to take what came before it
	sweepEvery = 10 * time.Second // to look for documents that nobody came for
)

// Word is what a system says of calls.
type Word struct {
	IDs    []string // SIP Call-IDs, emergency call identifiers, incident identifiers
	Marks  map[policy.Field]string
	By     string
	Source string
}

// Joined is which calls a Word was joined to.
type Joined struct {
	Calls []string `json:"calls"`          // in progress, by Call-ID
	Late  []string `json:"late,omitempty"` // that had ended
	Kept  bool     `json:"kept,omitempty"` // none yet: it waits for its call
}

// Call is one of the calls, for a record; "" when there is none.
func (j Joined) Call() string {
	for _, list := range [][]string{j.Calls, j.Late} {
		if len(list) > 0 {
			return list[0]
		}
	}
	return ""
}

// joiner remembers what came before its call, and the calls that have ended.
type joiner struct {
	mu    sync.Mutex
	early map[string][]early // by each identifier
	kept  int                // documents in early
	over  map[string]*ended  // by each identifier
	order []*ended           // the oldest first
	swept time.Time          // when early was last looked through
}

// early is a word that waits for its call.
type early struct {
	word  Word
	until time.Time
}

// ended is a call that is over.
type ended struct {
	ref   sip.CallRef
	until time.Time
}

func (e *ended) names() []string { return []string{e.ref.ID, e.ref.EmergencyID, e.ref.IncidentID} }

// Join marks what w says at every call it names. What names no call that is in
// progress or has ended waits for one.
func (in *Intake) Join(ctx context.Context, w Word) Joined {
	j := Joined{Calls: []string{}}
	for _, id := range in.o.Calls.Matching(w.IDs...) {
		if len(w.Marks) == 0 {
			j.Calls = append(j.Calls, id)
			continue
		}
		_, err := in.o.Calls.MarkFrom(ctx, id, w.Marks, w.By, w.Source)
		switch {
		case err == nil:
			j.Calls = append(j.Calls, id)
		case !errors.Is(err, sip.ErrNoCall): // it has ended in this moment: it is among those that are over
			in.log.Error("intake not marked", zap.String("call", id), zap.String("source", w.Source), zap.Error(err))
		}
	}
	if len(w.Marks) > 0 {
		j.Late = in.markLate(ctx, w, j.Calls)
	}
	switch {
	case len(j.Calls) > 0:
		in.counts.joined.Add(1)
	case len(j.Late) > 0:
		in.counts.late.Add(1)
	case len(w.Marks) > 0 && in.keep(w):
		// The call may have come in between: then nobody else asks for it.
		if ids := in.o.Calls.Matching(w.IDs...); len(ids) > 0 {
			return in.Join(ctx, w)
		}
		j.Kept = true
	}
	return j
}

// markLate records marks for calls that have ended: nobody can be kept by them
// any more, but help that was sent is no longer owed.
func (in *Intake) markLate(ctx context.Context, w Word, here []string) []string {
	var late []string
	for _, id := range in.past(w.IDs) {
		if in.o.Past == nil || slices.Contains(here, id) || slices.Contains(late, id) {
			continue
		}
		v, err := in.o.Past.Get(ctx, id)
		if err != nil {
			if !errors.Is(err, sip.ErrNoCall) {
				in.log.Error("a call that ended cannot be read", zap.String("call", id), zap.Error(err))
			}
			continue
		}
		if slices.Contains(here, v.ID) || slices.Contains(late, v.ID) {
			continue
		}
		marks := maps.Clone(w.Marks)
		maps.DeleteFunc(marks, func(f policy.Field, value string) bool {
			return v.Intake[f].Source == w.Source && v.Intake[f].Value == value
		})
		if len(marks) > 0 {
			if _, err := in.o.Past.MarkFrom(ctx, v.ID, marks, w.By, w.Source); err != nil {
				in.log.Error("intake of a call that ended not marked", zap.String("call", v.ID), zap.Error(err))
				continue
			}
		}
		late = append(late, v.ID)
	}
	return late
}

// past is what the calls that have ended are asked for by: the journal knows
// them by their own identifiers, and here it is known which incident they were.
func (in *Intake) past(ids []string) []string {
	in.joiner.mu.Lock()
	defer in.joiner.mu.Unlock()
	out := make([]string, 0, len(ids))
	now := in.o.Now()
	for _, id := range ids {
		if e := in.joiner.over[id]; e != nil && !now.After(e.until) {
			out = append(out, e.ref.ID)
		} else if !strings.Contains(id, ":incidentid:") {
			out = append(out, id)
		}
	}
	return out
}

// keep lets w wait for its call.
func (in *Intake) keep(w Word) bool {
	now := in.o.Now()
	until := now.Add(in.settings.Load().Keep)
	in.joiner.mu.Lock()
	defer in.joiner.mu.Unlock()
	in.joiner.forget(now)
	if len(w.IDs) == 0 || !until.After(now) || in.joiner.kept >= maxEarly {
		return false
	}
	w.Marks = maps.Clone(w.Marks)
	for _, id := range w.IDs {
		in.joiner.early[id] = append(in.joiner.early[id], early{w, until})
		in.joiner.kept++
	}
	in.counts.kept.Add(1)
	return true
}

// forget drops what nobody came for. Callers hold mu.
func (j *joiner) forget(now time.Time) {
	for len(j.order) > 0 && (now.After(j.order[0].until) || len(j.order) > maxOver) {
		j.drop(j.order[0])
		j.order = j.order[1:]
	}
	if now.Sub(j.swept) < sweepEvery {
		return
	}
	j.swept = now
	for id, list := range j.early {
		rest := slices.DeleteFunc(list, func(e early) bool { return now.After(e.until) })
		j.kept -= len(list) - len(rest)
		if len(rest) == 0 {
			delete(j.early, id)
		} else {
			j.early[id] = rest
		}
	}
}

func (j *joiner) drop(e *ended) {
	for _, name := range e.names() {
		if j.over[name] == e {
			delete(j.over, name)
		}
	}
}

// Began joins what came before a call to it. It does not block, and runs in the
// call's goroutine.
func (in *Intake) Began(call sip.CallRef) {
	words := in.waiting(call)
	if len(words) == 0 {
		return
	}
	in.running.Go(func() {
		defer in.recovered("joining what came before a call")
		ctx, cancel := context.WithTimeout(context.Background(), joinLimit)
		defer cancel()
		for _, w := range words {
			if _, err := in.o.Calls.MarkFrom(ctx, call.ID, w.Marks, w.By, w.Source); err != nil {
				in.log.Warn("what came before a call was not joined", zap.String("call", call.ID), zap.Error(err))
				continue
			}
			in.counts.joined.Add(1)
		}
	})
}

// waiting takes out what waits for call.
func (in *Intake) waiting(call sip.CallRef) []Word {
	now := in.o.Now()
	in.joiner.mu.Lock()
	defer in.joiner.mu.Unlock()
	if len(in.joiner.early) == 0 {
		return nil
	}
	var words []Word
	for _, id := range []string{call.ID, call.EmergencyID, call.IncidentID} {
		list := in.joiner.early[id]
		if id == "" || len(list) == 0 {
			continue
		}
		for _, e := range list {
			if !now.After(e.until) && !slices.ContainsFunc(words, func(w Word) bool { return maps.Equal(w.Marks, e.word.Marks) }) {
				words = append(words, e.word)
			}
		}
		in.joiner.kept -= len(list)
		delete(in.joiner.early, id)
	}
	return words
}

// Over remembers which incident a call that has ended was of, so that what
// comes late is recorded with it. It does not block, and runs in the call's goroutine.
func (in *Intake) Over(call sip.CallRef) {
	now := in.o.Now()
	e := &ended{ref: call, until: now.Add(overFor)}
	in.joiner.mu.Lock()
	defer in.joiner.mu.Unlock()
	in.joiner.order = append(in.joiner.order, e)
	for _, name := range e.names() {
		if name != "" {
			in.joiner.over[strings.Clone(name)] = e
		}
	}
	in.joiner.forget(now)
	if len(in.joiner.early) > 0 {
		in.running.Go(func() { in.overtaken(call) })
	}
}

// overtaken records what came in the very moment in which its call ended.
func (in *Intake) overtaken(call sip.CallRef) {
	defer in.recovered("joining what came as a call ended")
	ctx, cancel := context.WithTimeout(context.Background(), joinLimit)
	defer cancel()
	for _, w := range in.waiting(call) {
		in.markLate(ctx, w, nil)
	}
}

// recovered keeps a panic in a goroutine of this package from ending calls.
func (in *Intake) recovered(where string) {
	if r := recover(); r != nil {
		in.log.Error("panic recovered", zap.String("in", where), zap.Any("panic", r), zap.Stack("stack"))
	}
}
