package sip

import (
	"fmt"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/edge"
)

// reliable is a provisional response sent reliably (RFC 3262) as its sender
// numbered it. Towards the caller all of a call's are numbered in one row,
// whichever target, or fork of one, they came from.
type reliable struct {
	leg  *leg
	tag  string // of the early dialog
	rseq uint32
}

// renumberRSeq gives a provisional response that passes to the caller its
// number there.
func (c *Call) renumberRSeq(out, res *gosip.Response, l *leg) {
	n, err := strconv.ParseUint(strings.TrimSpace(get(res, "rseq")), 10, 32)
	if err != nil {
		return
	}
	r := reliable{l, tag(get(res, "to")), uint32(n)}
	number := uint32(0)
	for k, known := range c.reliables {
		if known == r {
			number = k // sent again
		}
	}
	if number == 0 {
		if c.reliables == nil {
			c.reliables = map[uint32]reliable{}
		}
		number = uint32(len(c.reliables)) + 1
		c.reliables[number] = r
	}
	for _, h := range out.Headers() {
		if longName(h.Name()) == "rseq" {
			out.ReplaceHeader(gosip.NewHeader(h.Name(), strconv.FormatUint(uint64(number), 10)))
			return
		}
	}
}

// onPrack passes the caller's PRACK to the early dialog it acknowledges.
func (c *Call) onPrack(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	f := strings.Fields(get(req, "rack"))
	if l != c.caller || len(f) != 3 {
		c.onOther(l, req, tx)
		return
	}
	n, _ := strconv.ParseUint(f[0], 10, 32)
	r, ok := c.reliables[uint32(n)]
	if !ok || r.leg.State == Over {
		c.onOther(l, req, tx)
		return
	}
	for _, h := range req.Headers() {
		if longName(h.Name()) == "rack" {
			req.ReplaceHeader(gosip.NewHeader(h.Name(), fmt.Sprintf("%d %s %s", r.rseq, f[1], f[2])))
			break
		}
	}
	latest := r.leg.Dialog.RemoteTag
	r.leg.Dialog.RemoteTag = r.tag
	c.forward(l, r.leg, req, tx)
	r.leg.Dialog.RemoteTag = latest
}

// prack acknowledges a reliable provisional response that the caller does not
// get to see: they were answered long ago.
func (c *Call) prack(l *leg, res *gosip.Response) {
	rseq := strings.TrimSpace(get(res, "rseq"))
	if rseq == "" || rseq == l.pracked {
		return
	}
	l.pracked = rseq
	req, err := l.Dialog.request("PRACK", l.Dialog.nextSeq())
	if err != nil {
		return
	}
	req.AppendHeader(gosip.NewHeader("RAck", fmt.Sprintf("%s %d INVITE", rseq, l.Invite)))
	req.SetBody(nil)
	c.send(l, req, func(edge.Response) {})
}
