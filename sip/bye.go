package sip

import (
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
)

// onBye takes a BYE. The caller's own always wins; a taker's is a release and
// is judged first; a leg that is already over gets its answer and that is all,
// so that a phone whose BYE crossed ours does not wait for 32 s.
func (c *Call) onBye(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	switch {
	case l == c.caller:
		c.ok(req, tx)
		if c.State == Ended {
			return
		}
		c.ended.By, c.ended.Reason, c.ended.Bye = "caller", "bye", req
		c.fire(callerLeft)
	case l == c.taker && (c.State == Bridged || c.State == Relieving):
		if c.overtook(l, req, tx) {
			return
		}
		if l.lateAck {
			l.held = &held{req, tx}
			return
		}
		c.headerMarks(l, req)
		l.byeSeen = true
		c.pending = &release{leg: l, bye: &held{req, tx}, how: "bye"}
		c.fire(releaseRequested)
	case l.Left != "" && l.State == Confirmed:
		c.leftAfterTransfer(l, req, tx)
	case l.supervises() && l != c.taker && l.State == Confirmed:
		c.supervisorBye(l, req, tx)
	case l.open:
		l.held = &held{req, tx} // it overtook the 2xx it follows
	case l == c.ready: // answered while the taker's release was judged, and left
		c.ready = nil
		c.offers = without(c.offers, l)
		c.ok(req, tx)
		l.State = Over
		c.drop(l)
		c.reap(l)
	default:
		c.crossed(l, req)
		c.ok(req, tx)
	}
}

// crossed keeps the BYE of a taker that came after the caller's own, or after
// ours: it changes nothing, and is evidence all the same.
func (c *Call) crossed(l *leg, req *gosip.Request) {
	if l.Role != RoleTaker || l.byeSeen || !c.guardedKind() {
		return
	}
	l.byeSeen = true
	r := &release{leg: l, bye: &held{req: req}, how: "bye"}
	r.data = c.releaseFacts(r, time.Now())
	c.record("release.requested", r.data)
	c.record("release.allowed", c.verdictData(r, policy.Verdict{
		Decision: policy.Allow, Rule: "call-over", Why: "the leg was already over when this BYE came",
	}))
}

// ok answers 200.
func (c *Call) ok(req *gosip.Request, tx *gosip.ServerTx) {
	if err := c.g.edge.Final(tx, respond(req, 200, reasons[200], "")); err != nil {
		c.log.Debug("200 not sent", zap.Error(err))
	}
}

// lost is a taker that is gone without a BYE: it answered 481 or 408 to a
// request, or nothing at all. It is a release like any other.
func (c *Call) lost(l *leg, how string) {
	if l != c.taker || c.State != Bridged && c.State != Relieving {
		return
	}
	c.pending = &release{leg: l, how: how}
	c.fire(releaseRequested)
}

// judge asks policy for the verdict and writes it down. The bridge stands
// until the verdict is on disk, or the disk has had its time. A verdict that
// somebody else has the caller is worth nothing when they have left by then:
// policy is asked again.
func (c *Call) judge() {
	r := c.pending
	now := time.Now()
	relied := c.successor() != nil
	r.deceived = r.deceived || !relied && c.barged()
	r.data = c.releaseFacts(r, now)
	f := c.facts(r, now)
	r.data.Facts = &f
	v := c.verdict(f)
	c.Verdicts = append(c.Verdicts, VerdictView{At: now, Position: r.leg.Target, How: r.how, Verdict: v})
	kind, result := "release.allowed", releaseAllowed
	if v.Decision == policy.Intercept {
		kind, result = "release.intercepted", releaseIntercepted
	}
	c.countVerdict(v.Decision)
	entries := entryList(c.entry("release.requested", r.data), c.entry(kind, c.verdictData(r, v)))
	if v.Decision != policy.Allow {
		entries = append(entries, c.alert(v, r))
	}
	c.g.opts.Journal.Commit(func(durable bool) {
		c.post(func() {
			if c.pending != r {
				return // the caller left meanwhile
			}
			if !durable {
				c.log.Warn("verdict acted on before it was on disk", zap.String("rule", v.Rule))
			}
			switch {
			case c.successor() != nil:
				result = releaseSucceeded
			case relied: // on a supervisor who has left meanwhile
				r.deceived = true
				c.judge()
				return
			}
			c.fire(result)
		})
	}, entries...)
}

// facts are what policy judges a release by.
func (c *Call) facts(r *release, now time.Time) policy.Facts {
	f := policy.Facts{
		Kind: c.Kind, Service: c.RequestURI, Priority: c.Priority, At: now,
		Release: policy.Release(r.how), Class: string(r.data.Class), Position: r.leg.Target, Agent: r.leg.Agent,
		Talk: now.Sub(c.Taken), Rescues: c.Rescues, Intake: c.intake(), Transfer: r.leg.Left,
		TransferTo: r.leg.wentTo, TransferReported: r.leg.Reported, Outside: r.leg.Outside, Redials: c.Redials, Surge: c.g.inSurge(now),
		CallerSpeech: c.measured(c.caller), TakerSpeech: c.measured(r.leg),
	}
	if r.leg == c.taker {
		f.Hold, f.Holding = c.onHold(now), !c.HeldSince.IsZero()
	}
	if r.leg.failed != "" {
		f.Transfer, f.TransferTo = transferFailed, r.leg.failed
	}
	if c.transfer != nil && c.transfer.by == r.leg {
		f.Transfer, f.TransferTo = transferPending, c.transfer.to.Target
	}
	switch s := c.successor(); {
	case s != nil: // a supervisor has barged in: the caller stays with them
		f.Transfer, f.TransferTo = transferSucceeded, s.Target
	case c.relief != nil && c.relief.by == r.leg:
		f.Transfer, f.TransferTo = transferPending, handover
	}
	return f
}

func (c *Call) verdictData(r *release, v policy.Verdict) verdictData {
	return verdictData{
		Leg: r.leg.Dialog.LocalTag, Position: r.leg.Target, Agent: r.leg.Agent,
		Decision: v.Decision, Rule: v.Rule, Why: v.Why, Policy: v.Policy, Skipped: v.Skipped,
	}
}

// verdict never fails: a policy that panics keeps the caller.
func (c *Call) verdict(f policy.Facts) (v policy.Verdict) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("policy panicked, the caller is kept", zap.Any("panic", r), zap.Stack("stack"))
			c.g.degraded("the policy panicked")
			v = policy.Verdict{Decision: policy.Intercept, Rule: "fail-safe", Why: "the policy could not judge, so the caller is kept"}
			if f.Kind != policy.Emergency {
				v.Decision = policy.Allow
			}
		}
	}()
	v = c.g.settings.Load().Judge(f)
	for _, s := range v.Skipped {
		c.log.Error("rule of the policy could not be evaluated and was skipped", zap.String("rule", s.Rule))
	}
	return v
}

// letGo frees a taker who leaves: 200 to its BYE. A taker that is gone
// without one is told in case it still listens.
func (c *Call) letGo(r *release) {
	if r.bye != nil {
		c.ok(r.bye.req, r.bye.tx)
		r.leg.State, r.leg.Since = Over, time.Now()
	} else {
		c.bye(r.leg, nil)
	}
	if c.taker == r.leg {
		c.taker = nil
	}
	c.drop(r.leg)
}
