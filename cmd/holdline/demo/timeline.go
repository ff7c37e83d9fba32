package demo

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// width is how many characters a line may have: what every terminal shows.
const width = 80

// settleTime is how long a line waits for an earlier one that is told later:
// the journal tells of a step after the phones have seen it.
const settleTime = 150 * time.Millisecond

// Who a line of the timeline is about.
type actor struct {
	name  string
	color string // ANSI SGR code
}

var (
	theCaller   = actor{"caller", "36"}
	thePosition = actor{"position", "33"}
	theFallback = actor{"fallback", "34"}
	holdline    = actor{"holdline", "32"}
)

// line is one event.
type line struct {
	at   time.Time
	who  actor
	loud bool
	text string
}

// timeline prints events in the order in which they happened, with the time
// since the call began.
type timeline struct {
	out   io.Writer
	color bool

	mu      sync.Mutex
	start   time.Time
	pending []line
	err     error // of the first write that failed
}

// begin starts a new call's clock.
func (t *timeline) begin(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start = at
}

// tell adds an event.
func (t *timeline) tell(at time.Time, who actor, format string, args ...any) {
	t.add(line{at: at, who: who, text: fmt.Sprintf(format, args...)})
}

// shout adds an event that must not be overlooked.
func (t *timeline) shout(at time.Time, who actor, format string, args ...any) {
	t.add(line{at: at, who: who, loud: true, text: fmt.Sprintf(format, args...)})
}

func (t *timeline) add(l line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, l)
}

// run prints what has settled until done is closed, and then the rest.
func (t *timeline) run(done <-chan struct{}) {
	ticker := time.NewTicker(settleTime / 3)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			t.flush(now.Add(-settleTime))
		case <-done:
			t.flush(time.Now().Add(time.Hour))
			return
		}
	}
}

func (t *timeline) flush(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.pending, func(a, b line) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for len(t.pending) > 0 && t.pending[0].at.Before(until) {
		t.print(t.pending[0])
		t.pending = t.pending[1:]
	}
}

// print writes one event, wrapped, the lines after the first indented.
func (t *timeline) print(l line) {
	head := fmt.Sprintf("%7.2f s  %-9s ", l.at.Sub(t.start).Seconds(), l.who.name)
	for i, row := range wrap(l.text, width-len(head)) {
		lead := head
		if i > 0 {
			lead = strings.Repeat(" ", len(head))
		}
		t.write(t.paint(lead, l.who.color, false) + t.paint(row, l.who.color, l.loud) + "\n")
	}
}

// say writes words outside the timeline at once, as they are.
func (t *timeline) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write(fmt.Sprintf(format, args...))
}

func (t *timeline) write(s string) {
	if _, err := io.WriteString(t.out, s); err != nil && t.err == nil {
		t.err = fmt.Errorf("writing the timeline: %w", err)
	}
}

func (t *timeline) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *timeline) paint(s, color string, bold bool) string {
	if !t.color || color == "" {
		return s
	}
	if bold {
		color += ";1"
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// wrap breaks text at spaces into rows of at most limit characters; a longer
// word has a row of its own.
func wrap(text string, limit int) []string {
	var rows []string
	row := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case row == "":
			row = word
		case len(row)+1+len(word) <= limit:
			row += " " + word
		default:
			rows, row = append(rows, row), word
		}
	}
	return append(rows, row)
}
