package sip

import (
	"net"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/policy"
)

// target is somebody who can be offered a call.
type target struct {
	Name  string // position id, or the URI of a fallback target
	URI   string
	Key   string // of its desk: the position id, or user@host:port
	Agent string
	Limit int  // calls at a time; 0: no limit
	Desk  bool // a configured position, one person's desk; else a URI that may be a queue of many
	Ring  time.Duration
	Hops  []hopAddr // the ways to it that are left, when one was tried already
}

// target resolves a name of the configuration: a position id or a SIP URI. A
// URI that is a position's is that position.
func (s *Settings) target(name string) target {
	key := deskKey(name)
	at := -1
	for _, n := range []string{name, key} {
		if i, ok := s.desks[n]; ok && (at < 0 || i < at) {
			at = i
		}
	}
	if at < 0 {
		return target{Name: name, URI: name, Key: key}
	}
	p := s.Positions[at]
	return target{Name: p.ID, URI: p.URI, Key: p.ID, Agent: s.agentOf(p), Limit: max(p.Calls, 1), Desk: true}
}

// deskOf is the position that sent a request: by the address that it gives for
// itself, else by where the request came from, else by its name. Phones write
// into Contact what they like, and whoever takes a caller over must be counted
// as who they are.
func (s *Settings) deskOf(contact, source, from string) target {
	if t := s.target(contact); t.Desk {
		return t
	}
	at := -1
	for i, p := range s.Positions {
		if _, host, _ := strings.Cut(deskKey(p.URI), "@"); host != source {
			continue
		}
		if at >= 0 {
			return s.target(from) // several positions share one address
		}
		at = i
	}
	if at >= 0 {
		return s.target(s.Positions[at].ID)
	}
	return s.target(from)
}

// index makes positions found by id and by address at once: every call asks
// for several, and a large centre has hundreds.
func (s *Settings) index() {
	s.desks = make(map[string]int, 2*len(s.Positions))
	for i, p := range slices.Backward(s.Positions) { // the first of several wins
		s.desks[deskKey(p.URI)], s.desks[p.ID] = i, i
	}
}

// deskKey is user@host:port of a URI in lower-case host: two spellings of one
// target are one desk.
func deskKey(uri string) string {
	var u gosip.Uri
	if gosip.ParseUri(uri, &u) != nil || !strings.HasPrefix(u.Scheme, "sip") {
		return uri
	}
	port := u.Port
	if port == 0 {
		port = 5060
	}
	return u.User + "@" + net.JoinHostPort(strings.Trim(strings.ToLower(u.Host), "[]"), itoa(port))
}

// route returns the first route that matches the request URI. A test of a
// service goes where the service goes (i3 section 9); an emergency service
// that no route names goes to the fallback queue rather than nowhere.
func (s *Settings) route(requestURI string) (Route, bool) {
	kind := policy.CallKind("")
	uri := strings.ToLower(requestURI)
	if strings.HasPrefix(uri, "urn:service:test") {
		kind = policy.Test
	}
	for _, candidate := range []string{requestURI, tested(uri), dialled(uri)} {
		for _, r := range s.Routes {
			if !glob(r.Match, candidate) {
				continue
			}
			if kind != "" {
				r.Kind = kind
			}
			if r.Kind == "" {
				r.Kind = policy.Emergency
			}
			return r, true
		}
	}
	if strings.HasPrefix(uri, "urn:service:sos") { // nobody's route, and yet a call for help
		return Route{Match: requestURI, Kind: policy.Emergency}, true
	}
	return Route{}, false
}

// tested is the service that a test call is a test of. Some write a colon
// where RFC 6881 section 17 has a dot.
func tested(uri string) string {
	rest, ok := strings.CutPrefix(uri, "urn:service:test")
	if !ok || rest == "" {
		return uri
	}
	return "urn:service:" + rest[1:]
}

// dialled is a number as routes for SIP URIs match it: tel:911 (RFC 3966) and
// urn:service:911, which some send, go where sip:911@* goes.
func dialled(uri string) string {
	for _, scheme := range []string{"tel:", "urn:service:"} {
		number, ok := strings.CutPrefix(uri, scheme)
		number, _, _ = strings.Cut(number, ";")
		if ok && number != "" && strings.Trim(number, "0123456789*#+-.()") == "" {
			return "sip:" + strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(number) + "@" + strings.TrimSuffix(scheme, ":")
		}
	}
	return uri
}

// glob matches * with any text, ? with one character, without regard to case.
func glob(pattern, s string) bool {
	pattern, s = strings.ToLower(pattern), strings.ToLower(s)
	star, from := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// routed is the route as a tier: the positions in order.
func (c *Call) routed() Tier {
	t := Tier{Strategy: InOrder, Ring: c.Route.Ring}
	for _, to := range c.Route.To {
		if to == "{user}" {
			to = userOf(c.RequestURI)
		}
		t.To = append(t.To, to)
	}
	return t
}

// registered fits a position of the route to a call that names its registered
// contact: a call server behind us sends to where the phone is, with the user
// part we know the position by.
func (c *Call) registered(t target) target {
	if t.Desk && userOf(c.RequestURI) == userOf(t.URI) && c.ViaUs && !c.g.isOurs(c.RequestURI) {
		t.URI = c.RequestURI
	}
	return t
}

func userOf(uri string) string {
	var u gosip.Uri
	if gosip.ParseUri(uri, &u) != nil {
		return ""
	}
	return u.User
}
