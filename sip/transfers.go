package sip

import (
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// mostReturns is how often one target may be given the same call by transfer.
// Once is reviewed: a call can come back for a reason.
const mostReturns = 2

// mayTransfer decides whether a taker may transfer the caller to t, and tells
// a supervisor where that is refused or odd. The caller stays with the taker
// in any case until somebody has answered.
func (c *Call) mayTransfer(by *leg, t target) bool {
	key := t.Key
	if key == "" {
		key = deskKey(t.URI)
	}
	switch had := c.hadCaller(key); {
	case !c.g.settings.Load().transferable(t):
		c.refuseTransfer(by, t, "transfer-refused", "the target is not on the list of those that calls may be transferred to (transfer.allow)")
		return false
	case had >= mostReturns && !c.complete():
		c.refuseTransfer(by, t, "transfer-circle", "the call goes in a circle and nobody takes it: this target had it "+strconv.Itoa(had)+" times already")
		return false
	case had > 0 && !c.complete():
		c.transferAlert(by, t, "transfer-circle", "the call goes back to somebody who has transferred it, and intake is not complete")
	}
	return true
}

// hadCaller is how often a target has transferred this call away.
func (c *Call) hadCaller(key string) (n int) {
	for _, k := range c.Transferred {
		if k == key {
			n++
		}
	}
	return n
}

// transferable tells whether the list lets calls be transferred to t; without
// a list they may be transferred to anybody.
func (s *Settings) transferable(t target) bool {
	return s.TransferTo == nil || slices.ContainsFunc(s.TransferTo, func(pattern string) bool {
		return glob(pattern, t.Name) || glob(pattern, bareURI(t.URI))
	})
}

// otherCentre tells whether the target of a transfer is another centre: neither
// a position nor the queue, and named by the list. A list that lets calls go
// anywhere names nobody, and what answers there may be voicemail.
func (s *Settings) otherCentre(l *leg) bool {
	return !l.Desk && !s.isFallback(s.target(l.URI)) && slices.ContainsFunc(s.TransferTo, func(pattern string) bool {
		names := strings.Trim(strings.TrimPrefix(strings.TrimPrefix(pattern, "sips:"), "sip:"), "*?@") != ""
		return names && (glob(pattern, l.Target) || glob(pattern, bareURI(l.URI)))
	})
}

func (c *Call) refuseTransfer(by *leg, t target, cause, why string) {
	by.failed = t.Name
	c.transferAlert(by, t, cause, "transfer refused: "+why)
}

func (c *Call) transferAlert(by *leg, t target, cause, why string) {
	c.log.Info("transfer questioned", zap.String("cause", cause), zap.String("by", by.Target), zap.String("to", t.Name))
	c.record("alert.raised", alertData{
		ID: newToken(), Cause: cause, Position: by.Target, Agent: by.Agent, Targets: []string{t.Name},
		Why: why, Intake: c.fieldsMarked(), Class: Operator,
	})
}

// endTransfer ends the transfer of a taker who did not wait for it. A position,
// or a target of the queue, goes on being called and takes the call if it
// answers. Anybody else would only keep the queue waiting.
func (c *Call) endTransfer() {
	t := c.transfer
	c.transfer = nil
	if t == nil {
		return
	}
	s := c.g.settings.Load()
	if !t.to.Desk && !s.isFallback(s.target(t.to.URI)) && slices.Contains(c.offers, t.to) && t.to != c.ready {
		c.offers = without(c.offers, t.to)
		c.recordFailure(t.to, failure{Reason: "given up: the taker left before the transfer was answered"})
		c.giveUp(t.to)
	}
}

// bareURI is a URI without its parameters, as lists of targets name it.
func bareURI(uri string) string {
	for i := range uri {
		if uri[i] == ';' || uri[i] == '?' {
			return uri[:i]
		}
	}
	return uri
}
