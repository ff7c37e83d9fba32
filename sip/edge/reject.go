package edge

import (
	"bytes"
	"fmt"
	"strings"
)

// reject makes the answer to a request that cannot be parsed, from what can
// be found in its bytes. It returns nil when no answer is due: to responses,
// to ACKs, and to what names no way back (RFC 3261 sections 8.1.3.3, 18.2).
func reject(raw []byte, code int, reason string) []byte {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	first := strings.TrimSpace(string(line))
	upper := strings.ToUpper(first)
	if strings.HasPrefix(upper, "SIP/") || strings.HasPrefix(upper, "ACK ") || !strings.Contains(upper, "SIP/") {
		return nil
	}
	vias := headers(raw, "via", "v")
	if len(vias) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", code, reason)
	for _, v := range vias {
		fmt.Fprintf(&b, "Via: %s\r\n", v)
	}
	for _, h := range [][2]string{{"From", "f"}, {"To", "t"}, {"Call-ID", "i"}, {"CSeq", ""}} {
		value := header(raw, strings.ToLower(h[0]), h[1])
		if value == "" {
			continue
		}
		if h[0] == "To" && !strings.Contains(value, "tag=") {
			value += ";tag=holdline"
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], value)
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return []byte(b.String())
}

// header returns the first value of a header in the head of a raw message,
// by its long or compact name in lower case; "" if there is none.
func header(raw []byte, long, compact string) string {
	if all := headers(raw, long, compact); len(all) > 0 {
		return all[0]
	}
	return ""
}

// headers returns all values of a header. It tolerates anything: folded
// lines are joined, lines that are not headers are passed over.
func headers(raw []byte, long, compact string) []string {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var out []string
	taking := false
	for i, line := range bytes.Split(head, []byte("\n")) {
		if i == 0 {
			continue
		}
		line = bytes.TrimRight(line, "\r")
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			if taking {
				out[len(out)-1] += " " + strings.TrimSpace(string(line))
			}
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		n := strings.ToLower(strings.TrimSpace(string(name)))
		taking = ok && n != "" && (n == long || n == compact)
		if taking {
			out = append(out, strings.TrimSpace(string(value)))
		}
	}
	return out
}

// Known tells whether a URI scheme, in lower case, is one that requests are
// routed by: SIP's own, telephone numbers and services (RFC 3261, 3966, 5031).
func Known(scheme string) bool {
	switch scheme {
	case "sip", "sips", "tel", "urn":
		return true
	}
	return false
}

// foreignScheme tells whether a request line is well formed but for a scheme
// that is not ours: then that is what is wrong with it.
func foreignScheme(raw []byte) bool {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	f := strings.Fields(string(line))
	if len(f) != 3 {
		return false
	}
	scheme, _, ok := strings.Cut(f[1], ":")
	scheme = strings.ToLower(scheme)
	return ok && scheme != "" && !Known(scheme) && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}
