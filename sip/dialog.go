package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// Dialog is one SIP dialog as a plain value (RFC 3261 section 12). It holds
// all that is needed to send the next request in it, so that a dialog can be
// written down and carried on elsewhere.
type Dialog struct {
	CallID    string   `json:"callId"`
	LocalTag  string   `json:"localTag"`
	RemoteTag string   `json:"remoteTag"`
	Local     string   `json:"local"`     // our From value in requests, without tag
	Remote    string   `json:"remote"`    // our To value in requests, without tag
	LocalSeq  uint32   `json:"localSeq"`  // CSeq of the last request we sent
	RemoteSeq uint32   `json:"remoteSeq"` // CSeq of the last request we got
	RouteSet  []string `json:"routeSet,omitempty"`
	Target    string   `json:"target"`    // remote target URI (the peer's Contact)
	Network   string   `json:"network"`   // udp or tcp
	Next      string   `json:"next"`      // host:port the next request goes to
	Socket    string   `json:"socket"`    // host:port of ours, in Via and Contact
	Features  string   `json:"features"`  // Contact parameters passed through (RFC 3840)
	User      string   `json:"user"`      // user part of our Contact
	FixedNext bool     `json:"fixedNext"` // Next was resolved by us and does not follow Target
}

// contact is our own Contact in this dialog.
func (d *Dialog) contact() string {
	uri := "sip:" + d.Socket
	if d.User != "" {
		uri = "sip:" + d.User + "@" + d.Socket
	}
	if d.Network != "udp" {
		uri += ";transport=" + d.Network
	}
	return "<" + uri + ">" + d.Features
}

// request builds the next request of this dialog, without a Via branch of its
// own transaction yet. seq is the CSeq number: for ACK and CANCEL that of the
// INVITE, else the one returned by nextSeq.
func (d *Dialog) request(method string, seq uint32) (*gosip.Request, error) {
	target := d.Target
	routes := d.RouteSet
	if len(routes) > 0 && !loose(routes[0]) {
		// A strict router wants itself as the request URI and the target last
		// (RFC 3261 section 12.2.1.1).
		first := parseAddress(routes[0]).URI
		routes = append(append([]string{}, routes[1:]...), "<"+target+">")
		target = first
	}
	var uri gosip.Uri
	if err := gosip.ParseUri(target, &uri); err != nil {
		return nil, fmt.Errorf("remote target %q: %w", target, err)
	}
	req := gosip.NewRequest(gosip.RequestMethod(method), uri)
	req.AppendHeader(d.via())
	for _, r := range routes {
		req.AppendHeader(gosip.NewHeader("Route", r))
	}
	hops := gosip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.AppendHeader(gosip.NewHeader("From", withTag(d.Local, d.LocalTag)))
	req.AppendHeader(gosip.NewHeader("To", withTag(d.Remote, d.RemoteTag)))
	req.AppendHeader(gosip.NewHeader("Call-ID", d.CallID))
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: seq, MethodName: gosip.RequestMethod(method)})
	if method != "BYE" && method != "CANCEL" && method != "PRACK" {
		req.AppendHeader(gosip.NewHeader("Contact", d.contact()))
	}
	req.SetTransport(strings.ToUpper(d.Network))
	req.SetDestination(d.Next)
	return req, nil
}

func withTag(value, tag string) string {
	if tag == "" {
		return value
	}
	return value + ";tag=" + tag
}

// via is a new Via with a new branch.
func (d *Dialog) via() *gosip.ViaHeader {
	host, port := splitHostPort(d.Socket)
	v := &gosip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: strings.ToUpper(d.Network),
		Host: host, Port: port,
	}
	v.Params.Add("branch", gosip.RFC3261BranchMagicCookie+newToken())
	v.Params.Add("rport", "") // a peer behind NAT sees where we came from (RFC 3581)
	return v
}

func (d *Dialog) nextSeq() uint32 { d.LocalSeq++; return d.LocalSeq }

func loose(route string) bool {
	uri := parseAddress(route).URI
	_, params, _ := strings.Cut(uri, ";")
	_, ok := param(";"+params, "lr")
	return ok
}

// learn takes from a message of the peer what establishes or refreshes the
// dialog: its tag, its Contact (target refresh, RFC 3261 section 12.2.1.2)
// and, on the first, the route set.
func (d *Dialog) learn(msg gosip.Message, remoteTag string, first bool) {
	if remoteTag != "" {
		d.RemoteTag = remoteTag
	}
	if c := list(getAll(msg, "contact")); len(c) > 0 {
		if uri := parseAddress(c[0]).URI; strings.HasPrefix(strings.ToLower(uri), "sip") {
			d.Target = uri
		}
	}
	if !first {
		d.follow()
		return
	}
	routes := list(getAll(msg, "record-route"))
	if _, isResponse := msg.(*gosip.Response); isResponse {
		for i, j := 0, len(routes)-1; i < j; i, j = i+1, j-1 {
			routes[i], routes[j] = routes[j], routes[i]
		}
	}
	d.RouteSet = routes
	d.follow()
}

// follow sets where the next request goes: the first route, else the target.
// A host name is left to whoever resolved Next before.
func (d *Dialog) follow() {
	if d.FixedNext && len(d.RouteSet) == 0 {
		return
	}
	hop := d.Target
	if len(d.RouteSet) > 0 {
		hop = parseAddress(d.RouteSet[0]).URI
	}
	if network, next, ok := hopOf(hop); ok {
		d.Network, d.Next = network, next
	}
}

// hopOf is the transport and the address of a SIP URI with a literal IP
// address; ok is false for any other.
func hopOf(uri string) (network, hostport string, ok bool) {
	var u gosip.Uri
	if gosip.ParseUri(uri, &u) != nil {
		return "", "", false
	}
	ip, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	if err != nil {
		return "", "", false
	}
	port := u.Port
	if port <= 0 || port > 65535 {
		port = 5060
	}
	network = "udp"
	if t, found := u.UriParams.Get("transport"); found {
		network = strings.ToLower(t)
	}
	return network, netip.AddrPortFrom(ip, uint16(port)).String(), true
}

func splitHostPort(hp string) (string, int) {
	i := strings.LastIndexByte(hp, ':')
	if i < 0 {
		return hp, 0
	}
	port, _ := strconv.Atoi(hp[i+1:])
	return strings.Trim(hp[:i], "[]"), port
}
