package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// sipURI is what the configuration needs to know of a SIP URI (RFC 3261
// section 19.1): enough to say what is wrong with it and whom it points to.
type sipURI struct {
	user      string
	host      string
	port      uint16 // 5060 when the URI names none
	transport string // udp when the URI names none
}

// parseURI reads a SIP URI and says what is wrong with it.
func parseURI(s string) (sipURI, error) {
	const shape = "write it like sip:desk-1@10.0.0.11:5060"
	u := sipURI{port: 5060, transport: "udp"}
	scheme, rest, ok := strings.Cut(s, ":")
	switch {
	case !ok || strings.ContainsAny(s, " <>\""):
		return u, fmt.Errorf("%s is not a SIP URI; %s", quote(s), shape)
	case strings.EqualFold(scheme, "sips"):
		return u, errors.New("the scheme sips needs TLS, which is not supported; use sip")
	case !strings.EqualFold(scheme, "sip"):
		return u, fmt.Errorf("%s is not a SIP URI; %s", quote(s), shape)
	}
	rest, params, _ := strings.Cut(rest, ";")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		if i == 0 {
			return u, fmt.Errorf("%s has no user before the @; %s", quote(s), shape)
		}
		u.user, rest = rest[:i], rest[i+1:]
	}
	if err := u.setHost(rest); err != nil {
		return u, fmt.Errorf("%s %w; %s", quote(s), err, shape)
	}
	return u, u.setTransport(params)
}

// setHost reads "host", "host:port" or "[v6]:port".
func (u *sipURI) setHost(s string) error {
	host := s
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		port := s[i+1:]
		host = s[:i]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("has the port %s, which is not a number from 1 to 65535", quote(port))
		}
		u.port = uint16(n)
	}
	if v6, ok := strings.CutPrefix(host, "["); ok {
		v6 = strings.TrimSuffix(v6, "]")
		if addr, err := netip.ParseAddr(v6); err != nil || !addr.Is6() {
			return fmt.Errorf("has %s in brackets, which is not an IPv6 address", quote(v6))
		}
		u.host = v6
		return nil
	}
	if host == "" || strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return errors.New("has no valid host")
	}
	u.host = host
	return nil
}

func (u *sipURI) setTransport(params string) error {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(name, "transport") {
			continue
		}
		u.transport = strings.ToLower(value)
		if u.transport != "udp" && u.transport != "tcp" {
			return fmt.Errorf("transport=%s is not supported; use udp or tcp", value)
		}
	}
	return nil
}

// reaches tells whether a request to u arrives at l.
func (u sipURI) reaches(l Listen) bool {
	addr, err := netip.ParseAddr(u.host)
	if err != nil {
		return false
	}
	return u.transport == l.Network && u.port == l.Addr.Port() && addr.Unmap() == l.Addr.Addr().Unmap()
}

// covers tells whether every request URI that the glob later matches is
// matched by the glob earlier, so that a route after it is never reached. It
// may miss a case of several stars, and never claims one that is not so.
func covers(earlier, later string) bool {
	switch {
	case earlier == "":
		return later == ""
	case earlier[0] == '*':
		return covers(earlier[1:], later) || later != "" && covers(earlier, later[1:])
	case later == "":
		return false
	case earlier[0] == '?':
		return later[0] != '*' && covers(earlier[1:], later[1:])
	default:
		return lower(earlier[0]) == lower(later[0]) && covers(earlier[1:], later[1:])
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
