package sip

import (
	"strings"
	"testing"
)

const nested = "preamble\r\n--outer\r\nContent-Type: application/pidf+xml\r\nContent-ID: <loc@example.com>\r\n\r\n<presence/>\r\n" +
	"--outer\r\nContent-Type: multipart/alternative;boundary=\"in ner\"\r\n\r\n--in ner\r\nContent-Type: text/plain\r\n\r\nno --outer here\r\n" +
	"--in ner\r\ncontent-type:  application/sdp\r\nContent-Disposition: session\r\n\r\nSDP-GOES-HERE\r\n--in ner--\r\n" +
	"--outer\r\nContent-Type: application/EmergencyCallData.ServiceInfo+xml\r\n\r\n<x/>\r\n--outer--\r\nepilogue"

func TestOnlyTheSDPOfANestedBodyIsReplaced(t *testing.T) {
	body := strings.Replace(nested, "SDP-GOES-HERE", "v=0\r\ns=-", 1)
	got := string(withSDP(`multipart/mixed; boundary=outer`, []byte(body), []byte("v=0\r\nt=0 0\r\n")))
	want := strings.Replace(nested, "SDP-GOES-HERE", "v=0\r\nt=0 0", 1)
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestBodiesWithoutSDPPass(t *testing.T) {
	for _, c := range [][2]string{
		{"text/plain", "v=0"},
		{"multipart/mixed", "--a\r\n\r\nx\r\n--a--"},
		{"multipart/mixed;boundary=a", "--a"},
		{"multipart/mixed;boundary=a", "--a\r\nContent-Type: application/sdp"},
		{"", ""},
	} {
		if got := string(withSDP(c[0], []byte(c[1]), []byte("NEW"))); got != c[1] {
			t.Errorf("%s %q became %q", c[0], c[1], got)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add("multipart/mixed;boundary=outer", []byte(nested))
	f.Add("multipart/mixed;boundary=a", []byte("--a\n\n--a\ncontent-type:multipart/x;boundary=a\n\n--a\n"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		from, to, ok := sdpPart(contentType, body)
		if ok && (from < 0 || to > len(body) || from > to) {
			t.Fatalf("range %d:%d of %d bytes", from, to, len(body))
		}
		withSDP(contentType, body, []byte("v=0\r\n"))
	})
}

// Bodies as careless peers write them: no last delimiter, no blank line.
func TestSDPIsFoundInCarelessBodies(t *testing.T) {
	for _, body := range []string{
		"--a\r\nContent-Type: application/pidf+xml\r\n\r\n<x/>\r\n--a\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n",
		"--a\r\nContent-Type: application/sdp\r\nv=0\r\ns=-\r\n--a--\r\n",
	} {
		from, to, ok := sdpPart("multipart/mixed;boundary=a", []byte(body))
		if !ok || !strings.HasPrefix(body[from:to], "v=0\r\ns=-") || strings.Contains(body[from:to], "--a") {
			t.Errorf("%q: found %v %q", body, ok, body[from:to])
		}
	}
}
