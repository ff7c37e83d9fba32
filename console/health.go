package console

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPI []byte

// getHealth says that the process is alive; a monitor may restart one that
// does not answer.
func (c *Console) getHealth(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]string{"status": "alive"})
}

// getReady says whether new calls should be sent here. Calls in progress are
// served either way.
func (c *Console) getReady(w http.ResponseWriter, _ *http.Request) {
	reasons := []string{}
	if c.o.Ready != nil {
		reasons = append(reasons, c.o.Ready()...)
	}
	answer := map[string]any{"reasons": reasons}
	if c.o.Notes != nil {
		if notes := c.o.Notes(); len(notes) > 0 {
			answer["notes"] = notes
		}
	}
	if len(reasons) > 0 {
		answer["error"], answer["hint"] = "not ready for new calls", "calls in progress go on"
		reply(w, http.StatusServiceUnavailable, answer)
		return
	}
	answer["status"] = "ready"
	reply(w, http.StatusOK, answer)
}

func getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}
