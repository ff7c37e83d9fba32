package sip

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/sip/edge"
)

// Message sends a text to uri outside of any call (RFC 3428) and returns when
// it was taken. A text must be short: with its headers it has to fit into 1300
// bytes (RFC 3428 section 8).
func (g *Guard) Message(ctx context.Context, uri, text string) error {
	return g.outward(ctx, uri, func(h hopAddr) error {
		d, err := g.dialogTo(uri, h, "Holdline")
		if err != nil {
			return err
		}
		req, err := d.request("MESSAGE", d.nextSeq())
		if err != nil {
			return err
		}
		req.RemoveHeader("Contact") // RFC 3428 section 4
		req.AppendHeader(gosip.NewHeader("Content-Type", "text/plain; charset=UTF-8"))
		req.SetBody([]byte(text))
		res, err := g.exchange(ctx, req, nil)
		if err != nil {
			return err
		}
		return refusal(res)
	})
}

// Ring calls uri, shows it a display name, and returns when it was answered.
// There is nobody to talk to: whoever answers is let go at once. When ctx is
// done before, the phone stops ringing.
func (g *Guard) Ring(ctx context.Context, uri, display string) error {
	return g.outward(ctx, uri, func(h hopAddr) error {
		d, err := g.dialogTo(uri, h, display)
		if err != nil {
			return err
		}
		// Without an offer: the answer has the phone's, and ours then takes none
		// of its streams (RFC 3261 section 13.2.1, RFC 3264 section 6).
		req, err := d.request("INVITE", d.nextSeq())
		if err != nil {
			return err
		}
		req.AppendHeader(gosip.NewHeader("Allow", "INVITE, ACK, CANCEL, BYE"))
		req.SetBody(nil)
		res, err := g.exchange(ctx, req, func(res *gosip.Response) { g.letGo(d, res) })
		if err != nil {
			return err
		}
		return refusal(res)
	})
}

// errUnreached marks errors after which another address of the same host may
// still do.
var errUnreached = errors.New("not reached")

// outward tries the addresses of uri's host in turn.
func (g *Guard) outward(ctx context.Context, uri string, try func(hopAddr) error) error {
	type found struct {
		hops []hopAddr
		err  error
	}
	got := make(chan found, 1)
	g.resolve(uri, func(hops []hopAddr, err error) { got <- found{hops, err} })
	var f found
	select {
	case f = <-got:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := f.err
	for _, h := range f.hops {
		if err = try(h); !errors.Is(err, errUnreached) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// dialogTo is a new dialog of our own towards uri.
func (g *Guard) dialogTo(uri string, h hopAddr, display string) (*Dialog, error) {
	socket, err := g.socketFor(h.network, h.addr)
	if err != nil {
		return nil, err
	}
	return &Dialog{
		CallID: newToken(), LocalTag: newToken(), Local: `"` + quotable(display) + `" <sip:holdline@` + socket + ">",
		Remote: "<" + uri + ">", Target: uri, Network: h.network, Next: h.addr, Socket: socket, User: "holdline",
		FixedNext: inNetworks(g.settings.Load().NAT, h.addr),
	}, nil
}

// exchange sends req and returns its final response. answered is called for
// every 2xx, also those that come again, until the guard stops. When ctx is done
// an INVITE is cancelled, and a 2xx that crosses the CANCEL is answered still.
func (g *Guard) exchange(ctx context.Context, req *gosip.Request, answered func(*gosip.Response)) (*gosip.Response, error) {
	answers := make(chan edge.Response, 64) // a transaction has a handful
	sent := g.edge.Send(req, func(r edge.Response) {
		if r.Err == nil && r.StatusCode/100 == 2 && answered != nil {
			answered(r.Response)
		}
		select {
		case answers <- r:
		default:
		}
	})
	rings := false
	for {
		select {
		case r := <-answers:
			switch {
			case r.Err != nil:
				return nil, fmt.Errorf("%w: %w", errUnreached, r.Err)
			case r.StatusCode >= 200:
				return r.Response, nil
			}
			rings = true
		case <-ctx.Done():
			if answered != nil && rings { // RFC 3261 section 9.1
				g.edge.Send(cancelOf(req), func(edge.Response) {})
			} else {
				sent.Abandon() // it said nothing, and is not asked any more
			}
			return nil, ctx.Err()
		case <-g.stopped:
			return nil, errors.New("the guard has stopped")
		}
	}
}

// letGo acknowledges the answer to an INVITE that wants no call, and ends it.
func (g *Guard) letGo(d *Dialog, res *gosip.Response) {
	defer g.recovered("a call to a supervisor")
	own := *d // the answer may come again
	own.learn(res, tag(get(res, "to")), true)
	ack, err := own.request("ACK", own.LocalSeq)
	if err != nil {
		g.log.Warn("no ACK to a supervisor's phone", zap.Error(err))
		return
	}
	ack.SetBody(nil)
	if s := sdpOf(res); s != nil {
		ack.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
		ack.SetBody(s.refused(own.Socket))
	}
	g.edge.Write(ack)
	bye, err := own.request("BYE", own.nextSeq())
	if err != nil {
		return
	}
	bye.SetBody(nil)
	g.edge.Send(bye, func(edge.Response) {})
}

// refused is the answer to s that takes none of its streams (RFC 3264 section 6).
func (s *session) refused(socket string) []byte {
	host, _ := splitHostPort(socket)
	family := "IP4"
	if strings.Contains(host, ":") {
		family = "IP6"
	}
	out := []string{"v=0", "o=holdline 1 1 IN " + family + " " + host, "s=-", "c=IN " + family + " " + host, "t=0 0"}
	for _, m := range s.media {
		kind, rest, _ := strings.Cut(s.lines[m.from], " ")
		if _, formats, ok := strings.Cut(rest, " "); ok {
			out = append(out, kind+" 0 "+formats)
		}
	}
	return []byte(strings.Join(out, "\r\n") + "\r\n")
}

// refusal is a final response as an error; nil for a success.
func refusal(res *gosip.Response) error {
	if res.StatusCode/100 == 2 {
		return nil
	}
	hint := ""
	switch res.StatusCode {
	case 401, 407:
		hint = "; it wants a login, which Holdline has not: let it trust Holdline's address"
	case 404, 480:
		hint = "; is the phone registered there?"
	}
	return fmt.Errorf("it answered %d %s%s", res.StatusCode, res.Reason, hint)
}
