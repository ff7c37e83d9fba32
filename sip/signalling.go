package sip

import (
	"time"

	"holdline/recorder"
	"holdline/recorder/capture"
	"holdline/sip/edge"
)

// seen hands every message to the log of messages, if there is one.
func (g *Guard) seen() func(edge.Passed) {
	if g.opts.Wire == nil {
		return nil
	}
	return func(p edge.Passed) {
		g.opts.Wire.Seen(capture.Message{At: p.At, Network: p.Network, From: p.From, To: p.To, Raw: p.Raw})
	}
}

// signallingData is signalling.closed: what proves the messages of a call that
// were kept. Legs that called us have Call-IDs of their own.
type signallingData struct {
	capture.Sum
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// closeSignalling journals what was kept of the call's messages, under each of
// its Call-IDs. It runs when nothing more is expected to cross its end.
func (c *Call) closeSignalling() {
	if c.g.opts.Wire == nil {
		return
	}
	for _, id := range c.callIDs() {
		c.g.opts.Wire.Over(id, func(s capture.Sum) {
			if s.Messages > 0 || s.Lost {
				now := time.Now()
				c.g.opts.Journal.Append(recorder.Entry{
					Time: now, Call: c.ID, Kind: "signalling.closed",
					Data: signallingData{Sum: s, From: c.Started, To: now},
				})
			}
		})
	}
}

// callIDs are the call's own Call-ID and those of legs that are known by
// another one.
func (c *Call) callIDs() []string {
	out := []string{c.ID}
	for _, id := range c.OtherIDs {
		if id != c.ID {
			out = append(out, id)
		}
	}
	return out
}
