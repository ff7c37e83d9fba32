package console

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"
)

// getRecording serves the audio of a call, also of one that is still going on,
// with ranges (RFC 9110 section 14) so that a player can seek.
func (c *Console) getRecording(w http.ResponseWriter, r *http.Request) {
	call := r.PathValue("call")
	f, err := c.openRecording(call)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fail(w, http.StatusNotFound, fmt.Sprintf("there is no recording of call %q", call),
			"recordings are named by the SIP Call-ID; test calls are not recorded")
		return
	case err != nil:
		c.log.Error("recording cannot be opened", zap.String("call", call), zap.Error(err))
		fail(w, http.StatusInternalServerError, "the recording cannot be opened", "the log has the details")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		fail(w, http.StatusInternalServerError, "the recording cannot be read", "look at the data folder")
		return
	}
	c.log.Info("recording served", zap.String("call", call), zap.String("range", r.Header.Get("Range")))
	w.Header().Set("Content-Type", "audio/wav")
	http.ServeContent(&patient{ResponseWriter: w, rc: http.NewResponseController(w)}, r, "", info.ModTime(), f)
}

func (c *Console) openRecording(call string) (*os.File, error) {
	if c.o.Recordings == nil {
		return nil, fs.ErrNotExist
	}
	path, err := c.o.Recordings.Path(call)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
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
