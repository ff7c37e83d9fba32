package sip

import (
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/media"
	"holdline/sip/edge"
)

// Timer is a leg's session timer (RFC 4028), as both sides agreed on it. The
// refreshes of one side pass through to the other and count on both legs; only
// when none comes do we refresh ourselves, or hold the peer for gone.
type Timer struct {
	Interval time.Duration `json:"interval,omitempty"` // 0: none agreed
	Ours     bool          `json:"ours,omitempty"`     // we are the refresher on this leg
	Last     time.Time     `json:"last,omitzero"`      // refresh
}

const minInterval = 90 * time.Second // RFC 4028 section 4

// tooShort tells whether a request asks for a session that is refreshed more
// often than anybody has to bear, and can be told so: 422 (RFC 4028 section 9).
func tooShort(req *gosip.Request) bool {
	value, _, _ := strings.Cut(get(req, "session-expires"), ";")
	seconds, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || time.Duration(seconds)*time.Second >= minInterval {
		return false
	}
	for _, option := range list(getAll(req, "supported")) {
		if strings.EqualFold(strings.TrimSpace(option), "timer") {
			return true
		}
	}
	return false
}

// refuseShort answers such a request with the least that is taken here. A
// caller in need is never sent back for it: what he asks for passes on.
func (g *Guard) refuseShort(req *gosip.Request, tx *gosip.ServerTx) {
	res := respond(req, 422, reasons[422], newToken())
	res.AppendHeader(gosip.NewHeader("Min-SE", itoa(int(minInterval/time.Second))))
	if err := tx.Respond(res); err != nil {
		g.log.Debug("422 not sent", zap.Error(err))
	}
}

// timed takes the agreement from a 2xx. uac tells whether we sent the request.
func (c *Call) timed(l *leg, res *gosip.Response, uac bool) {
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return
	}
	_, method, _ := cseq(res)
	if method != "INVITE" && method != "UPDATE" {
		return
	}
	stop(&l.session)
	value, params, _ := strings.Cut(get(res, "session-expires"), ";")
	seconds, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || seconds <= 0 {
		l.Timer = Timer{}
		return
	}
	who, _ := param(";"+params, "refresher")
	l.Timer = Timer{
		Interval: max(time.Duration(seconds)*time.Second, minInterval),
		Ours:     strings.EqualFold(who, "uac") == uac, Last: time.Now(),
	}
	c.watchTimer(l)
}

// watchTimer waits for the moment something must have happened. A refresher
// refreshes at half the interval; we wait a little longer, so that a refresh
// that passes through from the other side comes first. A peer that refreshes
// is gone when min(32 s, a third) is left of the interval (section 10).
func (c *Call) watchTimer(l *leg) {
	t := l.Timer
	wait := t.Interval - min(32*time.Second, t.Interval/3)
	if t.Ours {
		wait = t.Interval * 11 / 20
	}
	stop(&l.session)
	l.session = c.after(wait-time.Since(t.Last), func() {
		if l.State != Confirmed || c.State == Ended || l.Timer != t {
			return
		}
		if t.Ours {
			c.refresh(l)
			return
		}
		c.gone(l, "session timer expired")
	})
}

// gone is a leg whose peer does not know the dialog any more, does not answer,
// or let the session expire: on a
// taker's leg a release, on the caller's the end, unless they are heard.
func (c *Call) gone(l *leg, why string) {
	switch {
	case l == c.taker:
		c.lost(l, why)
	case l.supervises() && l.State == Confirmed:
		c.leave(l, why)
	case l == c.caller && c.heard():
		c.log.Warn("caller seems gone, but is heard: kept", zap.String("reason", why))
		if l.Timer.Interval > 0 {
			l.Timer.Last = time.Now()
			c.watchTimer(l)
		}
	case l == c.caller:
		c.ended.By, c.ended.Reason = "error", why
		c.fire(callerLost)
	}
}

// heard tells whether media came from the caller within the last seconds.
func (c *Call) heard() bool {
	for _, s := range c.media.Stats(media.Caller) {
		if time.Since(s.LastRecv) < 5*time.Second {
			return true
		}
	}
	return false
}

// refresh refreshes a leg's session: with UPDATE where the peer allows it,
// else with a re-INVITE that repeats the session description.
func (c *Call) refresh(l *leg) {
	method := "INVITE"
	if strings.Contains(strings.ToUpper(l.Allow), "UPDATE") {
		method = "UPDATE"
	}
	seq := l.Dialog.nextSeq()
	req, err := l.Dialog.request(method, seq)
	if err != nil {
		return
	}
	req.AppendHeader(gosip.NewHeader("Supported", "timer"))
	req.AppendHeader(gosip.NewHeader("Session-Expires", itoa(int(l.Timer.Interval/time.Second))+";refresher=uac"))
	if l.minSE > 0 {
		req.AppendHeader(gosip.NewHeader("Min-SE", itoa(l.minSE)))
	}
	if method == "INVITE" && l.Told != "" {
		req.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
		req.SetBody([]byte(l.Told))
	} else {
		req.SetBody(nil)
	}
	c.send(l, req, func(r edge.Response) { c.onRefreshed(l, method, seq, r) })
}

func (c *Call) onRefreshed(l *leg, method string, seq uint32, r edge.Response) {
	switch {
	case r.Err != nil:
		c.gone(l, "session refresh was not answered")
	case r.StatusCode < 200:
	case r.StatusCode < 300:
		l.Dialog.learn(r.Response, "", false)
		if method == "INVITE" {
			c.ack2xx(l, seq)
		}
		if get(r.Response, "session-expires") == "" {
			l.Timer.Last = time.Now() // the peer runs no timer, and is there
			c.watchTimer(l)
			return
		}
		c.timed(l, r.Response, true)
	case r.StatusCode == 422:
		if n, err := strconv.Atoi(strings.TrimSpace(get(r.Response, "min-se"))); err == nil && n > l.minSE {
			l.minSE = n
			l.Timer.Interval = max(l.Timer.Interval, time.Duration(n)*time.Second)
			c.refresh(l)
		}
	case r.StatusCode == 481 || r.StatusCode == 408:
		c.gone(l, "session refresh was answered "+itoa(r.StatusCode))
	default: // busy with something else: there, at any rate
		l.Timer.Last = time.Now().Add(-l.Timer.Interval / 4)
		c.watchTimer(l)
	}
}
