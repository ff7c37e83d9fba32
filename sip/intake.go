package sip

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
)

// maxValue bounds what a mark may hold, in bytes.
const maxValue = 1024

// mark sets one intake field and journals who did it and how.
func (c *Call) mark(f policy.Field, value, by, source string) {
	if !slices.Contains(policy.Fields(), f) {
		return
	}
	m := NewMark(value, by, source, time.Now())
	c.Intake[f] = m
	complete := c.complete()
	c.g.opts.Journal.Append(MarkEntry(c.ID, f, m, complete))
	c.log.Info("intake marked", zap.String("field", string(f)), zap.String("source", source), zap.Bool("complete", complete))
}

// NewMark returns a mark whose value can stand in a line: no control
// characters, and not without end.
func NewMark(value, by, source string, at time.Time) policy.Mark {
	value = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(value, ""))
	if len(value) > maxValue {
		value = strings.ToValidUTF8(value[:maxValue], "")
	}
	return policy.Mark{Value: value, By: by, Source: source, At: at}
}

// MarkEntry is the record of a mark, of a call in progress or of one that is
// over; complete tells whether intake is, with it.
func MarkEntry(call string, f policy.Field, m policy.Mark, complete bool) recorder.Entry {
	return recorder.Entry{Time: m.At, Call: call, Kind: "intake.marked", Data: markData{
		Field: f, Value: m.Value, By: m.By, Source: m.Source, Complete: complete,
	}}
}

// complete tells whether intake is complete, as the policy's trust in the
// sources of its marks has it.
func (c *Call) complete() bool { return c.g.settings.Load().Complete(c.Intake) }

// headerMarks takes the marks that a trusted call-handling system puts on its
// BYE: Holdline-Intake: location="12 Main St"; callback; nature=fire
func (c *Call) headerMarks(l *leg, req *gosip.Request) {
	s := c.g.settings.Load()
	values := getAll(req, strings.ToLower(s.IntakeHeader))
	if len(values) == 0 {
		return
	}
	if !inNetworks(s.IntakeTrust, req.Source()) {
		c.log.Warn("intake header from an untrusted source ignored", zap.String("leg", l.label()))
		return
	}
	marks := c.markedIn(values)
	for _, f := range policy.Fields() {
		if value, ok := marks[f]; ok {
			c.mark(f, value, l.Target, "header")
		}
	}
}

// markedIn reads the values of the intake header.
func (c *Call) markedIn(values []string) map[policy.Field]string {
	marks := map[policy.Field]string{}
	for _, v := range values {
		for _, part := range splitOutsideQuotes(v, ';') {
			for _, p := range splitOutsideQuotes(part, ',') {
				name, value, given := strings.Cut(p, "=")
				value = strings.TrimSpace(unquote(value))
				if given && value == "" {
					continue // a system that sends every field has nothing for this one
				}
				if f := policy.Field(strings.ToLower(strings.TrimSpace(name))); slices.Contains(policy.Fields(), f) {
					marks[f] = value
				}
			}
		}
	}
	return marks
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s[1 : len(s)-1])
}

func inNetworks(networks []netip.Prefix, source string) bool {
	ap, err := netip.ParseAddrPort(source)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ap.Addr().Unmap()) })
}

// codes are the DTMF codes to listen for.
func (c *Call) codes() []string {
	var out []string
	for code := range c.g.settings.Load().IntakeDTMF {
		out = append(out, code)
	}
	if code := c.g.settings.Load().Supervisors.Assist.Code; code != "" {
		out = append(out, code)
	}
	slices.Sort(out)
	return out
}

// codeDialled marks what a taker's DTMF code stands for (RFC 4733).
func (c *Call) codeDialled(e media.Event) {
	if l := c.legWith(e.Leg); l != nil && c.keyDialled(l, e.Code) {
		return
	}
	if c.taker == nil || c.taker.ID != e.Leg {
		return
	}
	s := c.g.settings.Load()
	if a := s.Supervisors.Assist; e.Code == a.Code {
		c.assistDialled(a)
		return
	}
	what, ok := s.IntakeDTMF[e.Code]
	if !ok {
		return
	}
	field, value, hasValue := strings.Cut(what, "=")
	if !hasValue {
		value = "dialled " + e.Code
	}
	c.mark(policy.Field(field), value, c.taker.Target, "dtmf")
}

func (c *Call) fieldsMarked() []policy.Field {
	var out []policy.Field
	for _, f := range policy.Fields() {
		if _, ok := c.Intake[f]; ok {
			out = append(out, f)
		}
	}
	return out
}
