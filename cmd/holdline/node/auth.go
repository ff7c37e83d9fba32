package node

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/console/access"
)

// gate returns who may use the console; nil where nobody signs in.
func gate(c *config.Config) *access.Gate {
	if !c.Console.SignIn() {
		return nil
	}
	a := c.Console.Auth
	o := access.Options{Data: c.Data, Idle: a.Session.Idle.Std(), Max: a.Session.Max.Std()}
	if a.OIDC.Issuer != "" {
		o.OIDC = &access.OIDC{
			Issuer: a.OIDC.Issuer, ClientID: a.OIDC.ClientID, SecretFile: a.OIDC.SecretFile,
			Redirect: strings.TrimSuffix(ConsoleURL(c), "/") + "/signin/oidc/callback",
			Claim:    a.OIDC.Roles.Claim, Roles: a.OIDC.Roles.RoleMap(),
		}
	}
	return access.New(o)
}

// offerSetup shows the one-time link by which the first admin is made.
func (n *Node) offerSetup(c *config.Config, g *access.Gate) {
	base := c.Alerts.URL
	if base == "" {
		base = consoleURLAt(c, n.console.Addr().String())
	}
	link, err := g.OfferSetup(func(key string) string { return strings.TrimSuffix(base, "/") + "/setup?key=" + key })
	if err != nil {
		n.log.Error("setup link", zap.Error(err))
	}
	if link != "" {
		n.log.Warn("nobody can sign in at the console yet; make the first admin with this link, which works once", zap.String("link", link))
	}
}

func scheme(c *config.Config) string {
	if c.Console.TLS.Cert != "" {
		return "https"
	}
	return "http"
}

// consoleNames are the names under which browsers may ask for the console.
func consoleNames(c *config.Config) []string {
	names := []string{hostName()}
	if u, err := url.Parse(c.Alerts.URL); err == nil && u.Hostname() != "" {
		names = append(names, strings.ToLower(u.Hostname()))
	}
	return names
}

// overTLS tells whether people reach the console over TLS: its own, or that of
// a proxy before it.
func overTLS(c *config.Config) bool {
	return c.Console.TLS.Cert != "" || strings.HasPrefix(c.Alerts.URL, "https://")
}

// certificate is the console's, read again at a reload.
type certificate struct {
	now atomic.Pointer[tls.Certificate]
}

// load reads the files. When they are not good the old certificate stays.
func (k *certificate) load(t config.TLS) error {
	if t.Cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return fmt.Errorf("console.tls: %w", err)
	}
	k.now.Store(&pair)
	return nil
}

// config returns the server's settings; nil when there is no certificate.
func (k *certificate) config() *tls.Config {
	if k.now.Load() == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.now.Load(), nil },
	}
}
