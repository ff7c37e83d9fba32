package sip

import (
	"iter"
	"net"
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
		out.AppendHeader(sameHeader(h))
	}
}

// sameHeader is a header for another message: the same one, because the text of a
// header is never changed, but for those that the library keeps track of.
func sameHeader(h gosip.Header) gosip.Header {
	switch h.(type) {
	case *gosip.ViaHeader, *gosip.FromHeader, *gosip.ToHeader, *gosip.CallIDHeader, *gosip.CSeqHeader, *gosip.ContactHeader,
		*gosip.RouteHeader, *gosip.RecordRouteHeader, *gosip.MaxForwardsHeader, *gosip.ContentLengthHeader, *gosip.ContentTypeHeader:
		return gosip.NewHeader(h.Name(), h.Value())
	}
	return h
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
	before, after, ok := strings.Cut(rest, ">")
	if !ok {
		a.URI = strings.TrimSpace(rest)
		return a
	}
	a.URI, a.Params = strings.TrimSpace(before), strings.TrimSpace(after)
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
	for p := range partsOutsideQuotes(params, ';') {
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
		for s := range partsOutsideQuotes(v, ',') {
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
	return slices.Collect(partsOutsideQuotes(s, sep))
}

// partsOutsideQuotes are what splitOutsideQuotes returns, one by one.
func partsOutsideQuotes(s string, sep byte) iter.Seq[string] {
	return func(yield func(string) bool) {
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
				if !yield(s[from:i]) {
					return
				}
				from = i + 1
			}
		}
		yield(s[from:])
	}
}

// cseq returns the number and method of a message's CSeq; ok is false when
// there is none that can be read.
func cseq(msg gosip.Message) (n uint32, method string, ok bool) {
	text := strings.TrimSpace(get(msg, "cseq"))
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		return 0, "", false
	}
	method = strings.TrimSpace(text[end:])
	v, err := strconv.ParseUint(text[:end], 10, 32)
	return uint32(v), method, err == nil && !strings.ContainsAny(method, " \t")
}

// tag returns the tag of a From or To value; "" if it has none.
func tag(value string) string {
	t, _ := parseAddress(value).param("tag")
	return t
}

// respond builds an answer of our own to req with to as the To tag. From, To
// and Via are the request's own text (RFC 3261 section 8.2.6.2).
func respond(req *gosip.Request, code int, reason, toTag string) *gosip.Response {
	res := gosip.NewResponse(code, reason)
	res.SipVersion = req.SipVersion
	routed := code > 100 && code < 300 && req.Method != gosip.REGISTER // RFC 3261 section 12.1.1
	for _, h := range req.Headers() {
		switch {
		case isNamed(h, "record-route") && routed, isNamed(h, "timestamp") && code == 100:
			res.AppendHeader(sameHeader(h))
		case isNamed(h, "via"):
			res.AppendHeader(gosip.HeaderClone(h))
		}
	}
	if via := res.Via(); via != nil {
		received(via, req.Source())
	}
	for _, h := range [...][2]string{{"From", "from"}, {"To", "to"}, {"Call-ID", "call-id"}} {
		value := get(req, h[1])
		if value == "" {
			continue
		}
		if h[0] == "To" && toTag != "" && code != 100 && tag(value) == "" {
			value += ";tag=" + toTag
		}
		res.AppendHeader(gosip.NewHeader(h[0], value))
	}
	if seq := req.CSeq(); seq != nil {
		res.AppendHeader(gosip.HeaderClone(seq))
	}
	res.SetBody(nil)
	res.SetTransport(req.Transport())
	res.SetDestination(wayBack(req))
	return res
}

// received tells in a Via that asks for it where the request came from
// (RFC 3581 section 4).
func received(via *gosip.ViaHeader, source string) {
	if port, asked := via.Params.Get("rport"); asked && port == "" {
		if host, port, err := net.SplitHostPort(source); err == nil {
			via.Params.Add("rport", port)
			via.Params.Add("received", host)
		}
	}
}

// wayBack is where the answer to a request goes: over UDP to the address that
// it came from, and there to the port of its Via unless that asks for the
// source's (RFC 3261 section 18.2.2, RFC 3581 section 4).
func wayBack(req *gosip.Request) string {
	via := req.Via()
	if via == nil || gosip.IsReliable(req.Transport()) {
		return req.Source()
	}
	if port, asked := via.Params.Get("rport"); asked && port == "" {
		return req.Source()
	}
	host, _, err := net.SplitHostPort(req.Source())
	if err != nil {
		return req.Source()
	}
	port := via.Port
	if port <= 0 {
		port = gosip.DefaultPort(req.Transport())
	}
	return net.JoinHostPort(host, itoa(port))
}

// reasons are the phrases of the status codes that we send ourselves.
var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 182: "Queued", 200: "OK", 202: "Accepted",
	400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	408: "Request Timeout", 416: "Unsupported URI Scheme", 420: "Bad Extension", 422: "Session Interval Too Small", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
	487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Server Time-out", 505: "Version Not Supported",
}
