package sip

import (
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/recorder"
	"holdline/sip/edge"
)

// Watch says how positions and fallback targets are watched with OPTIONS.
type Watch struct {
	Interval time.Duration // between two OPTIONS to one target; 0: nobody is watched
	Failures int           // unanswered ones in a row until a target is dead; 0: 3
}

// Reach is what is known of a target.
type Reach string

// The states of a watched target. Unknown targets are offered calls.
const (
	Unknown Reach = "unknown"
	Alive   Reach = "alive"
	Dead    Reach = "dead"
)

// watcher sends the OPTIONS and keeps what came of them.
type watcher struct {
	g     *Guard
	mu    sync.Mutex
	seen  map[string]*watched
	timer *time.Timer
	over  bool
}

type watched struct {
	uri    string
	reach  Reach
	failed int
	since  time.Time
}

func newWatcher(g *Guard) *watcher { return &watcher{g: g, seen: map[string]*watched{}} }

// start begins the next round after the interval of the present settings.
func (w *watcher) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	every := w.g.settings.Load().Watch.Interval
	if w.over || every <= 0 {
		w.seen = map[string]*watched{}
		return
	}
	w.timer = time.AfterFunc(every, w.round)
}

func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// round asks every target once.
func (w *watcher) round() {
	defer w.g.recovered("watch")
	s := w.g.settings.Load()
	for _, t := range s.everybody() {
		w.ask(t)
	}
	w.start()
}

// everybody is each position and fallback target once.
func (s *Settings) everybody() []target {
	var out []target
	known := map[string]bool{}
	add := func(t target) {
		if t.URI != "" && !known[t.Key] {
			known[t.Key] = true
			out = append(out, t)
		}
	}
	for _, p := range s.Positions {
		add(s.target(p.ID))
	}
	for _, tier := range s.Fallback {
		for _, name := range tier.To {
			add(s.target(name))
		}
	}
	return out
}

func (w *watcher) ask(t target) {
	w.g.resolve(t.URI, func(hops []hopAddr, err error) {
		if err != nil {
			w.learn(t, false)
			return
		}
		req, err := w.g.optionsTo(t.URI, hops[0])
		if err != nil {
			w.learn(t, false)
			return
		}
		done := false
		var mu sync.Mutex
		w.g.edge.Send(req, func(r edge.Response) {
			mu.Lock()
			defer mu.Unlock()
			if done || r.Err == nil && r.StatusCode < 200 {
				return
			}
			done = true
			// Any answer is a sign of life; 503 says "not now" (RFC 3261 section 21.5.4).
			w.learn(t, r.Err == nil && r.StatusCode != 503 && r.StatusCode != 408)
		})
	})
}

func (g *Guard) optionsTo(uri string, h hopAddr) (*gosip.Request, error) {
	socket, err := g.socketFor(h.network, h.addr)
	if err != nil {
		return nil, err
	}
	d := Dialog{
		CallID: newToken(), LocalTag: newToken(), Local: "<sip:" + socket + ">", Remote: "<" + uri + ">",
		Target: uri, Network: h.network, Next: h.addr, Socket: socket,
	}
	req, err := d.request("OPTIONS", 1)
	if err != nil {
		return nil, err
	}
	req.SetBody(nil)
	return req, nil
}

// learn takes the outcome of one OPTIONS.
func (w *watcher) learn(t target, answered bool) {
	limit := w.g.settings.Load().Watch.Failures
	if limit <= 0 {
		limit = 3
	}
	w.mu.Lock()
	k := w.seen[t.Key]
	if k == nil {
		k = &watched{uri: t.URI, reach: Unknown, since: time.Now()}
		w.seen[t.Key] = k
	}
	was := k.reach
	switch {
	case answered:
		k.failed, k.reach = 0, Alive
	default:
		if k.failed++; k.failed >= limit {
			k.reach = Dead
		}
	}
	now := k.reach
	if now != was {
		k.since = time.Now()
	}
	over := w.over
	w.mu.Unlock()
	if now == was || over {
		return
	}
	w.g.log.Info("target changes", zap.String("target", t.Name), zap.String("from", string(was)), zap.String("to", string(now)))
	if now == Dead || was == Dead {
		w.g.opts.Journal.Append(recorder.Entry{Time: time.Now(), Kind: "alert.raised", Data: alertData{
			ID: newToken(), Cause: "target " + string(now), Position: t.Name, Agent: t.Agent,
			Why: "the target " + map[bool]string{true: "answers OPTIONS again", false: "does not answer OPTIONS"}[now == Alive],
		}})
	}
}

func (w *watcher) reach(key string) (Reach, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.seen[key]; k != nil {
		return k.reach, k.since
	}
	return Unknown, time.Time{}
}
