package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span as written in the file: "15s", "1m30s".
type Duration time.Duration

// UnmarshalText reads a duration. A bare number is refused, because 15 could
// be seconds as well as milliseconds.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		if _, e := strconv.ParseFloat(string(text), 64); e == nil {
			return fmt.Errorf("%s has no unit; write %ss for seconds", text, text)
		}
		return fmt.Errorf("%s is not a duration; write it like 15s, 1m30s or 500ms", quote(string(text)))
	}
	*d = Duration(v)
	return nil
}

// String returns the duration as it is written in a file.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Std returns the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Listen is one address that SIP is received on.
type Listen struct {
	Network string // udp or tcp
	Addr    netip.AddrPort
}

// UnmarshalText reads "udp://127.0.0.1:5060" or "tcp://[::1]:5060".
func (l *Listen) UnmarshalText(text []byte) error {
	const shape = "write it like udp://127.0.0.1:5060 or tcp://[::1]:5060"
	u, err := url.Parse(string(text))
	if err != nil || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("%s is not an address to listen on; %s", quote(string(text)), shape)
	}
	switch u.Scheme {
	case "udp", "tcp":
	case "tls", "ws", "wss", "sips", "sctp":
		return fmt.Errorf("%s is not supported; use udp or tcp", u.Scheme)
	default:
		return fmt.Errorf("unknown transport %s%s", quote(u.Scheme), didYouMean(u.Scheme, []string{"udp", "tcp"}))
	}
	addr, err := parseHostPort(u.Host)
	if err != nil {
		return fmt.Errorf("%w; %s", err, shape)
	}
	if addr.Port() == 0 {
		return errors.New("port 0 is no address that calls could be sent to; SIP's usual port is 5060")
	}
	*l = Listen{u.Scheme, addr}
	return nil
}

// String returns the URL as it is written in a file.
func (l Listen) String() string { return l.Network + "://" + l.Addr.String() }

// HostPort is an IP address with a port.
type HostPort struct{ netip.AddrPort }

// UnmarshalText reads "127.0.0.1:8911" or "[::1]:8911".
func (h *HostPort) UnmarshalText(text []byte) error {
	addr, err := parseHostPort(string(text))
	if err != nil {
		return fmt.Errorf("%w; write it like 127.0.0.1:8911 or [::1]:8911", err)
	}
	h.AddrPort = addr
	return nil
}

// parseHostPort reads an IP address with a port and says which of the two is wrong.
func parseHostPort(s string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(s)
	if err == nil {
		return addr, nil
	}
	i := strings.LastIndexByte(s, ':')
	if _, e := netip.ParseAddr(s); e == nil || i < 0 {
		return addr, fmt.Errorf("%s has no port", quote(s))
	}
	host, port := strings.Trim(s[:i], "[]"), s[i+1:]
	if _, e := strconv.ParseUint(port, 10, 16); e != nil {
		return addr, fmt.Errorf("port %s is not a number from 0 to 65535", quote(port))
	}
	if host == "" {
		return addr, fmt.Errorf("%s has no address (all of this host's are 0.0.0.0 or [::])", quote(s))
	}
	if _, e := netip.ParseAddr(host); e == nil {
		return addr, fmt.Errorf("the IPv6 address of %s needs square brackets", quote(s))
	}
	return addr, fmt.Errorf("%s is not an IP address", quote(host))
}

// Network is a set of addresses.
type Network struct{ netip.Prefix }

// UnmarshalText reads "10.0.0.0/8", "2001:db8::/32" or a single address.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return fmt.Errorf("%s has a zone, which a network cannot have; write fe80::/10", quote(s))
		}
		n.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%s is not a network; write it like 10.20.0.0/16, 2001:db8::/32 or 10.20.1.7", quote(s))
	}
	if p.Masked() != p {
		return fmt.Errorf("%s has bits set behind its /%d; write %s", quote(s), p.Bits(), p.Masked())
	}
	n.Prefix = p
	return nil
}

// Prefixes returns the networks as the standard library's type.
func Prefixes(ns []Network) []netip.Prefix {
	ps := make([]netip.Prefix, len(ns))
	for i, n := range ns {
		ps[i] = n.Prefix
	}
	return ps
}

// Addresses are the addresses that media is anchored at.
type Addresses []Address

// Address is one IP address.
type Address struct{ netip.Addr }

// UnmarshalText reads an IP address without a port.
func (a *Address) UnmarshalText(text []byte) error {
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return fmt.Errorf("%s is not an IP address; callers' media is sent to it, so it must be an address of this host", quote(string(text)))
	}
	if addr.IsUnspecified() || addr.IsMulticast() {
		return fmt.Errorf("%s cannot be sent to; write the address under which callers and positions reach this host", addr)
	}
	a.Addr = addr
	return nil
}

// PortRange is a range of UDP ports, both ends included.
type PortRange struct{ Low, High uint16 }

// UnmarshalText reads "20000-29999".
func (r *PortRange) UnmarshalText(text []byte) error {
	low, high, ok := strings.Cut(string(text), "-")
	lo, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
	hi, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
	switch {
	case !ok || err1 != nil || err2 != nil:
		return fmt.Errorf("%s is not a range of ports; write it like 20000-29999, with ports up to 65535", quote(string(text)))
	case lo >= hi:
		return fmt.Errorf("the range starts at %d and ends at %d; the lower port comes first, as in 20000-29999", lo, hi)
	case lo < 1024:
		return errors.New("ports below 1024 belong to other services; start the range at 1024 or above")
	}
	*r = PortRange{uint16(lo), uint16(hi)}
	return nil
}

// Size returns the number of ports in the range.
func (r PortRange) Size() int { return int(r.High) - int(r.Low) + 1 }

// String returns the range as it is written in a file.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.Low, r.High) }
