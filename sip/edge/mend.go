package edge

import "bytes"

// mended is a message whose request line names a number without a scheme, as in
// INVITE 911 SIP/2.0, with the scheme that was meant: tel: before a number
// alone, sip: before one at a host. Everything else is returned as it is. i3
// section 3.1.1: a call is taken as long as its message can be understood.
func mended(raw []byte) []byte {
	_, rest, ok := bytes.Cut(raw, []byte(" "))
	if !ok {
		return raw
	}
	uri, version, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(uri) == 0 || len(uri) > 255 || !bytes.HasPrefix(bytes.ToUpper(version[:min(len(version), 4)]), []byte("SIP/")) {
		return raw
	}
	number, host, hasHost := bytes.Cut(uri, []byte("@"))
	if bytes.ContainsRune(uri, ':') && !hasHost || bytes.ContainsRune(number, ':') {
		return raw // it has a scheme
	}
	number, _, _ = bytes.Cut(number, []byte(";"))
	if len(number) == 0 || len(bytes.Trim(number, "0123456789*#+-.()")) > 0 || hasHost && len(host) == 0 {
		return raw
	}
	scheme := "tel:"
	if hasHost {
		scheme = "sip:"
	}
	at := len(raw) - len(rest)
	out := make([]byte, 0, len(raw)+len(scheme))
	out = append(out, raw[:at]...)
	out = append(out, scheme...)
	return append(out, rest...)
}
