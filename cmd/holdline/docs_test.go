package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdline/cmd/holdline/config"
)

// blocks returns the fenced blocks of a page in a language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return found
}

func TestConfigurationsInTheDocs(t *testing.T) {
	for _, block := range blocks(t, "../../docs/admins.md", "yaml") {
		if _, err := config.Parse("docs/admins.md", []byte(block)); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// TestMetricsInTheDocs: the list of metrics is whole, and names none that is
// not there.
func TestMetricsInTheDocs(t *testing.T) {
	s := serve(t)
	_, page := s.get("/metrics")
	s.end(syscall.SIGTERM)
	text, err := os.ReadFile("../../docs/admins.md")
	if err != nil {
		t.Fatal(err)
	}
	names := func(pattern, in string) []string {
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(in, -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	served := names(`(?m)^# TYPE (holdline_\w+)`, page)
	described := names("(?m)^\\| `(holdline_\\w+)` \\|", string(text))
	if !slices.Equal(served, described) {
		t.Errorf("served    %v\ndescribed %v", served, described)
	}
}

// TestCommandsInTheDocs runs what the supervisors' page shows against a node
// with a call that waits in the fallback queue.
func TestCommandsInTheDocs(t *testing.T) {
	needTool(t, "curl")
	s := serve(t)
	defer s.end(syscall.SIGTERM)
	caller, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	exchange(t, caller, invite(caller, "docs@test"))
	exchange(t, caller, invite(caller, "lost@test"))
	exchange(t, caller, strings.ReplaceAll(invite(caller, "lost@test"), "INVITE", "CANCEL"))
	env := append(os.Environ(), "CONSOLE=http://"+s.console, "CALL=docs@test", "ALERT="+s.firstAlert(), "SUPERVISOR="+ringingPhone(t), "LOST="+s.owed(t).ID)
	for _, block := range blocks(t, "../../docs/supervisors.md", "sh") {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", block)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil || len(out) == 0 {
			t.Errorf("%s\nsays %q, %v", block, out, err)
		}
	}
}

// ringingPhone is the URI of a phone that rings and is not answered.
func ringingPhone(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			first, rest, _ := strings.Cut(string(buf[:n]), "\r\n")
			if strings.HasPrefix(first, "INVITE ") {
				_, _ = conn.WriteTo([]byte("SIP/2.0 180 Ringing\r\n"+strings.Replace(rest, "\r\nContent-Length: ", "\r\nX-Offer-Length: ", 1)), from)
			}
		}
	}()
	return "sip:supervisor@" + conn.LocalAddr().String()
}

// needTool skips a test that needs a program which is not installed; in CI that
// is a failure.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
}

// firstAlert follows the events until an alert is raised and returns its id.
func (s *service) firstAlert() string {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get("http://" + s.console + "/v1/events?after=0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var r struct {
			Kind string
			Data struct{ ID string }
		}
		if err := json.Unmarshal([]byte(data), &r); err != nil {
			s.t.Fatal(err)
		}
		if r.Kind == "alert.raised" {
			return r.Data.ID
		}
	}
	s.t.Fatal("no alert was raised for a call that nobody takes")
	return ""
}

// invite is a call to 911 without media.
func invite(conn net.Conn, id string) string {
	return strings.Join([]string{
		"INVITE urn:service:sos SIP/2.0",
		"Via: SIP/2.0/UDP " + conn.LocalAddr().String() + ";branch=z9hG4bK" + id,
		"From: <sip:caller@example.com>;tag=7", "To: <urn:service:sos>", "Call-ID: " + id, "CSeq: 1 INVITE",
		"Contact: <sip:caller@" + conn.LocalAddr().String() + ">", "Max-Forwards: 70", "Content-Length: 0", "", "",
	}, "\r\n")
}
