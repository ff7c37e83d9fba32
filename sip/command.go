package sip

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"holdline/policy"
)

var _ Calls = (*Guard)(nil)

// List returns the calls in progress, the longest waiting first, then by start.
func (g *Guard) List() []CallView {
	calls := g.snapshot()
	views := make(chan CallView, len(calls))
	asked := 0
	for _, c := range calls {
		if c.over.Load() {
			continue
		}
		if c.post(func() { views <- c.view() }) {
			asked++
		}
	}
	out := make([]CallView, 0, asked)
	late := time.After(2 * time.Second)
	for range asked {
		select {
		case v := <-views:
			if v.State != string(Ended) {
				out = append(out, v)
			}
		case <-late: // a call that is stuck must not hide the others
			return sorted(out)
		case <-g.stopped:
			return sorted(out)
		}
	}
	return sorted(out)
}

func sorted(v []CallView) []CallView {
	slices.SortFunc(v, func(a, b CallView) int {
		if a.Waiting.IsZero() != b.Waiting.IsZero() {
			if a.Waiting.IsZero() {
				return 1
			}
			return -1
		}
		if n := a.Waiting.Compare(b.Waiting); n != 0 {
			return n
		}
		return a.Started.Compare(b.Started)
	})
	return v
}

// Get returns one call by Call-ID or emergency call identifier.
func (g *Guard) Get(id string) (CallView, error) {
	return g.ask(context.Background(), id, func(*Call) {})
}

// MarkIntake sets intake fields on behalf of by, as told over HTTP.
func (g *Guard) MarkIntake(ctx context.Context, id string, marks map[policy.Field]string, by string) (CallView, error) {
	return g.MarkFrom(ctx, id, marks, by, "http")
}

// MarkFrom sets intake fields on behalf of by, as told by source: http, eido,
// logger, webhook, info, header, dtmf or speech. The policy says how far each is
// trusted.
func (g *Guard) MarkFrom(ctx context.Context, id string, marks map[policy.Field]string, by, source string) (CallView, error) {
	return g.ask(ctx, id, func(c *Call) {
		for _, f := range policy.Fields() {
			value, ok := marks[f]
			if known := c.Intake[f]; ok && source != "http" && known.Source == source && known.Value == value {
				continue // systems that send the whole state say the same again and again
			}
			if ok {
				c.mark(f, value, by, source)
			}
		}
	})
}

// Transferred notes that the call-handling system behind the taker says that the
// caller was given to somebody else. It changes no verdict: SIP shows whether a
// transfer succeeded. It is a fact for policies, and evidence that whoever
// leaves next need not be the person who answered.
func (g *Guard) Transferred(ctx context.Context, id, to string) error {
	_, err := g.ask(ctx, id, func(c *Call) {
		if c.taker != nil {
			c.taker.Reported = NewMark(cmp.Or(to, "somebody"), "", "", time.Time{}).Value
		}
	})
	return err
}

// Release ends a call by a supervisor's decision.
func (g *Guard) Release(ctx context.Context, id, reason, by string) error {
	_, err := g.ask(ctx, id, func(c *Call) {
		c.ended = ending{By: "supervisor", Reason: reason, Who: by, Code: 480}
		c.fire(releaseForced)
	})
	return err
}

// ask runs f in the goroutine of the call with id and returns the call after it.
func (g *Guard) ask(ctx context.Context, id string, f func(*Call)) (CallView, error) {
	c := g.lookup(id)
	if c == nil {
		return CallView{}, ErrNoCall
	}
	done := make(chan CallView, 1)
	posted := c.post(func() {
		if c.State == Ended {
			close(done)
			return
		}
		f(c)
		done <- c.view()
	})
	if !posted {
		return CallView{}, ErrNoCall
	}
	select {
	case v, ok := <-done:
		if !ok {
			return CallView{}, ErrNoCall
		}
		return v, nil
	case <-ctx.Done():
		return CallView{}, ctx.Err()
	case <-g.stopped:
		return CallView{}, ErrNoCall
	}
}

func (g *Guard) lookup(id string) *Call {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if c := g.byURN[id]; c != nil {
		return c
	}
	for _, c := range g.byID[id] {
		if !c.over.Load() {
			return c
		}
	}
	return nil
}

// view is a copy of the call for people and programs.
func (c *Call) view() CallView {
	v := CallView{
		ID: c.ID, EmergencyID: c.EmergencyID, IncidentID: c.IncidentID, Kind: string(c.Kind), State: string(c.State),
		From: c.From, To: c.To, Priority: c.Priority, Started: c.Started, Answered: c.Answered,
		Rescues: c.Rescues, Intake: c.intake(), Complete: c.complete(), Recording: c.RecordedTo,
		Verdicts: slices.Clone(c.Verdicts), Legs: []LegView{},
	}
	if c.queued() {
		v.Waiting = c.WaitingFrom
	}
	if c.taker != nil {
		v.Taker, v.Agent = c.taker.Target, c.taker.Agent
	}
	for _, l := range c.legs {
		if l.Join.Over {
			continue // a phone that was given up, and has not said so yet
		}
		v.Legs = append(v.Legs, LegView{
			Role: string(l.Role), Target: l.Target, State: string(l.State), Since: l.Since,
			Join: l.Join.ID, By: l.Join.By, Sound: c.soundOf(l),
		})
	}
	slices.SortFunc(v.Legs, func(a, b LegView) int {
		if n := strings.Compare(a.Role, b.Role); n != 0 {
			return n
		}
		return a.Since.Compare(b.Since)
	})
	return v
}

// soundOf is what was heard from a leg, nil where it has no media.
func (c *Call) soundOf(l *leg) *Sound {
	if c.media == nil || !l.hasMedia || l.State == Over {
		return nil
	}
	all := c.media.Stats(l.ID)
	if len(all) == 0 {
		return nil
	}
	s := together(all)
	return &Sound{
		Activity: s.Activity, SpeechMS: s.Speech.Milliseconds(), NoiseMS: s.Noise.Milliseconds(),
		Spoke: s.LastSpeech, Received: s.LastRecv, Pauses: s.Pauses,
	}
}

// PositionView is a position as people and programs see it.
type PositionView struct {
	ID    string    `json:"id"`
	URI   string    `json:"uri"`
	Agent string    `json:"agent,omitempty"`
	Calls int       `json:"calls"` // offered to it or taken by it now
	Limit int       `json:"limit"`
	Idle  time.Time `json:"idleSince,omitzero"`
	Reach Reach     `json:"reach"` // alive, dead, or unknown when it is not watched
	Since time.Time `json:"reachSince,omitzero"`
}

// Positions returns the configured positions and how busy they are.
func (g *Guard) Positions() []PositionView {
	s := g.settings.Load()
	out := make([]PositionView, 0, len(s.Positions))
	for _, p := range s.Positions {
		n, idle := g.desks.state(p.ID)
		v := PositionView{ID: p.ID, URI: p.URI, Agent: s.agentOf(p), Calls: n, Limit: max(p.Calls, 1)}
		if n == 0 {
			v.Idle = idle
		}
		v.Reach, v.Since = g.watcher.reach(p.ID)
		out = append(out, v)
	}
	return out
}
