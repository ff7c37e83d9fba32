package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAlertTestShowsItsToken: where the console needs a sign-in, the test brings
// the token of the environment, as the other commands do.
func TestAlertTestShowsItsToken(t *testing.T) {
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"channel":"pager","ok":%t,"error":"no token"}`, r.Header.Get("Authorization") == "Bearer secret")
	}))
	defer console.Close()
	t.Setenv("HOLDLINE_TOKEN", "secret")
	if status, _, stderr := command("alert", "test", "pager", "--console", console.URL); status != exitOK {
		t.Errorf("%d, %q", status, stderr)
	}
}

// TestAlertTest: the test of a channel says what happened, with or without a
// running node, and its status is that of the channel.
func TestAlertTest(t *testing.T) {
	status := http.StatusOK
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer hook.Close()
	file := filepath.Join(t.TempDir(), "holdline.yaml")
	config := fmt.Sprintf(`
alerts: {channels: [{name: pager, kind: webhook, url: "%s/hook"}]}
positions: [{id: pos-1, uri: "sip:pos-1@10.0.0.11"}]
routes: [{match: "urn:service:sos*", to: [pos-1]}]
fallback: [{to: ["sip:chief@10.0.0.20"]}]
`, hook.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, []byte(strings.SplitN(config, "\n", 3)[2]), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t)
	defer s.end(syscall.SIGTERM)
	for _, tc := range []struct {
		hook   int
		args   []string
		status int
		says   string
	}{
		{200, []string{"pager", "--config", file}, exitOK, "ok: channel pager (webhook, " + hook.URL + "/hook) took the test in "},
		{503, []string{"pager", "--config", file}, exitFailed, "holdline: channel pager (webhook, " + hook.URL + "/hook) failed after "},
		{200, []string{"pagr", "--config", file}, exitFailed, `has no channel "pagr"; it has pager`},
		{200, []string{"pager", "--config", empty}, exitFailed, "has no channels; add some under alerts.channels"},
		{200, []string{"pager", "--console", s.console}, exitFailed, `there is no channel "pager" (GET /v1/channels lists them`},
		{200, []string{"pager", "--console", "127.0.0.1:1"}, exitFailed, "no console answers at 127.0.0.1:1"},
		{200, []string{"pager"}, exitFailed, "name the configuration with --config FILE, or a running node with --console"},
		{200, []string{"pager", "--config", file, "--console", s.console}, exitUsage, "can't be used together"},
	} {
		status = tc.hook
		var out, err bytes.Buffer
		got := run(append([]string{"alert", "test"}, tc.args...), &out, &err)
		if got != tc.status || !strings.Contains(out.String()+err.String(), tc.says) {
			t.Errorf("alert test %v: %d, %q %q; want %d, %q", tc.args, got, out.String(), err.String(), tc.status, tc.says)
		}
	}
}
