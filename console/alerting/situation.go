package alerting

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/sip"
)

// describe adds to a, the copy of e, how things stand now and what can be done.
// views are the calls that were asked already; nil stands for one that is over.
func (d *Desk) describe(ctx context.Context, e *entry, a *Alert, views map[string]*sip.CallView) {
	var f facts
	_ = json.Unmarshal(a.Data, &f) // what cannot be read stays empty
	if a.Call != "" {
		v, asked := views[a.Call]
		if !asked {
			v = d.look(ctx, a.Call)
			views[a.Call] = v
		}
		a.Situation = d.situation(e, f, v)
	}
	a.Actions = actions(a)
}

// look asks a call how it is, nil when it is over. A call that does not answer
// must not hold up others: ctx says when to leave it alone.
func (d *Desk) look(ctx context.Context, call string) *sip.CallView {
	got := make(chan *sip.CallView, 1)
	go func() {
		if v, err := d.o.Calls.Get(call); err == nil {
			got <- &v
			return
		}
		got <- nil
	}()
	select {
	case v := <-got:
		return v
	case <-ctx.Done():
		return &sip.CallView{State: callUnknown}
	}
}

// The states of a call that the call itself does not tell.
const (
	callOver    = "over"    // it is not in progress any more
	callUnknown = "unknown" // it did not answer in time
)

// situation is how things stand for a caller. v is nil when the call is over;
// what is known is then, as for a call that does not answer, what was seen last,
// or what the alert itself says.
func (d *Desk) situation(e *entry, f facts, v *sip.CallView) *Situation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v == nil || v.State == callUnknown {
		s := Situation{From: f.From, To: f.To, EmergencyID: f.EmergencyID}
		if e.seen != nil {
			s = *e.seen
		}
		s.State, s.Waiting, s.WaitingMS, s.With, s.Agent = callOver, time.Time{}, 0, "", ""
		if v != nil {
			s.State = callUnknown
		}
		return &s
	}
	s := &Situation{
		State: v.State, Waiting: v.Waiting, From: v.From, To: v.To, EmergencyID: v.EmergencyID, With: v.Taker, Agent: v.Agent,
		Rescues: v.Rescues, Intake: v.Intake, Complete: v.Complete, Recording: v.Recording,
	}
	if v.State == string(sip.Releasing) && waits(e.Cause) {
		// The verdict is out, and the call is about to act on it: its taker is
		// the one who has left.
		s.With, s.Agent, s.Waiting = "", "", e.Raised
	}
	if !s.Waiting.IsZero() {
		s.WaitingMS = time.Since(s.Waiting).Milliseconds()
	}
	if !v.Complete {
		for _, field := range []policy.Field{policy.Location, policy.Callback, policy.Nature} {
			if _, marked := v.Intake[field]; !marked {
				s.Missing = append(s.Missing, string(field))
			}
		}
	}
	e.seen = s
	return s
}

// actions is what can be done about an alert, the most useful first.
func actions(a *Alert) []Action {
	var out []Action
	s := a.Situation
	call := "/v1/calls/" + url.PathEscape(a.Call)
	if s != nil && s.State != callOver {
		out = append(out,
			Action{"barge", "POST", call + "/join", map[string]any{"mode": "barge"}, "speak with the caller"},
			Action{"listen", "POST", call + "/join", map[string]any{"mode": "listen"}, "listen, unheard by anybody"},
			Action{"whisper", "POST", call + "/join", map[string]any{"mode": "whisper"}, "speak with the call taker alone"},
			Action{"intake", "PUT", call + "/intake", map[string]any{"location": "", "callback": "", "nature": ""}, "mark what is established"},
			Action{"release", "POST", call + "/release", map[string]any{"reason": ""}, "end the call; the reason is journaled"},
		)
	}
	if s != nil && s.State == callOver && outlivedBy(a) {
		if number := caller(s); number != "" {
			out = append(out, Action{Do: "call back", What: "call " + number + " back"})
		}
	}
	if s != nil && s.Recording != "" {
		out = append(out, Action{"play", "GET", "/v1/recordings/" + url.PathEscape(a.Call), nil, "listen to the recording"})
	}
	if a.Acknowledged == nil {
		out = append(out, Action{"acknowledge", "POST", "/v1/alerts/" + url.PathEscape(a.ID) + "/ack", map[string]any{"note": ""}, "take notice; nobody else is told"})
	}
	return out
}

// outlivedBy tells whether the caller may still need something: nobody answered
// before the call was over.
func outlivedBy(a *Alert) bool {
	return a.Resolved == nil || a.Resolved.With == ""
}

// caller is who called: the user part of a SIP URI, else all of it.
func caller(s *Situation) string {
	if m, ok := s.Intake[policy.Callback]; ok && m.Value != "true" {
		return m.Value
	}
	_, from := ledger.URIOf(s.From)
	if _, rest, ok := strings.Cut(from, ":"); ok {
		from = rest
	}
	from, _, _ = strings.Cut(from, "@")
	from, _, _ = strings.Cut(from, ";")
	return from
}

// clock writes a duration as 1:05 or 1:02:07.
func clock(d time.Duration) string {
	s := max(0, int(d/time.Second))
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// Lines says what an alert is about in a few short lines, for phones and mail.
func (n Notice) Lines() []string {
	a := n.Alert
	lines := []string{strings.ToUpper(string(a.Severity)) + " " + a.Summary}
	if a.Resolved != nil {
		lines = append(lines, "Now: "+a.Resolved.Why)
	} else if s := a.Situation; s != nil {
		switch {
		case !s.Waiting.IsZero():
			lines = append(lines, "Now: the caller is ALONE, waiting "+clock(time.Since(s.Waiting)))
		case s.With != "":
			lines = append(lines, "Now: the caller is with "+whom(s.With, s.Agent))
		case s.State == callOver:
			lines = append(lines, "Now: the call is over")
		case s.State == callUnknown:
			lines = append(lines, "Now: the call does not say how it is")
		}
	}
	if s := a.Situation; s != nil {
		if s.From != "" {
			lines = append(lines, "From: "+s.From)
		}
		lines = append(lines, "Intake: "+intakeWords(s))
	}
	return lines
}

// intakeWords says what is marked of a call, in the order of the fields.
func intakeWords(s *Situation) string {
	var words []string
	for _, f := range policy.Fields() {
		switch m, ok := s.Intake[f]; {
		case !ok:
		case m.Value == "true":
			words = append(words, string(f))
		default:
			words = append(words, string(f)+"="+m.Value)
		}
	}
	if len(words) == 0 {
		return "nothing yet"
	}
	return strings.Join(words, ", ")
}

// Text is a message in words, at most so many bytes long: an alert with its
// details, or, when there are several, one line each.
func (m Message) Text(most int) string {
	var b strings.Builder
	switch {
	case m.Test:
		fmt.Fprintf(&b, "HOLDLINE %s TEST\n%s", m.Node, m.Notices[0].Alert.Summary)
	case len(m.Notices) == 1:
		fmt.Fprintf(&b, "HOLDLINE %s %s", m.Node, strings.Join(m.Notices[0].Lines(), "\n"))
	default:
		fmt.Fprintf(&b, "HOLDLINE %s: %d alerts", m.Node, len(m.Notices))
		for _, n := range m.Notices {
			b.WriteString("\n- " + strings.ToUpper(string(n.Alert.Severity)) + " " + n.Alert.Summary)
		}
	}
	tail := "\n" + m.Console
	if m.Console == "" {
		tail = ""
	}
	return shorten(b.String(), most-len(tail)) + tail
}

// shorten cuts a text between characters.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const more = "…"
	cut := max(0, most-len(more))
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + more
}
