package config

import (
	"crypto/tls"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdline/console/access"
)

// Auth says who may use the console.
type Auth struct {
	Required string  `yaml:"required"` // auto, always, never
	Session  Session `yaml:"session"`
	OIDC     OIDC    `yaml:"oidc"`
}

// Session is how long somebody stays signed in.
type Session struct {
	Idle Duration `yaml:"idle"`
	Max  Duration `yaml:"max"`
}

// OIDC is the sign-in of the centre's own.
type OIDC struct {
	Issuer     string    `yaml:"issuer"` // "": none
	ClientID   string    `yaml:"client_id"`
	SecretFile string    `yaml:"client_secret_file"`
	Roles      OIDCRoles `yaml:"roles"`
}

// OIDCRoles is who is what, by a claim of the ID token.
type OIDCRoles struct {
	Claim string            `yaml:"claim"`
	Map   map[string]string `yaml:"map"`
}

// TLS is the certificate of the console.
type TLS struct {
	Cert string `yaml:"cert"` // "": plain HTTP
	Key  string `yaml:"key"`
}

func defaultAuth() Auth {
	return Auth{
		Required: "auto",
		Session:  Session{Idle: Duration(2 * time.Hour), Max: Duration(12 * time.Hour)},
		OIDC:     OIDC{Roles: OIDCRoles{Claim: "groups", Map: map[string]string{}}},
	}
}

// paths are the names of files, to be made relative to the configuration's
// folder.
func (c *Console) paths() []*string {
	return []*string{&c.TLS.Cert, &c.TLS.Key, &c.Auth.OIDC.SecretFile}
}

// SignIn tells whether people must sign in at the console.
func (c Console) SignIn() bool {
	switch c.Auth.Required {
	case "always":
		return true
	case "never":
		return false
	}
	return !c.Listen.Addr().IsLoopback()
}

// RoleMap returns the roles as the sign-in's type.
func (r OIDCRoles) RoleMap() map[string]access.Role {
	roles := make(map[string]access.Role, len(r.Map))
	for value, role := range r.Map {
		roles[value] = access.Role(role)
	}
	return roles
}

func humanRoles() []string {
	var names []string
	for _, r := range access.Roles() {
		if r.Human() {
			names = append(names, string(r))
		}
	}
	return names
}

func (k *checker) auth() {
	const path = "console.auth"
	a := k.c.Console.Auth
	if known := []string{"auto", "always", "never"}; !slices.Contains(known, a.Required) {
		k.at(path+".required", "unknown word %s%s", quote(a.Required), didYouMean(a.Required, known))
	}
	k.within(path+".session.idle", a.Session.Idle, time.Minute, 7*day)
	k.within(path+".session.max", a.Session.Max, time.Minute, 30*day)
	if a.OIDC.Issuer != "" {
		k.oidc(path+".oidc", a.OIDC)
	} else if a.OIDC.ClientID != "" {
		k.at(path+".oidc.client_id", "client_id has no issuer beside it; name the sign-in service, like https://login.example.org/realms/psap")
	}
}

func (k *checker) oidc(path string, o OIDC) {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		k.at(path+".issuer", "%s is not an https URL; write what the sign-in service calls its issuer", quote(o.Issuer))
	}
	if o.ClientID == "" {
		k.at(path+".issuer", "the issuer has no client_id beside it; the sign-in service gives one to this console")
	}
	if o.SecretFile != "" {
		k.file(path+".client_secret_file", o.SecretFile)
	}
	if len(o.Roles.Map) == 0 {
		k.at(path+".issuer", "oidc.roles.map is empty; nobody would have a role, write values of the claim %s like psap-supervisors: supervisor", quote(o.Roles.Claim))
	}
	for value, role := range o.Roles.Map {
		if !slices.Contains(humanRoles(), role) {
			k.at(path+".roles.map", "%s: unknown role %s%s; write %s", quote(value), quote(role), didYouMean(role, humanRoles()), strings.Join(humanRoles(), ", "))
		}
	}
	if k.c.Alerts.URL == "" && k.c.Console.Listen.Addr().IsUnspecified() {
		k.at(path+".issuer", "the sign-in service must send people back here, and alerts.url does not say where that is; write the console's address, like https://holdline.psap.example/")
	}
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (k *checker) tls() {
	t := k.c.Console.TLS
	switch {
	case t.Cert == "" && t.Key == "":
		return
	case t.Cert == "":
		k.at("console.tls.key", "console.tls has a key and no cert; name both, as PEM files")
		return
	case t.Key == "":
		k.at("console.tls.cert", "console.tls has a cert and no key; name both, as PEM files")
		return
	}
	if k.file("console.tls.cert", t.Cert) && k.file("console.tls.key", t.Key) {
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			k.at("console.tls.cert", "console.tls: %v", err)
		}
	}
}
