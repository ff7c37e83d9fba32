package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// postSignIn says who sits at a position.
func (c *Console) postSignIn(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Position string          `json:"position"`
		Agent    string          `json:"agent"`
		By       json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	position, agent := strings.TrimSpace(body.Position), strings.TrimSpace(body.Agent)
	switch {
	case problem != nil:
	case position == "" || agent == "":
		problem = &failure{"a sign-in needs a position and an agent", `send {"position": "pos-1", "agent": "ann"}`}
	case utf8.RuneCountInString(agent) > maxWord:
		problem = &failure{fmt.Sprintf("the agent has more than %d characters", maxWord), "send the name or number by which the centre knows the agent"}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.signed(w, position, c.o.Seating.SignIn(r.Context(), position, agent, "http", by))
}

// postSignOut says that nobody sits at a position any more.
func (c *Console) postSignOut(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Position string          `json:"position"`
		By       json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	position := strings.TrimSpace(body.Position)
	if problem == nil && position == "" {
		problem = &failure{"a sign-out needs a position", `send {"position": "pos-1"}`}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.signed(w, position, c.o.Seating.SignOut(r.Context(), position, "http", by))
}

// signed answers with the position as it is now.
func (c *Console) signed(w http.ResponseWriter, position string, err error) {
	views := c.agents()
	if err == nil {
		for _, v := range views {
			if v.Position == position {
				reply(w, http.StatusOK, v)
				return
			}
		}
		err = ErrNoPosition
	}
	if !errors.Is(err, ErrNoPosition) {
		fail(w, http.StatusServiceUnavailable, err.Error(), "look at GET /readyz")
		return
	}
	ids := make([]string, 0, len(views))
	for _, v := range views {
		ids = append(ids, v.Position)
	}
	fail(w, http.StatusNotFound, fmt.Sprintf("there is no position %q", position), "the positions are "+strings.Join(ids, ", "))
}
