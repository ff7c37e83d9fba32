package edge

import (
	"strings"
	"testing"
)

func TestNumbersWithoutAScheme(t *testing.T) {
	const rest = "\r\nVia: SIP/2.0/UDP 10.0.0.1\r\n\r\n"
	for line, want := range map[string]string{
		"INVITE 911 SIP/2.0": "INVITE tel:911 SIP/2.0",
		"ACK 911 SIP/2.0":    "ACK tel:911 SIP/2.0",
		"INVITE +1-504-555-0100;phone-context=x SIP/2.0": "INVITE tel:+1-504-555-0100;phone-context=x SIP/2.0",
		"INVITE 911@10.0.0.9:5060 SIP/2.0":               "INVITE sip:911@10.0.0.9:5060 SIP/2.0",
		"INVITE 911@[::1]:5060 sip/2.0":                  "INVITE sip:911@[::1]:5060 sip/2.0",
	} {
		if got := string(mended([]byte(line + rest))); got != want+rest {
			t.Errorf("%s: %q", line, strings.TrimSuffix(got, rest))
		}
	}
	for _, line := range []string{
		"INVITE sip:911@10.0.0.9 SIP/2.0", "INVITE urn:service:sos SIP/2.0", "INVITE tel:911 SIP/2.0", "INVITE sos SIP/2.0", "INVITE  911 SIP/2.0",
		"INVITE <911> SIP/2.0", "SIP/2.0 911 Whatever", "SIP/2.0 200 OK", "INVITE 911 HTTP/1.1", "INVITE 911", "911", "", "INVITE 911@ SIP/2.0", "INVITE ; SIP/2.0",
		"INVITE 911 SIP/2.0 x"[:10],
	} {
		if got := string(mended([]byte(line + rest))); got != line+rest {
			t.Errorf("%q became %q", line, got)
		}
	}
}
