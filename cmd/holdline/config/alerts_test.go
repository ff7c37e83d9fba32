package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSecretsOfChannels: they come from files beside the configuration or from
// the environment, and what is printed of a configuration does not matter for
// them.
func TestSecretsOfChannels(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pager.secret"), []byte("k3y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAIL_PASSWORD", "pa55")
	c, err := Parse(filepath.Join(dir, "holdline.yaml"), []byte(`
alerts:
  channels:
    - {name: pager, kind: webhook, url: "https://pager.example/hook", secret_file: pager.secret}
    - {name: mail, kind: mail, server: "mail.example:587", user: me, password_env: MAIL_PASSWORD, from: "Holdline <a@b.example>", to: ["c@d.example"]}
    - {name: ring, kind: sip-call, uri: "sip:chief@10.0.0.20"}
  escalation:
    - {channels: [pager]}
    - {channels: [mail, ring], after: 30s, severity: critical}
`+minimal))
	if err != nil {
		t.Fatal(err)
	}
	pager, mail, ring := c.Alerts.Channels[0], c.Alerts.Channels[1], c.Alerts.Channels[2]
	if pager.Secret() != "k3y" || mail.Secret() != "pa55" {
		t.Errorf("secrets %q, %q", pager.Secret(), mail.Secret())
	}
	if pager.Timeout.Std() != 10*time.Second || mail.TLS != "starttls" || ring.Mode != "listen" || ring.Ring.Std() != 30*time.Second {
		t.Errorf("defaults: %v, %s, %s, %v", pager.Timeout, mail.TLS, ring.Mode, ring.Ring)
	}
	if s := c.Alerts.Escalation; s[0].Severity != "info" || s[1].After.Std() != 30*time.Second {
		t.Errorf("escalation: %+v", s)
	}
}

// TestSampleOfChannels: what configs/holdline.yaml shows in comments can be used
// as it stands.
func TestSampleOfChannels(t *testing.T) {
	sample, err := os.ReadFile("../../../configs/holdline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(sample), "\nalerts:\n")
	text, _, _ = strings.Cut(text, "\nlog:")
	dir := t.TempDir()
	for _, name := range []string{"pager.secret", "mail.password"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var shown []string
	in := false
	for line := range strings.Lines(text) {
		bare, comment := strings.CutPrefix(strings.TrimRight(line, "\n"), "  # ")
		in = comment && (in || bare == "channels:" || bare == "escalation:")
		if in {
			shown = append(shown, "  "+bare)
		}
	}
	src := "alerts:\n" + strings.Join(shown, "\n") + "\n" + minimal
	c, err := Parse(filepath.Join(dir, "holdline.yaml"), []byte(src))
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	if got := fmt.Sprint(len(c.Alerts.Channels), " ", len(c.Alerts.Escalation)); got != "4 3" {
		t.Errorf("channels and steps in the sample: %s", got)
	}
}
