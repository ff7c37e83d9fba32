package simnet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func listen(t *testing.T, n *Net, address string) *Conn {
	t.Helper()
	c, err := n.ListenUDP(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, from, to *Conn, text string) {
	t.Helper()
	if _, err := from.WriteTo([]byte(text), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *Conn) (string, net.Addr) {
	t.Helper()
	buf := make([]byte, MaxDatagram)
	n, from, err := c.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n]), from
}

func TestPerfectLinkKeepsOrderAndSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := listen(t, n, "10.0.0.1:5060"), listen(t, n, "[2001:db8::1]:5060")
		big := strings.Repeat("x", MaxDatagram)
		for _, m := range []string{"one", big, "three"} {
			send(t, a, b, m)
		}
		for _, want := range []string{"one", big, "three"} {
			got, from := receive(t, b)
			if got != want || from.String() != "10.0.0.1:5060" {
				t.Fatalf("got %d bytes from %v, want %d", len(got), from, len(want))
			}
		}
		if _, err := a.WriteTo(make([]byte, MaxDatagram+1), b.LocalAddr()); !errors.Is(err, syscall.EMSGSIZE) {
			t.Fatalf("a datagram over the limit: %v", err)
		}
	})
}

func TestLatencyIsVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := listen(t, n, "10.0.0.1:1"), listen(t, n, "10.0.0.2:2")
		n.SetLink("10.0.0.1", "10.0.0.2:2", Link{Latency: 40 * time.Millisecond})
		start := time.Now()
		send(t, a, b, "there")
		receive(t, b)
		if d := time.Since(start); d != 40*time.Millisecond {
			t.Errorf("arrived after %v", d)
		}
		start = time.Now()
		send(t, b, a, "back")
		receive(t, a)
		if d := time.Since(start); d != 0 {
			t.Errorf("the other direction took %v", d)
		}
	})
}

// fates runs 500 datagrams over a bad link and returns what became of them
// and in which order they arrived.
func fates(t *testing.T, seed uint64) (sent []Fate, arrived []string) {
	synctest.Test(t, func(t *testing.T) {
		n := New(seed)
		a, b := listen(t, n, "10.0.0.1:1"), listen(t, n, "10.0.0.2:2")
		n.SetBoth("10.0.0.1", "10.0.0.2", Link{Latency: time.Millisecond, Loss: 0.2, Duplicate: 0.1, Reorder: 0.1})
		for i := range 500 {
			send(t, a, b, fmt.Sprint(i))
			time.Sleep(5 * time.Millisecond)
		}
		if err := b.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		for {
			size, _, err := b.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			arrived = append(arrived, string(buf[:size]))
		}
		for _, p := range n.Packets() {
			sent = append(sent, p.Fate)
		}
	})
	return sent, arrived
}

func TestBadLinkIsRepeatable(t *testing.T) {
	sent, arrived := fates(t, 7)
	count := map[Fate]int{}
	for _, f := range sent {
		count[f]++
	}
	if count[Lost] < 60 || count[Lost] > 140 || count[Duplicated] < 20 {
		t.Errorf("fates of 500: %v", count)
	}
	if want := count[Delivered] + 2*count[Duplicated]; len(arrived) != want {
		t.Errorf("%d arrived, want %d", len(arrived), want)
	}
	overtaken := 0
	for i := 1; i < len(arrived); i++ {
		var x, y int
		_, _ = fmt.Sscan(arrived[i-1]+" "+arrived[i], &x, &y)
		if y < x {
			overtaken++
		}
	}
	if overtaken < 10 {
		t.Errorf("only %d overtook another", overtaken)
	}
	again, arrivedAgain := fates(t, 7)
	if !reflect.DeepEqual(sent, again) || !reflect.DeepEqual(arrived, arrivedAgain) {
		t.Error("the same seed gave another run")
	}
	if other, _ := fates(t, 8); reflect.DeepEqual(sent, other) {
		t.Error("another seed gave the same run")
	}
}

func TestDeadlineAndCloseWakeReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		c := listen(t, n, "10.0.0.1:0")
		result := make(chan error)
		read := func() { _, _, err := c.ReadFrom(make([]byte, 1)); result <- err }

		go read()
		synctest.Wait()
		start := time.Now()
		_ = c.SetReadDeadline(start.Add(time.Second))
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		_ = c.SetDeadline(time.Time{})
		go read()
		synctest.Wait()
		_ = c.Close()
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := c.WriteTo(nil, c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing after close: %v", err)
		}
	})
}

func TestPortsAreOwned(t *testing.T) {
	n := New(1)
	c := listen(t, n, "10.0.0.1:5060")
	if _, err := n.ListenUDP("10.0.0.1:5060"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the same port again: %v", err)
	}
	_ = c.Close()
	listen(t, n, "10.0.0.1:5060")
	x, y := listen(t, n, "10.0.0.1:0"), listen(t, n, "10.0.0.1:0")
	if x.LocalAddr().String() == y.LocalAddr().String() {
		t.Error("one port was given twice")
	}
	if _, err := n.ListenUDP("psap.example:5060"); err == nil {
		t.Error("a host name was accepted")
	}
}

func TestLadder(t *testing.T) {
	n := New(1)
	a, b := listen(t, n, "10.0.0.1:5060"), listen(t, n, "10.0.0.2:5060")
	send(t, a, b, "INVITE sip:911@10.0.0.2 SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n")
	send(t, b, a, "SIP/2.0 180 Ringing\r\ncseq : 1 INVITE\r\n\r\n")
	send(t, a, b, "\x80\x00 no SIP")
	gone := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 9}
	if _, err := a.WriteTo([]byte("BYE sip:x@10.0.0.9 SIP/2.0\r\n\r\n"), gone); err != nil {
		t.Fatal(err)
	}
	want := "caller -> 10.0.0.2:5060 INVITE\n" +
		"10.0.0.2:5060 -> caller 180 INVITE\n" +
		"caller -> 10.0.0.9:9 BYE (unreachable)\n"
	if got := n.Ladder(map[string]string{"10.0.0.1": "caller"}); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
