package edge

import (
	"bytes"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// acks answers repeated refusals of our INVITEs: the same ACK again, at once
// (RFC 3261 section 17.1.1.2). The library waits for seconds before it does,
// and holds the transaction meanwhile; so a repetition does not reach it.
type acks struct {
	mu    sync.Mutex
	seen  map[string]*refusal // by the branch of the INVITE
	swept time.Time
}

// refusal is a final answer of 300 and above that was handed on once.
type refusal struct {
	at     time.Time
	ack    []byte         // nil until it was sent for the first time
	invite *gosip.Request // of an abandoned INVITE: no transaction will acknowledge
}

const ackFor = 32 * time.Second // Timer D

func newAcks() *acks { return &acks{seen: map[string]*refusal{}} }

// again tells whether a datagram repeats a refusal, and what ACK it gets.
func (a *acks) again(data []byte) (ack []byte, repeated bool) {
	branch := refused(data)
	if branch == "" {
		return nil, false
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.seen[branch]; r != nil {
		if r.ack == nil && r.invite != nil {
			r.ack = ackOf(r.invite, header(data, "to", "t"))
		}
		return r.ack, true
	}
	if now.Sub(a.swept) > ackFor/4 {
		a.swept = now
		for b, r := range a.seen {
			if now.Sub(r.at) > ackFor {
				delete(a.seen, b)
			}
		}
	}
	a.seen[branch] = &refusal{at: now}
	return nil, false
}

// keep notes the ACK of a refusal that has come up to its transaction's user.
func (a *acks) keep(invite *gosip.Request, res *gosip.Response) {
	if res.StatusCode < 300 {
		return // and invite may be somebody else's by now
	}
	via := invite.Via()
	if via == nil || !invite.IsInvite() {
		return
	}
	branch, _ := via.Params.Get("branch")
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.seen[branch]; r != nil && r.ack == nil {
		to := res.GetHeader("to")
		if to == nil {
			to = res.GetHeader("t")
		}
		if to != nil {
			r.ack = ackOf(invite, to.Value())
		}
	}
}

// expect makes us acknowledge the refusal of an INVITE that has no
// transaction any more.
func (a *acks) expect(invite *gosip.Request) {
	via := invite.Via()
	if via == nil || !invite.IsInvite() {
		return
	}
	branch, _ := via.Params.Get("branch")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[branch] = &refusal{at: time.Now(), invite: invite}
}

// ackOf is the ACK of a refusal (RFC 3261 section 17.1.1.3).
func ackOf(invite *gosip.Request, to string) []byte {
	ack := gosip.NewRequest(gosip.ACK, *invite.Recipient.Clone())
	via := *invite.Via()
	ack.AppendHeader(&via)
	for _, h := range invite.Headers() {
		switch h.Name() {
		case "Route", "From", "Call-ID":
			ack.AppendHeader(gosip.NewHeader(h.Name(), h.Value()))
		case "Max-Forwards":
			hops := gosip.MaxForwardsHeader(70)
			ack.AppendHeader(&hops)
		}
	}
	ack.AppendHeader(gosip.NewHeader("To", to))
	if seq := invite.CSeq(); seq != nil {
		ack.AppendHeader(&gosip.CSeqHeader{SeqNo: seq.SeqNo, MethodName: gosip.ACK})
	}
	ack.SetBody(nil)
	return []byte(ack.String())
}

// refused returns the branch of a response of 300 and above to an INVITE, and
// "" for any other datagram.
func refused(data []byte) string {
	const start = "SIP/2.0 "
	if len(data) < len(start)+3 || !bytes.HasPrefix(data, []byte(start)) || data[len(start)] < '3' || data[len(start)] > '6' {
		return ""
	}
	if !bytes.Contains(data, []byte(" INVITE\r\n")) {
		return ""
	}
	_, rest, ok := bytes.Cut(data, []byte(";branch="))
	if !ok {
		return ""
	}
	if end := bytes.IndexAny(rest, ";, \t\r\n"); end > 0 {
		return string(rest[:end])
	}
	return ""
}
