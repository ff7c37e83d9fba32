package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"

	"holdline/sip"
)

// joinBody asks to join a call: with a phone (target), or with the browser
// that sends it (sdp).
type joinBody struct {
	Mode   sip.Mode        `json:"mode"`
	Target string          `json:"target"`
	SDP    string          `json:"sdp"`
	By     json.RawMessage `json:"by"`
}

// postJoin brings a supervisor into a call. By phone it answers when the phone
// is being called, in the browser with the gateway's answer.
func (c *Console) postJoin(w http.ResponseWriter, r *http.Request) {
	var body joinBody
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	switch {
	case problem != nil:
	case body.Target == "" && body.SDP == "":
		problem = &failure{"who is to join is not said", `send "target": a SIP URI or the id of a supervisor; or "sdp": the offer of a browser`}
	case body.Target != "" && body.SDP != "":
		problem = &failure{"both a target and an sdp are given", "send target to join by phone, sdp to join with this browser"}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	if body.SDP != "" {
		c.joinInBrowser(w, r, body, by)
		return
	}
	c.commanded(w, r, http.StatusCreated, func(ctx context.Context, id string) (any, error) {
		return c.o.Calls.Join(ctx, id, sip.JoinRequest{Mode: body.Mode, Target: strings.TrimSpace(body.Target), By: by})
	})
}

// patchJoin switches what a supervisor does.
func (c *Console) patchJoin(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Mode sip.Mode        `json:"mode"`
		By   json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.commanded(w, r, http.StatusOK, func(ctx context.Context, id string) (any, error) {
		return c.o.Calls.SetMode(ctx, id, r.PathValue("join"), body.Mode, by)
	})
}

// deleteJoin ends a supervisor's part.
func (c *Console) deleteJoin(w http.ResponseWriter, r *http.Request) {
	by, problem := author(r, quoted(r.URL.Query().Get("by")))
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.commanded(w, r, http.StatusOK, func(ctx context.Context, id string) (any, error) {
		return c.o.Calls.Leave(ctx, id, r.PathValue("join"), by)
	})
}

// postTakeOver makes a supervisor the taker.
func (c *Console) postTakeOver(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Join string          `json:"join"`
		By   json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	if problem == nil && body.Join == "" {
		problem = &failure{"who is to take over is not said", `send {"join": "..."}, the id that POST /v1/calls/{id}/join answered with`}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.commanded(w, r, http.StatusOK, func(ctx context.Context, id string) (any, error) {
		return c.o.Calls.TakeOver(ctx, id, body.Join, by)
	})
}

// postAssist asks for help on behalf of the call's taker.
func (c *Console) postAssist(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Kind sip.AssistKind  `json:"kind"`
		Note string          `json:"note"`
		By   json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	if problem == nil && utf8.RuneCountInString(body.Note) > maxWord {
		problem = &failure{fmt.Sprintf("the note has more than %d characters", maxWord), "shorten it"}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	c.commanded(w, r, http.StatusCreated, func(ctx context.Context, id string) (any, error) {
		return c.o.Calls.Assist(ctx, id, sip.AssistRequest{Kind: body.Kind, By: by, Note: strings.TrimSpace(body.Note)})
	})
}

// commanded sends a command to a call and answers with what came of it.
func (c *Console) commanded(w http.ResponseWriter, r *http.Request, status int, do func(ctx context.Context, id string) (any, error)) {
	id := r.PathValue("id")
	ctx, cancel := context.WithTimeout(r.Context(), commitWait)
	defer cancel()
	v, err := do(ctx, id)
	if err != nil {
		c.joinRefused(w, id, err)
		return
	}
	c.log.Info("supervisor's command taken", zap.String("call", id), zap.String("command", r.Method+" "+r.Pattern))
	reply(w, status, v)
}

// joinRefused answers a supervisor's command that cannot be.
func (c *Console) joinRefused(w http.ResponseWriter, id string, err error) {
	switch {
	case errors.Is(err, sip.ErrMode):
		fail(w, http.StatusBadRequest, err.Error(), "the modes are listen, whisper and barge; the kinds of assist are join and handover")
	case errors.Is(err, sip.ErrTarget):
		fail(w, http.StatusBadRequest, err.Error(), `send a SIP URI like "sip:supervisor@10.0.0.20:5060", or the id of a supervisor of the configuration`)
	case errors.Is(err, sip.ErrNoJoin):
		fail(w, http.StatusNotFound, err.Error(), "GET /v1/calls/{id} lists the legs with the ids of supervisors; one who has left is gone")
	case errors.Is(err, sip.ErrNotNow):
		fail(w, http.StatusConflict, err.Error(), "look at the call's state and legs, and try again when it has changed")
	default:
		c.callFailed(w, id, err)
	}
}
