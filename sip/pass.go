package sip

import (
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/sip/edge"
)

// pass takes a request outside our dialogs on to where its route leads, as a
// stateful proxy does (RFC 3261 section 16): REGISTER, SUBSCRIBE, NOTIFY,
// MESSAGE, PUBLISH, OPTIONS for somebody else, and an INVITE of ours that comes
// back (spirals). No call is made of it.
func (g *Guard) pass(req *gosip.Request, tx *gosip.ServerTx) {
	if strings.TrimSpace(get(req, "max-forwards")) == "0" {
		g.refuse(req, tx, 483)
		return
	}
	if loops(req, g) {
		g.refuse(req, tx, 482)
		return
	}
	uri, hop, ok := g.way(req)
	if !ok {
		code := 404
		if tag(get(req, "to")) != "" {
			code = 481
		}
		g.refuse(req, tx, code)
		return
	}
	if req.Method == gosip.INVITE || req.Method == gosip.SUBSCRIBE || req.Method == gosip.REFER || req.Method == gosip.NOTIFY {
		_ = tx.Respond(respond(req, 100, reasons[100], ""))
	}
	g.resolve(hop, func(hops []hopAddr, err error) {
		if err != nil {
			g.log.Warn("request has nowhere to go", zap.String("method", string(req.Method)), zap.Error(err))
			g.refuse(req, tx, 502)
			return
		}
		g.passTo(req, tx, uri, hops)
	})
}

// way is where req goes: the request URI to use and the URI of the next hop.
// A Route that leads on decides; then the first matching route's target.
func (g *Guard) way(req *gosip.Request) (uri, hop string, ok bool) {
	uri = req.Recipient.String()
	routes := list(getAll(req, "route"))
	ours := len(routes) > 0 && g.isOurs(parseAddress(routes[0]).URI)
	if ours {
		routes = routes[1:]
	}
	if len(routes) > 0 {
		return uri, parseAddress(routes[0]).URI, true
	}
	if ours && !g.isOurs(uri) {
		return uri, uri, true // a dialog or a registered contact behind us
	}
	s := g.settings.Load()
	r, found := s.route(uri)
	if !found || len(r.To) == 0 {
		return "", "", false
	}
	name := r.To[0]
	if name == "{user}" {
		name = userOf(uri)
	}
	t := s.target(name)
	if t.URI == "" {
		return "", "", false
	}
	if userOf(t.URI) == "" || req.Method == gosip.REGISTER {
		return uri, t.URI, true // a next hop, not an address
	}
	return t.URI, t.URI, true
}

// loops tells whether req has been here before with the same target
// (RFC 3261 section 16.3).
func loops(req *gosip.Request, g *Guard) bool {
	seen := 0
	for _, v := range list(getAll(req, "via")) {
		f := strings.Fields(v)
		if len(f) < 2 {
			continue
		}
		sentBy, _, _ := strings.Cut(f[1], ";")
		if g.isOurs("sip:" + sentBy) {
			seen++
		}
	}
	return seen > 2 // once on the trunk side and once on the station side are fine
}

// passed is req as it leaves: our Via on top, ourselves in the path of what
// comes back, everything else as it was (RFC 3261 section 16.6).
func (g *Guard) passed(req *gosip.Request, uri string, h hopAddr, socket string) (*gosip.Request, error) {
	var recipient gosip.Uri
	if err := gosip.ParseUri(uri, &recipient); err != nil {
		return nil, err
	}
	out := gosip.NewRequest(req.Method, recipient)
	d := Dialog{Socket: socket, Network: h.network}
	out.AppendHeader(d.via())
	self := "<sip:" + socket + ";lr>"
	if h.network != "udp" {
		self = "<sip:" + socket + ";transport=" + h.network + ";lr>"
	}
	if req.Method == gosip.INVITE || req.Method == gosip.SUBSCRIBE || req.Method == gosip.REFER {
		out.AppendHeader(gosip.NewHeader("Record-Route", self))
	}
	if req.Method == gosip.REGISTER {
		out.AppendHeader(gosip.NewHeader("Path", self)) // RFC 3327: calls to this phone come back through us
		if !strings.Contains(strings.ToLower(strings.Join(getAll(req, "supported"), ",")), "path") {
			out.AppendHeader(gosip.NewHeader("Supported", "path"))
		}
	}
	hops := 69
	if n, err := strconv.Atoi(strings.TrimSpace(get(req, "max-forwards"))); err == nil {
		hops = n - 1
	}
	left := gosip.MaxForwardsHeader(max(hops, 0))
	out.AppendHeader(&left)
	first := true
	for _, head := range req.Headers() {
		switch name := longName(head.Name()); {
		case edge.IsInternal(head), name == "max-forwards", name == "content-length":
		case name == "route":
			rest := list([]string{head.Value()})
			if first && len(rest) > 0 && g.isOurs(parseAddress(rest[0]).URI) {
				rest = rest[1:]
			}
			first = false
			if len(rest) > 0 {
				out.AppendHeader(gosip.NewHeader("Route", strings.Join(rest, ", ")))
			}
		case name == "via":
			out.AppendHeader(gosip.NewHeader("Via", head.Value()))
		default:
			out.AppendHeader(gosip.NewHeader(head.Name(), head.Value()))
		}
	}
	out.SetBody(req.Body())
	out.SetTransport(strings.ToUpper(h.network))
	out.SetDestination(h.addr)
	return out, nil
}

// backwards is a response as it goes back to where the request came from.
func backwards(req *gosip.Request, res *gosip.Response) *gosip.Response {
	out := respond(req, res.StatusCode, res.Reason, "")
	for _, name := range []string{"To", "Record-Route"} {
		for out.RemoveHeader(name) {
		}
	}
	for _, h := range res.Headers() {
		switch name := longName(h.Name()); name {
		case "to", "contact", "record-route":
			out.AppendHeader(gosip.NewHeader(h.Name(), h.Value()))
		}
	}
	carry(res, out)
	out.SetBody(res.Body())
	return out
}
