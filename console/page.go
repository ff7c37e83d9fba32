package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"time"

	"go.uber.org/zap"

	"holdline/console/alerting"
	"holdline/policy"
	"holdline/sip"
)

//go:embed page.html access.html static
var files embed.FS

// page is the live page: drawn by the server, so that it says what is the case
// even where scripts are not allowed, and kept up to date by static/live.js.
type page struct{ template *template.Template }

func newPage() (*page, error) {
	t, err := template.New("page.html").Funcs(template.FuncMap{
		"clock":  func(t time.Time) string { return t.Local().Format("15:04:05") },
		"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"since":  func(t time.Time) string { return clockFace(time.Since(t)) },
		"intake": intakeWords,
	}).ParseFS(files, "page.html")
	return &page{t}, err
}

// view is what the page shows.
type view struct {
	Node, Version string
	Now           time.Time
	Reasons       []string          // why the node is not ready
	Alerts        []*alerting.Alert // those nobody has acknowledged
	Waiting       []sip.CallView
	Others        []sip.CallView
	Fields        []policy.Field
	Last          uint64 // the newest record: the script's stream goes on after it
}

// clockFace writes a duration as 1:05 or 1:02:07, as the script does.
func clockFace(d time.Duration) string {
	s := max(0, int(d/time.Second))
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// intakeWords says what is marked, in the order of the fields.
func intakeWords(in policy.Intake) []string {
	var words []string
	for _, f := range policy.Fields() {
		switch m, ok := in[f]; {
		case !ok:
		case m.Value == "true":
			words = append(words, string(f))
		default:
			words = append(words, string(f)+": "+m.Value)
		}
	}
	return words
}

// getPage draws the page. The number of the newest record is taken before the
// calls are, so that no event falls between the two.
func (c *Console) getPage(w http.ResponseWriter, r *http.Request) {
	v := view{Node: c.o.Node, Version: c.o.Version, Now: time.Now(), Fields: policy.Fields(), Last: c.o.Journal.Last()}
	if c.o.Ready != nil {
		v.Reasons = c.o.Ready()
	}
	var err error
	if v.Alerts, err = c.desk.List(r.Context(), true); err != nil {
		v.Reasons = append(v.Reasons, "alerts cannot be shown: "+err.Error())
	}
	v.Alerts = visible(r, v.Alerts)
	for _, call := range visible(r, c.calls()) {
		if call.State == stateWaiting {
			v.Waiting = append(v.Waiting, call)
		} else {
			v.Others = append(v.Others, call)
		}
	}
	var b bytes.Buffer
	if err := c.page.template.Execute(&b, v); err != nil {
		c.log.Error("live page cannot be drawn", zap.Error(err))
		fail(w, http.StatusInternalServerError, "the page cannot be drawn", "GET /v1/calls has the calls")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// contentTypes are those of the static files; nothing else is served.
func contentTypes() map[string]string {
	return map[string]string{
		".js":  "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml",
	}
}

func getStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	kind, known := contentTypes()[path.Ext(name)]
	body, err := fs.ReadFile(files, path.Join("static", path.Base(name)))
	if err != nil || !known {
		fail(w, http.StatusNotFound, "there is no such file", "GET / is the page that uses them")
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}
