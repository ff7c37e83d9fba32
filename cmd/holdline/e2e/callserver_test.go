package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/phone"
)

// samples is the folder of the configurations that come with the program.
const samples = "../../../configs"

// callServer is a Kamailio of its own, with the configuration that the
// deployments page shows.
type callServer struct {
	t   *testing.T
	log *log
}

// startKamailio runs a configuration out of docs/deployments.md, with the
// addresses in it replaced, and waits until it answers OPTIONS.
func startKamailio(t *testing.T, heading string, port int, addresses *strings.Replacer) *callServer {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "kamailio.cfg")
	list := filepath.Join(dir, "dispatcher.list")
	text := strings.ReplaceAll("#!KAMAILIO\n"+shown(t, heading), "/etc/kamailio/dispatcher.list", list)
	for name, text := range map[string]string{file: text, list: shown(t, "# dispatcher.list: set, destination, flags, priority")} {
		if err := os.WriteFile(name, []byte(addresses.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := &callServer{t: t, log: &log{}}
	// In the foreground, small, with its runtime files in a folder of its own.
	process := exec.Command("kamailio", "-f", file, "-DD", "-E", "-e", "-w", dir, "-Y", dir, "-m", "32", "-M", "4", "-n", "1")
	process.Stdout, process.Stderr = k.log, k.log
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = process.Wait(); close(exited) }() // it is told to end in the end
	t.Cleanup(func() {
		_ = syscall.Kill(-process.Process.Pid, syscall.SIGKILL) // the group is its own: it and its children
		<-exited
		if t.Failed() {
			t.Logf("kamailio:\n%s", k.log)
		}
	})
	k.answers(port, exited)
	return k
}

// answers waits for the answer to an OPTIONS.
func (k *callServer) answers(port int, exited <-chan struct{}) {
	k.t.Helper()
	conn, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	for deadline, n := time.Now().Add(slow), 0; time.Now().Before(deadline); n++ {
		select {
		case <-exited:
			k.t.Fatalf("kamailio did not start\n%s", k.log)
		default:
		}
		text := fmt.Sprintf("OPTIONS sip:127.0.0.1:%d SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKready%d\r\nFrom: <sip:test@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: ready\r\nCSeq: %d OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n", port, conn.LocalAddr(), n, n+1)
		_, _ = conn.Write([]byte(text)) // refused as long as nobody listens
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if size, err := conn.Read(make([]byte, 2000)); err == nil && size > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond) // between two tries
	}
	k.t.Fatalf("kamailio does not answer\n%s", k.log)
}

// shown is the block of the deployments page that begins with a line.
func shown(t *testing.T, first string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/deployments.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```\n"+first+"\n")
	block, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatalf("docs/deployments.md shows nothing that begins with %q", first)
	}
	return block + "\n"
}

// deployed starts a guard with a sample configuration, its addresses replaced.
func deployed(t *testing.T, sample string, p ports, addresses *strings.Replacer) *guard {
	t.Helper()
	g := &guard{t: t, ports: p, dir: t.TempDir()}
	text, err := os.ReadFile(filepath.Join(samples, sample))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("/var/lib/holdline/data", filepath.Join(g.dir, "data"), ":8911", fmt.Sprintf(":%d", p.console),
		"20000-29999", "20000-20999", "ring: 15s", "ring: 5s").Replace(addresses.Replace(string(text)))
	g.config = filepath.Join(g.dir, "holdline.yaml")
	if err := os.WriteFile(g.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("holdline:\n%s", g.log)
		}
	})
	return g
}

// at is an address of this machine.
func at(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// user is a phone with real sockets.
func user(t *testing.T, name string, port int) *phone.Phone {
	t.Helper()
	conn, err := net.ListenPacket("udp4", at(port))
	if err != nil {
		t.Fatal(err)
	}
	p, err := phone.New(phone.Options{
		Conn: conn, User: name,
		Media: func() (net.PacketConn, error) { return net.ListenPacket("udp4", "127.0.0.1:0") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Close() // its socket may be gone already
		if t.Failed() {
			t.Logf("%s saw\n%s", name, strings.Join(p.Ladder(), "\n"))
		}
	})
	return p
}

// story is what happens around a guard within the time a test has.
type story struct {
	t   *testing.T
	ctx context.Context
}

func newStory(t *testing.T) *story {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), slow/2)
	t.Cleanup(cancel)
	return &story{t, ctx}
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// status checks a response.
func (s *story) status(want int) func(*gosip.Response, error) *gosip.Response {
	s.t.Helper()
	return func(res *gosip.Response, err error) *gosip.Response {
		s.t.Helper()
		if err != nil || res.StatusCode != want {
			s.t.Fatalf("answered %v, %v; want %d", res, err, want)
		}
		return res
	}
}

// takes waits until a phone is called, and answers.
func (s *story) takes(p *phone.Phone) *phone.Call {
	s.t.Helper()
	c, err := p.Accept(s.ctx)
	s.must(err)
	s.must(c.Ring())
	s.must(c.Answer(nil))
	s.must(c.WaitAck(s.ctx))
	return c
}

// talk lets one side say a second of a tone and the other hear some of it.
func (s *story) talk(from, to *phone.Call) {
	s.t.Helper()
	began := time.Now()
	go func() { _ = from.Play(s.ctx, phone.Tone(440, time.Second)) }() // ends with the call
	_, err := to.WaitRTP(s.ctx, func(p phone.RTPPacket) bool { return p.At.After(began) && len(p.Payload) > 0 })
	s.must(err)
}

// marks tells the guard that an incident was made of the call.
func (s *story) marks(g *guard, call string) {
	s.t.Helper()
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/calls/%s/intake", g.ports.console, call)
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPut, url, strings.NewReader(`{"incident":"2026-1"}`))
	s.must(err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	_ = res.Body.Close() // its status is all that is wanted
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("PUT %s: %s", url, res.Status)
	}
}

// ends waits until a call is over by a BYE of the other side.
func (s *story) ends(c *phone.Call) {
	s.t.Helper()
	end, err := c.WaitEnd(s.ctx)
	s.must(err)
	if !end.Remote || end.Cause != "BYE" {
		s.t.Errorf("the call ended with %+v", end)
	}
}

// lasts checks that nobody has ended a call.
func (s *story) lasts(c *phone.Call) {
	s.t.Helper()
	if end := c.End(); end != nil {
		s.t.Fatalf("the call has ended: %+v", end)
	}
}
