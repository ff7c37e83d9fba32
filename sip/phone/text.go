package phone

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// Header values are read as text: a phone in a test must not depend on how
// another library understands them.

// values returns every value of a header, long or compact form.
func values(msg gosip.Message, names ...string) []string {
	var all []string
	for _, n := range names {
		for _, h := range msg.GetHeaders(n) {
			all = append(all, h.Value())
		}
	}
	return all
}

// value is the first value of a header or "".
func value(msg gosip.Message, names ...string) string {
	if v := values(msg, names...); len(v) > 0 {
		return v[0]
	}
	return ""
}

// list is values split at commas that are outside quotes and angle brackets.
func list(msg gosip.Message, names ...string) []string {
	var all []string
	for _, v := range values(msg, names...) {
		all = append(all, splitCommas(v)...)
	}
	return all
}

func splitCommas(v string) []string {
	var parts []string
	quoted, angle, start := false, false, 0
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			angle = true
		case c == '>' && !quoted:
			angle = false
		case c == ',' && !quoted && !angle:
			parts = append(parts, strings.TrimSpace(v[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(v[start:]))
}

// param is a parameter of a header value, such as the tag of From or the
// branch of Via; parameters inside angle brackets belong to the URI.
func param(v, name string) string {
	if i := strings.LastIndexByte(v, '>'); i >= 0 {
		v = v[i+1:]
	}
	for p := range strings.SplitSeq(v, ";") {
		key, val, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(val)
		}
	}
	return ""
}

// uriOf is the URI of a name-addr or addr-spec (RFC 3261 section 25.1).
func uriOf(v string) string {
	if i := strings.IndexByte(v, '<'); i >= 0 {
		if j := strings.IndexByte(v[i:], '>'); j > 0 {
			return v[i+1 : i+j]
		}
	}
	uri, _, _ := strings.Cut(v, ";")
	return strings.TrimSpace(uri)
}

// hostPort is where a SIP URI points, if its host is an IP address.
func hostPort(uri string) (string, bool) {
	rest := uri[strings.IndexByte(uri, ':')+1:]
	rest, _, _ = strings.Cut(rest, ";")
	rest, _, _ = strings.Cut(rest, "?")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if a, err := netip.ParseAddrPort(rest); err == nil {
		return a.String(), true
	}
	if a, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
		return net.JoinHostPort(a.String(), "5060"), true
	}
	return "", false
}

func cseqOf(msg gosip.Message) (uint32, string) {
	number, method, _ := strings.Cut(strings.TrimSpace(value(msg, "CSeq")), " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0, ""
	}
	return uint32(n), strings.TrimSpace(method)
}

func callIDOf(msg gosip.Message) string  { return value(msg, "Call-ID", "i") }
func fromTagOf(msg gosip.Message) string { return param(value(msg, "From", "f"), "tag") }
func toTagOf(msg gosip.Message) string   { return param(value(msg, "To", "t"), "tag") }

// topVia is the first Via value.
func topVia(msg gosip.Message) string {
	if all := list(msg, "Via", "v"); len(all) > 0 {
		return all[0]
	}
	return ""
}

// outgoing is a request before it is text.
type outgoing struct {
	method, uri, from, to, callID string
	cseq                          uint32
	via                           string // "": a new one
	routes                        []string
	headers                       [][2]string
	contentType                   string
	body                          []byte
}

// build writes a request and returns it with its branch. Headers given by the
// test replace the phone's own of the same name, Via, From, To, Call-ID, CSeq
// and Content-Length excepted.
func (p *Phone) build(o outgoing) (raw []byte, branch string) {
	branch = "z9hG4bK" + newTag()
	if o.via == "" {
		o.via = fmt.Sprintf("SIP/2.0/%s %s;rport;branch=%s", p.transport(), p.Addr(), branch)
	} else {
		branch = param(o.via, "branch")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s SIP/2.0\r\nVia: %s\r\n", o.method, o.uri, o.via)
	for _, r := range o.routes {
		fmt.Fprintf(&b, "Route: %s\r\n", r)
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n", o.from, o.to, o.callID, o.cseq, o.method)
	own := [][2]string{{"Max-Forwards", "70"}}
	if o.method != "CANCEL" && o.method != "BYE" {
		own = append(own, [2]string{"Contact", "<" + p.URI() + ">"})
	}
	for _, h := range own {
		if !has(o.headers, h[0]) {
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		}
	}
	writeRest(&b, o.headers, o.contentType, o.body)
	return []byte(b.String()), branch
}

// writeRest writes the given headers, the end of the header section and the body.
func writeRest(b *strings.Builder, headers [][2]string, contentType string, body []byte) {
	for _, h := range headers {
		fmt.Fprintf(b, "%s: %s\r\n", h[0], h[1])
	}
	if len(body) > 0 {
		if contentType == "" {
			contentType = "application/sdp"
		}
		fmt.Fprintf(b, "Content-Type: %s\r\n", contentType)
	}
	fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
}

func has(headers [][2]string, name string) bool {
	for _, h := range headers {
		if strings.EqualFold(h[0], name) {
			return true
		}
	}
	return false
}

func (p *Phone) transport() string {
	if p.wire.reliable() {
		return "TCP"
	}
	return "UDP"
}
