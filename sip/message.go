package sip

import (
	"slices"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/edge"
)

// compact maps compact header names to the long ones (RFC 3261 section 7.3.3
// and the IANA registry of SIP header fields).
var compact = map[string]string{
	"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact",
	"l": "content-length", "c": "content-type", "e": "content-encoding",
	"k": "supported", "s": "subject", "r": "refer-to", "b": "referred-by",
	"x": "session-expires", "o": "event", "u": "allow-events",
	"a": "accept-contact", "j": "reject-contact", "d": "request-disposition", "y": "identity",
}

// longName is a header's long name in lower case.
func longName(name string) string {
	n := strings.ToLower(name)
	if l, ok := compact[n]; ok {
		return l
	}
	return n
}

// isNamed tells whether a header has a long lower-case name. It is asked for
// every header of every message, and so makes no new strings.
func isNamed(h gosip.Header, long string) bool {
	n := h.Name()
	if len(n) == 1 {
		return longName(n) == long
	}
	return len(n) == len(long) && strings.EqualFold(n, long)
}

// get returns the first value of a header by its long lower-case name, as the
// text it has on the wire; "" if the message has none.
func get(msg gosip.Message, name string) string {
	for _, h := range headersOf(msg) {
		if isNamed(h, name) {
			return h.Value()
		}
	}
	return ""
}

// getAll returns every value of a header, in order.
func getAll(msg gosip.Message, name string) []string {
	var out []string
	for _, h := range headersOf(msg) {
		if isNamed(h, name) {
			out = append(out, h.Value())
		}
	}
	return out
}

func headersOf(msg gosip.Message) []gosip.Header {
	if m, ok := msg.(interface{ Headers() []gosip.Header }); ok { // also what wraps one, like edge.Response
		return m.Headers()
	}
	return nil
}

// owned are the headers that a B2BUA makes anew on the other side. All others
// pass as they are, in their order.
var owned = map[string]bool{
	"via": true, "from": true, "to": true, "call-id": true, "cseq": true,
	"contact": true, "route": true, "record-route": true,
	"max-forwards": true, "content-length": true,
}

// isOwned tells whether a header is one that a B2BUA makes anew, without
// making a string for each of the headers of each message.
func isOwned(h gosip.Header) bool {
	n := h.Name()
	var low [16]byte // longer than any that is owned
	if len(n) > len(low) {
		return false
	}
	if len(n) == 1 {
		return owned[longName(n)]
	}
	for i := range len(n) {
		c := n[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	return owned[string(low[:len(n)])]
}

// carry copies to out every header of in that is not owned, but for those
// whose long names are in except. Compact names of headers that sipgo writes
// itself are spelled out; all other text is untouched.
func carry(in, out gosip.Message, except ...string) {
	for _, h := range headersOf(in) {
		if edge.IsInternal(h) || isOwned(h) || slices.ContainsFunc(except, func(x string) bool { return isNamed(h, x) }) {
			continue
		}
		out.AppendHeader(gosip.NewHeader(h.Name(), h.Value()))
	}
}

// address is a name-addr or addr-spec with its header parameters
// (RFC 3261 section 20.10), kept as the text it came in.
type address struct {
	Display string // as written, with its quotes
	URI     string
	Params  string // with the leading semicolon, "" if none
}

// parseAddress takes a From, To, Contact or Route value apart. It never
// fails: what has no angle brackets is a URI up to the first semicolon.
func parseAddress(s string) address {
	s = strings.TrimSpace(s)
	open := indexOutsideQuotes(s, '<')
	if open < 0 {
		uri, params, found := strings.Cut(s, ";")
		if found {
			params = ";" + params
		}
		return address{URI: strings.TrimSpace(uri), Params: params}
	}
	a := address{Display: strings.TrimSpace(s[:open])}
	rest := s[open+1:]
	end := strings.IndexByte(rest, '>')
	if end < 0 {
		a.URI = strings.TrimSpace(rest)
		return a
	}
	a.URI, a.Params = strings.TrimSpace(rest[:end]), strings.TrimSpace(rest[end+1:])
	return a
}

// String is the name-addr form.
func (a address) String() string {
	s := "<" + a.URI + ">" + a.Params
	if a.Display != "" {
		s = a.Display + " " + s
	}
	return s
}

// param returns a header parameter's value and whether it is there.
func (a address) param(name string) (string, bool) { return param(a.Params, name) }

// without returns the address less one header parameter.
func (a address) without(name string) address {
	var keep []string
	for _, p := range splitOutsideQuotes(a.Params, ';') {
		k, _, _ := strings.Cut(p, "=")
		if strings.TrimSpace(p) != "" && !strings.EqualFold(strings.TrimSpace(k), name) {
			keep = append(keep, strings.TrimSpace(p))
		}
	}
	a.Params = ""
	if len(keep) > 0 {
		a.Params = ";" + strings.Join(keep, ";")
	}
	return a
}

func param(params, name string) (string, bool) {
	for _, p := range splitOutsideQuotes(params, ';') {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// list splits a comma-separated header into its values: commas inside quotes
// and angle brackets do not separate.
func list(values []string) []string {
	var out []string
	for _, v := range values {
		for _, s := range splitOutsideQuotes(v, ',') {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

func indexOutsideQuotes(s string, c byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == c && !quoted:
			return i
		}
	}
	return -1
}

func splitOutsideQuotes(s string, sep byte) []string {
	var out []string
	quoted, angle, from := false, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle++
		case c == '>' && angle > 0:
			angle--
		case c == sep && angle == 0:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

// cseq returns the number and method of a message's CSeq; ok is false when
// there is none that can be read.
func cseq(msg gosip.Message) (n uint32, method string, ok bool) {
	f := strings.Fields(get(msg, "cseq"))
	if len(f) != 2 {
		return 0, "", false
	}
	v, err := strconv.ParseUint(f[0], 10, 32)
	return uint32(v), f[1], err == nil
}

// tag returns the tag of a From or To value; "" if it has none.
func tag(value string) string {
	t, _ := parseAddress(value).param("tag")
	return t
}

// respond builds an answer of our own to req with to as the To tag. From, To
// and Via are the request's own text (RFC 3261 section 8.2.6.2).
func respond(req *gosip.Request, code int, reason, toTag string) *gosip.Response {
	res := gosip.NewResponseFromRequest(req, code, reason, nil)
	for _, name := range []string{"From", "To"} {
		value := get(req, strings.ToLower(name))
		if value == "" {
			continue
		}
		if name == "To" && toTag != "" && tag(value) == "" && code != 100 {
			value += ";tag=" + toTag
		}
		res.RemoveHeader(name)
		res.AppendHeader(gosip.NewHeader(name, value))
	}
	return res
}

// reasons are the phrases of the status codes that we send ourselves.
var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 182: "Queued", 200: "OK", 202: "Accepted",
	400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	408: "Request Timeout", 416: "Unsupported URI Scheme", 420: "Bad Extension", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
	487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Server Time-out", 505: "Version Not Supported",
}
