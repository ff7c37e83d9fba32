package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// element is what is measured: a process of its own, so that its processor
// time and memory are its alone.
type element struct {
	name string
	cmd  *exec.Cmd
	addr netip.AddrPort
	dir  string
	done chan struct{}
}

var errMissing = errors.New("not installed")

// launch starts a process with its output in a file of dir.
func launch(name, dir, program string, args ...string) (*element, error) {
	out, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer out.Close()
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	e := &element{
		name: name, cmd: cmd, dir: dir, done: make(chan struct{}),
		addr: netip.MustParseAddrPort("127.0.0.1:" + strconv.Itoa(elementPort)),
	}
	go func() {
		_ = cmd.Wait() // its status was asked for by stop, or is told by ready
		close(e.done)
	}()
	return e, nil
}

// ready waits until the element answers OPTIONS, or whatever it answers.
func (e *element) ready() error {
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: fallbackPort + 6}, net.UDPAddrFromAddrPort(e.addr))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	buf := make([]byte, 4096)
	for n := range 50 {
		fmt.Fprintf(c, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK-%d;rport\r\nMax-Forwards: 5\r\nFrom: <sip:bench@127.0.0.1>;tag=b\r\n"+
			"To: <sip:%s>\r\nCall-ID: ready%d\r\nCSeq: %d OPTIONS\r\nContact: <sip:b@%s>\r\nContent-Length: 0\r\n\r\n", e.addr, c.LocalAddr(), n, e.addr, n, n+1, c.LocalAddr())
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if got, err := c.Read(buf); err == nil && bytes.HasPrefix(buf[:got], []byte("SIP/2.0")) {
			return nil
		}
		select {
		case <-e.done:
			log, _ := os.ReadFile(filepath.Join(e.dir, e.name+".log"))
			return fmt.Errorf("%s ended at once: %s", e.name, tail(log))
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer", e.name)
}

func tail(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-6):], "\n")
}

// stop ends the process with SIGTERM twice, and then by force.
func (e *element) stop() {
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGTERM, unix.SIGKILL} {
		_ = e.cmd.Process.Signal(sig)
		limit := 8 * time.Second
		if sig == unix.SIGTERM {
			limit = 1500 * time.Millisecond
		}
		select {
		case <-e.done:
			return
		case <-time.After(limit):
		}
	}
}

// family is the process with its children.
func (e *element) family() []int {
	pids := []int{e.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, t := range tasks {
			b, _ := os.ReadFile(t)
			for f := range strings.FieldsSeq(string(b)) {
				if n, err := strconv.Atoi(f); err == nil {
					pids = append(pids, n)
				}
			}
		}
	}
	return pids
}

// cpu is the user and system time that the element has used so far. The
// kernel's clock of a process counts nanoseconds, not ticks.
func (e *element) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range e.family() {
		var ts unix.Timespec
		const schedClock = 2
		if unix.ClockGettime(int32(^pid<<3|schedClock), &ts) == nil {
			sum += time.Duration(ts.Nano())
		}
	}
	return sum
}

// memory is the resident memory in bytes.
func (e *element) memory() int64 {
	var sum int64
	for _, pid := range e.family() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			sum += n * int64(os.Getpagesize())
		}
	}
	return sum
}

// shape is how Holdline is configured for a run.
type shape struct {
	recording bool
	positions int
	profile   string // file of a CPU profile; the node then runs in the bench's own program
}

// startHoldline runs `holdline serve` with a configuration of its own.
func (b *bench) startHoldline(s shape) (*element, error) {
	dir, err := os.MkdirTemp(b.dir, "holdline-")
	if err != nil {
		return nil, fmt.Errorf("starting holdline: %w", err)
	}
	var y strings.Builder
	fmt.Fprintf(&y, "node: bench\ndata: %s/data\nsip:\n  listen: [\"udp://127.0.0.1:%d\"]\n  trust: [\"127.0.0.0/8\"]\n", dir, elementPort)
	fmt.Fprintf(&y, "media:\n  address: 127.0.0.1\n  ports: 12000-59999\npositions:\n")
	for i := range max(s.positions, 100) {
		fmt.Fprintf(&y, "  - {id: pos-%d, uri: \"sip:pos-%d@127.0.0.1:%d\", calls: 100}\n", i, i, positionPort)
	}
	fmt.Fprintf(&y, "routes:\n  - {match: \"sip:pos-*@*\", to: [\"{user}\"], ring: 15s}\n")
	fmt.Fprintf(&y, "fallback:\n  - {to: [\"sip:fallback@127.0.0.1:%d\"], strategy: ring-all, ring: 20s}\n", fallbackPort)
	fmt.Fprintf(&y, "recording: {enabled: %t}\nconsole: {listen: \"127.0.0.1:0\"}\n", s.recording)
	file := filepath.Join(dir, "holdline.yaml")
	if err := os.WriteFile(file, []byte(y.String()), 0o600); err != nil {
		return nil, fmt.Errorf("starting holdline: %w", err)
	}
	args := []string{b.program, "serve", "--config", file}
	if s.profile == "" {
		s.profile = b.profile
	}
	if s.profile != "" {
		b.profiles++
		args = []string{os.Args[0], "node", file, fmt.Sprintf("%s.%d", s.profile, b.profiles)}
	}
	e, err := launch("holdline", dir, args[0], args[1:]...)
	if err != nil {
		return nil, err
	}
	if err := e.ready(); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// startB2BUA runs the minimal B2BUA on sipgo's dialog sessions.
func (b *bench) startB2BUA() (*element, error) {
	e, err := launch("b2bua", b.dir, os.Args[0], "b2bua")
	if err != nil {
		return nil, err
	}
	return e, e.ready()
}

const kamailioConfig = `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:%d
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "dialog.so"
modparam("dialog", "enable_stats", 0)
request_route {
  if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (has_totag()) {
    if (loose_route()) { t_relay(); exit; }
    if (is_method("ACK") && t_check_trans()) { t_relay(); }
    exit;
  }
  if (is_method("INVITE")) { record_route(); dlg_manage(); }
  $du = "sip:127.0.0.1:%d";
  t_relay();
}
`

// startKamailio runs Kamailio as a stateful proxy with dialogs.
func (b *bench) startKamailio() (*element, error) {
	program, err := exec.LookPath("kamailio")
	if err != nil {
		return nil, fmt.Errorf("kamailio: %w", errMissing)
	}
	file := filepath.Join(b.dir, "kamailio.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, kamailioConfig, elementPort, positionPort), 0o600); err != nil {
		return nil, fmt.Errorf("starting kamailio: %w", err)
	}
	e, err := launch("kamailio", b.dir, program, "-f", file, "-DD", "-x", "fm", "-X", "fm", "-m", "512", "-M", "32", "-Y", b.dir, "-P", filepath.Join(b.dir, "kamailio.pid"))
	if err != nil {
		return nil, err
	}
	if err := e.ready(); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// dumpHeap makes a profiled node write its heap profile.
func (e *element) dumpHeap() {
	_ = e.cmd.Process.Signal(unix.SIGUSR1)
	time.Sleep(time.Second)
}
