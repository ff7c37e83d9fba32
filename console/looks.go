package console

import (
	"net/http"
	"sync"
	"time"

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

// look is one person's seeing or playing of one call.
type look struct{ kind, call, by, from string }

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
