package sip

import (
	"net/netip"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/recorder"
)

// intruders keeps what looks like an attack on calls from filling the journal:
// one record for each source and reason in a while, with how many there were.
type intruders struct {
	mu   sync.Mutex
	seen map[intrusion]*attempts
}

type intrusion struct {
	host netip.Addr
	why  string
}

type attempts struct {
	told time.Time
	more int // since then
}

const (
	intrusionEvery = time.Minute
	mostIntruders  = 1000 // sources that are told apart; beyond that all are forgotten
)

// note counts an attempt and tells whether it is to be journaled, and how many
// were not since the last that was.
func (i *intruders) note(from netip.Addr, why string, now time.Time) (more int, tell bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.seen == nil || len(i.seen) >= mostIntruders {
		i.seen = map[intrusion]*attempts{}
	}
	key := intrusion{from, why}
	a := i.seen[key]
	if a == nil {
		a = &attempts{}
		i.seen[key] = a
	}
	if !a.told.IsZero() && now.Sub(a.told) < intrusionEvery {
		a.more++
		return 0, false
	}
	more, a.told, a.more = a.more, now, 0
	return more, true
}

// intrusionData is request.refused.
type intrusionData struct {
	Method  string `json:"method"`
	Why     string `json:"why"`
	Code    int    `json:"code"`
	Source  string `json:"source"`
	More    int    `json:"more,omitempty"` // like it from this host since the last such record
	Message *wire  `json:"message,omitempty"`
}

// Why a request is refused and kept.
const (
	noDialog  = "it names a call that is up and no dialog of it"
	malformed = "malformed"
	forged    = "it is in the caller's name and comes from a call taker's address"
)

// intrusion refuses a request and keeps it: who may have sent it, and what.
// It changes nothing about any call.
func (g *Guard) intrusion(call string, req *gosip.Request, tx *gosip.ServerTx, code int, why string) {
	g.refuse(req, tx, code)
	from, _ := netip.ParseAddrPort(req.Source())
	now := time.Now()
	more, tell := g.intruders.note(from.Addr().Unmap(), why, now)
	if !tell {
		return
	}
	g.log.Warn("request refused", zap.String("why", why), zap.String("method", string(req.Method)), zap.String("source", req.Source()))
	g.opts.Journal.Append(recorder.Entry{Time: now, Call: call, Kind: "request.refused", Data: intrusionData{
		Method: string(req.Method), Why: why, Code: code, Source: req.Source(), More: more, Message: wireOf(req),
	}})
}

// knownCall is the Call-ID of a request when a call with it is up, else "".
func (g *Guard) knownCall(req *gosip.Request) string {
	id := get(req, "call-id")
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, c := range g.byID[id] {
		if !c.over.Load() {
			return id
		}
	}
	return ""
}

// forges tells whether a request that speaks for the caller comes from the
// host of a taker of this call, where the caller is elsewhere: it would end
// the call in the caller's name. The tags of the caller's dialog are random
// and no taker is told them, so whoever has them has listened.
func (c *Call) forges(l *leg, req *gosip.Request) bool {
	if l != c.caller || req.Method == gosip.ACK {
		return false
	}
	from, caller := hostOf(req.Source()), hostOf(c.caller.Peer)
	if !from.IsValid() || from == caller {
		return false
	}
	for _, other := range c.legs {
		if other != c.caller && hostOf(other.Peer) == from {
			return true
		}
	}
	return false
}

func hostOf(hostport string) netip.Addr {
	a, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// forgery keeps such a request, refuses it and tells a supervisor.
func (c *Call) forgery(req *gosip.Request, tx *gosip.ServerTx) {
	c.g.intrusion(c.ID, req, tx, 403, forged)
	if c.forgedAlert {
		return
	}
	c.forgedAlert = true
	d := alertData{
		ID: newToken(), Cause: "forged-request", Class: Operator, Intake: c.fieldsMarked(),
		Why:      string(req.Method) + " in the caller's name was refused: it came from a call taker's address",
		Evidence: []string{"from " + req.Source() + "; the caller's messages come from " + c.caller.Peer},
	}
	if c.taker != nil {
		d.Position, d.Agent = c.taker.Target, c.taker.Agent
	}
	c.record("alert.raised", d)
}
