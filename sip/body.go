package sip

import (
	"bytes"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// sdpPart finds the SDP in a body: body[from:to]. It looks into multipart
// bodies, nested ones too (RFC 5621); ok is false when there is none.
func sdpPart(contentType string, body []byte) (from, to int, ok bool) {
	return findSDP(contentType, body, 0)
}

const maxNesting = 8 // of multiparts; deeper ones are passed on, but not searched

func findSDP(contentType string, body []byte, depth int) (int, int, bool) {
	kind, params, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind == "application/sdp" {
		return 0, len(body), len(body) > 0
	}
	if !strings.HasPrefix(kind, "multipart/") || depth > maxNesting {
		return 0, 0, false
	}
	boundary, _ := param(";"+params, "boundary")
	boundary = strings.Trim(boundary, `"`)
	if boundary == "" {
		return 0, 0, false
	}
	for _, p := range parts(body, boundary) {
		head, start := partHead(body[p[0]:p[1]])
		from, to, ok := findSDP(head, body[p[0]+start:p[1]], depth+1)
		if ok {
			return p[0] + start + from, p[0] + start + to, true
		}
	}
	return 0, 0, false
}

// parts returns the ranges between boundary lines, without the line end that
// belongs to the boundary (RFC 2046 section 5.1.1).
func parts(body []byte, boundary string) [][2]int {
	delimiter := []byte("--" + boundary)
	var out [][2]int
	start := -1
	for at := 0; at < len(body); {
		i := bytes.Index(body[at:], delimiter)
		if i < 0 {
			break
		}
		i += at
		at = i + len(delimiter)
		if i > 0 && body[i-1] != '\n' {
			continue // inside a line
		}
		if start >= 0 {
			end := i
			end = len(bytes.TrimSuffix(body[:end], []byte("\n")))
			end = len(bytes.TrimSuffix(body[:end], []byte("\r")))
			out = append(out, [2]int{start, max(start, end)})
		}
		eol := bytes.IndexByte(body[at:], '\n')
		if eol < 0 || bytes.HasPrefix(body[at:], []byte("--")) {
			return out
		}
		at += eol + 1
		start = at
	}
	if start >= 0 { // the last delimiter is missing: the last part ends with the body
		out = append(out, [2]int{start, len(body)})
	}
	return out
}

// partHead returns a part's content type and where its content starts.
func partHead(part []byte) (contentType string, start int) {
	contentType = "text/plain"
	named := false // the line before was the Content-Type: a folded line goes on with it (RFC 5322 section 2.2.3)
	for start < len(part) {
		eol := bytes.IndexByte(part[start:], '\n')
		if eol < 0 {
			return contentType, len(part)
		}
		line := strings.TrimRight(string(part[start:start+eol]), "\r")
		start += eol + 1
		if line == "" {
			return contentType, start
		}
		if line[0] == ' ' || line[0] == '\t' {
			if named {
				contentType += " " + strings.TrimSpace(line)
			}
			continue
		}
		name, value, isHeader := strings.Cut(line, ":")
		if !isHeader || strings.ContainsAny(name, "= <\t") {
			return contentType, start - eol - 1 // no blank line: the content begins here
		}
		if named = strings.EqualFold(strings.TrimSpace(name), "content-type"); named {
			contentType = strings.TrimSpace(value)
		}
	}
	return contentType, start
}

// sdpOf returns the SDP of a message; nil if it has none that can be read.
func sdpOf(msg gosip.Message) *session {
	body := msg.Body()
	from, to, ok := sdpPart(get(msg, "content-type"), body)
	if !ok {
		return nil
	}
	s, err := parseSDP(body[from:to])
	if err != nil {
		return nil
	}
	return s
}

// withSDP returns body with its SDP replaced, every other byte as it was.
func withSDP(contentType string, body, sdp []byte) []byte {
	from, to, ok := sdpPart(contentType, body)
	if !ok {
		return body
	}
	out := make([]byte, 0, len(body)-(to-from)+len(sdp))
	out = append(out, body[:from]...)
	if from != 0 && bytes.HasSuffix(sdp, []byte("\r\n")) && !bytes.HasSuffix(body[from:to], []byte("\n")) {
		sdp = bytes.TrimSuffix(sdp, []byte("\r\n"))
	}
	out = append(out, sdp...)
	return append(out, body[to:]...)
}
