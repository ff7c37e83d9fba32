package sip

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdline/recorder"
)

// nullJournal takes everything and keeps nothing.
type nullJournal struct{}

func (nullJournal) Append(...recorder.Entry)                          {}
func (nullJournal) Commit(done func(bool), entries ...recorder.Entry) { go done(true) }

// wireFake is a socket between two scripts: the caller of a call that hangs up
// at once, and the position that takes it. They answer within WriteTo.
type wireFake struct {
	in   chan datagram
	over chan struct{}
	end  chan struct{}
	n    int

	keep        bool     // what is sent is kept
	stays       bool     // the caller does not hang up
	kept        []string // what the caller has sent
	answer      string   // the taker's 200 to its INVITE
	wrote, acks atomic.Int64
}

type datagram struct {
	from net.Addr
	msg  string
}

var (
	benchCaller = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(hosts["caller"]))
	benchTaker  = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(hosts["pos-1"]))
)

func newWireFake() *wireFake {
	return &wireFake{in: make(chan datagram, 16), over: make(chan struct{}, 1), end: make(chan struct{})}
}

func (w *wireFake) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-w.in:
		return copy(b, d.msg), d.from, nil
	case <-w.end:
		return 0, nil, net.ErrClosed
	}
}

func (w *wireFake) send(from net.Addr, msg string) {
	if w.keep && from == net.Addr(benchCaller) {
		w.kept = append(w.kept, msg)
	}
	w.in <- datagram{from, msg}
}

func (w *wireFake) WriteTo(b []byte, to net.Addr) (int, error) {
	toCaller := to.(*net.UDPAddr).IP.Equal(benchCaller.IP)
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	invite := bytes.Contains(b, []byte(" INVITE\r\n"))
	w.wrote.Add(1)
	switch {
	case !toCaller && bytes.HasPrefix(line, []byte("ACK ")):
		w.acks.Add(1)
	case toCaller && invite && bytes.HasPrefix(line, []byte("SIP/2.0 200")):
		w.send(benchCaller, w.inDialog("ACK", 1, b))
		if w.stays {
			w.over <- struct{}{}
			break
		}
		w.send(benchCaller, w.inDialog("BYE", 2, b))
	case toCaller && !invite && bytes.HasPrefix(line, []byte("SIP/2.0 200")):
		w.over <- struct{}{}
	case !toCaller && bytes.HasPrefix(line, []byte("INVITE ")):
		w.send(benchTaker, answerOf("180 Ringing", b, ""))
		w.answer = answerOf("200 OK", b, string(sdp("pos-1")))
		w.send(benchTaker, w.answer)
	case !toCaller && bytes.HasPrefix(line, []byte("BYE ")):
		w.send(benchTaker, answerOf("200 OK", b, ""))
	}
	return len(b), nil
}

func (w *wireFake) Close() error { close(w.end); return nil }
func (w *wireFake) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(guardAddr))
}
func (w *wireFake) SetDeadline(time.Time) error      { return nil }
func (w *wireFake) SetReadDeadline(time.Time) error  { return nil }
func (w *wireFake) SetWriteDeadline(time.Time) error { return nil }

// lineOf returns a header's first line, with its name.
func lineOf(msg []byte, name string) string {
	for l := range strings.SplitSeq(string(msg), "\r\n") {
		if strings.HasPrefix(l, name+":") {
			return l
		}
	}
	return ""
}

func answerOf(status string, req []byte, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %s\r\n", status)
	for _, h := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		l := lineOf(req, h)
		if h == "To" && !strings.Contains(l, ";tag=") {
			l += ";tag=taker"
		}
		fmt.Fprintf(&b, "%s\r\n", l)
	}
	fmt.Fprintf(&b, "Contact: <%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", uriFor("pos-1"), len(body), body)
	return b.String()
}

func (w *wireFake) inDialog(method string, seq int, ok []byte) string {
	return fmt.Sprintf("%s sip:911@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d%s;rport\r\nMax-Forwards: 70\r\n%s\r\n%s\r\n%s\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n",
		method, guardAddr, hosts["caller"], w.n, method, lineOf(ok, "From"), lineOf(ok, "To"), lineOf(ok, "Call-ID"), seq, method)
}

// call makes one call from its INVITE to the answer to the caller's BYE.
func (w *wireFake) call() {
	w.n++
	var b strings.Builder
	fmt.Fprintf(&b, "INVITE sip:911@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:caller@10.0.0.1>;tag=a%d\r\nTo: <sip:911@10.0.0.9>\r\nCall-ID: bench%d\r\nCSeq: 1 INVITE\r\nContact: <%s>\r\n",
		guardAddr, hosts["caller"], w.n, w.n, w.n, uriFor("caller"))
	for _, h := range i3Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	body := sdp("caller")
	fmt.Fprintf(&b, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	w.send(benchCaller, b.String())
	<-w.over
}

// callBench is a guard with a scripted network.
func callBench(tb testing.TB) *wireFake {
	w := newWireFake()
	g := benchGuard(tb, w)
	tb.Cleanup(func() { _ = g.Stop() })
	return w
}

func benchGuard(tb testing.TB, w *wireFake) *Guard {
	s := usualSettings()
	s.Positions[0].Calls = 1 << 30
	g, err := New(Options{Node: "bench", UDP: []PacketConn{{w}}, Media: &mediaFake{}, Journal: nullJournal{}, Settings: s})
	if err != nil {
		tb.Fatal(err)
	}
	if err := g.Start(); err != nil {
		tb.Fatal(err)
	}
	return g
}

// BenchmarkCall is the signalling of a whole call, in the memory of one
// process: INVITE, 100, 180, 200, ACK, BYE, 200, on both sides. The scripts of
// the two phones are in its figures.
func BenchmarkCall(b *testing.B) {
	w := callBench(b)
	b.ReportAllocs()
	for b.Loop() {
		w.call()
	}
}

// TestCallAllocations keeps a careless change from making every call dearer.
func TestCallAllocations(t *testing.T) {
	w := callBench(t)
	const most = 1500 // about 1,150 when this was written, a fifth of them the scripts'
	if got := testing.AllocsPerRun(200, w.call); got > most {
		t.Errorf("a call takes %.0f allocations, want at most %d", got, most)
	}
}
