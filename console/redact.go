package console

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"

	"holdline/console/access"
)

// veil takes people out of what somebody gets to see whose role shows states
// and nobody's names, numbers, places and words. It is around every answer to
// them, so that no handler can forget it: of JSON only what plain lists passes,
// and everything else is left out, also what nobody has thought of yet.
type veil struct {
	http.ResponseWriter
}

// Unwrap lets http.ResponseController reach the connection.
func (v *veil) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// Write passes one answer or one event on. The handlers write JSON in one
// piece, and events one by one; a piece that cannot be read is not passed on.
func (v *veil) Write(b []byte) (int, error) {
	kind, _, _ := mime.ParseMediaType(v.Header().Get("Content-Type"))
	out := b
	switch kind {
	case "application/json":
		out = append(veiled(bytes.TrimSpace(b)), '\n')
	case "text/event-stream":
		out = veiledEvents(b)
	}
	if _, err := v.ResponseWriter.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// veiledEvents does it to the data of server-sent events.
func veiledEvents(b []byte) []byte {
	lines := bytes.Split(b, []byte("\n"))
	for i, line := range lines {
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			lines[i] = append([]byte("data: "), veiled(data)...)
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// veiled returns JSON without what says who somebody is.
func veiled(b []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // the numbers of records are longer than a float keeps
	if err := d.Decode(&v); err != nil {
		return []byte("{}")
	}
	out, err := json.Marshal(withoutPeople(unlessFailure(v)))
	if err != nil {
		return []byte("{}")
	}
	return out
}

// unlessFailure keeps what an answer says is wrong, which handlers write and
// nobody else; the same keys in a record may have the words of other systems.
func unlessFailure(v any) any {
	m, ok := v.(map[string]any)
	if !ok || m["error"] == nil {
		return v
	}
	return map[string]any{"error": words{m["error"]}, "hint": words{m["hint"]}}
}

// words is what passes as it is.
type words struct{ v any }

// MarshalJSON implements json.Marshaler.
func (w words) MarshalJSON() ([]byte, error) { return json.Marshal(w.v) }

// withoutPeople keeps true and false, and of texts and numbers those under a
// key that is plain. Lists of texts are texts under the list's key.
func withoutPeople(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for key, x := range v {
			switch x := x.(type) {
			case map[string]any:
				kept[key] = withoutPeople(x)
			case []any:
				kept[key] = listWithoutPeople(key, x)
			case bool, nil, words:
				kept[key] = x
			default:
				if plain(key) {
					kept[key] = x
				}
			}
		}
		return kept
	case []any:
		return listWithoutPeople("", v)
	}
	return nil // a bare text
}

func listWithoutPeople(key string, list []any) []any {
	kept := []any{}
	for _, x := range list {
		switch x.(type) {
		case map[string]any, []any:
			kept = append(kept, withoutPeople(x))
		default:
			if plain(key) {
				kept = append(kept, x)
			}
		}
	}
	return kept
}

// plain tells whether what stands under a key says nothing of who somebody is.
// Call-IDs are plain: the network makes them, and a tester finds a call by them.
func plain(key string) bool {
	if strings.HasSuffix(key, "Ms") || strings.HasSuffix(key, "MS") {
		return true
	}
	return slices.Contains([]string{
		// answers and records
		"id", "seq", "time", "at", "call", "node", "version", "kind", "complete",
		// calls
		"state", "started", "answered", "waitingSince", "rescues", "priority", "role", "since", "join", "position",
		"rule", "class", "verdict", "decision", "mode", "field", "source", "codec", "share",
		// alerts
		"cause", "severity", "raised", "repeats", "repeated", "missing", "step", "alert", "do", "method", "level", "event",
		// the node
		"channel", "attempts", "until", "config", "policy", "key", "size", "calls", "sha256", "status", "code",
	}, key)
}

// visible returns v as the sender of a request may see it. Pages use it for
// what they draw, which no veil can look into.
func visible[T any](r *http.Request, v T) T {
	if u, _ := userOf(r); u.Can(access.People) {
		return v
	}
	var seen T
	raw, err := json.Marshal(v)
	if err != nil || json.Unmarshal(veiled(raw), &seen) != nil {
		var none T
		return none
	}
	return seen
}
