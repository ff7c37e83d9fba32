package edge

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an Edge on loopback that answers 200 to everything and tells what came.
func server(t *testing.T, listen string) (*Edge, netip.AddrPort, chan *gosip.Request) {
	t.Helper()
	got := make(chan *gosip.Request, 100)
	e, err := New(Options{
		Trusted: func(a netip.Addr) bool { return a.IsLoopback() },
		Request: func(req *gosip.Request, tx *gosip.ServerTx) {
			if req.Method == "PANIC" {
				got <- req
				panic("a handler's bug")
			}
			tx.Respond(gosip.NewResponseFromRequest(req, 200, "OK", nil))
			select {
			case got <- req:
			case <-t.Context().Done():
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := e.Listen(listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, addr, got
}

func message(method, transport, body string) string {
	return fmt.Sprintf("%s sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/%s 127.0.0.1:9;branch=z9hG4bK%p;rport\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\nContent-Length: %d\r\n\r\n%s",
		method, transport, &body, method+body[:min(8, len(body))], method, len(body), body)
}

func dial(t *testing.T, network string, addr netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// status reads one response and returns its status line.
func status(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	first, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			return strings.TrimSpace(first)
		}
	}
}

// scarce is a listener of a process that has no files left for its first
// connections.
type scarce struct {
	net.Listener
	left atomic.Int32
}

func (l *scarce) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// TestTCPWithoutFiles: a listener that cannot take a connection goes on, and does
// not turn without end meanwhile.
func TestTCPWithoutFiles(t *testing.T) {
	e, _, got := server(t, "udp://127.0.0.1:0")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	few := &scarce{Listener: l}
	few.left.Store(3)
	began := time.Now()
	c := dial(t, "tcp", e.serveTCP(few))
	if _, err := c.Write([]byte(message("OPTIONS", "TCP", "one"))); err != nil {
		t.Fatal(err)
	}
	if s := status(t, bufio.NewReader(c)); s != "SIP/2.0 200 OK" {
		t.Errorf("answered %q", s)
	}
	<-got
	if d := time.Since(began); d < 3*acceptPause {
		t.Errorf("three failures took %v", d)
	}
}

func TestTCPFraming(t *testing.T) {
	for _, listen := range []string{"tcp://127.0.0.1:0", "tcp://[::1]:0"} {
		_, addr, got := server(t, listen)
		c := dial(t, "tcp", addr)
		r := bufio.NewReader(c)
		big := strings.Repeat("x", 40000)
		two := message("OPTIONS", "TCP", "one") + "\r\n" + message("INFO", "TCP", big)
		for _, part := range []string{two[:100], two[100:5000], two[5000:]} {
			if _, err := c.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if s := status(t, r); s != "SIP/2.0 200 OK" {
				t.Errorf("answered %q", s)
			}
			req := <-got
			if a := ArrivalOf(req); !strings.Contains(two, string(a.Raw)) || a.Transport != "TCP" || a.Source != c.LocalAddr().String() {
				t.Errorf("arrival %s from %s with %d bytes", a.Transport, a.Source, len(a.Raw))
			}
			if req.Method == "INFO" && len(req.Body()) != len(big) {
				t.Errorf("body of %d bytes", len(req.Body()))
			}
		}
	}
}

func TestTCPBadMessageCostsNothingElse(t *testing.T) {
	_, addr, got := server(t, "tcp://127.0.0.1:0")
	c := dial(t, "tcp", addr)
	r := bufio.NewReader(c)
	fmt.Fprint(c, strings.Replace(message("OPTIONS", "TCP", "a"), "Content-Length: 1", "Content-Length: -1", 1)[:180]+"\r\n\r\n")
	if s := status(t, r); s != "SIP/2.0 400 Bad Request" {
		t.Errorf("answered %q", s)
	}
	fmt.Fprint(c, "\r\n\r\n") // a ping
	if line, err := r.ReadString('\n'); err != nil || line != "\r\n" {
		t.Errorf("pong is %q, %v", line, err)
	}
	fmt.Fprint(c, message("OPTIONS", "TCP", "b"))
	if s := status(t, r); s != "SIP/2.0 200 OK" {
		t.Errorf("after a bad message: %q", s)
	}
	<-got
}

// A stream has no end of a message but its Content-Length (RFC 3261 section
// 18.3). One without must cost nobody else anything, on any transport.
func TestTCPWithoutContentLengthCostsNothingElse(t *testing.T) {
	e, addr, got := server(t, "tcp://127.0.0.1:0")
	udp, err := e.Listen("udp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad := dial(t, "tcp", addr)
	fmt.Fprint(bad, strings.Replace(message("OPTIONS", "TCP", ""), "Content-Length: 0\r\n", "", 1))
	if s := status(t, bufio.NewReader(bad)); !strings.HasPrefix(s, "SIP/2.0 400") {
		t.Fatalf("answered %q, want 400", s)
	}
	bad.Close()
	fmt.Fprint(dial(t, "udp", udp), message("INFO", "UDP", ""))
	select {
	case req := <-got:
		if req.Method != "INFO" {
			t.Fatalf("got %s", req.Method)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing is served any more")
	}
}

func TestTCPTooLarge(t *testing.T) {
	_, addr, _ := server(t, "tcp://127.0.0.1:0")
	c := dial(t, "tcp", addr)
	fmt.Fprint(c, strings.Replace(message("OPTIONS", "TCP", "a"), "Content-Length: 1", "Content-Length: 999999", 1))
	if s := status(t, bufio.NewReader(c)); s != "SIP/2.0 513 Message Too Large" {
		t.Errorf("answered %q", s)
	}
}

// A peer that sends and never reads is given up; nobody waits for it.
func TestTCPPeerThatStopsReading(t *testing.T) {
	_, addr, got := server(t, "tcp://127.0.0.1:0")
	c := dial(t, "tcp", addr)
	c.SetDeadline(time.Now().Add(time.Minute))
	refused := make(chan error, 1)
	go func() {
		for {
			if _, err := fmt.Fprint(c, message("OPTIONS", "TCP", "x")); err != nil {
				refused <- err
				return
			}
		}
	}()
	for {
		select {
		case <-got:
		case err := <-refused:
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection still stands")
			}
			return
		}
	}
}

func TestUDPLargeMessagesBothWays(t *testing.T) {
	for _, listen := range []string{"udp://127.0.0.1:0", "udp://[::1]:0"} {
		client, from, _ := server(t, listen)
		_, to, got := server(t, listen)
		req := gosip.NewRequest("INVITE", gosip.Uri{Scheme: "sip", Host: "x"})
		via := &gosip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: from.Addr().String(), Port: int(from.Port())}
		via.Params.Add("branch", "z9hG4bKbig")
		req.AppendHeader(via)
		for _, h := range [][2]string{{"From", "<sip:a@b>;tag=1"}, {"To", "<sip:c@d>"}, {"Call-ID", "big"}, {"CSeq", "1 INVITE"}} {
			req.AppendHeader(gosip.NewHeader(h[0], h[1]))
		}
		req.SetBody([]byte(strings.Repeat("y", 12000)))
		req.SetTransport("UDP")
		req.SetDestination(to.String())
		answers := make(chan Response, 10)
		client.Send(req, func(r Response) { answers <- r })
		if in := <-got; len(in.Body()) != 12000 || ArrivalOf(in).Source != from.String() {
			t.Errorf("%d bytes from %s, want 12000 from %s", len(in.Body()), ArrivalOf(in).Source, from)
		}
		if r := <-answers; r.Err != nil || r.StatusCode != 200 {
			t.Errorf("answer %+v", r)
		}
	}
}

func TestTCPIsDialledAndReused(t *testing.T) {
	client, _, _ := server(t, "tcp://127.0.0.1:0")
	srv, to, got := server(t, "tcp://127.0.0.1:0")
	for i := range 3 {
		req := gosip.NewRequest("OPTIONS", gosip.Uri{Scheme: "sip", Host: "x"})
		via := &gosip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "TCP", Host: "127.0.0.1", Port: 1}
		via.Params.Add("branch", fmt.Sprintf("z9hG4bK%d", i))
		req.AppendHeader(via)
		for _, h := range [][2]string{{"From", "<sip:a@b>;tag=1"}, {"To", "<sip:c@d>"}, {"Call-ID", "x"}, {"CSeq", "1 OPTIONS"}} {
			req.AppendHeader(gosip.NewHeader(h[0], h[1]))
		}
		req.SetBody(nil)
		req.SetTransport("TCP")
		req.SetDestination(to.String())
		answers := make(chan Response, 10)
		client.Send(req, func(r Response) { answers <- r })
		<-got
		if r := <-answers; r.Err != nil || r.StatusCode != 200 {
			t.Fatalf("answer %+v", r)
		}
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if len(srv.tcp) != 1 {
		t.Errorf("%d connections, want 1", len(srv.tcp))
	}
}

func TestUnreachableTCPIsAnError(t *testing.T) {
	client, _, _ := server(t, "tcp://127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	req := gosip.NewRequest("OPTIONS", gosip.Uri{Scheme: "sip", Host: "x"})
	req.SetTransport("TCP")
	req.SetDestination(dead)
	answers := make(chan Response, 1)
	client.Send(req, func(r Response) { answers <- r })
	if r := <-answers; r.Err == nil {
		t.Error("a refused connection must be an error")
	}
}

func TestPanickingHandlerHarmsNobody(t *testing.T) {
	_, addr, got := server(t, "udp://127.0.0.1:0")
	c := dial(t, "udp", addr)
	fmt.Fprint(c, message("PANIC", "UDP", "x"))
	<-got
	fmt.Fprint(c, message("OPTIONS", "UDP", "y"))
	<-got
}

func FuzzReject(f *testing.F) {
	f.Add([]byte(message("OPTIONS", "UDP", "x")))
	f.Add([]byte("INVITE x SIP/2.0\nVia:\n folded\n:\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if answer := reject(raw, 400, "Bad Request"); answer != nil {
			if _, err := gosip.NewParser().ParseSIP(answer); err != nil && !strings.HasPrefix(string(answer), "SIP/2.0 400") {
				t.Fatalf("%q: %v", answer, err)
			}
		}
		parses(raw)
	})
}
