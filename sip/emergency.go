package sip

import (
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/policy"
)

// identify takes the emergency call and incident identifiers from Call-Info,
// in their present and their older form, with or without angle brackets
// (i3 sections 2.1.6 and 2.1.7), and makes them where a guarded call has none.
func (c *Call) identify() {
	for _, v := range list(getAll(c.invite, "call-info")) {
		a := parseAddress(v)
		uri := a.URI
		switch {
		case strings.Contains(strings.ToLower(uri), ":uid:callid:"):
			c.EmergencyID = uri
		case strings.Contains(strings.ToLower(uri), ":uid:incidentid:"):
			c.IncidentID = uri
		}
	}
	if c.Kind != policy.Emergency {
		return
	}
	if c.EmergencyID == "" {
		c.EmergencyID = "urn:emergency:uid:callid:" + strings.ToLower(newToken()) + ":" + c.g.domain()
		c.NewIDs = append(c.NewIDs, "<"+c.EmergencyID+">;purpose=emergency-CallId")
	}
	if c.IncidentID == "" {
		c.IncidentID = "urn:emergency:uid:incidentid:" + strings.ToLower(newToken()) + ":" + c.g.domain()
		c.NewIDs = append(c.NewIDs, "<"+c.IncidentID+">;purpose=emergency-IncidentId")
	}
}

// domain is the part of an identifier that says who made it.
func (g *Guard) domain() string {
	if g.opts.Node == "" {
		return "holdline.invalid"
	}
	return g.opts.Node
}

// addIdentifiers puts the identifiers that we made onto req.
func (c *Call) addIdentifiers(req *gosip.Request) {
	for _, v := range c.NewIDs {
		req.AppendHeader(gosip.NewHeader("Call-Info", v))
	}
}
