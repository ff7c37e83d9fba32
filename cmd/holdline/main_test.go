package main

import (
	"bytes"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"holdline/policy"
	"holdline/sip"
)

var update = flag.Bool("update", false, "rewrite the golden files with what is printed now")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// command runs the program and returns its status and what it printed.
func command(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(args, &out, &err)
	return status, out.String(), err.String()
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: -want +got:\n%s", name, d)
	}
}

func TestUsage(t *testing.T) {
	tests := map[string]struct {
		args   []string
		status int
	}{
		"help":                {[]string{"--help"}, exitOK},
		"nothing":             {nil, exitUsage},
		"help-serve":          {[]string{"serve", "--help"}, exitOK},
		"help-journal-export": {[]string{"journal", "export", "--help"}, exitOK},
		"unknown-command":     {[]string{"serv"}, exitUsage},
		"unknown-flag":        {[]string{"serve", "--confg", "x"}, exitUsage},
		"check-without-file":  {[]string{"check"}, exitUsage},
		"export-format":       {[]string{"journal", "export", "--data", "x", "--format", "xml"}, exitUsage},
	}
	t.Setenv("COLUMNS", "80") // kong wraps help to the terminal
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := command(tc.args...)
			if status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			golden(t, "usage-"+name+".txt", stdout+stderr)
		})
	}
}

func TestCheck(t *testing.T) {
	status, stdout, stderr := command("check", "--config", "../../configs/holdline.yaml")
	if status != exitOK || stdout != "ok\n" || stderr != "" {
		t.Errorf("sample: status %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, stderr = command("check", "--config", "testdata/bad.yaml")
	if status != exitFailed || stderr != "" {
		t.Errorf("bad file: status %d, %q", status, stderr)
	}
	golden(t, "check-bad.txt", stdout)
	status, stdout, _ = command("check", "--config", "testdata/none.yaml")
	if status != exitFailed || !strings.Contains(stdout, "testdata/none.yaml: there is no such file") {
		t.Errorf("missing file: status %d, %q", status, stdout)
	}
}

func TestServeRefusesABadConfiguration(t *testing.T) {
	status, stdout, stderr := command("serve", "--config", "testdata/bad.yaml")
	if status != exitFailed || stdout != "" || !strings.Contains(stderr, `testdata/bad.yaml:2:3: unknown key "lisen"; did you mean "listen"?`) {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	status, stdout, _ := command("version")
	if status != exitOK || !regexp.MustCompile(`^holdline \S+\n$`).MatchString(stdout) {
		t.Errorf("status %d, %q", status, stdout)
	}
}

func TestJournalCommandsSayWhatIsMissing(t *testing.T) {
	for _, args := range [][]string{
		{"journal", "verify", "--data", "testdata/none"},
		{"journal", "export", "--data", "testdata/none"},
	} {
		status, stdout, stderr := command(args...)
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, "there is no journal in testdata/none") {
			t.Errorf("%v: status %d, %q, %q", args, status, stdout, stderr)
		}
	}
	status, _, stderr := command("journal", "export", "--data", "testdata/none", "--since", "yesterday")
	if status != exitFailed || !strings.Contains(stderr, `--since "yesterday" is not a time`) {
		t.Errorf("bad --since: status %d, %q", status, stderr)
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 8, 14, 18, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2026-08-14T13:00:00-05:00": now,
		"2h":                        now.Add(-2 * time.Hour),
		"2026-08-14":                time.Date(2026, 8, 14, 0, 0, 0, 0, time.Local),
		"2026-08-14 09:30:00":       time.Date(2026, 8, 14, 9, 30, 0, 0, time.Local),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("parseSince(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-2h", "14.8.2026", "2026-13-01"} {
		if got, err := parseSince(s, now); err == nil {
			t.Errorf("parseSince(%q) = %v, want an error", s, got)
		}
	}
}

func TestCallsTable(t *testing.T) {
	now := time.Date(2026, 8, 14, 18, 0, 0, 0, time.UTC)
	calls := []sip.CallView{
		{
			ID: "alone@x", Kind: "emergency", State: "waiting", From: "\x1b[31mred", Started: now.Add(-95 * time.Second), Rescues: 1,
			Intake: policy.Intake{policy.Location: {Value: "x"}, policy.Nature: {Value: "y"}},
		},
		{ID: "3848276298220188511@caller.example", Kind: "emergency", State: "bridged", From: "sip:+15045550123@carrier.example", Started: now.Add(-7 * time.Second), Taker: "pos-1", Agent: "ann"},
		{ID: "c", Kind: "admin", State: "bridged", From: "sip:d@e", Started: now.Add(-time.Hour), Taker: "pos-2", Complete: true},
	}
	var b bytes.Buffer
	if err := printCalls(&b, calls, now); err != nil {
		t.Fatal(err)
	}
	golden(t, "calls.txt", b.String())
}

func TestCallsOverHTTP(t *testing.T) {
	answers := map[string]struct {
		status       int
		body         string
		exit         int
		out, errText string
	}{
		"none":       {200, `{"calls":[]}`, exitOK, "no calls in progress\n", ""},
		"one":        {200, `{"calls":[{"id":"a@b","state":"bridged","started":"2026-01-01T00:00:00Z"}]}`, exitOK, "a@b\n", ""},
		"refused":    {421, `{"error":"this console is not called x"}`, exitFailed, "", "says: this console is not called x"},
		"other site": {200, `<html>`, exitFailed, "", "is not a holdline console"},
	}
	for name, tc := range answers {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/calls" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer s.Close()
			status, stdout, stderr := command("calls", "--console", s.Listener.Addr().String())
			if status != tc.exit || !strings.HasSuffix(stdout, tc.out) || !strings.Contains(stderr, tc.errText) {
				t.Errorf("status %d, %q, %q", status, stdout, stderr)
			}
		})
	}
}

func TestCallsWithoutAConsole(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	status, _, stderr := command("calls", "--console", addr)
	if status != exitFailed || !strings.Contains(stderr, "no console answers at "+addr) || !strings.Contains(stderr, "is holdline running there") {
		t.Errorf("status %d, %q", status, stderr)
	}
	status, _, stderr = command("calls", "--console", "ftp://x")
	if status != exitFailed || !strings.Contains(stderr, `--console "ftp://x" is not an address`) {
		t.Errorf("status %d, %q", status, stderr)
	}
}
