package sip

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip/edge"
)

// rescue keeps the caller whom a taker left: the taker is free, the caller
// hears the prompt in the next packet interval, and the queue begins.
func (c *Call) rescue() {
	r := c.pending
	c.pending = nil
	if c.vigil.release == nil { // else the history tells of it already
		c.History = append(c.History, c.historyOf(r))
	}
	c.exclude(r.leg)
	c.endVigil()
	c.prompted = r.data.At
	c.media.Prompt()
	c.endTransfer()
	c.relief = nil // as are those who were asked to relieve the taker
	for _, l := range c.offers {
		l.Rescue = true
	}
	c.letGo(r)
	c.Rescues++
	c.WaitingFrom = r.data.At
	c.resume(r.leg)
	if c.g.opts.Audio != nil && c.Recording != 0 {
		c.g.opts.Audio.Mark(c.Recording, time.Now(), "released by "+r.leg.Target)
	}
	c.queueUp()
	c.reap(r.leg)
	if l := c.ready; l != nil && l.State == Confirmed {
		c.ready = nil
		c.take(l, c.answer200)
	}
}

// queueUp puts the call into the fallback queue and begins to offer it.
func (c *Call) queueUp() {
	if c.WaitingFrom.IsZero() {
		c.WaitingFrom = time.Now()
		c.alertID = newToken()
		c.record("alert.raised", alertData{
			ID: c.alertID, Cause: "unanswered", Targets: c.Route.To,
			Why: "no position of the route took the call; the caller waits in the fallback queue",
		})
	}
	if !c.answered() {
		c.media.Silence()
		c.keepRinging()
	}
	c.plan = nil
	c.Place = Place{Tier: -1}
	c.g.queue.enter(c, rank(c.Priority), c.WaitingFrom)
	c.offerOn()
}

// keepRinging tells a caller who was not answered yet that the call is alive,
// now and once a minute, so that nobody upstream gives up (RFC 3261 section
// 13.3.1.1).
func (c *Call) keepRinging() {
	if c.State != Waiting || c.answered() || c.back != nil {
		return
	}
	res := respond(c.invite, 180, reasons[180], c.caller.Dialog.LocalTag)
	res.AppendHeader(gosip.NewHeader("Contact", c.caller.Dialog.contact()))
	if err := c.inviteTx.Respond(res); err != nil {
		c.log.Debug("180 not sent", zap.Error(err))
	}
	c.caller.State = Early
	c.after(time.Minute, c.keepRinging)
}

// rescued completes a rescue: somebody has the caller again.
func (c *Call) rescued(l *leg) {
	c.g.stats.add(c.Kind, &c.g.stats.rescued)
	if c.g.opts.Rescued != nil && !c.WaitingFrom.IsZero() {
		c.g.opts.Rescued(time.Since(c.WaitingFrom))
	}
	c.WaitingFrom, c.prompted = time.Time{}, time.Time{}
	c.Place = Place{Tier: -1}
	c.log.Info("caller is bridged again", zap.String("taker", l.Target), zap.Int("rescues", c.Rescues))
}

// explain puts into a rescue's INVITE what its taker must know: where the
// call was and why it is here (History-Info, RFC 7044; Reason, RFC 3326), and
// a display name that any phone shows.
func (c *Call) explain(req *gosip.Request, l *leg) {
	base := c.historyBase()
	for _, h := range base.own {
		req.AppendHeader(gosip.NewHeader("History-Info", h))
	}
	for i, h := range c.History {
		index := fmt.Sprintf("%s.%d", base.index, i+1)
		req.AppendHeader(gosip.NewHeader("History-Info", h+";index="+index+";mp="+base.index))
	}
	req.AppendHeader(gosip.NewHeader("History-Info",
		fmt.Sprintf("<%s>;index=%s.%d;mp=%s", l.URI, base.index, len(c.History)+1, base.index)))
	req.AppendHeader(gosip.NewHeader("Reason", `SIP;cause=480;text="`+quotable(c.whyHere())+`"`))
	c.display(req, l, c.g.settings.Load().DisplayPrefix)
}

// history is where a call's History-Info goes on from.
type history struct {
	own   []string // entries to add before ours
	index string   // the entry ours are below
}

// historyBase begins a history, or goes on from what the caller's INVITE
// already carries.
func (c *Call) historyBase() history {
	last := ""
	for _, v := range list(getAll(c.invite, "history-info")) {
		if i, ok := parseAddress(v).param("index"); ok {
			last = i
		}
	}
	if last != "" {
		return history{index: last}
	}
	return history{own: []string{"<" + c.RequestURI + ">;index=1"}, index: "1"}
}

// historyOf is the entry of a taker who left, with the reason in its URI
// (RFC 7044 section 10.2).
func (c *Call) historyOf(r *release) string {
	reason := `SIP;cause=480;text="` + quotable(whyReleased(r.leg.Target, r.how)) + `"`
	sep := "?"
	if strings.Contains(r.leg.URI, "?") {
		sep = "&"
	}
	return "<" + r.leg.URI + sep + "Reason=" + strings.ReplaceAll(url.QueryEscape(reason), "+", "%20") + ">"
}

func whyReleased(who, how string) string {
	if policy.Release(how).Connected() {
		return "rescued: left alone by " + who + " (" + how + ")"
	}
	return "rescued: released by " + who + " before intake was complete"
}

func (c *Call) whyHere() string {
	if n := len(c.Verdicts); n > 0 {
		return whyReleased(c.Verdicts[n-1].Position, c.Verdicts[n-1].How)
	}
	if c.Note != "" {
		return "no position answered; " + c.Note
	}
	return "no position answered"
}

func (c *Call) displayName() string {
	return strings.Trim(parseAddress(c.From).Display, `"`)
}

// quotable is text that can stand in a quoted string.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' {
			return -1
		}
		return r
	}, s)
}

// resume takes a caller off hold whose holder is gone. Nothing else about the
// caller's leg is touched in a rescue: media is anchored.
func (c *Call) resume(gone *leg) {
	if !c.Held || c.caller.State != Confirmed {
		return
	}
	c.endHold()
	if s, err := parseSDP([]byte(gone.Remote)); err == nil {
		c.reinviteCaller(s.active())
	}
}

// unhold takes a caller off hold whose new taker was not the one who held them.
func (c *Call) unhold(l *leg) {
	c.endHold()
	if s, err := parseSDP([]byte(l.Remote)); err == nil && c.caller.State == Confirmed {
		c.reinviteCaller(s.active())
	}
}

// fitCaller renegotiates with the caller when a new taker's answer has no
// format in common with what the caller was told. G.711 in both laws is
// translated by media and needs nothing.
func (c *Call) fitCaller(l *leg, answer *session) {
	codecs := answer.remotes()
	for i, use := range c.InUse {
		if i >= len(codecs) || codecs[i].RTP.Port() == 0 {
			continue
		}
		if codecs[i].Secure { // new keys: what the caller has fits the taker who left
			c.reinviteCaller(answer)
			return
		}
		if len(use) == 0 {
			continue
		}
		if len(negotiated(use, codecs[i].Codecs)) == 0 && (!g711(use) || !g711(codecs[i].Codecs)) {
			c.log.Info("caller is asked for the new taker's codec", zap.String("taker", l.Target))
			c.reinviteCaller(answer)
			return
		}
	}
}

// reinviteCaller offers s to the caller.
func (c *Call) reinviteCaller(s *session) {
	d := &c.caller.Dialog
	seq := d.nextSeq()
	req, err := d.request("INVITE", seq)
	if err != nil {
		c.log.Warn("caller cannot be re-invited", zap.Error(err))
		return
	}
	req.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(c.tell(c.caller, s))
	c.send(c.caller, req, func(r edge.Response) {
		if r.Err != nil || r.StatusCode < 200 {
			return
		}
		if r.StatusCode == 491 { // both at once: the caller's goes first (RFC 3261 section 14.1)
			c.after(time.Second, func() {
				if c.State != Ended && c.caller.State == Confirmed {
					c.reinviteCaller(s)
				}
			})
			return
		}
		if r.StatusCode >= 300 {
			c.log.Warn("caller refused to be re-invited, the call goes on as it is", zap.Int("code", r.StatusCode))
			return
		}
		d.learn(r.Response, "", false)
		c.ack2xx(c.caller, seq)
		if answer := sdpOf(r.Response); answer != nil {
			c.InUse = nil
			for _, m := range answer.media {
				c.InUse = append(c.InUse, answer.codecs(m))
			}
			c.hear(c.caller, answer, nil)
			c.Offer = c.caller.Remote
		}
	})
}

// alert is the record that tells a supervisor of a verdict.
func (c *Call) alert(v policy.Verdict, r *release) entry {
	c.alertID = newToken()
	d := alertData{
		ID: c.alertID, Cause: string(v.Decision), Position: r.leg.Target, Agent: r.leg.Agent,
		Rule: v.Rule, Why: v.Why, Intake: c.fieldsMarked(), Class: r.data.Class, Evidence: r.data.Evidence,
	}
	if r.lapse != nil {
		d.After = c.vigil.told[r.lapse.id()]
	}
	return c.entry("alert.raised", d)
}

// escalateEvery is how often a supervisor is told of one caller, once the
// first round is over: targets that refuse at once must not make a storm.
const escalateEvery = 30 * time.Second

// escalate tells a supervisor that nobody answers.
func (c *Call) escalate(tier Tier, why string) {
	if c.Place.Round > 1 && time.Since(c.escalated) < escalateEvery {
		return
	}
	c.escalated = time.Now()
	c.record("alert.raised", alertData{
		ID: newToken(), Cause: "escalation", Tier: max(c.Place.Tier, 0) + 1, Round: c.Place.Round + 1,
		Targets: tier.To, WaitingMS: time.Since(c.WaitingFrom).Milliseconds(), Why: why, After: c.alertID,
	})
}
