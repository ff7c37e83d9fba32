package node

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"holdline/console"
	"holdline/recorder"
)

// troubleMemory is how long /readyz goes on telling of a trouble that came and
// left no state behind, so that a monitor that asks once a minute sees it.
const troubleMemory = 5 * time.Minute

// troubles remembers what the node has to do without.
type troubles struct {
	keep time.Duration
	mu   sync.Mutex
	seen map[trouble]time.Time // when it was last seen
}

type trouble struct{ part, reason string }

// add notes a trouble; it returns false when the same one was seen a short
// while ago, so that a storm of failures is one record and not thousands.
func (t *troubles) add(part, reason string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[trouble]time.Time{}
	}
	for k, at := range t.seen {
		if now.Sub(at) > t.keep {
			delete(t.seen, k)
		}
	}
	_, known := t.seen[trouble{part, reason}]
	const most = 100 // different reasons at a time; a reason may carry an error's text
	if !known && len(t.seen) >= most {
		return false
	}
	t.seen[trouble{part, reason}] = now
	return !known
}

// list returns the troubles of the last minutes.
func (t *troubles) list(now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for k, at := range t.seen {
		if now.Sub(at) <= t.keep {
			out = append(out, k.part+": "+k.reason)
		}
	}
	slices.Sort(out)
	return out
}

// degradedData is node.degraded.
type degradedData struct {
	Part      string `json:"part"` // journal, recordings, calls
	Reason    string `json:"reason,omitempty"`
	Recovered bool   `json:"recovered,omitempty"`
}

// degraded logs, journals and shows that a part cannot do what it should. It
// may be called from any goroutine, and before the journal is open.
func (n *Node) degraded(part, reason string) {
	if !n.troubles.add(part, reason, time.Now()) {
		return
	}
	n.log.Error("node degraded", zap.String("part", part), zap.String("reason", reason))
	n.note(degradedData{Part: part, Reason: reason})
}

// failing and works return what the recorder calls when one of its parts
// cannot keep up, and when it can again. It logs that itself, and its health is
// asked for when somebody wants to know.
func (n *Node) failing(part string) func(reason string) {
	return func(reason string) { n.note(degradedData{Part: part, Reason: reason}) }
}

func (n *Node) works(part string) func() {
	return func() { n.note(degradedData{Part: part, Recovered: true}) }
}

// note records d if there is a journal yet: its first trouble may be that it
// cannot be opened.
func (n *Node) note(d degradedData) {
	if j := n.notes.Load(); j != nil {
		j.Append(recorder.Entry{Time: time.Now(), Kind: "node.degraded", Data: d})
	}
}

// reasons is why the node should get no new calls, or what is wrong with it.
func (n *Node) reasons() []string {
	out := n.troubles.list(time.Now())
	if h := n.journal.Health(); h.Degraded {
		out = append(out, "journal: "+h.Reason)
	}
	if n.audio != nil {
		if h := n.audio.Health(); h.Degraded {
			out = append(out, "recordings: "+h.Reason)
		}
	}
	if n.guard.Draining() {
		out = append(out, "draining")
	}
	return out
}

func (n *Node) audioStats() console.AudioStats {
	h := n.audio.Health()
	return console.AudioStats{Open: h.Open, Lost: h.Lost}
}
