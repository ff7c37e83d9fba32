package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"holdline/console/sources"
	"holdline/policy"
	"holdline/policy/eido"
)

// maxEIDO bounds a message with EIDO documents, in bytes: they may carry
// pictures.
const maxEIDO = 4 << 20

// noIntake is the answer of a console that takes no word of other systems.
func noIntake(w http.ResponseWriter) {
	fail(w, http.StatusServiceUnavailable, "this console takes no intake from other systems", "ask the one of a node")
}

// postEIDO takes EIDO documents (NENA-STA-021.1): one, a list, or a
// notification with some.
func (c *Console) postEIDO(w http.ResponseWriter, r *http.Request) {
	if c.o.Intake == nil {
		noIntake(w)
		return
	}
	body, ok := readBody(w, r, maxEIDO, eido.MediaType, "application/json")
	if !ok {
		return
	}
	by, _ := author(r, nil)
	ctx, cancel := context.WithTimeout(r.Context(), commitWait)
	defer cancel()
	docs, err := c.o.Intake.Documents(ctx, body, by, sources.EIDO)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error(), "send a document as in NENA-STA-021.1, or a list of them")
		return
	}
	reply(w, joinedStatus(docs), map[string]any{"documents": docs})
}

// joinedStatus is 202 when every document still waits for its call.
func joinedStatus(docs []sources.Received) int {
	if slices.ContainsFunc(docs, func(d sources.Received) bool { return !d.Kept }) {
		return http.StatusOK
	}
	return http.StatusAccepted
}

// postWebhook takes the fields of PUT /v1/calls/{id}/intake and the call they
// are for, in a message that is signed with a shared secret.
func (c *Console) postWebhook(w http.ResponseWriter, r *http.Request) {
	if c.o.Intake == nil {
		noIntake(w)
		return
	}
	raw, ok := readBody(w, r, maxBody, "application/json")
	if !ok {
		return
	}
	if err := c.o.Intake.VerifyWebhook(r.Header.Get(sources.SignatureHeader), raw); err != nil {
		c.unverified(w, err)
		return
	}
	word, problem := webhookWord(r, raw)
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), commitWait)
	defer cancel()
	joined := c.o.Intake.Join(ctx, word)
	status := http.StatusOK
	if joined.Kept {
		status = http.StatusAccepted
	}
	reply(w, status, joined)
}

func (c *Console) unverified(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, sources.ErrNoWebhook):
		fail(w, http.StatusServiceUnavailable, err.Error(), "set intake.webhook.secret or intake.webhook.secret_file")
	case errors.Is(err, sources.ErrReplayed):
		fail(w, http.StatusConflict, err.Error(), "sign each message with its own time")
	default:
		c.log.Warn("webhook message refused", zap.Error(err))
		fail(w, http.StatusUnauthorized, err.Error(), "docs/intake.md shows how to sign")
	}
}

// webhookWord reads the body of a webhook message.
func webhookWord(r *http.Request, raw []byte) (sources.Word, *failure) {
	word := sources.Word{Source: sources.Webhook, Marks: map[policy.Field]string{}}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil {
		return word, &failure{"the body is not a JSON object: " + err.Error(), `send an object like {"call": "...", "incident": "2026-1187"}`}
	}
	by, problem := author(r, body["by"])
	if problem != nil {
		return word, problem
	}
	word.By = by
	for _, name := range []string{"call", "incidentId"} {
		var id string
		if body[name] == nil {
			continue
		}
		if err := json.Unmarshal(body[name], &id); err != nil || strings.TrimSpace(id) == "" {
			return word, &failure{fmt.Sprintf("%q must be an identifier", name), "send the SIP Call-ID, or an identifier from Call-Info"}
		}
		word.IDs = append(word.IDs, strings.TrimSpace(id))
	}
	if len(word.IDs) == 0 {
		return word, &failure{"the body names no call", `add "call" with the SIP Call-ID or the emergency call identifier, or "incidentId"`}
	}
	for _, name := range []string{"by", "call", "incidentId"} {
		delete(body, name)
	}
	if len(body) == 0 {
		return word, &failure{"the body marks no field", "the fields are " + strings.Join(fieldNames(), ", ")}
	}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		value, problem := markValue(name, body[name])
		if problem != nil {
			return word, problem
		}
		word.Marks[policy.Field(name)] = value
	}
	return word, nil
}

// postLogEvent is the logging service of i3 (NENA-STA-010.3 section 4.12.3):
// Holdline as one of the loggers of the call-handling system.
func (c *Console) postLogEvent(w http.ResponseWriter, r *http.Request) {
	if c.o.Intake == nil {
		noIntake(w)
		return
	}
	message, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sources.MaxEvent+1))
	if tooLarge := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &tooLarge) {
		fail(w, http.StatusBadRequest, "the body cannot be read: "+err.Error(), "")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), commitWait)
	defer cancel()
	id, err := c.o.Intake.LogEvent(ctx, message)
	var refused *sources.LogError
	switch {
	case errors.As(err, &refused):
		c.log.Warn("log event refused", zap.Int("status", refused.Status), zap.String("reason", refused.Message))
		fail(w, refused.Status, refused.Message, refused.Hint)
	case err != nil:
		fail(w, http.StatusInternalServerError, err.Error(), "")
	default:
		reply(w, http.StatusCreated, id)
	}
}

// getVersions says which versions of the logging service there are
// (NENA-STA-010.3 section 2.8).
func (c *Console) getVersions(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{
		"fingerprint": "Holdline " + c.o.Version,
		"versions":    []map[string]any{{"major": 1, "minor": 1, "vendor": "Holdline"}},
	})
}

// readBody reads a body of one of the media types, or of none that is named. It
// answers itself, and returns false, when the request has something else.
func readBody(w http.ResponseWriter, r *http.Request, most int64, types ...string) ([]byte, bool) {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if kind, _, err := mime.ParseMediaType(ct); err != nil || !slices.Contains(types, kind) {
			fail(w, http.StatusUnsupportedMediaType, fmt.Sprintf("the body is %q", ct), "send Content-Type: "+strings.Join(types, " or "))
			return nil, false
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", most), "send less at a time")
	case err != nil:
		fail(w, http.StatusBadRequest, "the body cannot be read: "+err.Error(), "")
	case len(bytes.TrimSpace(body)) == 0:
		fail(w, http.StatusBadRequest, "the body is empty", "send JSON")
	default:
		return body, true
	}
	return nil, false
}
