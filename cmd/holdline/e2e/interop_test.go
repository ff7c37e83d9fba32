package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rescueRecords are what a rescue leaves in the journal.
var rescueRecords = []string{"call.offered", "call.answered", "release.requested", "release.intercepted", "rescue.offered", "rescue.answered", "call.ended"}

// neighbour is a program other than ours, running; its output is in log.
type neighbour struct {
	t       *testing.T
	name    string
	process *exec.Cmd
	log     *log
	done    chan error
}

// launch starts a program and kills it, and it alone, at the end of the test.
func launch(t *testing.T, name string, args ...string) *neighbour {
	t.Helper()
	n := &neighbour{t: t, name: name, log: &log{}, done: make(chan error, 1)}
	n.process = exec.Command(name, args...)
	n.process.Stdout, n.process.Stderr = n.log, n.log
	if err := n.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { n.done <- n.process.Wait(); close(n.done) }()
	t.Cleanup(func() {
		_ = n.process.Process.Kill() // it may have ended
		<-n.done
	})
	return n
}

// says waits until the program has printed something that matches.
func (n *neighbour) says(pattern string) {
	n.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(slow / 2); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // between two looks
		if re.MatchString(n.log.String()) {
			return
		}
	}
	n.t.Fatalf("%s has not said %s\n%s", n.name, pattern, n.log)
}

// interrupt asks the program to end and waits for it.
func (n *neighbour) interrupt() {
	n.t.Helper()
	if err := n.process.Process.Signal(syscall.SIGINT); err != nil {
		n.t.Fatal(err)
	}
	select {
	case <-n.done:
	case <-time.After(slow / 2):
		n.t.Fatalf("%s does not end\n%s", n.name, n.log)
	}
}

// listensUDP waits until somebody has a port.
func listensUDP(t *testing.T, port int) {
	t.Helper()
	for deadline := time.Now().Add(slow / 2); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // between two tries
		if taken(t, port, "udp") {
			return
		}
	}
	t.Fatalf("nobody listens on port %d", port)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// baresip starts a headless baresip that answers every call by itself and
// makes a tone; control is its port for commands.
func baresip(t *testing.T, user string, port, control int, args ...string) *neighbour {
	t.Helper()
	dir := t.TempDir()
	modules := "/usr/lib/baresip/modules"
	if _, err := os.Stat(modules); err != nil {
		modules = "/usr/local/lib/baresip/modules"
	}
	write(t, filepath.Join(dir, "config"), fmt.Sprintf(`sip_listen 127.0.0.1:%d
audio_source ausine,440
audio_player aubridge,none
audio_alert aubridge,none
ausrc_srate 48000
ausrc_channels 2
auplay_srate 8000
audio_level no
rtp_ports 31000-31999
module_path %s
module stdio.so
module g711.so
module ausine.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:%d
`, port, modules, control))
	write(t, filepath.Join(dir, "accounts"), fmt.Sprintf("<sip:%s@127.0.0.1:%d>;regint=0;answermode=auto;audio_codecs=PCMU,PCMA\n", user, port))
	write(t, filepath.Join(dir, "contacts"), "")
	n := launch(t, "baresip", append([]string{"-4", "-f", dir}, args...)...)
	listensUDP(t, port)
	return n
}

// command sends a command to a baresip's control port, as a netstring of JSON.
func command(t *testing.T, control int, what, params string) {
	t.Helper()
	var c net.Conn
	var err error
	for deadline := time.Now().Add(slow / 4); ; time.Sleep(20 * time.Millisecond) { // between two tries
		if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", control)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	defer c.Close()
	text := fmt.Sprintf(`{"command":%q,"params":%q,"token":"t"}`, what, params)
	if _, err := fmt.Fprintf(c, "%d:%s,", len(text), text); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(slow / 4)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 4096)); err != nil {
		t.Fatalf("baresip did not answer %s: %v", what, err)
	}
}

// wants checks the records of the calls of a guard, which must be over.
func (g *guard) wants(kinds []string, by string) {
	g.t.Helper()
	var records []record
	for deadline := time.Now().Add(slow / 2); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) { // between two looks
		if records = g.journal(); inOrder(about(records), kinds) {
			break
		}
	}
	if got := about(records); !inOrder(got, kinds) {
		g.t.Fatalf("the records are %v, want among them %v\n%s", got, kinds, g.log)
	}
	if got := find(g.t, records, "call.ended").Data["by"]; got != by {
		g.t.Errorf("ended by %v, want %s", got, by)
	}
}

func TestSipsakFindsTheGuard(t *testing.T) {
	t.Parallel()
	need(t, "sipsak")
	g := serve(t)
	for _, args := range [][]string{
		{"-vv", "-s", fmt.Sprintf("sip:127.0.0.1:%d", g.ports.sip)},                    // OPTIONS to the guard
		{"-vv", "-O", "127.0.0.1", "-s", fmt.Sprintf("sip:127.0.0.1:%d", g.ports.sip)}, // with a Content-Disposition
	} {
		n := launch(t, "sipsak", args...)
		select {
		case err := <-n.done:
			if err != nil || !strings.Contains(n.log.String(), "SIP/2.0 200") {
				t.Errorf("sipsak %v: %v\n%s", args, err, n.log)
			}
		case <-time.After(slow / 2):
			t.Fatalf("sipsak %v does not end\n%s", args, n.log)
		}
	}
	n := launch(t, "sipsak", "-vv", "-s", fmt.Sprintf("sip:nobody@127.0.0.1:%d", g.ports.sip))
	if <-n.done; !strings.Contains(n.log.String(), "SIP/2.0 ") {
		t.Errorf("OPTIONS for a user was not answered\n%s", n.log)
	}
	if kinds := about(g.journal()); len(kinds) != 0 {
		t.Errorf("probes left records of calls: %v", kinds)
	}
}

// A baresip at the position hangs up early; the caller is kept and rescued.
// The caller sends no multipart body: baresip 1.0 answers those 500.
func TestBaresipAsThePositionThatHangsUp(t *testing.T) {
	t.Parallel()
	need(t, "sipp", "baresip")
	g := serveWith(t, anyAddress)
	control := freePorts(t).console
	baresip(t, "pos-1", g.ports.pos1, control)
	fallback := sipp(t, "position-completes", g.ports.fallback, 0)
	caller := sipp(t, "caller-simple", g.ports.caller, g.ports.sip)
	g.reaches("call.answered")
	command(t, control, "hangup", "")
	caller.passes()
	fallback.passes()
	g.wants(rescueRecords, "position") // the fallback taker's, after its intake
}

// reaches waits until a call has got that far.
func (g *guard) reaches(kind string) {
	g.t.Helper()
	for deadline := time.Now().Add(slow / 2); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) { // between two looks
		if inOrder(about(g.journal()), []string{kind}) {
			return
		}
	}
	g.t.Fatalf("there is no %s\n%s", kind, g.log)
}

// A baresip calls, is left by the position, is kept, and hangs up itself.
func TestBaresipAsTheCallerWhoIsKept(t *testing.T) {
	t.Parallel()
	need(t, "sipp", "baresip")
	g := serveWith(t, anyAddress)
	position := sipp(t, "position-hangs-up", g.ports.pos1, 0)
	fallback := sipp(t, "fallback", g.ports.fallback, 0)
	control := freePorts(t).console
	baresip(t, "caller", g.ports.caller, control)
	command(t, control, "dial", fmt.Sprintf("sip:911@127.0.0.1:%d", g.ports.sip))
	g.reaches("rescue.answered")
	position.passes()
	command(t, control, "hangup", "")
	fallback.passes()
	g.wants(rescueRecords, "caller")
}

// kamailio starts a stateful, record-routing proxy: what is for a desk goes to
// the desk's port, everything else to the guard.
func kamailio(t *testing.T, port int, g ports) *neighbour {
	t.Helper()
	dir := t.TempDir()
	modules, err := filepath.Glob("/usr/lib/*/kamailio/modules")
	if err != nil || len(modules) == 0 {
		t.Fatalf("Kamailio has no modules: %v", err)
	}
	config := filepath.Join(dir, "kamailio.cfg")
	write(t, config, fmt.Sprintf(`debug=2
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
mpath="%s"
listen=udp:127.0.0.1:%d
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "pv.so"
modparam("rr", "enable_full_lr", 1)
request_route {
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (has_totag()) {
		if (loose_route() || is_method("ACK") && t_check_trans()) { t_relay(); exit; }
		if (!is_method("ACK")) sl_send_reply("404", "Not here");
		exit;
	}
	t_check_trans();
	if (is_method("INVITE|SUBSCRIBE")) record_route();
	if ($rU == "pos-1") $du = "sip:127.0.0.1:%d";
	else if ($rU == "pos-2") $du = "sip:127.0.0.1:%d";
	else $du = "sip:127.0.0.1:%d";
	if (!t_relay()) sl_reply_error();
	exit;
}
`, modules[0], port, g.pos1, g.pos2, g.sip))
	n := launch(t, "kamailio", "-DD", "-E", "-m", "32", "-M", "4", "-w", dir, "-Y", dir, "-P", filepath.Join(dir, "pid"), "-f", config)
	t.Cleanup(func() { // before the kill: the main process ends its children
		if n.process.Process.Signal(syscall.SIGTERM) == nil {
			select {
			case <-n.done:
			case <-time.After(10 * time.Second):
			}
		}
	})
	listensUDP(t, port)
	return n
}

// serveWith starts a guard with the testers' configuration, changed by pairs of
// old and new text; it is told its ports.
func serveWith(t *testing.T, change func(ports) []string) *guard {
	t.Helper()
	g := &guard{t: t, ports: freePorts(t), dir: t.TempDir()}
	sample, err := os.ReadFile(filepath.Join(scenarios, "holdline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p := g.ports
	text := strings.NewReplacer(append(change(p),
		":5060", fmt.Sprintf(":%d", p.sip), ":5071", fmt.Sprintf(":%d", p.pos1), ":5072", fmt.Sprintf(":%d", p.pos2),
		":5073", fmt.Sprintf(":%d", p.fallback), ":8911", fmt.Sprintf(":%d", p.console), "./data", filepath.Join(g.dir, "data"),
	)...).Replace(string(sample))
	g.config = filepath.Join(g.dir, "holdline.yaml")
	write(t, g.config, text)
	g.start()
	return g
}

// anyAddress lets media come from another address than the SDP names: baresip
// names the machine's own, and what it sends over loopback comes from 127.0.0.1.
func anyAddress(ports) []string {
	return []string{"ports: 20000-20999", "ports: 20000-20999\n  nat: [\"0.0.0.0/0\"]"}
}

// Kamailio on both sides, record-routing: SIPp calls through it, and Holdline
// reaches the position through it. What was on the wire decodes cleanly.
func TestKamailioOnBothSides(t *testing.T) {
	t.Parallel()
	need(t, "sipp", "kamailio", "tshark", "tcpdump")
	proxy := freePorts(t).sip
	g := serveWith(t, func(ports) []string {
		desk := fmt.Sprintf(":%d", proxy)
		return []string{":5071", desk, ":5072", desk, "20000-20999", "21000-21999"}
	})
	kamailio(t, proxy, g.ports)
	capture := filepath.Join(t.TempDir(), "call.pcap")
	p := g.ports
	filter := fmt.Sprintf("udp and (port %d or port %d or port %d or port %d or port %d or portrange 21000-21999)", proxy, p.sip, p.caller, p.pos1, p.fallback)
	dump := launch(t, "tcpdump", "-i", "lo", "-U", "-Z", "root", "-B", "8192", "-w", capture, filter)
	dump.says("listening on")

	position := sipp(t, "position-hangs-up", p.pos1, 0)
	fallback := sipp(t, "fallback", p.fallback, 0)
	caller := sipp(t, "caller", p.caller, proxy)
	caller.passes()
	position.passes()
	fallback.passes()
	g.wants(rescueRecords, "caller")
	dump.interrupt()
	decodes(t, capture, proxy, p)
}

// decodes checks that tshark finds SIP, SDP and RTP in a capture and nothing
// malformed.
func decodes(t *testing.T, capture string, proxy int, p ports) {
	t.Helper()
	count := func(filter string) (n int, out string) {
		args := []string{"-r", capture, "-Y", filter, "-o", "sip.tls.port:0"}
		for _, port := range []int{proxy, p.sip, p.caller, p.pos1, p.fallback} {
			args = append(args, "-d", fmt.Sprintf("udp.port==%d,sip", port))
		}
		b, err := exec.CommandContext(t.Context(), "tshark", args...).Output()
		if err != nil {
			t.Fatalf("tshark -Y %s: %v", filter, err)
		}
		return strings.Count(string(b), "\n"), string(b)
	}
	if n, out := count("_ws.malformed || _ws.expert.severity == error"); n != 0 {
		t.Errorf("%d packets are malformed:\n%s", n, out)
	}
	for filter, least := range map[string]int{
		"sip.Method == INVITE": 4, "sip.Status-Code == 200": 4, "sdp": 6, "sip.Method == BYE": 2, "rtp": 200,
	} {
		if n, _ := count(filter); n < least {
			t.Errorf("%d packets are %s, want %d at least", n, filter, least)
		}
	}
}
