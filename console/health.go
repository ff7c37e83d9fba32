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
	if len(reasons) > 0 {
		reply(w, http.StatusServiceUnavailable, map[string]any{
			"error": "not ready for new calls", "hint": "calls in progress go on", "reasons": reasons,
		})
		return
	}
	reply(w, http.StatusOK, map[string]any{"status": "ready", "reasons": reasons})
}

func getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}
