package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip"
)

// maxWord is the longest value of an intake field, a reason or a name, in
// characters: room for an address and a sentence.
const maxWord = 1000

// calls returns the calls in progress, those of callers who wait first and
// then by their start, so that the one who waits longest is on top.
func (c *Console) calls() []sip.CallView {
	list := c.o.Calls.List()
	slices.SortFunc(list, func(a, b sip.CallView) int {
		if w := waitRank(a) - waitRank(b); w != 0 {
			return w
		}
		if a.Started.Equal(b.Started) {
			return strings.Compare(a.ID, b.ID)
		}
		return a.Started.Compare(b.Started)
	})
	return list
}

func waitRank(v sip.CallView) int {
	if v.State == stateWaiting {
		return 0
	}
	return 1
}

func (c *Console) listCalls(w http.ResponseWriter, _ *http.Request) {
	list := c.calls()
	if list == nil {
		list = []sip.CallView{} // [] and not null
	}
	reply(w, http.StatusOK, map[string]any{"calls": list})
}

func (c *Console) getCall(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	v, err := c.o.Calls.Get(id)
	if err != nil {
		c.callFailed(w, id, err)
		return
	}
	c.viewed(r, v.ID)
	reply(w, http.StatusOK, v)
}

// putIntake marks fields. The answer is the call after it.
func (c *Console) putIntake(w http.ResponseWriter, r *http.Request) {
	var body map[string]json.RawMessage
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body["by"])
	delete(body, "by")
	if problem == nil && len(body) == 0 {
		problem = &failure{"the body marks no field", "the fields are " + strings.Join(fieldNames(), ", ")}
	}
	marks := map[policy.Field]string{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if problem == nil {
			marks[policy.Field(name)], problem = markValue(name, body[name])
		}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	id := r.PathValue("id")
	ctx, cancel := context.WithTimeout(r.Context(), commitWait)
	defer cancel()
	v, err := c.o.Calls.MarkIntake(ctx, id, marks, by)
	if errors.Is(err, sip.ErrNoCall) && c.o.Past != nil { // it is over, and what came of it may still be told
		v, err = c.o.Past.MarkFrom(ctx, id, marks, by, "http")
	}
	if err != nil {
		c.callFailed(w, id, err)
		return
	}
	reply(w, http.StatusOK, v)
}

// author is who sends a command: what the body says, or the address it came
// from. Where nobody signs in this is a claim, and is journaled as one; where
// people do it is who has signed in.
func author(r *http.Request, raw json.RawMessage) (string, *failure) {
	if name, ok := signedAuthor(r, raw); ok {
		return name, nil
	}
	if raw == nil {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		return host, nil
	}
	var by string
	if err := json.Unmarshal(raw, &by); err != nil || strings.TrimSpace(by) == "" || utf8.RuneCountInString(by) > maxWord {
		return "", &failure{`"by" must be a name`, `write who does this, like "by": "agent-7", or leave it out`}
	}
	return strings.TrimSpace(by), nil
}

// markValue reads the value of one intake field: words, or true when that it
// was established is all that is to be said.
func markValue(name string, raw json.RawMessage) (string, *failure) {
	if !slices.Contains(policy.Fields(), policy.Field(name)) {
		return "", &failure{fmt.Sprintf("there is no intake field %q", name), nearest(name, fieldNames())}
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", &failure{fmt.Sprintf("%q cannot be read", name), "send a text or true"}
	}
	switch v := v.(type) {
	case bool:
		if v {
			return "true", nil
		}
		return "", &failure{fmt.Sprintf("%q is false, and a mark cannot be taken back", name), "leave out what is not established"}
	case string:
		v = strings.TrimSpace(v)
		switch n := utf8.RuneCountInString(v); {
		case n == 0:
			return "", &failure{fmt.Sprintf("%q is empty", name), "leave out what is not established"}
		case n > maxWord:
			return "", &failure{fmt.Sprintf("%q has %d characters, more than %d", name, n, maxWord), "shorten it"}
		}
		return v, nil
	case nil:
		return "", &failure{fmt.Sprintf("%q is null, and a mark cannot be taken back", name), "leave out what is not established"}
	default:
		return "", &failure{fmt.Sprintf("%q must be a text or true, not %s", name, raw), `put it in quotes, like "incident": "2026-1187"`}
	}
}

func fieldNames() []string {
	var names []string
	for _, f := range policy.Fields() {
		names = append(names, string(f))
	}
	return names
}

// nearest suggests the name that was probably meant.
func nearest(word string, names []string) string {
	best, distance := "", len(word)/3+2
	for _, n := range names {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), n); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return "the fields are " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// postRelease ends a call by a supervisor's decision.
func (c *Console) postRelease(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Reason string          `json:"reason"`
		By     json.RawMessage `json:"by"`
	}
	if !readObject(w, r, &body) {
		return
	}
	by, problem := author(r, body.By)
	reason := strings.TrimSpace(body.Reason)
	switch {
	case problem != nil:
	case reason == "":
		problem = &failure{"a forced release needs a reason", `send {"reason": "caller confirmed by phone that all is well", "by": "your name"}; it is journaled`}
	case utf8.RuneCountInString(reason) > maxWord:
		problem = &failure{fmt.Sprintf("the reason has more than %d characters", maxWord), "shorten it"}
	}
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	id := r.PathValue("id")
	ctx, cancel := context.WithTimeout(r.Context(), commitWait)
	defer cancel()
	if err := c.o.Calls.Release(ctx, id, reason, by); err != nil {
		c.callFailed(w, id, err)
		return
	}
	c.log.Info("call released by a supervisor", zap.String("call", id))
	reply(w, http.StatusOK, map[string]string{"released": id, "reason": reason, "by": by})
}
