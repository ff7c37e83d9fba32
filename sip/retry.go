package sip

import (
	"slices"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/edge"
)

// follow puts the configured targets that a 3xx names next in line; a
// redirect to anywhere else is a refusal like any other. Nobody is sent the
// caller by redirects twice in a tier, and never by their own: targets that
// name each other must not keep a caller from everybody else.
func (c *Call) follow(l *leg, res *gosip.Response) {
	if res.StatusCode < 300 || res.StatusCode > 399 {
		return
	}
	s := c.g.settings.Load()
	var next []target
	for _, contact := range list(getAll(res, "contact")) {
		t := s.target(parseAddress(contact).URI)
		again := t.Key == l.deskKey() || slices.Contains(c.Redirected, t.Key)
		if (t.Desk || s.isFallback(t)) && !c.excluded(t) && !again {
			c.Redirected = append(c.Redirected, t.Key)
			t.Ring = defaultRing
			next = append(next, t)
		}
	}
	c.plan = append(next, c.plan...)
}

func (s *Settings) isFallback(t target) bool {
	for _, tier := range s.Fallback {
		for _, name := range tier.To {
			if s.target(name).Key == t.Key {
				return true
			}
		}
	}
	return false
}

// tryLonger calls a target again that finds the session interval too small
// (422, RFC 4028 section 6); false when it was given what it asks for before.
func (c *Call) tryLonger(l *leg, res *gosip.Response) bool {
	n, err := strconv.Atoi(strings.TrimSpace(get(res, "min-se")))
	if err != nil || n <= l.minSE || l.cancel || l.minSE > 0 {
		return false
	}
	l.minSE = n
	req, err := c.inviteTo(l)
	if err != nil {
		return false
	}
	for _, name := range []string{"Session-Expires", "Min-SE"} {
		for _, h := range req.Headers() {
			if longName(h.Name()) == strings.ToLower(name) {
				req.RemoveHeader(h.Name())
				break
			}
		}
		req.AppendHeader(gosip.NewHeader(name, itoa(n)))
	}
	l.request = req
	l.sent = c.send(l, req, func(r edge.Response) { c.onInviteResponse(l, r) })
	return true
}

// challenged passes a digest challenge (RFC 3261 section 22) of a call server
// on: whoever calls through it answers with credentials in a new INVITE. A
// desk that challenges is a desk that refuses: no caller is lost to it.
func (c *Call) challenged(l *leg, res *gosip.Response) bool {
	if res.StatusCode != 401 && res.StatusCode != 407 || l.Desk || c.State != Offering || l.cancel ||
		get(c.invite, "authorization") != "" || get(c.invite, "proxy-authorization") != "" {
		return false
	}
	l.open = false
	l.State = Over
	c.recordFailure(l, failure{Code: res.StatusCode, Reason: res.Reason, res: res})
	c.ended.By, c.ended.Reason, c.ended.Code = "error", "challenged by "+l.Target, res.StatusCode
	c.ended.Refusal = c.relay(res, l)
	c.offers = without(c.offers, l)
	c.drop(l)
	c.fire(offersRefused)
	c.reap(l)
	return true
}
