package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdline/console/sources"
)

// EIDO is the services whose EIDO documents are subscribed to (NENA-STA-024.1).
type EIDO struct {
	Subscribe   []string `yaml:"subscribe"`   // wss:// addresses
	Token       string   `yaml:"token"`       // sent as bearer token
	TokenFile   string   `yaml:"token_file"`  // or the file that has it
	Expires     Duration `yaml:"expires"`     // how long a subscription is asked for
	Roots       string   `yaml:"roots"`       // PEM: authorities of the services; "": the system's
	Certificate string   `yaml:"certificate"` // PEM: our own, where a service wants one
	Key         string   `yaml:"key"`

	tls *tls.Config // of the three files; nil: the system's authorities and no certificate
}

// Logger is whose log events are believed (NENA-STA-010.3 section 4.12).
type Logger struct {
	Keys      []string          `yaml:"keys"`      // PEM: public keys and certificates of senders
	Roots     string            `yaml:"roots"`     // PEM: authorities that vouch for senders
	Unsigned  bool              `yaml:"unsigned"`  // alg none is taken
	Positions map[string]string `yaml:"positions"` // what senders call a position -> its id
	Rate      int               `yaml:"rate"`      // events a second that are kept though nothing follows from them

	keys  []sources.Key
	roots *sources.Roots
}

// Webhook is the secret that messages are signed with.
type Webhook struct {
	Secret     string   `yaml:"secret"`
	SecretFile string   `yaml:"secret_file"`
	Window     Duration `yaml:"window"` // how far a message's time may be from ours
}

// minSecret is how long a secret must be, in bytes.
const minSecret = 16

// Sources returns the settings of the intake sources.
func (i *Intake) Sources() sources.Settings {
	s := sources.Settings{
		Keep: i.Keep.Std(), Keys: i.Logger.keys, Roots: i.Logger.roots, Unsigned: i.Logger.Unsigned,
		Desks: i.Logger.Positions, Rate: i.Logger.Rate, Secret: []byte(i.Webhook.Secret), Window: i.Webhook.Window.Std(),
	}
	for _, u := range i.EIDO.Subscribe {
		s.Subscribe = append(s.Subscribe, sources.Subscription{URL: u, Token: i.EIDO.Token, Expires: i.EIDO.Expires.Std(), TLS: i.EIDO.tls})
	}
	return s
}

// paths are the names of files, to be made relative to the configuration's
// folder.
func (i *Intake) paths() []*string {
	p := []*string{&i.EIDO.TokenFile, &i.EIDO.Roots, &i.EIDO.Certificate, &i.EIDO.Key, &i.Logger.Roots, &i.Webhook.SecretFile}
	for n := range i.Logger.Keys {
		p = append(p, &i.Logger.Keys[n])
	}
	return p
}

// sources checks what other systems may say of intakes, and reads the files
// with keys and secrets.
func (k *checker) sources() {
	i := &k.c.Intake
	if i.Keep != 0 {
		k.within("intake.keep", i.Keep, time.Second, 24*time.Hour)
	}
	k.eido(&i.EIDO)
	k.logger(&i.Logger)
	k.secretOr("intake.webhook.secret", &i.Webhook.Secret, i.Webhook.SecretFile)
	path := "intake.webhook.secret"
	if i.Webhook.SecretFile != "" {
		path += "_file"
	}
	if n := len(i.Webhook.Secret); n > 0 && n < minSecret {
		k.at(path, "the secret has %d characters; it must have at least %d, make one with: openssl rand -hex 32", n, minSecret)
	}
	k.within("intake.webhook.window", i.Webhook.Window, time.Second, time.Hour)
}

func (k *checker) eido(e *EIDO) {
	seen := map[string]bool{}
	for i, u := range e.Subscribe {
		path := index("intake.eido.subscribe", i)
		parsed, err := url.Parse(u)
		switch {
		case err != nil || parsed.Host == "" || parsed.Scheme != "wss" && parsed.Scheme != "ws":
			k.at(path, "%s is not the address of an EIDO service; write it like wss://cad.example/IncidentData/ent", quote(u))
		case parsed.User != nil:
			k.at(path, "%s has a password in it; use intake.eido.token_file", quote(u))
		case seen[u]:
			k.at(path, "%s is listed twice; remove one", quote(u))
		}
		seen[u] = true
	}
	k.within("intake.eido.expires", e.Expires, time.Minute, 24*time.Hour)
	k.secretOr("intake.eido.token", &e.Token, e.TokenFile)
	if strings.ContainsAny(e.Token, " \t\r\n") {
		k.at("intake.eido.token", "the token may not contain spaces or line breaks")
	}
	k.eidoTLS(e)
}

// eidoTLS reads the files of the TLS connection to services.
func (k *checker) eidoTLS(e *EIDO) {
	if e.Roots == "" && e.Certificate == "" && e.Key == "" {
		return
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if text, ok := k.contents("intake.eido.roots", e.Roots); ok {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			k.at("intake.eido.roots", "%s has no PEM block with a certificate that can be read", quote(e.Roots))
		}
	}
	if (e.Certificate == "") != (e.Key == "") {
		k.at("intake.eido.certificate", "intake.eido needs both certificate and key, or neither")
	} else if e.Certificate != "" && k.file("intake.eido.certificate", e.Certificate) && k.file("intake.eido.key", e.Key) {
		pair, err := tls.LoadX509KeyPair(e.Certificate, e.Key)
		if err != nil {
			k.at("intake.eido.certificate", "certificate and key cannot be used: %v", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	e.tls = c
}

func (k *checker) logger(l *Logger) {
	for i, name := range l.Keys {
		path := index("intake.logger.keys", i)
		if text, ok := k.contents(path, name); ok {
			keys, err := sources.ParseKeys(filepath.Base(name), text)
			if err != nil {
				k.at(path, "%s: %v", quote(name), err)
			}
			l.keys = append(l.keys, keys...)
		}
	}
	if text, ok := k.contents("intake.logger.roots", l.Roots); ok {
		roots, err := sources.ParseRoots(text)
		if err != nil {
			k.at("intake.logger.roots", "%s: %v", quote(l.Roots), err)
		}
		l.roots = roots
	}
	for name, id := range l.Positions {
		k.position("intake.logger.positions."+name, id)
	}
	if l.Rate < 0 || l.Rate > 10000 {
		k.at("intake.logger.rate", "rate is %d; it must be from 0 (keep none) to 10000 events a second", l.Rate)
	}
}

// contents reads a file that a key names; false when there is none or it cannot
// be read, which is then reported.
func (k *checker) contents(path, name string) ([]byte, bool) {
	if name == "" || !k.file(path, name) {
		return nil, false
	}
	text, err := os.ReadFile(name)
	if err != nil {
		k.at(path, "%s cannot be read: %v", quote(name), underlying(err))
		return nil, false
	}
	return text, true
}

// secretOr reads a secret from the file beside the key that may hold it.
func (k *checker) secretOr(path string, value *string, file string) {
	if file == "" {
		return
	}
	if *value != "" {
		k.at(path, "%s and %s are both given; keep the file", path, fmt.Sprintf("%s_file", path))
		return
	}
	if text, ok := k.contents(path+"_file", file); ok {
		if *value = strings.TrimSpace(string(text)); *value == "" {
			k.at(path+"_file", "%s is empty", quote(file))
		}
	}
}
