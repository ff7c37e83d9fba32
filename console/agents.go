package console

import (
	"net/http"
	"time"

	"holdline/sip"
)

// AgentView is a position, who sits there and what it is doing.
type AgentView struct {
	Position string    `json:"position"`
	URI      string    `json:"uri"`
	Agent    string    `json:"agent,omitempty"`
	Since    time.Time `json:"since,omitzero"`   // when the agent signed in, or out when there is none
	Source   string    `json:"source,omitempty"` // who told: static (the configuration), http, logger
	State    string    `json:"state"`            // idle, ringing, busy
	Calls    []string  `json:"calls"`            // SIP Call-IDs of the calls it has or is offered
	Capacity int       `json:"capacity"`         // calls at a time
	Idle     time.Time `json:"idleSince,omitzero"`
}

// The states of a position.
const (
	agentIdle    = "idle"
	agentRinging = "ringing"
	agentBusy    = "busy"
)

// agents tells from the calls in progress what each position is doing.
func (c *Console) agents() []AgentView {
	views, index := []AgentView{}, map[string]int{}
	if c.o.Positions != nil {
		for _, p := range c.o.Positions() {
			index[p.ID], index[p.URI] = len(views), len(views)
			v := AgentView{Position: p.ID, URI: p.URI, Agent: p.Agent, State: agentIdle, Calls: []string{}, Capacity: p.Limit, Idle: p.Idle}
			v.sits(c.o.Seating)
			views = append(views, v)
		}
	}
	for _, call := range c.o.Calls.List() {
		for _, leg := range call.Legs {
			i, known := index[leg.Target]
			if !known || leg.State == "ended" || leg.Role == "caller" {
				continue
			}
			views[i].take(call, leg)
		}
	}
	return views
}

// sits notes since when the agent sits there and how that is known.
func (a *AgentView) sits(s *Seating) {
	if seat, told := s.At(a.Position); told {
		a.Since, a.Source = seat.Since, seat.Source
	} else if a.Agent != "" {
		a.Source = "static"
	}
}

// take notes that the position has a leg of call.
func (a *AgentView) take(call sip.CallView, leg sip.LegView) {
	a.Calls = append(a.Calls, call.ID)
	switch {
	case leg.State == "confirmed":
		a.State = agentBusy
	case a.State == agentIdle:
		a.State = agentRinging
	}
}

func (c *Console) listAgents(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"agents": c.agents()})
}
