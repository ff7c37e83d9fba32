package console

import (
	"net/http"

	"holdline/policy/pattern"
)

// Patterns is what is counted of each call taker's calls; *pattern.Bank keeps it.
type Patterns interface {
	State() pattern.State
}

// patternsAnswer is what is known of patterns.
type patternsAnswer struct {
	pattern.State

	Complete bool `json:"complete"` // false while the journal is still being read after a start
}

// listPatterns answers with what is usual at this centre, and what was counted
// of each call taker; with ?agent=NAME only of that one.
func (c *Console) listPatterns(w http.ResponseWriter, r *http.Request) {
	complete := c.caughtUp(r)
	answer := patternsAnswer{c.o.Patterns.State(), complete}
	if name := r.URL.Query().Get("agent"); name != "" {
		all := answer.Agents
		answer.Agents = []pattern.AgentState{}
		for _, a := range all {
			if a.Agent == name {
				answer.Agents = append(answer.Agents, a)
			}
		}
		if len(answer.Agents) == 0 {
			fail(w, http.StatusNotFound, "nothing was counted of a call taker of this name", "GET /v1/patterns lists those of whom something was")
			return
		}
	}
	reply(w, http.StatusOK, answer)
}
