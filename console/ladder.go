package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"holdline/recorder"
	"holdline/recorder/capture"
)

// Messages finds the messages with any of the Call-IDs that passed between two
// moments.
type Messages func(ctx context.Context, callIDs []string, from, to time.Time) ([]capture.Found, error)

// Measures of the ladder's drawing, in pixels.
const (
	ladderColumn = 190 // between two lifelines
	ladderMargin = 95  // beside the outer ones, for half a name
)

// ladder is the messages of a call between those who sent and got them.
type ladder struct {
	Columns []lifeline
	Width   int
	Height  int // of one row
}

// lifeline is one address that sent or got messages.
type lifeline struct {
	X       int
	Name    string // "" when it is not known who it is
	Address string
}

// arrow is one message of the ladder.
type arrow struct {
	Ladder   *ladder
	From, To string // addresses
	X1, X2   int
	Tip      int    // where the line ends, before its head
	Head     string // points of the arrow's head
	Middle   int    // where the words are
	Label    string
	Kind     string // request, good, bad: for its colour; the words say it too
	Network  string
	Size     int
	Raw      string // "" when it is not to be seen
}

// newLadder gives each address its column, in the order of their appearance.
func newLadder(found []capture.Found, records []recorder.Record) *ladder {
	l := &ladder{Height: 40}
	count := map[string]int{}
	for _, m := range found {
		for _, a := range []string{m.From.String(), m.To.String()} {
			if count[a]++; count[a] == 1 {
				l.Columns = append(l.Columns, lifeline{X: ladderMargin + ladderColumn*len(l.Columns), Address: a})
			}
		}
	}
	l.Width = 2*ladderMargin + ladderColumn*max(0, len(l.Columns)-1)
	names := positionsAt(records)
	for i := range l.Columns {
		col := &l.Columns[i]
		switch {
		case count[col.Address] == len(found): // one end of every message
			col.Name = "Holdline"
		case i == 0:
			col.Name = "caller's side"
		default:
			col.Name = names[col.Address]
		}
	}
	return l
}

// positionsAt tells from the records which positions are at which addresses.
func positionsAt(records []recorder.Record) map[string]string {
	at := map[string]string{}
	for _, r := range records {
		var d struct{ Position, URI string }
		if json.Unmarshal(r.Data, &d) != nil || d.Position == "" {
			continue
		}
		host := d.URI[strings.LastIndexByte(d.URI, '@')+1:]
		host, _, _ = strings.Cut(strings.Trim(host, "<>"), ";")
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "5060") // RFC 3261 section 19.1.2
		}
		name := strings.TrimPrefix(d.Position, "sip:")
		name, _, _ = strings.Cut(name, "@")
		at[host] = name
	}
	return at
}

// arrow draws one message.
func (l *ladder) arrow(m capture.Found, raw bool) *arrow {
	a := &arrow{Ladder: l, From: m.From.String(), To: m.To.String(), Network: m.Network, Size: len(m.Raw)}
	for _, col := range l.Columns {
		if col.Address == a.From {
			a.X1 = col.X
		}
		if col.Address == a.To {
			a.X2 = col.X
		}
	}
	const y, wing = 28, 5
	back := -9
	if a.X2 < a.X1 {
		back = 9
	}
	a.Tip = a.X2 + back
	a.Head = fmt.Sprintf("%d,%d %d,%d %d,%d", a.X2, y, a.Tip, y-wing, a.Tip, y+wing)
	a.Middle = (a.X1 + a.X2) / 2
	a.Label, a.Kind = inShort(m.Raw)
	if raw {
		a.Raw = strings.ToValidUTF8(string(m.Raw), "\ufffd")
	}
	return a
}

// inShort is what stands on a message's arrow: the method, or the status with
// the method it answers, and whether there is a session description.
func inShort(raw []byte) (label, kind string) {
	head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	field := func(names ...string) string {
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ":")
			if slices.Contains(names, strings.ToLower(strings.TrimSpace(name))) {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	kind = "request"
	if status, ok := strings.CutPrefix(lines[0], "SIP/2.0 "); ok {
		_, method, _ := strings.Cut(field("cseq"), " ")
		label, kind = status+" ("+strings.TrimSpace(method)+")", "good"
		if status >= "3" {
			kind = "bad"
		}
	} else {
		label, _, _ = strings.Cut(lines[0], " ")
	}
	switch body := strings.ToLower(field("content-type", "c")); {
	case strings.HasPrefix(body, "application/sdp"), strings.HasPrefix(body, "multipart/"):
		label += " + SDP"
	}
	const most = 40
	if short := []rune(label); len(short) > most {
		label = string(short[:most-1]) + "…"
	}
	return label, kind
}

// callIDs are the Call-IDs of a call's legs, as far as the records name them.
func callIDs(call string, records []recorder.Record) []string {
	ids := []string{call}
	for _, r := range records {
		var d struct {
			CallID string `json:"callId"`
		}
		if json.Unmarshal(r.Data, &d) == nil && d.CallID != "" && !slices.Contains(ids, d.CallID) {
			ids = append(ids, d.CallID)
		}
	}
	return ids
}
