package config

import (
	"net"
	"net/mail"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Alerts is over which channels people are told of alerts, and in which order.
type Alerts struct {
	URL        string       `yaml:"url"` // of the console, as people reach it; "": http:// and console.listen
	Channels   []Channel    `yaml:"channels"`
	Escalation []Escalation `yaml:"escalation"` // empty: every channel at once
}

// Channel is one way to tell somebody of an alert.
type Channel struct {
	Name    string   `yaml:"name"`
	Kind    string   `yaml:"kind"`    // webhook, sip-message, sip-call, mail
	Timeout Duration `yaml:"timeout"` // of one attempt

	URL        string `yaml:"url"`         // webhook: where it is posted to
	SecretFile string `yaml:"secret_file"` // webhook: what its body is signed with
	SecretEnv  string `yaml:"secret_env"`

	URI  string   `yaml:"uri"`  // sip-message, sip-call: the phone
	Mode string   `yaml:"mode"` // sip-call: listen, whisper or barge, for who answers
	Ring Duration `yaml:"ring"` // sip-call: how long it rings

	Server       string   `yaml:"server"` // mail: host:port
	TLS          string   `yaml:"tls"`    // mail: starttls, tls or none
	User         string   `yaml:"user"`
	PasswordFile string   `yaml:"password_file"`
	PasswordEnv  string   `yaml:"password_env"`
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`

	secret string // what the file or the variable holds
}

// Secret returns the webhook's secret or the mail server's password, read when
// the configuration was. It is never written anywhere.
func (c Channel) Secret() string { return c.secret }

// Escalation is a step on the way of an alert that nobody acknowledges.
type Escalation struct {
	Channels   []string `yaml:"channels"`
	After      Duration `yaml:"after"`
	Severity   string   `yaml:"severity"` // this or more urgent: info, warning, critical
	Causes     []string `yaml:"causes"`   // only these; empty: all
	Unresolved bool     `yaml:"unresolved"`
}

// The defaults of a channel.
const (
	defaultChannelTimeout = Duration(10 * time.Second)
	defaultChannelRing    = Duration(30 * time.Second)
)

// completeAlerts fills in what channels and steps leave out.
func (c *Config) completeAlerts(d *decoder) {
	for i := range c.Alerts.Channels {
		ch := &c.Alerts.Channels[i]
		if !d.given("alerts.channels[%d].timeout", i) {
			ch.Timeout = defaultChannelTimeout
		}
		if !d.given("alerts.channels[%d].ring", i) {
			ch.Ring = defaultChannelRing
		}
		if !d.given("alerts.channels[%d].mode", i) {
			ch.Mode = "listen"
		}
		if !d.given("alerts.channels[%d].tls", i) {
			ch.TLS = "starttls"
		}
		for _, file := range []*string{&ch.SecretFile, &ch.PasswordFile} {
			*file = d.beside(*file)
		}
	}
	for i := range c.Alerts.Escalation {
		if !d.given("alerts.escalation[%d].severity", i) {
			c.Alerts.Escalation[i].Severity = "info"
		}
	}
}

// channelKinds are the kinds of channels, with the keys that each one has
// beside name, kind and timeout.
func channelKinds() map[string][]string {
	return map[string][]string{
		"webhook":     {"url", "secret_file", "secret_env"},
		"sip-message": {"uri"},
		"sip-call":    {"uri", "mode", "ring"},
		"mail":        {"server", "tls", "user", "password_file", "password_env", "from", "to"},
	}
}

func kindNames() []string { return []string{"webhook", "sip-message", "sip-call", "mail"} }

// channelName is what may stand in a URL, a metric and a record.
var channelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$`)

func (k *checker) alerts() {
	if u := k.c.Alerts.URL; u != "" {
		k.webURL("alerts.url", u)
	}
	var names []string
	for i := range k.c.Alerts.Channels {
		c, path := &k.c.Alerts.Channels[i], index("alerts.channels", i)
		switch {
		case c.Name == "":
			k.at(path+".name", "channel %d has no name; alerts.escalation names a channel by it", i+1)
		case !channelName.MatchString(c.Name):
			k.at(path+".name", "the name %s may have letters, digits and . _ - only, at most 40", quote(c.Name))
		case c.Name == "page":
			k.at(path+".name", "page is the live page, which is always there; choose another name")
		case slices.Contains(names, c.Name):
			k.at(path+".name", "the name %s is taken by channel %d; names are unique", quote(c.Name), slices.Index(names, c.Name)+1)
		}
		names = append(names, c.Name)
		k.channel(path, c)
	}
	k.escalation(names)
}

func (k *checker) channel(path string, c *Channel) {
	keys, known := channelKinds()[c.Kind]
	if !known {
		k.at(path+".kind", "unknown kind of channel %s%s", quote(c.Kind), didYouMean(c.Kind, kindNames()))
		return
	}
	for _, key := range []string{"url", "secret_file", "secret_env", "uri", "mode", "ring", "server", "tls", "user", "password_file", "password_env", "from", "to"} {
		if k.given("%s", path+"."+key) && !slices.Contains(keys, key) {
			k.at(path+"."+key, "a channel of kind %s has no %s; it has %s", c.Kind, key, strings.Join(keys, ", "))
		}
	}
	k.within(path+".timeout", c.Timeout, time.Second, time.Minute)
	switch c.Kind {
	case "webhook":
		if c.URL == "" {
			k.at(path+".url", "channel %s has no url; write where alerts are posted to, like https://pager.example/hook", c.Name)
		} else {
			k.webURL(path+".url", c.URL)
		}
		c.secret = k.secret(path, "secret", c.SecretFile, c.SecretEnv)
	case "mail":
		k.mail(path, c)
	default:
		k.supervisor(path, c)
	}
}

// webURL checks an address of the web.
func (k *checker) webURL(path, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		k.at(path, "%s is not an address of the web; write it like https://pager.example/hook", quote(s))
		return
	}
	if u.User != nil {
		k.at(path, "%s has a password in it, which would be shown; let the receiver check the signature instead (secret_file)", path)
	}
}

// supervisor checks the phone of a supervisor.
func (k *checker) supervisor(path string, c *Channel) {
	if c.URI == "" {
		k.at(path+".uri", "channel %s has no uri; write the supervisor's phone, like sip:supervisor@10.0.0.20", c.Name)
	} else {
		k.uri(path+".uri", c.URI)
	}
	if c.Kind != "sip-call" {
		return
	}
	k.within(path+".ring", c.Ring, 5*time.Second, 3*time.Minute)
	modes := []string{"listen", "whisper", "barge"}
	if !slices.Contains(modes, c.Mode) {
		k.at(path+".mode", "unknown mode %s%s", quote(c.Mode), didYouMean(c.Mode, modes))
	}
}

func (k *checker) mail(path string, c *Channel) {
	host, port, err := net.SplitHostPort(c.Server)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || host == "" || e != nil || n == 0 {
		k.at(path+".server", "channel %s has the mail server %s; write its name and port, like mail.example:587", c.Name, quote(c.Server))
	}
	ways := []string{"starttls", "tls", "none"}
	if !slices.Contains(ways, c.TLS) {
		k.at(path+".tls", "unknown way %s%s", quote(c.TLS), didYouMean(c.TLS, ways))
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		k.at(path+".from", "channel %s has the sender %s, which is not a mail address", c.Name, quote(c.From))
	}
	if len(c.To) == 0 {
		k.at(path+".to", "channel %s has nobody in to; list mail addresses", c.Name)
	}
	for i, to := range c.To {
		if _, err := mail.ParseAddress(to); err != nil {
			k.at(index(path+".to", i), "%s is not a mail address", quote(to))
		}
	}
	c.secret = k.secret(path, "password", c.PasswordFile, c.PasswordEnv)
	if (c.User == "") != (c.secret == "") && !k.given("%s", path+".password_file") && !k.given("%s", path+".password_env") {
		k.at(path+".user", "channel %s has a user and no password; name a file with it in password_file, or a variable in password_env", c.Name)
	}
}

// secret reads a secret, which never stands in the file itself: from a file of
// its own, or from a variable of the environment.
func (k *checker) secret(path, what, file, env string) string {
	switch {
	case file != "" && env != "":
		k.at(path+"."+what+"_env", "both %s_file and %s_env are given; remove one", what, what)
	case file != "":
		if !k.file(path+"."+what+"_file", file) {
			return ""
		}
		text, err := os.ReadFile(file)
		s := strings.TrimSpace(string(text))
		if err != nil || s == "" {
			k.at(path+"."+what+"_file", "%s has no %s in it", quote(file), what)
		}
		return s
	case env != "":
		s := os.Getenv(env)
		if s == "" {
			k.at(path+"."+what+"_env", "the variable %s is not set or empty", quote(env))
		}
		return s
	}
	return ""
}

func (k *checker) escalation(names []string) {
	severities := []string{"info", "warning", "critical"}
	last := Duration(0)
	used := map[string]bool{}
	for i, s := range k.c.Alerts.Escalation {
		path := index("alerts.escalation", i)
		if len(s.Channels) == 0 {
			k.at(path+".channels", "step %d has no channels; name some of alerts.channels", i+1)
		}
		for j, name := range s.Channels {
			used[name] = true
			if !slices.Contains(names, name) {
				k.at(index(path+".channels", j), "there is no channel %s%s", quote(name), didYouMean(name, names))
			}
		}
		k.within(path+".after", s.After, 0, 24*time.Hour)
		if s.After < last {
			k.at(path+".after", "step %d comes after %s, before the step above it (%s); put the steps in the order of time", i+1, s.After, last)
		}
		last = s.After
		if !slices.Contains(severities, s.Severity) {
			k.at(path+".severity", "unknown severity %s%s", quote(s.Severity), didYouMean(s.Severity, severities))
		}
	}
	if len(k.c.Alerts.Escalation) == 0 {
		return
	}
	for i, c := range k.c.Alerts.Channels {
		if !used[c.Name] && c.Name != "" {
			k.at(index("alerts.channels", i), "channel %s is in no step of alerts.escalation, so nobody would ever be told over it", quote(c.Name))
		}
	}
}
