package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdline/cmd/holdline/config"
	"holdline/policy"
)

// TestIntakePage runs what docs/intake.md shows, in its order, against a node
// with the configuration that it shows and a call that waits.
func TestIntakePage(t *testing.T) {
	for _, tool := range []string{"curl", "openssl"} {
		needTool(t, tool)
	}
	const page = "../../docs/intake.md"
	s := serve(t, func(s *service) {
		s.beside(t, "webhook.secret", "a secret for this test only\n")
		s.beside(t, "eido.token", "token\n")
		s.runs(t, "openssl genpkey -algorithm ed448 -out chs.key && openssl pkey -in chs.key -pubout -out chs.pem &&"+
			" openssl req -x509 -newkey ed25519 -keyout ca.key -out pca.pem -nodes -days 2 -subj /CN=PCA")
		shown := blocks(t, page, "yaml")
		if _, err := policy.Parse("page", []byte(shown[0]+"\nrules: [{name: a, verdict: review, why: x}]")); err != nil {
			t.Error(err)
		}
		all := "intake:\n"
		for _, block := range shown[1:] {
			one := filepath.Join(s.dir, "one.yaml")
			text := strings.Replace(block, "wss://cad.psap.example/", "ws://127.0.0.1:9/", 1)
			if _, err := config.Parse(one, []byte(configuration(s.dir, s.port, text))); err != nil {
				t.Errorf("%s: %v", block, err)
			}
			all += strings.TrimPrefix(text, "intake:\n")
		}
		s.write(all)
	})
	defer func() {
		s.signals <- syscall.SIGTERM
		s.wait("draining: no new calls are taken")
		s.end(syscall.SIGTERM) // the call is still up
	}()
	caller, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	exchange(t, caller, invite(caller, "docs@test"))
	want := []string{`"intakeComplete":true`, `"calls":["docs@test"]`, "urn:emergency:uid:logid:", `"calls":["docs@test"]`}
	shown := blocks(t, page, "sh")
	if len(shown) != len(want) {
		t.Fatalf("%d commands shown", len(shown))
	}
	for i, block := range shown {
		if out := s.runs(t, block); !strings.Contains(out, want[i]) {
			t.Errorf("%s\nsays %s, want %s", block, out, want[i])
		}
	}
	for path, wanted := range map[string][]string{
		"/v1/calls/docs@test": {
			`"dispatched":{"value":"engine 7","by":"dispatch console","source":"webhook"`, `"location":{"value":"https://lis.example/7"`, `"source":"eido"`,
		},
		"/v1/agents": {`"agent":"ann@psap.example"`},
		"/readyz":    {"EIDO service ws://127.0.0.1:9/IncidentData/ent: "},
		"/Versions":  {`"major":1`},
		"/metrics":   {`holdline_eido_subscriptions{state="lost"} 1`, `holdline_intake_received_total{sort="log_event"} 1`},
	} {
		_, body := s.get(path)
		for _, w := range wanted {
			if !strings.Contains(body, w) {
				t.Errorf("%s has no %s:\n%s", path, w, body)
			}
		}
	}
}

// beside writes a file beside the configuration.
func (s *service) beside(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runs runs a command line beside the configuration and returns what it says.
func (s *service) runs(t *testing.T, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "CONSOLE=http://"+s.console, "CALL=docs@test")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s\nsays %s, %v", line, out, err)
	}
	return string(out)
}
