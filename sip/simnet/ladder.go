package simnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// Ladder writes the SIP messages that were sent so far as a call ladder, one
// a line: "caller -> holdline INVITE". names gives endpoints names by address
// ("10.0.0.1:5060") or host ("10.0.0.1"); the others appear as addresses. A
// response names the method it answers. Datagrams that did not arrive end in
// "(lost)" or "(unreachable)"; those that are not SIP are left out.
func (n *Net) Ladder(names map[string]string) string {
	var b strings.Builder
	for _, p := range n.Packets() {
		what := startLine(p.Data)
		if what == "" {
			continue
		}
		fmt.Fprintf(&b, "%s -> %s %s", nameOf(names, p.From), nameOf(names, p.To), what)
		if p.Fate != Delivered {
			fmt.Fprintf(&b, " (%s)", p.Fate)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func nameOf(names map[string]string, a netip.AddrPort) string {
	if name, ok := names[a.String()]; ok {
		return name
	}
	if name, ok := names[a.Addr().String()]; ok {
		return name
	}
	return a.String()
}

// startLine shortens a SIP message to "INVITE" or "180 INVITE"; "" when it is
// no SIP message.
func startLine(data []byte) string {
	first, rest, ok := bytes.Cut(data, []byte("\r\n"))
	if !ok {
		return ""
	}
	if status, isResponse := bytes.CutPrefix(first, []byte("SIP/2.0 ")); isResponse {
		code, _, _ := bytes.Cut(status, []byte(" "))
		return string(code) + " " + methodOf(rest)
	}
	method, after, _ := bytes.Cut(first, []byte(" "))
	if !bytes.HasSuffix(after, []byte(" SIP/2.0")) {
		return ""
	}
	return string(method)
}

func methodOf(headers []byte) string {
	for line := range bytes.SplitSeq(headers, []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(strings.TrimSpace(string(name)), "CSeq") {
			if f := bytes.Fields(value); len(f) == 2 {
				return string(f[1])
			}
		}
	}
	return "?"
}
