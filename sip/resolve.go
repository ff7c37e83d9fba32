package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// hopAddr is one way to a host: transport and IP address with port.
type hopAddr struct{ network, addr string }

const lookupTime = 2 * time.Second

var errNoAddress = errors.New("host has no address")

// resolve finds the ways to a SIP URI, best first (RFC 3263): at once for an
// IP address, else by SRV records, else by address records. found is called
// once, from another goroutine when a lookup was needed.
func (g *Guard) resolve(uri string, found func([]hopAddr, error)) {
	if network, next, ok := hopOf(uri); ok {
		found([]hopAddr{{network, next}}, nil)
		return
	}
	var u gosip.Uri
	if err := gosip.ParseUri(uri, &u); err != nil || u.Host == "" {
		found(nil, fmt.Errorf("URI %q has no host", uri))
		return
	}
	go func() {
		defer g.recovered("name lookup")
		ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
		defer cancel()
		hops, err := g.lookup263(ctx, u)
		found(hops, err)
	}()
}

func (g *Guard) lookup263(ctx context.Context, u gosip.Uri) ([]hopAddr, error) {
	network, explicit := "udp", false
	if t, ok := u.UriParams.Get("transport"); ok {
		network, explicit = strings.ToLower(t), true
	}
	if u.Port > 0 {
		return g.addresses(ctx, network, u.Host, u.Port)
	}
	protos := []string{network}
	if !explicit {
		protos = []string{"udp", "tcp"}
	}
	var out []hopAddr
	for _, proto := range protos {
		_, records, err := g.opts.Resolver.LookupSRV(ctx, "sip", proto, u.Host)
		if err != nil {
			continue
		}
		for _, r := range records { // by priority, shuffled by weight
			hops, err := g.addresses(ctx, proto, strings.TrimSuffix(r.Target, "."), int(r.Port))
			if err == nil {
				out = append(out, hops...)
			}
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return g.addresses(ctx, network, u.Host, 5060)
}

func (g *Guard) addresses(ctx context.Context, network, host string, port int) ([]hopAddr, error) {
	ips, err := g.opts.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", host, err)
	}
	var out []hopAddr
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip.Unmap(), uint16(port))
		if _, err := g.edge.Local(network, addr); err == nil {
			out = append(out, hopAddr{network, addr.String()})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("looking up %s: %w", host, errNoAddress)
	}
	return out, nil
}
