package sip

import (
	"encoding/json"
	"maps"
	"mime"
	"slices"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/policy"
)

// onInfo takes an INFO (RFC 6086). One of the taker's side that carries intake
// marks is for us: it is answered here and the caller's side never sees it.
// Every other one passes, as any request inside a dialog does.
func (c *Call) onInfo(l *leg, req *gosip.Request, tx *gosip.ServerTx) {
	if l == c.taker && c.infoMarks(l, req) {
		c.ok(req, tx)
		return
	}
	if l.supervises() && l != c.taker && c.infoKey(l, req) {
		c.ok(req, tx)
		return
	}
	c.onOther(l, req, tx)
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
// "callback": true}. A body of which a key is no intake field belongs to
// somebody else, and marks nothing.
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
			marks[f] = v
		case bool:
			if !v {
				return nil
			}
			marks[f] = "true"
		default:
			return nil
		}
	}
	return marks
}
