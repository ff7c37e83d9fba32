package console

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"holdline/console/access"
	"holdline/console/alerting"
	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/sip"
)

//go:embed access.html static
var files embed.FS

// mostRows is how many calls in progress the live page lists. A centre that
// has more is not helped by a longer list; callers who wait are always shown.
const mostRows = 200

// settle is how long a page waits for the latest records to be counted: a page
// must be there at once, also while the journal is read after a start.
const settle = 200 * time.Millisecond

// liveView is what the live page shows.
type liveView struct {
	Shell   Shell
	May     may
	Reasons []string // why the node is not ready, and what cannot be shown
	Surge   SurgeView
	Waiting []sip.CallView
	Alerts  []*alerting.Alert // those nobody has acknowledged
	Others  []sip.CallView
	More    int // calls beyond mostRows
	Owed    []ledger.Callback
	Undone  []ledger.Unrelayed
	Agents  []AgentView
	Last    uint64 // the newest record: the script's stream goes on after it
}

// may is what the reader of a page may do from it.
type may struct{ People, Command, Join, Surge, Audio bool }

func mayOf(r *http.Request) may {
	u, _ := userOf(r)
	return may{
		People: u.Can(access.People), Command: u.Can(access.Command), Join: u.Can(access.Join),
		Surge: u.Can(access.Surge), Audio: u.Can(access.Audio),
	}
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

// getPage draws the live page. The script asks for it again when something
// happened and takes over what changed, so that there is one place that knows
// what it looks like. The number of the newest record is taken before the
// calls are, so that no event falls between the two.
func (c *Console) getPage(w http.ResponseWriter, r *http.Request) {
	v := liveView{Last: c.o.Journal.Last(), Shell: c.shell(r), May: mayOf(r)}
	v.Surge = visible(r, c.o.Surge.View(v.Shell.Now))
	if c.o.Ready != nil {
		v.Reasons = c.o.Ready()
	}
	alerts, err := c.desk.List(r.Context(), true)
	if err != nil {
		v.Reasons = append(v.Reasons, "alerts cannot be shown: "+err.Error())
	}
	v.Alerts = visible(r, alerts)
	v.Waiting, v.Others = apart(visible(r, c.calls()))
	if v.More = len(v.Others) - mostRows; v.More > 0 {
		v.Others = v.Others[:mostRows]
	}
	v.Agents = visible(r, c.agents())
	if v.May.People {
		if !c.settled(r) {
			v.Reasons = append(v.Reasons, "the journal is still being read: callbacks and calls not passed on may be missing")
		}
		v.Owed, v.Undone = c.o.Account.Callbacks(v.Shell.Now, false), c.o.Account.Unrelayed(v.Shell.Now, false)
	}
	c.draw(w, "live", v)
}

// apart returns the calls whose caller is alone, and the others.
func apart(calls []sip.CallView) (waiting, others []sip.CallView) {
	for _, call := range calls {
		if call.State == stateWaiting {
			waiting = append(waiting, call)
		} else {
			others = append(others, call)
		}
	}
	return waiting, others
}

// settled is caughtUp for pages.
func (c *Console) settled(r *http.Request) bool {
	if c.o.CaughtUp == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(r.Context(), settle)
	defer cancel()
	return c.o.CaughtUp(ctx)
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
