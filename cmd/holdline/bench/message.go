package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// header returns the first value of a header, by its long name, from a message
// in the spelling that every element of the bench uses.
func header(msg []byte, name string) []byte {
	i := bytes.Index(msg, []byte("\r\n"+name+": "))
	if i < 0 {
		return nil
	}
	rest := msg[i+len(name)+4:]
	if before, _, ok := bytes.Cut(rest, []byte("\r\n")); ok {
		return before
	}
	return nil
}

// headers returns all lines of a header as they are, each with its line end.
func headers(msg []byte, name string) []byte {
	var out []byte
	key := []byte("\r\n" + name + ": ")
	for {
		i := bytes.Index(msg, key)
		if i < 0 {
			return out
		}
		msg = msg[i+2:]
		end := bytes.Index(msg, []byte("\r\n"))
		if end < 0 {
			return out
		}
		out = append(out, msg[:end+2]...)
		msg = msg[end:]
	}
}

// callIndex is the number of a call, which its Call-ID begins with.
func callIndex(msg []byte) (int, bool) {
	id := header(msg, "Call-ID")
	before, _, ok := bytes.Cut(id, []byte{'-'})
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(string(before))
	return n, err == nil
}

// uriOf is the URI of a Contact.
func uriOf(contact []byte) []byte {
	if i := bytes.IndexByte(contact, '<'); i >= 0 {
		if j := bytes.IndexByte(contact[i:], '>'); j >= 0 {
			return contact[i+1 : i+j]
		}
	}
	return contact
}

// audioPort is the port of an SDP's first m-line, 0 if there is none.
func audioPort(msg []byte) int {
	_, after, ok := bytes.Cut(msg, []byte("\nm=audio "))
	if !ok {
		return 0
	}
	n := 0
	for _, c := range after {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// sdpBody is an offer or answer of G.711 at a port of the loopback address.
func sdpBody(port int) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
		"m=audio %d RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n", port)
}

// withBody ends a message with its body, if it has one.
func withBody(b []byte, body string) []byte {
	if body == "" {
		return append(b, "Content-Length: 0\r\n\r\n"...)
	}
	return fmt.Appendf(b, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// reply answers a request with its own Via, From, To and CSeq.
func reply(req []byte, status, toTag, contact, body string) []byte {
	b := make([]byte, 0, len(req)+len(body))
	b = append(b, "SIP/2.0 "+status+"\r\n"...)
	b = append(b, headers(req, "Via")...)
	b = append(b, headers(req, "Record-Route")...)
	b = append(b, headers(req, "From")...)
	to := headers(req, "To")
	if toTag != "" && !bytes.Contains(to, []byte(";tag=")) {
		to = append(to[:len(to)-2:len(to)-2], ";tag="+toTag+"\r\n"...)
	}
	b = append(b, to...)
	b = append(b, headers(req, "Call-ID")...)
	b = append(b, headers(req, "CSeq")...)
	if contact != "" {
		b = append(b, "Contact: <"+contact+">\r\n"...)
	}
	return withBody(b, body)
}
