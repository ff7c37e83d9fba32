package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// b2bua is the least that a B2BUA on sipgo's dialog sessions can be: no media,
// no journal, no care for anything that goes wrong. It is what Holdline's
// processor time is measured against.
type b2bua struct {
	ua *sipgo.DialogUA

	mu    sync.Mutex
	calls map[string]*pair // by Call-ID, which both legs share
}

type pair struct {
	in  *sipgo.DialogServerSession
	out *sipgo.DialogClientSession
}

func runB2BUA() error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	sip.SetDefaultLogger(slog.Default())
	sip.UDPMTUSize = 65000
	ua, err := sipgo.NewUA()
	if err != nil {
		return fmt.Errorf("making the user agent: %w", err)
	}
	srv, err := sipgo.NewServer(ua)
	if err != nil {
		return fmt.Errorf("making the server: %w", err)
	}
	cli, err := sipgo.NewClient(ua, sipgo.WithClientHostname("127.0.0.1"), sipgo.WithClientPort(elementPort))
	if err != nil {
		return fmt.Errorf("making the client: %w", err)
	}
	b := &b2bua{calls: map[string]*pair{}, ua: &sipgo.DialogUA{Client: cli, ContactHDR: sip.ContactHeader{
		Address: sip.Uri{Scheme: "sip", User: "b2bua", Host: "127.0.0.1", Port: elementPort},
	}}}
	srv.OnInvite(b.invite)
	srv.OnAck(b.ack)
	srv.OnBye(b.bye)
	srv.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 200, "OK", nil))
	})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return srv.ListenAndServe(ctx, "udp4", fmt.Sprintf("127.0.0.1:%d", elementPort))
}

func (b *b2bua) invite(req *sip.Request, tx sip.ServerTransaction) {
	ctx := context.Background()
	in, err := b.ua.ReadInvite(req, tx)
	if err != nil {
		return
	}
	_ = in.Respond(100, "Trying", nil)
	from := *req.From()
	from.Params = sip.NewParams()
	from.Params.Add("tag", sip.GenerateTagN(16))
	to := sip.ToHeader{Address: req.Recipient}
	next := sip.Uri{Scheme: "sip", User: req.Recipient.User, Host: "127.0.0.1", Port: positionPort}
	out, err := b.ua.Invite(ctx, next, req.Body(), &from, &to, sip.HeaderClone(req.CallID()), sip.NewHeader("Content-Type", "application/sdp"))
	if err != nil {
		_ = in.Respond(503, "Service Unavailable", nil)
		return
	}
	err = out.WaitAnswer(ctx, sipgo.AnswerOptions{OnResponse: func(res *sip.Response) error {
		if res.StatusCode > 100 && res.StatusCode < 200 {
			return in.Respond(res.StatusCode, res.Reason, res.Body())
		}
		return nil
	}})
	if err != nil {
		_ = in.Respond(480, "Temporarily Unavailable", nil)
		return
	}
	b.mu.Lock()
	b.calls[req.CallID().Value()] = &pair{in, out}
	b.mu.Unlock()
	if out.Ack(ctx) != nil {
		return
	}
	_ = in.Respond(200, "OK", out.InviteResponse.Body(), sip.NewHeader("Content-Type", "application/sdp"))
}

func (b *b2bua) find(req *sip.Request, over bool) *pair {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := req.CallID().Value()
	p := b.calls[id]
	if over {
		delete(b.calls, id)
	}
	return p
}

func (b *b2bua) ack(req *sip.Request, tx sip.ServerTransaction) {
	if p := b.find(req, false); p != nil {
		_ = p.in.ReadAck(req, tx)
	}
}

func (b *b2bua) bye(req *sip.Request, tx sip.ServerTransaction) {
	p := b.find(req, true)
	if p == nil {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil))
		return
	}
	_ = p.in.ReadBye(req, tx)
	_ = p.out.Bye(context.Background())
	_ = p.out.Close()
	_ = p.in.Close()
}
