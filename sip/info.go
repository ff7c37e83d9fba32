package sip

import (
	"encoding/json"
	"maps"
	"mime"
	"slices"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
	"holdline/policy"
)

// onInfo takes an INFO (RFC 6086). One of the taker's side that carries intake
// marks is for us: it is answered here and the caller's side never sees it.
// Every other one passes, as any request inside a dialog does.
func (c *Call) onInfo(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	if l == c.taker && (c.infoMarks(l, req) || c.infoCode(l, req)) {
		c.ok(req, tx)
		return
	}
	if l.supervises() && l != c.taker && c.infoKey(l, req) {
		c.ok(req, tx)
		return
	}
	c.onOther(l, req, tx)
}

// infoCode takes a digit that the taker's phone sends by INFO instead of RFC
// 4733, when it may belong to a code; false when it is for the caller.
func (c *Call) infoCode(l *leg, req *gosip.Request) bool {
	key, ok := infoDigit(req)
	if !ok || !c.guardedKind() {
		return false
	}
	code, ours := l.dial(key, c.codes())
	if code != "" {
		c.codeDialled(media.Event{Leg: l.ID, Code: code})
	}
	return ours
}

// infoDigit is the key that an INFO says was pressed, as application/dtmf-relay
// ("Signal=*") or application/dtmf ("*").
func infoDigit(req *gosip.Request) (key string, ok bool) {
	kind, _, err := mime.ParseMediaType(get(req, "content-type"))
	key = strings.TrimSpace(string(req.Body()))
	switch {
	case err == nil && kind == "application/dtmf":
		return key, true
	case err == nil && kind == "application/dtmf-relay":
		first, _, _ := strings.Cut(key, "\n")
		name, value, _ := strings.Cut(first, "=")
		return strings.TrimSpace(value), strings.EqualFold(strings.TrimSpace(name), "signal")
	default:
		return "", false
	}
}

// dial adds a key to those that were pressed on a leg. It returns the code that
// is complete with it, and whether the key is, or may become, part of one.
func (l *leg) dial(key string, codes []string) (code string, ours bool) {
	if len(key) != 1 {
		return "", false
	}
	for l.dialled += key; l.dialled != ""; l.dialled = l.dialled[1:] {
		if slices.Contains(codes, l.dialled) {
			code, l.dialled = l.dialled, ""
			return code, true
		}
		if slices.ContainsFunc(codes, func(c string) bool { return strings.HasPrefix(c, l.dialled) }) {
			return "", true // the rest of it may come
		}
	}
	return "", false
}

// infoMarks marks what an INFO says of the intake; false when it says nothing,
// or comes from where nobody is believed: then it is not for us.
func (c *Call) infoMarks(l *leg, req *gosip.Request) bool {
	if !inNetworks(c.g.settings.Load().IntakeTrust, req.Source()) {
		return false
	}
	marks := c.markedIn(getAll(req, strings.ToLower(c.g.intakeHeader())))
	maps.Copy(marks, marksOf(get(req, "content-type"), req.Body()))
	for _, f := range policy.Fields() {
		if value, ok := marks[f]; ok {
			c.mark(f, value, l.Target, "info")
		}
	}
	return len(marks) > 0
}

// marksOf reads a JSON object with intake fields: {"location": "12 Main St",
// "callback": true}. What is empty, false or null is not established. A body of
// which a key is no intake field belongs to somebody else, and marks nothing.
func marksOf(contentType string, body []byte) map[policy.Field]string {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/json" {
		return nil
	}
	var fields map[policy.Field]any
	if json.Unmarshal(body, &fields) != nil {
		return nil
	}
	marks := map[policy.Field]string{}
	for f, v := range fields {
		if !slices.Contains(policy.Fields(), f) {
			return nil
		}
		switch v := v.(type) {
		case string:
			if v = strings.TrimSpace(v); v != "" {
				marks[f] = v
			}
		case bool:
			if v {
				marks[f] = "true"
			}
		case nil:
		default:
			return nil
		}
	}
	return marks
}
