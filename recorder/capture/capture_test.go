package capture

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func message(method, callID string, n int) []byte {
	return fmt.Appendf(nil, "%s sip:911@psap SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK%d\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n",
		method, n, callID, n, method)
}

// over waits for the sum of a call.
func over(l *Log, callID string) Sum {
	done := make(chan Sum, 1)
	l.Over(callID, func(s Sum) { done <- s })
	return <-done
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	l := New(Options{Dir: dir})
	at := time.Date(2026, 8, 14, 18, 30, 0, 5, time.UTC)
	want := [][]byte{}
	for i, way := range []struct{ network, from, to string }{
		{"udp", "127.0.0.1:5061", "127.0.0.1:5060"},
		{"tcp", "[::1]:5061", "[::1]:5060"},
		{"tcp", "[::1]:5061", "[::1]:5060"},
	} {
		raw := message("INVITE", "a@x", i)
		want = append(want, raw)
		l.Seen(Message{At: at, Network: way.network, From: way.from, To: way.to, Raw: raw})
		l.Seen(Message{At: at, Network: "udp", From: way.from, To: way.to, Raw: message("INVITE", "b@x", i)})
		l.Seen(Message{At: at, Network: "udp", From: way.from, To: way.to, Raw: message("OPTIONS", "a@x", i)})
	}
	sum := over(l, "a@x")
	if err := l.Close(); err != nil || l.Lost() != 0 {
		t.Fatalf("close: %v, lost %d", err, l.Lost())
	}
	found, err := Find(dir, []string{"a@x"}, at, at.Add(time.Minute))
	if err != nil || len(found) != len(want) {
		t.Fatalf("found %d messages, want %d: %v", len(found), len(want), err)
	}
	for i, m := range found {
		if !bytes.Equal(m.Raw, want[i]) || !m.At.Equal(at) || m.To.Port() != 5060 {
			t.Errorf("message %d: %q from %s at %s", i, m.Raw, m.From, m.At)
		}
	}
	if again := SumOf("a@x", sum.Messages, found); again != sum || sum.Messages != 3 || sum.Lost {
		t.Errorf("sum %+v, computed again %+v", sum, again)
	}
	found[1].Raw = append([]byte{}, found[1].Raw...)
	found[1].Raw[0] ^= 1
	if SumOf("a@x", sum.Messages, found) == sum {
		t.Error("a changed message has the same sum")
	}
}

func TestCaptureCutOffByACrash(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, "test")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Write(Packet{At: time.Unix(1, 2), Comment: "c", Data: []byte("12345")}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	err = Read(bytes.NewReader(buf.Bytes()[:buf.Len()-7]), func(k Packet) error {
		n++
		if k.Comment != "c" || string(k.Data) != "12345" || !k.At.Equal(time.Unix(1, 2)) {
			t.Errorf("packet %+v", k)
		}
		return nil
	})
	if n != 1 || err != nil {
		t.Errorf("%d packets of a capture cut off in its second: %v", n, err)
	}
}

// TestDiskThatFails loses messages, says so, and loses nothing else.
func TestDiskThatFails(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	failing := make(chan string, 10)
	l := New(Options{Dir: blocked, Failing: func(why string) { failing <- why }})
	l.Seen(Message{At: time.Now(), Network: "udp", From: "127.0.0.1:1", To: "127.0.0.1:2", Raw: message("BYE", "a@x", 1)})
	if s := over(l, "a@x"); !s.Lost || s.Messages != 1 {
		t.Errorf("sum of a lost message: %+v", s)
	}
	if <-failing == "" {
		t.Error("no reason was given")
	}
	if err := l.Close(); err != nil || l.Lost() == 0 {
		t.Errorf("close: %v, lost %d", err, l.Lost())
	}
	if s := over(l, "a@x"); !s.Lost {
		t.Error("a closed log claims to have kept something")
	}
}

func TestHeadersAreWhatToolsExpect(t *testing.T) {
	for _, a := range []string{"192.0.2.1:5060", "[2001:db8::1]:5060"} {
		from := netip.MustParseAddrPort(a)
		for network, b := range map[string][]byte{"udp": Datagram(from, from, []byte("odd")), "tcp": appendSegment(nil, from, from, 1, []byte("odd"))} {
			gotNetwork, src, dst, body, err := payload(b)
			if err != nil || gotNetwork != network || src != from || dst != from || string(body) != "odd" {
				t.Errorf("%s %s: %s %s %s %q %v", a, network, gotNetwork, src, dst, body, err)
			}
		}
	}
	for _, bad := range [][]byte{nil, {0x45}, make([]byte, 60)} {
		if _, _, _, _, err := payload(bad); err == nil {
			t.Errorf("%x is taken for a packet", bad)
		}
	}
}

// TestLossIsToldOfUnderLoad: calls that end all the time do not put off the word
// that messages are being lost.
func TestLossIsToldOfUnderLoad(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		told := make(chan time.Time, 10)
		l := New(Options{Dir: dir, Failing: func(string) { told <- time.Now() }})
		defer l.Close()
		began := time.Now()
		l.Seen(Message{At: began, Network: "udp", From: "nobody", To: "nobody", Raw: message("BYE", "lost@x", 1)})
		for n := range 100 {
			id := fmt.Sprint(n, "@x")
			l.Seen(Message{At: time.Now(), Network: "udp", From: "127.0.0.1:1", To: "127.0.0.1:2", Raw: message("BYE", id, n)})
			over(l, id)
		}
		if len(told) == 0 {
			t.Fatalf("nobody was told in %v", time.Since(began))
		}
		if took := (<-told).Sub(began); took > time.Second {
			t.Errorf("told after %v", took)
		}
	})
}
