// Package e2e runs the holdline program against stock SIPp, with the scenarios
// that come with it for testers: real processes, real sockets, real time.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scenarios is the folder of the scenarios and of the configuration they are
// run against.
const scenarios = "../../../configs/sipp"

// slow bounds every wait: a test that reaches it has failed.
const slow = 90 * time.Second

// folder is where the binary is built; TestMain makes and removes it.
var folder string

// program is the path of the holdline binary, built when first asked for.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "holdline")
	build := exec.Command("go", "build", "-o", path, "holdline/cmd/holdline")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building holdline: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait for phones, they do not compute: more of them fit at once
	// than there are processors.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	var err error
	if folder, err = os.MkdirTemp("", "holdline-e2e-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder) // what is left in the temporary folder harms nobody
	os.Exit(code)
}

// need skips, or fails where everything must be there, when a tool is missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes real time")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("%s is not installed", tool)
		}
	}
}

// ports are the ports of one test: everybody has one.
type ports struct{ sip, caller, pos1, pos2, fallback, console int }

// freePorts returns ports that nobody uses at the moment, below the range from
// which the system hands out ports by itself.
func freePorts(t *testing.T) ports {
	t.Helper()
	claim.Lock()
	defer claim.Unlock()
	next := func() int {
		for claim.next < claim.end {
			claim.next++
			if free(claim.next) {
				return claim.next
			}
		}
		t.Fatal("no port is free")
		return 0
	}
	return ports{next(), next(), next(), next(), next(), next()}
}

// claim is where the search for free ports goes on.
var claim = claimed()

type block struct {
	sync.Mutex
	next, end int
	name      net.Listener
}

// claimed takes a block of ports for this process alone: whoever holds its
// name has it, and the system takes the name back when the process ends.
func claimed() *block {
	const first, size, blocks = 22000, 800, 10
	for i := range blocks {
		name, err := net.Listen("unix", fmt.Sprintf("@holdline-e2e-%d", i))
		if err == nil {
			return &block{next: first + i*size, end: first + (i+1)*size - 1, name: name}
		}
	}
	return &block{} // no port is free
}

func free(port int) bool {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	pc, err := net.ListenPacket("udp4", address)
	if err != nil {
		return false
	}
	l, err2 := net.Listen("tcp4", address)
	if err2 == nil {
		err2 = l.Close()
	}
	return errors.Join(err2, pc.Close()) == nil
}

// log is what a process printed, readable while it goes on.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes what the process prints.
func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String is what was printed so far.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// guard is a `holdline serve` of its own.
type guard struct {
	t       *testing.T
	ports   ports
	dir     string
	config  string
	process *exec.Cmd
	log     *log
	exited  chan error
}

// serve starts a guard with the testers' configuration on ports of its own.
func serve(t *testing.T) *guard {
	t.Helper()
	return serveAs(t, "holdline.yaml")
}

// serveAs starts a guard with one of the testers' configurations.
func serveAs(t *testing.T, config string) *guard {
	t.Helper()
	g := &guard{t: t, ports: freePorts(t), dir: t.TempDir()}
	sample, err := os.ReadFile(filepath.Join(scenarios, config))
	if err != nil {
		t.Fatal(err)
	}
	p := g.ports
	text := strings.NewReplacer(
		":5060", fmt.Sprintf(":%d", p.sip), ":5071", fmt.Sprintf(":%d", p.pos1), ":5072", fmt.Sprintf(":%d", p.pos2),
		":5073", fmt.Sprintf(":%d", p.fallback), ":8911", fmt.Sprintf(":%d", p.console), "./data", filepath.Join(g.dir, "data"),
	).Replace(string(sample))
	g.config = filepath.Join(g.dir, "holdline.yaml")
	if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	return g
}

// start runs the guard and waits until it takes calls.
func (g *guard) start() {
	g.t.Helper()
	path, err := program()
	if err != nil {
		g.t.Fatal(err)
	}
	g.log, g.exited = &log{}, make(chan error, 1)
	g.process = exec.Command(path, "serve", "--config", g.config)
	g.process.Stdout, g.process.Stderr = g.log, g.log
	if err := g.process.Start(); err != nil {
		g.t.Fatal(err)
	}
	go func(p *exec.Cmd, exited chan<- error) { exited <- p.Wait() }(g.process, g.exited)
	g.t.Cleanup(g.kill)
	ready := fmt.Sprintf("http://127.0.0.1:%d/readyz", g.ports.console)
	for deadline := time.Now().Add(slow); ; {
		if res, err := http.Get(ready); err == nil {
			_ = res.Body.Close() // its status is all that is wanted
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-g.exited:
			g.t.Fatalf("holdline did not start: %v\n%s", err, g.log)
		case <-time.After(50 * time.Millisecond): // between two tries
		}
		if time.Now().After(deadline) {
			g.kill()
			g.t.Fatalf("holdline is not ready\n%s", g.log)
		}
	}
}

// kill ends the guard as a crash does.
func (g *guard) kill() {
	if g.process != nil && g.process.ProcessState == nil {
		_ = g.process.Process.Kill() // it may be gone already
		<-g.exited
	}
	g.process = nil
}

// stop ends the guard as an operator does.
func (g *guard) stop() {
	g.t.Helper()
	if err := g.process.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	select {
	case err := <-g.exited:
		g.process = nil
		if err != nil {
			g.t.Errorf("holdline stopped with %v\n%s", err, g.log)
		}
	case <-time.After(slow):
		g.t.Fatalf("holdline does not stop\n%s", g.log)
	}
}

// run runs another command of the program on the guard's data.
func (g *guard) run(args ...string) string {
	g.t.Helper()
	path, err := program()
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), slow)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append(args, "--data", filepath.Join(g.dir, "data"))...).Output()
	if err != nil {
		g.t.Fatalf("holdline %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// record is one line of an export.
type record struct {
	Time time.Time      `json:"time"`
	Call string         `json:"call"`
	Kind string         `json:"kind"`
	Data map[string]any `json:"data"`
}

// journal verifies the journal and exports it.
func (g *guard) journal() (all []record) {
	g.t.Helper()
	g.run("journal", "verify")
	d := json.NewDecoder(strings.NewReader(g.run("journal", "export")))
	for d.More() {
		var r record
		if err := d.Decode(&r); err != nil {
			g.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// about are the kinds of the records of calls, in order.
func about(records []record) (kinds []string) {
	for _, r := range records {
		if r.Call != "" {
			kinds = append(kinds, r.Kind)
		}
	}
	return kinds
}

// find returns the first record of a kind.
func find(t *testing.T, records []record, kind string) record {
	t.Helper()
	i := slices.IndexFunc(records, func(r record) bool { return r.Kind == kind })
	if i < 0 {
		t.Fatalf("there is no %s; there are %v", kind, about(records))
	}
	return records[i]
}

// party is one SIPp process.
type party struct {
	t        *testing.T
	scenario string
	dir      string
	process  *exec.Cmd
	done     chan error
}

// sipp starts a scenario on a port; with a destination it calls. More options
// come after those that all have, and the last of a kind holds.
func sipp(t *testing.T, scenario string, port, dest int, more ...string) *party {
	t.Helper()
	p := &party{t: t, scenario: scenario, dir: t.TempDir(), done: make(chan error, 1)}
	args := []string{
		"-sf", scenario + ".xml", "-m", "1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", fmt.Sprint(port), "-nostdin",
		"-timeout", "80", "-timeout_error", "-trace_err", "-error_file", filepath.Join(p.dir, "errors"),
		"-trace_msg", "-message_file", filepath.Join(p.dir, "messages"),
	}
	args = append(args, more...)
	if dest != 0 {
		args = append(args, fmt.Sprintf("127.0.0.1:%d", dest))
	} else if !speaksItself(t, scenario) {
		args = append(args, "-rtp_echo")
	}
	p.process = exec.Command("sipp", args...)
	p.process.Dir = scenarios
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.process.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = p.process.Process.Kill() // it has usually ended
		<-p.done
	})
	if dest == 0 {
		p.listening(port)
	}
	return p
}

// speaksItself tells whether a scenario has media of its own, or none: then
// SIPp must not send back what it hears.
func speaksItself(t *testing.T, scenario string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(scenarios, scenario+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte("rtpstream_audio_port"))
}

// listening waits until SIPp has its port. Trying to open it would tell as
// well, and now and then take it from SIPp.
func (p *party) listening(port int) {
	p.t.Helper()
	for deadline := time.Now().Add(slow); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // between two tries
		if taken(p.t, port, "udp") || taken(p.t, port, "tcp") {
			return
		}
		select {
		case err := <-p.done:
			p.t.Fatalf("%s ended before it listened: %v", p.scenario, err)
		default:
		}
	}
	p.t.Fatalf("%s does not listen", p.scenario)
}

// taken tells whether somebody has bound the port of a network, udp or tcp, on
// any address.
func taken(t *testing.T, port int, network string) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/" + network)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) > 1 && bytes.HasSuffix(f[1], fmt.Appendf(nil, ":%04X", port)) {
			return true
		}
	}
	return false
}

// passes waits for the end of the scenario, which must have gone as written.
func (p *party) passes() {
	p.t.Helper()
	p.ends(0)
}

// ends waits for the end of the scenario with SIPp's exit status.
func (p *party) ends(want int) {
	p.t.Helper()
	select {
	case err := <-p.done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.t.Fatal(err)
		}
		if got := p.process.ProcessState.ExitCode(); got != want {
			p.t.Errorf("%s ended with %d, want %d\n%s\n%s", p.scenario, got, want, p.file("errors"), p.file("messages"))
		}
	case <-time.After(slow):
		p.t.Fatalf("%s does not end\n%s", p.scenario, p.file("messages"))
	}
}

func (p *party) file(name string) string {
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return ""
	}
	return string(b)
}
