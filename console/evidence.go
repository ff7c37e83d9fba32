package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"holdline/recorder"
	"holdline/recorder/evidence"
)

// Evidence writes the bundle of a call for by. The error wraps
// evidence.ErrNoCall when there is no such call.
type Evidence func(ctx context.Context, call, by string, w io.Writer) (evidence.Manifest, error)

// exportedData is evidence.exported.
type exportedData struct {
	By    string          `json:"by"`
	From  string          `json:"from"` // the address that asked
	Files []evidence.File `json:"files"`
}

// getEvidence answers with the bundle of a call. It is made in a temporary
// file first, so that what cannot be made is an error and not half a file, and
// it is journaled before its first byte leaves.
func (c *Console) getEvidence(w http.ResponseWriter, r *http.Request) {
	call := r.PathValue("call")
	if c.o.Evidence == nil {
		fail(w, http.StatusNotImplemented, "this node makes no evidence", "")
		return
	}
	by, problem := author(r, quoted(r.URL.Query().Get("by")))
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	f, err := os.CreateTemp("", "holdline-evidence-*.zip")
	if err != nil {
		fail(w, http.StatusInsufficientStorage, "there is no room for the bundle", err.Error())
		return
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	m, err := c.o.Evidence(r.Context(), call, by, f)
	switch {
	case errors.Is(err, evidence.ErrNoCall):
		fail(w, http.StatusNotFound, fmt.Sprintf("the journal has no call %q", call), "use the SIP Call-ID or the emergency call identifier")
		return
	case errors.Is(err, recorder.ErrNotSigned):
		fail(w, http.StatusServiceUnavailable, err.Error(), "")
		return
	case err != nil:
		c.log.Error("evidence cannot be made", zap.String("call", call), zap.Error(err))
		fail(w, http.StatusInternalServerError, err.Error(), "GET /readyz may say why")
		return
	}
	c.commit(r.Context(), recorder.Entry{
		Time: time.Now(), Call: m.Call, Kind: "evidence.exported",
		Data: exportedData{By: by, From: r.RemoteAddr, Files: m.Files},
	})
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="evidence-`+plainName(m.Call)+`.zip"`)
	http.ServeContent(&patient{ResponseWriter: w, rc: http.NewResponseController(w)}, r, "", time.Now(), f)
}

// plainName makes an identifier part of a file's name.
func plainName(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '@' || r == '-' {
			return r
		}
		return '_'
	}, id[:min(len(id), 64)])
}
