package node

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"holdline/cmd/holdline/config"
	"holdline/console/alerting"
)

// How many messages the channels of people may get: a storm of alerts must not
// keep anybody from reading the first one.
const (
	textEvery, textBurst = 10 * time.Second, 6
	mailEvery, mailBurst = 30 * time.Second, 10
	ringEvery            = 10 * time.Second
	digest               = 1000 // alerts in one text
	posted               = 100  // alerts in one webhook
)

// Channels builds the channels of a configuration. phones does what has to be
// done over SIP; joiner may be nil, phones then only ring.
func Channels(c *config.Config, phones alerting.Phones, joiner alerting.Joiner) []alerting.Channel {
	var out []alerting.Channel
	for _, from := range c.Alerts.Channels {
		sum := sha256.Sum256(fmt.Appendf(nil, "%+v", from)) // with its secret, and not to be turned back
		ch := alerting.Channel{Name: from.Name, Kind: from.Kind, Timeout: from.Timeout.Std(), Config: hex.EncodeToString(sum[:])}
		switch from.Kind {
		case "webhook":
			ch.Target, ch.Batch, ch.Program = alerting.Redacted(from.URL), posted, true
			ch.Sender = alerting.Webhook{URL: from.URL, Secret: []byte(from.Secret()), Client: webClient()}
		case "sip-message":
			ch.Target, ch.Batch, ch.Every, ch.Burst = from.URI, digest, textEvery, textBurst
			ch.Sender = alerting.SIPMessage{Phones: phones, URI: from.URI}
		case "sip-call":
			ch.Target, ch.Batch, ch.Every, ch.Burst = from.URI, digest, ringEvery, 1
			ch.Timeout = from.Ring.Std() + from.Timeout.Std()
			ch.Sender = alerting.SIPCall{Phones: phones, Joiner: joiner, URI: from.URI, Mode: from.Mode, Ring: from.Ring.Std(), Name: from.Name}
		case "mail":
			ch.Target, ch.Batch, ch.Every, ch.Burst = from.Server, digest, mailEvery, mailBurst
			ch.Sender = alerting.Mail{
				Server: from.Server, Security: from.TLS, User: from.User, Password: from.Secret(), From: from.From, To: from.To,
			}
		}
		out = append(out, ch)
	}
	return out
}

// webClient has connections of its own and follows no redirections: what is
// signed for one receiver is not for another.
func webClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConns: 2, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// escalation is the steps of a configuration: all channels at once when it has
// none.
func escalation(c *config.Config) []alerting.Step {
	var out []alerting.Step
	for _, s := range c.Alerts.Escalation {
		out = append(out, alerting.Step{
			Channels: s.Channels, After: s.After.Std(), Severity: alerting.Severity(s.Severity), Causes: s.Causes, Unresolved: s.Unresolved,
		})
	}
	if len(out) == 0 && len(c.Alerts.Channels) > 0 {
		all := alerting.Step{}
		for _, ch := range c.Alerts.Channels {
			all.Channels = append(all.Channels, ch.Name)
		}
		out = append(out, all)
	}
	return out
}

// ConsoleURL is how people reach the console.
func ConsoleURL(c *config.Config) string {
	if c.Alerts.URL != "" {
		return c.Alerts.URL
	}
	return consoleURLAt(c, c.Console.Listen.String())
}

// consoleURLAt is the console's address for a browser, where it listens at addr:
// all addresses of a host are none that anybody could open, its name is.
func consoleURLAt(c *config.Config, addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().IsUnspecified() {
		addr = net.JoinHostPort(hostName(), strconv.Itoa(int(ap.Port())))
	}
	return scheme(c) + "://" + addr + "/"
}
