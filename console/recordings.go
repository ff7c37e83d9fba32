package console

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"go.uber.org/zap"

	"holdline/recorder"
)

// getRecording serves the audio of a call, also of one that is still going on,
// with ranges (RFC 9110 section 14) so that a player can seek.
func (c *Console) getRecording(w http.ResponseWriter, r *http.Request) {
	call := r.PathValue("call")
	p := c.openRecording(w, call)
	if p == nil {
		return
	}
	defer p.Close()
	c.log.Info("recording served", zap.String("call", call), zap.String("range", r.Header.Get("Range")))
	c.lookedAt(r, kindRecordPlay, call)
	w.Header().Set("Content-Type", "audio/wav")
	http.ServeContent(&patient{ResponseWriter: w, rc: http.NewResponseController(w)}, r, "", p.Modified, p)
}

// openRecording opens the audio of a call, or answers why it cannot be.
func (c *Console) openRecording(w http.ResponseWriter, call string) *recorder.Playable {
	if c.o.Recordings == nil {
		noRecording(w, call)
		return nil
	}
	p, err := c.o.Recordings.Open(call)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		noRecording(w, call)
		return nil
	case errors.Is(err, recorder.ErrLocked):
		fail(w, http.StatusForbidden, err.Error(), "the bundle of evidence has the encrypted file, for whoever has the identity")
		return nil
	case err != nil:
		c.log.Error("recording cannot be opened", zap.String("call", call), zap.Error(err))
		fail(w, http.StatusInternalServerError, "the recording cannot be opened", "the log has the details")
		return nil
	}
	return p
}

func noRecording(w http.ResponseWriter, call string) {
	fail(w, http.StatusNotFound, fmt.Sprintf("there is no recording of call %q", call),
		"recordings are named by the SIP Call-ID; test calls are not recorded")
}

// patient gives a client the whole write timeout for each piece of a long
// answer, instead of one for all of it.
type patient struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.ResponseWriter.Write(b)
}
