package sip

import (
	"context"
	"fmt"
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"
)

// AssistKind is what a taker who needs help asks for.
type AssistKind string

// The kinds of assist.
const (
	AssistJoin     AssistKind = "join"     // a supervisor comes into the call
	AssistHandover AssistKind = "handover" // somebody else takes the caller
)

// Assist says what happens when a taker asks for help by DTMF, and how
// supervisors come in.
type Assist struct {
	Code string     // DTMF code of the taker; "": none
	Kind AssistKind // of the code; "": AssistJoin
	Mode Mode       // of the supervisors who are rung; "": ModeWhisper
}

// AssistRequest asks for help with a call, without giving up the caller.
type AssistRequest struct {
	Kind AssistKind // "": AssistJoin
	By   string
	Note string
	via  string // http or dtmf
}

// AssistView is what was set going.
type AssistView struct {
	Alert  string     `json:"alert"` // id of the alert
	Kind   AssistKind `json:"kind"`
	Called []string   `json:"called"` // whom Holdline rings because of it
	Call   CallView   `json:"call"`
}

// handover is where the caller of a taker who asked to be relieved goes, as
// policy is told.
const handover = "handover"

// Assist raises an alert that asks for help, and brings a supervisor in or
// hands the caller over. Nothing is counted against anybody for it.
func (g *Guard) Assist(ctx context.Context, id string, q AssistRequest) (AssistView, error) {
	switch q.Kind {
	case "":
		q.Kind = AssistJoin
	case AssistJoin, AssistHandover:
	default:
		return AssistView{}, fmt.Errorf("%w: kind %q", ErrMode, q.Kind)
	}
	q.via = "http"
	var out AssistView
	var failed error
	v, err := g.ask(ctx, id, func(c *Call) { out, failed = c.assist(q) })
	if err != nil {
		return AssistView{}, err
	}
	out.Call = v
	return out, failed
}

// assist is one request for help. The same taker asking again rings again, but
// is one alert.
func (c *Call) assist(q AssistRequest) (AssistView, error) {
	if c.taker == nil || c.State != Bridged {
		return AssistView{}, fmt.Errorf("%w: nobody has the caller", ErrNotNow)
	}
	if c.asked == nil || c.asked.by != c.taker {
		c.asked = &asking{by: c.taker, alert: newToken()}
		c.record("alert.raised", alertData{
			ID: c.asked.alert, Cause: "assist", Position: c.taker.Target, Agent: c.taker.Agent,
			Why: assistWhy(q), Intake: c.fieldsMarked(),
		})
	}
	out := AssistView{Alert: c.asked.alert, Kind: q.Kind, Called: []string{}}
	c.asked.request = q
	if q.Kind == AssistJoin {
		out.Called = c.ringSupervisors(q)
	}
	c.record("assist.requested", c.assistData(q, out.Called))
	c.log.Info("assist", zap.String("kind", string(q.Kind)), zap.String("by", c.taker.Target), zap.Strings("called", out.Called))
	if q.Kind == AssistHandover && c.relief == nil {
		c.relieve()
	}
	return out, nil
}

// assistDialled is a taker's DTMF code for help.
func (c *Call) assistDialled(a Assist) {
	kind := a.Kind
	if kind == "" {
		kind = AssistJoin
	}
	if _, err := c.assist(AssistRequest{Kind: kind, By: c.taker.Target, via: "dtmf"}); err != nil {
		c.log.Info("assist had no effect", zap.Error(err))
	}
}

// asking is what the present taker asked for.
type asking struct {
	by      *leg
	alert   string
	request AssistRequest
}

func assistWhy(q AssistRequest) string {
	why := "the call taker asks for help; the caller is still with them"
	if q.Kind == AssistHandover {
		why = "the call taker asks to be relieved; the caller stays with them until somebody answers"
	}
	if q.Note != "" {
		why += ": " + q.Note
	}
	return why
}

func (c *Call) assistData(q AssistRequest, called []string) assistData {
	d := assistData{Alert: c.asked.alert, Kind: string(q.Kind), By: q.By, Note: q.Note, Source: q.via, Called: called}
	d.Position, d.Agent = c.asked.by.Target, c.asked.by.Agent
	return d
}

// ringSupervisors calls every configured supervisor who is not in the call, or
// being called, already.
func (c *Call) ringSupervisors(q AssistRequest) []string {
	s := c.g.settings.Load()
	mode := s.Supervisors.Assist.Mode
	if mode == "" {
		mode = ModeWhisper
	}
	called := []string{}
	for _, p := range s.Supervisors.Phones {
		if c.present(p.URI) {
			continue
		}
		if _, err := c.join(JoinRequest{Mode: mode, Target: p.ID, By: q.By, Via: ViaAssist}); err != nil {
			c.log.Warn("supervisor cannot be called", zap.String("supervisor", p.ID), zap.Error(err))
			continue
		}
		called = append(called, p.ID)
	}
	return called
}

// present tells whether the phone at uri is a live leg of the call.
func (c *Call) present(uri string) bool {
	for _, l := range c.legs {
		if l.State != Over && !l.Join.Over && !l.cancel && deskKey(l.URI) == deskKey(uri) {
			return true
		}
	}
	return false
}

// assisted lets the phones of other supervisors fall silent when one has come.
func (c *Call) assisted(l *leg) {
	if l.Join.Via != ViaAssist || c.asked == nil || l.helped {
		return
	}
	l.helped = true
	d := c.assistData(c.asked.request, nil)
	d.How, d.With = "a supervisor came", l.Target
	c.record("assist.ended", d)
	for _, o := range c.legs {
		if o != l && o.Join.Via == ViaAssist && o.State != Confirmed && !o.Join.Over {
			c.joinFailed(o, failure{Reason: "another supervisor came"})
		}
	}
}

// assistFailed notes that no supervisor came, once the last one has failed.
func (c *Call) assistFailed(l *leg) {
	if l.Join.Via != ViaAssist || c.asked == nil || c.State == Ended {
		return
	}
	for _, o := range c.legs {
		if o.Join.Via == ViaAssist && !o.Join.Over {
			return // rings still, or is here
		}
	}
	c.unhelped("no supervisor answered; the call taker still asks for help")
}

// unhelped tells supervisors that a request for help led to nobody.
func (c *Call) unhelped(why string) {
	d := c.assistData(c.asked.request, nil)
	d.How = why
	c.record("assist.ended", d)
	c.record("alert.raised", alertData{ID: newToken(), Cause: "assist", Position: d.Position, Agent: d.Agent, Why: why, After: c.asked.alert})
}

// relief is a handover under way: the taker keeps the caller while the queue
// is offered the call.
type relief struct {
	by    *leg
	tiers []Tier
	plan  []target // of the present tier, still to be offered
	legs  []*leg   // being called
}

// relieve begins to offer the call to the fallback queue.
func (c *Call) relieve() {
	if c.transfer != nil {
		return // it is going somewhere already
	}
	c.relief = &relief{by: c.taker, tiers: slices.Clone(c.g.settings.Load().Fallback)}
	c.relieveOn()
}

// relieveOn offers the next target, the next tier, until somebody rings or
// nobody is left: then the call stays where it is.
func (c *Call) relieveOn() {
	r := c.relief
	for len(r.legs) == 0 {
		if len(r.plan) == 0 {
			if len(r.tiers) == 0 {
				c.relief = nil
				c.unhelped("nobody in the fallback queue took the call over; the call taker still has the caller")
				return
			}
			tier := r.tiers[0]
			r.tiers, r.plan = r.tiers[1:], c.candidates(tier)
			if tier.Strategy == RingAll {
				for _, t := range r.plan {
					c.offerRelief(t)
				}
				r.plan = nil
			}
			continue
		}
		t := r.plan[0]
		r.plan = r.plan[1:]
		c.offerRelief(t)
	}
}

// offerRelief calls one target, unless it is busy, or the taker themselves.
func (c *Call) offerRelief(t target) {
	r := c.relief
	if t.Key == r.by.deskKey() || !c.g.queue.may(c, t.Key) || !c.g.desks.take(t.Key, t.Limit) {
		return
	}
	l := c.newOffer(t)
	l.HandedBy, l.ReferredBy = r.by.Target, "<"+r.by.URI+">"
	r.legs = append(r.legs, l)
	c.begin(l, t.Ring, t.Hops)
}

// reliefFailed goes on when a target did not take the call over.
func (c *Call) reliefFailed(l *leg) {
	r := c.relief
	if r == nil || !slices.Contains(r.legs, l) {
		return
	}
	r.legs = without(r.legs, l)
	if c.State == Bridged {
		c.relieveOn()
	}
}

// relieved completes a handover: somebody has answered and is the taker now,
// and the one who asked is let go as after a transfer.
func (c *Call) relieved(l *leg, res *gosip.Response) {
	r, old := c.relief, c.taker
	c.relief = nil
	c.offers = without(c.offers, l)
	for _, other := range slices.Clone(r.legs) {
		if other != l {
			c.offers = without(c.offers, other)
			c.giveUp(other)
		}
	}
	stop(&l.ring)
	d := c.assistData(c.asked.request, nil)
	d.How, d.With = "handed over", l.Target
	c.record("assist.ended", d)
	c.taker, c.early, c.answer200 = l, nil, res
	c.fire(takerReplaced)
	old.Left = transferSucceeded
	c.resume(old)
	c.dismiss(old, `SIP;cause=200;text="the caller was handed over to `+quotable(l.Target)+`"`)
	c.drop(old)
	c.reap(old)
	c.log.Info("caller handed over", zap.String("by", old.Target), zap.String("leg", l.Target), zap.Duration("talk", time.Since(c.Taken)))
}

// explainHandover tells the next taker why the call comes (RFC 3326).
func (l *leg) explainHandover(req *gosip.Request) {
	req.AppendHeader(gosip.NewHeader("Reason", `SIP;cause=200;text="handed over by `+quotable(l.HandedBy)+`, who asked for help"`))
}
