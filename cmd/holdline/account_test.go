package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdline/policy/ledger"
)

// on runs a command against the service's console.
func (s *service) on(args ...string) string {
	s.t.Helper()
	status, stdout, stderr := command(append(args, "--console", s.console)...)
	if status != exitOK {
		s.t.Fatalf("%v: %s", args, stderr)
	}
	return stdout
}

// TestRestartForgetsNobody: who sits where, surge mode, and the caller whose
// call was up when the node stopped.
func TestRestartForgetsNobody(t *testing.T) {
	s := serve(t)
	if got := s.on("agents", "sign-in", "pos-1", "ann", "--by", "sue"); !strings.Contains(got, "ann") {
		t.Errorf("sign-in: %s", got)
	}
	if got := s.on("surge", "on", "--for", "30m", "--reason", "flood", "--by", "sue"); !strings.Contains(got, "by sue: flood") {
		t.Errorf("surge on: %s", got)
	}
	caller, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	call := strings.Replace(invite(caller, "up@test"), "<sip:caller@", "<sip:+15045550100@", 1)
	if got := exchange(t, caller, call); !strings.HasPrefix(got, "SIP/2.0 1") {
		t.Fatalf("INVITE: %s", got)
	}
	s.firstAlert()
	s.signals <- syscall.SIGTERM
	s.wait("draining: no new calls are taken")
	s.end(syscall.SIGTERM)

	again := serve(t, func(n *service) { n.dir, n.file, n.port = s.dir, s.file, s.port })
	if got := again.on("agents"); !strings.Contains(got, "ann") || !strings.Contains(got, "http") {
		t.Errorf("agents: %s", got)
	}
	if got := again.on("surge"); !strings.Contains(got, "by sue: flood") {
		t.Errorf("surge: %s", got)
	}
	again.wait("call was up when the node stopped")
	item := again.owed(t)
	if item.Cause != ledger.Technical || item.ID != "up@test" || item.Position != "" {
		t.Errorf("item: %+v", item)
	}
	res, err := http.Post("http://"+again.console+"/v1/callbacks/up@test/done", "application/json", strings.NewReader(`{"by":"sue"}`))
	if err != nil || res.StatusCode != 200 {
		t.Errorf("done: %v %v", res, err)
	}
	res.Body.Close()
	if got := again.on("surge", "off"); got != "surge mode is off\n" {
		t.Errorf("surge off: %s", got)
	}
	if got := again.on("agents", "sign-out", "pos-1"); strings.Contains(got, "ann") {
		t.Errorf("sign-out: %s", got)
	}
	again.end(syscall.SIGTERM)
	if got := again.kinds(); strings.Count(got, "call.ended") != 1 || strings.Count(got, "surge.ended") != 1 || !strings.HasSuffix(got, "node.stopped") {
		t.Errorf("journal in %s: %s", filepath.Base(again.dir), got)
	}

	third := serve(t, func(n *service) { n.dir, n.file, n.port = s.dir, s.file, s.port })
	_, body := third.get("/v1/callbacks")
	third.end(syscall.SIGTERM)
	if got := third.kinds(); strings.Count(got, "call.ended") != 1 || strings.Contains(body, "up@test") {
		t.Errorf("a second end, or still owed: %s\n%s", got, body)
	}
}

// owed waits for somebody to be owed a callback.
func (s *service) owed(t *testing.T) ledger.Callback {
	t.Helper()
	for range 100 {
		var list struct {
			Callbacks []ledger.Callback
			Complete  bool
		}
		_, body := s.get("/v1/callbacks") // waits itself until all is counted
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if len(list.Callbacks) == 1 {
			return list.Callbacks[0]
		}
	}
	t.Fatal("nobody is owed a callback")
	return ledger.Callback{}
}
