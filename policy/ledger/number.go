package ledger

import "strings"

// shortest is how many digits a number has at least. What has fewer, as "911"
// or a user name, does not tell callers apart.
const shortest = 7

// NumberOf returns what a caller is known by: the digits of the first of the
// given addresses or URIs that has a telephone number, so that
// "<sip:+1-504-555-0123@a>" and "tel:5045550123" are the same caller. "" means
// that there is none. North American numbers are told apart by ten digits,
// with or without the country code.
func NumberOf(addresses ...string) string {
	for _, a := range addresses {
		if n := digits(userPart(a)); len(n) >= shortest {
			if len(n) == 11 && n[0] == '1' {
				return n[1:]
			}
			return n
		}
	}
	return ""
}

// URIOf takes a name-addr apart (RFC 3261 section 20.10): the display name as
// written, with its quotes, and the URI. What is in quotes is a name whatever it
// looks like. An address without angle brackets is a URI.
func URIOf(address string) (display, uri string) {
	quoted := false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			uri, _, _ = strings.Cut(address[i+1:], ">")
			return strings.TrimSpace(address[:i]), strings.TrimSpace(uri)
		}
	}
	return "", strings.TrimSpace(address)
}

// userPart is the user of a SIP URI or the number of a tel URI, in a name-addr
// or on its own.
func userPart(address string) string {
	_, uri := URIOf(address)
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return ""
	}
	switch strings.ToLower(scheme) {
	case "sip", "sips":
		user, _, at := strings.Cut(rest, "@")
		if !at {
			return ""
		}
		rest = user
	case "tel":
	default:
		return ""
	}
	rest, _, _ = strings.Cut(rest, ";") // parameters (RFC 3966 section 3)
	return rest
}

// digits are those of a telephone number without its visual separators; "" if
// it is none.
func digits(user string) string {
	var b strings.Builder
	for i, r := range strings.ReplaceAll(user, "%2B", "+") {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == '+' && i == 0, strings.ContainsRune("-.() ", r):
		default:
			return ""
		}
	}
	return b.String()
}
