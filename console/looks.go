package console

import (
	"net/http"
	"sync"
	"time"

	"holdline/console/access"
	"holdline/recorder"
)

// What people see and hear of callers is in the journal. A player fetches
// a recording in many pieces, and pages are loaded again: one record for each
// person and call in lookAgain says it.
const lookAgain = 10 * time.Minute

// looks remembers what has been journaled. The zero value is ready.
type looks struct {
	mu   sync.Mutex
	last map[look]time.Time
}

// look is one person's seeing or playing of one call, or of a list of calls.
type look struct{ kind, call, by, from string }

// lists are the routes that show callers without naming one in the path, and
// what the journal calls them.
func lists() map[string]string {
	return map[string]string{
		"/{$}": "live", "/v1/calls": "calls", "/v1/events": "events", "/v1/alerts": "alerts",
		"/v1/callbacks": "callbacks", "/v1/unrelayed": "unrelayed", "/v1/history": "search", "/search": "search",
	}
}

// listed journals that somebody who has signed in saw a list of callers: which,
// and what was searched for. A page that follows what happens asks again with
// every event, so the record says that it was watched within lookAgain.
func (c *Console) listed(r *http.Request, pattern string) {
	list, ok := lists()[pattern]
	u, signed := userOf(r)
	if !ok || !signed || !u.Can(access.People) || r.Method != http.MethodGet {
		return
	}
	data := map[string]string{"by": u.Name, "from": addressOf(r), "list": list}
	if list == "search" && r.URL.RawQuery != "" {
		data["query"] = shortened(r.URL.Query().Encode())
	}
	if now := time.Now(); c.looks.first(look{kindListViewed, list + "?" + data["query"], u.Name, data["from"]}, now) {
		c.o.Journal.Commit(func(bool) {}, recorder.Entry{Time: now, Kind: kindListViewed, Data: data})
	}
}

// first tells whether a look has not been journaled within lookAgain.
func (l *looks) first(k look, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.last[k]; ok && now.Sub(at) < lookAgain {
		return false
	}
	if l.last == nil {
		l.last = map[look]time.Time{}
	}
	for old, at := range l.last {
		if now.Sub(at) >= lookAgain {
			delete(l.last, old)
		}
	}
	l.last[k] = now
	return true
}

// lookedAt journals that somebody saw or played a call. Asking for headers
// shows nobody anything.
func (c *Console) lookedAt(r *http.Request, kind, call string) {
	if r.Method == http.MethodHead {
		return
	}
	by, _ := author(r, nil)
	from, now := addressOf(r), time.Now()
	if c.looks.first(look{kind, call, by, from}, now) {
		c.o.Journal.Commit(func(bool) {}, recorder.Entry{Time: now, Call: call, Kind: kind, Data: map[string]string{"by": by, "from": from}})
	}
}
