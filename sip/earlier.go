package sip

import (
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
)

// Earlier is what is known of a caller's calls shortly before a new one.
type Earlier struct {
	Redials int      // how many there were
	Avoid   []string // who dropped this caller: "agent X", "target K" (a position id or URI)
	Note    string   // one line for the next taker; "" when nothing went wrong
}

// CallerID is by what a caller is known again.
type CallerID struct {
	From        string // the From header
	Asserted    string // P-Asserted-Identity (RFC 3325), which trunks send beside an anonymous From
	EmergencyID string
	IncidentID  string
}

// avoidRounds is for how many rounds of the fallback queue a redialling caller
// is kept from those who dropped them. Then everybody else has been tried
// twice, and they are better than nobody.
const avoidRounds = 2

// lookBack asks for the earlier calls of this caller. It must not cost the
// call anything, not even a panic.
func (c *Call) lookBack() {
	if c.g.opts.Earlier == nil || c.Kind != policy.Emergency {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("panic recovered", zap.String("in", "the look at earlier calls"), zap.Any("panic", r), zap.Stack("stack"))
		}
	}()
	e := c.g.opts.Earlier(CallerID{From: c.From, Asserted: c.Asserted, EmergencyID: c.EmergencyID, IncidentID: c.IncidentID}, c.Started)
	c.Redials, c.Note = e.Redials, e.Note
	s := c.g.settings.Load()
	for _, who := range e.Avoid {
		if name, ok := strings.CutPrefix(who, "target "); ok {
			who = "target " + s.target(name).Key
		}
		c.Avoid = append(c.Avoid, who)
	}
	if c.Redials > 0 {
		c.log.Info("caller calls again", zap.Int("redials", c.Redials), zap.Strings("avoid", c.Avoid))
	}
}

// avoided tells whether t dropped this caller on an earlier call. Somebody
// else is found for a redialling caller, as long as there is anybody. A URI
// that is no desk may be a queue of many people, and is not avoided.
func (c *Call) avoided(t target) bool {
	if len(c.Avoid) == 0 || c.lastResort() {
		return false
	}
	return t.Desk && slices.Contains(c.Avoid, "target "+t.Key) || t.Agent != "" && slices.Contains(c.Avoid, "agent "+t.Agent)
}

// lastResort tells whether everybody was tried but those who dropped this
// caller on an earlier call.
func (c *Call) lastResort() bool { return c.queued() && c.Place.Round >= avoidRounds }

// remark puts a note of the earlier calls into the INVITE of the one who is
// offered a redialling caller: in Reason (RFC 3326), and in a display name that
// any phone shows.
func (c *Call) remark(req *gosip.Request, l *leg) {
	if c.Note == "" {
		return
	}
	req.AppendHeader(gosip.NewHeader("Reason", `SIP;cause=480;text="`+quotable(c.Note)+`"`))
	if len(c.Avoid) > 0 {
		c.display(req, l, c.g.settings.Load().RedialPrefix)
	}
}

// display puts prefix before the caller's display name.
func (c *Call) display(req *gosip.Request, l *leg, prefix string) {
	if prefix == "" {
		return
	}
	a := parseAddress(withTag(c.From, l.Dialog.LocalTag))
	a.Display = `"` + quotable(prefix+c.displayName()) + `"`
	req.RemoveHeader("From")
	req.AppendHeader(gosip.NewHeader("From", a.String()))
	l.Dialog.Local = a.without("tag").String()
}

// asserted is the caller's number as the network vouches for it.
func asserted(req *gosip.Request) string {
	return strings.TrimSpace(strings.Join(list(getAll(req, "p-asserted-identity")), ", "))
}

// agentOf is who sits at a position: as signed in, or as configured.
func (s *Settings) agentOf(p Position) string {
	if s.agentAt != nil {
		if agent, told := s.agentAt(p.ID); told {
			return agent
		}
	}
	return p.Agent
}

// seated notes who sits at a desk when its call is answered. Who sat there when
// it was offered counts: signing out, or somebody else's sign-in, while a call
// rings changes nothing. Where nobody was known then, who is known now counts.
func (c *Call) seated(l *leg) {
	if !l.Desk {
		return
	}
	now := c.g.settings.Load().target(l.Target).Agent
	if l.Agent == "" {
		l.Agent = now
	}
	if now != l.Agent {
		l.Seated = now
	}
}

// inSurge tells whether supervisors have relaxed the guard for the centre.
func (g *Guard) inSurge(at time.Time) bool { return g.opts.Surge != nil && g.opts.Surge(at) }
