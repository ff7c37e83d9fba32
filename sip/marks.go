package sip

import (
	"slices"

	"go.uber.org/zap"
)

// CallRef is what names a call to the systems around it.
type CallRef struct {
	ID          string // SIP Call-ID
	EmergencyID string // urn:emergency:uid:callid:... (i3 section 2.1.6)
	IncidentID  string // urn:emergency:uid:incidentid:...
}

func (c *Call) ref() CallRef { return CallRef{c.ID, c.EmergencyID, c.IncidentID} }

// Matching returns the Call-IDs of the calls in progress that any of ids
// names: Call-IDs, emergency call identifiers, incident identifiers. An
// incident may have several calls.
func (g *Guard) Matching(ids ...string) []string {
	var out []string
	add := func(c *Call) {
		if c != nil && !c.over.Load() && !slices.Contains(out, c.ID) {
			out = append(out, c.ID)
		}
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, id := range ids {
		add(g.byURN[id])
		for _, c := range g.byID[id] {
			add(c)
		}
		for _, c := range g.byIncident[id] {
			add(c)
		}
	}
	return out
}

// announce tells of the call whoever joins the word of other systems to calls.
// It must not cost the call anything, not even a panic.
func (c *Call) announce(to func(CallRef)) {
	if to == nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("panic recovered", zap.String("in", "a call's announcement"), zap.Any("panic", r), zap.Stack("stack"))
		}
	}()
	to(c.ref())
}
