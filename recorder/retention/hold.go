package retention

import (
	"context"
	"encoding/json"
	"time"

	"holdline/recorder"
)

// The record kinds of legal holds.
const (
	KindPlaced = "hold.placed"
	KindLifted = "hold.lifted"
)

// Hold keeps a call from being deleted, whatever its age.
type Hold struct {
	Call   string    `json:"call"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Holds are the holds that the journal tells of; it is their only memory.
type Holds struct{ last map[string]change }

type change struct {
	seq  uint64
	hold *Hold // nil: it was lifted
}

// Apply takes a record into account, in any order.
func (h *Holds) Apply(r recorder.Record) {
	if h.last == nil {
		h.last = map[string]change{}
	}
	c := change{seq: r.Seq}
	switch {
	case r.Kind != KindPlaced && r.Kind != KindLifted, r.Seq < h.last[r.Call].seq:
		return
	case r.Kind == KindPlaced:
		c.hold = &Hold{}
		_ = json.Unmarshal(r.Data, c.hold) // a hold without its reason holds all the same
		c.hold.Call, c.hold.At = r.Call, r.Time
	}
	h.last[r.Call] = c
}

// InForce returns the holds by Call-ID.
func (h *Holds) InForce() map[string]Hold {
	out := map[string]Hold{}
	for id, c := range h.last {
		if c.hold != nil {
			out[id] = *c.hold
		}
	}
	return out
}

// Held reads the holds in force from the journal of a data directory.
func Held(ctx context.Context, dir string) (map[string]Hold, error) {
	var h Holds
	for _, kind := range []string{KindPlaced, KindLifted} {
		err := recorder.ReadDir(ctx, dir, recorder.Query{Kind: kind}, func(r recorder.Record) error { h.Apply(r); return nil })
		if err != nil {
			return nil, err
		}
	}
	return h.InForce(), nil
}
