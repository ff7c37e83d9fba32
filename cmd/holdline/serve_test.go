package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdline/policy"
)

// patience is how long a test waits for something that should come at once; a
// test that runs into it has failed.
const patience = 20 * time.Second

// service is `holdline serve` running in this process.
type service struct {
	t       *testing.T
	dir     string
	file    string
	port    int // of SIP over UDP
	signals chan os.Signal
	log     chan map[string]any
	status  chan int
	console string
}

// configuration returns a file that serves on the given SIP port.
func configuration(dir string, port int, more string) string {
	return fmt.Sprintf(`
node: psap-t
data: %s/data
sip: {listen: ["udp://127.0.0.1:%d"]}
media: {ports: 31000-31999}
positions: [{id: pos-1, uri: "sip:pos-1@127.0.0.1:9"}]
routes: [{match: "urn:service:sos*", to: [pos-1]}]
fallback: [{to: ["sip:fallback@127.0.0.1:9"]}]
console: {listen: 127.0.0.1:0}
%s`, dir, port, more)
}

// freePort returns a UDP port that nobody uses at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	return pc.LocalAddr().(*net.UDPAddr).Port
}

// serve starts a service in a folder of its own; prepare may change it first.
func serve(t *testing.T, prepare ...func(*service)) *service {
	t.Helper()
	s := &service{
		t: t, dir: t.TempDir(), port: freePort(t), signals: make(chan os.Signal, 4),
		log: make(chan map[string]any, 1000), status: make(chan int, 1),
	}
	s.file = filepath.Join(s.dir, "holdline.yaml")
	s.write("")
	for _, f := range prepare {
		f(s)
	}
	r, w := io.Pipe()
	go func() {
		defer close(s.log)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			var entry map[string]any
			if json.Unmarshal(lines.Bytes(), &entry) != nil {
				entry = map[string]any{"msg": lines.Text()}
			}
			s.log <- entry
		}
	}()
	go func() {
		a := app{out: io.Discard, err: w, signals: func() (<-chan os.Signal, func()) { return s.signals, func() {} }}
		s.status <- a.run([]string{"serve", "--config", s.file})
		w.Close()
	}()
	started := s.wait("node started")
	s.console, _ = started["console"].(string)
	return s
}

// write changes the configuration file.
func (s *service) write(more string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(configuration(s.dir, s.port, more)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// wait returns the next log entry with a message.
func (s *service) wait(msg string) map[string]any {
	s.t.Helper()
	timeout := time.After(patience)
	var seen []any
	for {
		select {
		case e, ok := <-s.log:
			if !ok {
				s.t.Fatalf("no log entry %q before the end, but %q", msg, seen)
			}
			if e["msg"] == msg {
				return e
			}
			seen = append(seen, e["msg"])
		case <-timeout:
			s.t.Fatalf("no log entry %q, but %q", msg, seen)
		}
	}
}

// end sends a signal and returns the exit status.
func (s *service) end(sig os.Signal) int {
	s.t.Helper()
	s.signals <- sig
	timeout := time.After(patience)
	for {
		select {
		case status := <-s.status:
			for e := range s.log { // until the reader has ended
				s.t.Log("log:", e)
			}
			return status
		case e := <-s.log:
			s.t.Log("log:", e)
		case <-timeout:
			s.t.Fatal("serve did not end")
		}
	}
}

func (s *service) get(path string) (int, string) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get("http://" + s.console + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// kinds returns the kinds of the journal's records, without those that tell of
// a slow disk: a busy machine has one.
func (s *service) kinds() string {
	s.t.Helper()
	status, stdout, stderr := command("journal", "export", "--data", filepath.Join(s.dir, "data"))
	if status != exitOK {
		s.t.Fatalf("export: %s", stderr)
	}
	var kinds []string
	for line := range strings.Lines(stdout) {
		var r struct{ Kind string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			s.t.Fatal(err)
		}
		if r.Kind != "node.degraded" {
			kinds = append(kinds, r.Kind)
		}
	}
	return strings.Join(kinds, " ")
}

func TestServeStartsAndStops(t *testing.T) {
	s := serve(t)
	if code, body := s.get("/healthz"); code != 200 {
		t.Errorf("healthz: %d %s", code, body)
	}
	if code, body := s.get("/v1/agents"); code != 200 || !strings.Contains(body, `"position":"pos-1"`) {
		t.Errorf("agents: %d %s", code, body)
	}
	if status, stdout, _ := command("calls", "--console", s.console); status != exitOK || stdout != "no calls in progress\n" {
		t.Errorf("calls: %d %q", status, stdout)
	}
	if status := s.end(syscall.SIGTERM); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if got := s.kinds(); got != "node.started node.stopped" {
		t.Errorf("journal: %s", got)
	}
	// Another version has another built-in policy: this one's must stay readable.
	_, first, _ := command("journal", "export", "--data", filepath.Join(s.dir, "data"))
	var started struct {
		Data struct{ Policy, Rules string }
	}
	if err := json.NewDecoder(strings.NewReader(first)).Decode(&started); err != nil {
		t.Fatal(err)
	}
	if p, err := policy.Parse("x", []byte(started.Data.Rules)); err != nil || p.Digest() != started.Data.Policy {
		t.Errorf("node.started does not hold the policy: %v", err)
	}
	status, stdout, stderr := command("journal", "verify", "--data", filepath.Join(s.dir, "data"))
	if status != exitOK || !strings.HasPrefix(stdout, "ok: ") || !strings.Contains(stdout, " of psap-t, the last of ") {
		t.Errorf("verify: %d %q %q", status, stdout, stderr)
	}
}

func TestReload(t *testing.T) {
	s := serve(t)
	s.write("log: {level: warn}\nrecording: {enabled: false}\nrescue: {display_prefix: X}")
	s.signals <- syscall.SIGHUP
	if e := s.wait("these keys need a restart and were not taken over"); e["keys"] != "recording.enabled" {
		t.Errorf("refused: %v", e)
	}
	s.write("lgo: {level: warn}")
	s.signals <- syscall.SIGHUP
	if e := s.wait("configuration refused, the old one stays"); !strings.Contains(fmt.Sprint(e["error"]), `did you mean "log"?`) {
		t.Errorf("refused: %v", e)
	}
	_, metrics := s.get("/metrics")
	for _, want := range []string{`holdline_reloads_total{result="taken"} 1`, `holdline_reloads_total{result="refused"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	s.end(os.Interrupt)
	if got := s.kinds(); got != "node.started node.reloaded node.stopped" {
		t.Errorf("journal: %s", got)
	}
}

// TestReloadTakesPositionsOver: what the console shows after a reload is the
// new file.
func TestReloadTakesPositionsOver(t *testing.T) {
	s := serve(t)
	text := strings.Replace(configuration(s.dir, s.port, ""), `uri: "sip:pos-1@127.0.0.1:9"`, `uri: "sip:pos-1@127.0.0.1:9", agent: ann`, 1)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.signals <- syscall.SIGHUP
	s.wait("configuration taken over")
	if _, body := s.get("/v1/agents"); !strings.Contains(body, `"agent":"ann"`) {
		t.Errorf("agents: %s", body)
	}
	s.end(syscall.SIGTERM)
}

// options asks over UDP how the guard is.
func (s *service) options() string {
	s.t.Helper()
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	return exchange(s.t, conn, "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP "+conn.LocalAddr().String()+
		";branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: "+s.t.Name()+time.Now().String()[20:29]+"\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
}

// exchange sends a message and returns the first line of the answer.
func exchange(t *testing.T, conn net.Conn, msg string) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
	return line
}

// TestDrain: with a call in progress the first signal only refuses new calls,
// the second one ends the process, and nobody is sent a BYE.
func TestDrain(t *testing.T) {
	s := serve(t)
	if got := s.options(); !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Fatalf("OPTIONS: %s", got)
	}
	caller, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	got := exchange(t, caller, invite(caller, "drain@test"))
	if !strings.HasPrefix(got, "SIP/2.0 1") {
		t.Fatalf("INVITE: %s", got)
	}
	s.firstAlert() // the call has a place in the fallback queue
	s.signals <- syscall.SIGTERM
	if e := s.wait("draining: no new calls are taken"); e["calls"] != float64(1) {
		t.Errorf("draining: %v", e)
	}
	if got := s.options(); !strings.HasPrefix(got, "SIP/2.0 503") {
		t.Errorf("OPTIONS while draining: %s", got)
	}
	if code, body := s.get("/readyz"); code != 503 || !strings.Contains(body, "draining") {
		t.Errorf("readyz while draining: %d %s", code, body)
	}
	if code, body := s.get("/v1/calls/drain@test"); code != 200 {
		t.Errorf("the call while draining: %d %s", code, body)
	}
	if status := s.end(syscall.SIGTERM); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if got := s.kinds(); !strings.HasSuffix(got, "node.stopped") || strings.Contains(got, "call.ended") {
		t.Errorf("journal: %s", got)
	}
}

// TestAddressTaken: an address that is taken is an error that names the key,
// and what was opened before is closed again.
func TestAddressTaken(t *testing.T) {
	s := serve(t)
	defer s.end(syscall.SIGTERM)
	other := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(other, []byte(configuration(t.TempDir(), s.port, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := command("serve", "--config", other)
	if status != exitFailed || !strings.Contains(stderr, "sip.listen: ") || !strings.Contains(stderr, fmt.Sprint(s.port)) {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// TestDataThatCannotBeWritten: a node without a disk serves calls all the same,
// says what is wrong with it, and does not end as if nothing had been lost.
func TestDataThatCannotBeWritten(t *testing.T) {
	s := serve(t, func(s *service) {
		text := strings.Replace(configuration(s.dir, s.port, ""), "data: "+s.dir, "data: /dev/null", 1)
		if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if got := s.options(); !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Errorf("OPTIONS without a disk: %s", got)
	}
	code, body := s.get("/readyz")
	if code != 503 || !strings.Contains(body, "journal: ") {
		t.Errorf("readyz: %d %s", code, body)
	}
	if _, metrics := s.get("/metrics"); !strings.Contains(metrics, "holdline_journal_degraded 1") || !strings.Contains(metrics, "holdline_ready 0") {
		t.Error("metrics do not tell that the journal is degraded")
	}
	if status := s.end(syscall.SIGTERM); status != exitFailed {
		t.Errorf("exit status %d, though records were lost", status)
	}
}
