//go:build linux

package media

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// realPhone is a far end on the loopback interface.
func realPhone(t testing.TB, ip string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Skipf("%s is not available: %v", ip, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return c, netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func realEngine(t testing.TB, addrs ...string) *Engine {
	t.Helper()
	o := Options{Loops: 2, NewTap: func() Tap { return &tapLog{} }}
	for _, a := range addrs {
		o.Addresses = append(o.Addresses, netip.MustParseAddr(a))
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func realJoin(t testing.TB, s Session, a netip.AddrPort) (LegID, *net.UDPAddr) {
	t.Helper()
	id, ports, err := s.AddLeg([]Kind{Audio}, a.Addr().Is6())
	if err != nil {
		t.Fatal(err)
	}
	s.SetRemote(id, 0, Remote{RTP: a, Codecs: []Codec{pcmu}})
	return id, net.UDPAddrFromAddrPort(ports[0].RTP)
}

func receive(t testing.TB, c *net.UDPConn) *rtp.Packet {
	t.Helper()
	b := make([]byte, 2000)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	p := &rtp.Packet{}
	if err := p.Unmarshal(b[:n]); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOnTheLoopbackInterface(t *testing.T) {
	for name, ip := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"} {
		t.Run(name, func(t *testing.T) {
			caller, ca := realPhone(t, ip)
			taker, ta := realPhone(t, ip)
			e := realEngine(t, ip)
			events := make(chan Event, 10)
			s, err := e.Open("call", func(ev Event) { events <- ev })
			if err != nil {
				t.Fatal(err)
			}
			_, _ = realJoin(t, s, ca)
			leg, to := realJoin(t, s, ta)
			s.Bridge(leg)
			s.Record(1)
			raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 7, Timestamp: 9, SSRC: 5}, Payload: speech(1)}).Marshal()
			if _, err := taker.WriteToUDP(raw, to); err != nil {
				t.Fatal(err)
			}
			first := receive(t, caller)
			same(t, "event", (<-events).Kind, EventFirst)
			s.Prompt()
			begin := time.Now()
			last := first
			for range 20 {
				p := receive(t, caller)
				if p.SSRC != 5 || p.SequenceNumber != last.SequenceNumber+1 {
					t.Fatalf("%v does not follow %v", p, last)
				}
				last = p
			}
			if d := time.Since(begin); d < 350*time.Millisecond {
				t.Errorf("20 slots took %v only", d)
			}
			ev := <-events
			if ev.Kind != EventPrompt || !ev.Played || ev.Gap < 19*time.Millisecond {
				t.Errorf("event %+v", ev)
			}
			st := e.Stats()
			if st.ReceiveBuffer < 100<<10 || st.FileLimit == 0 || st.Ports != 4 {
				t.Errorf("statistics %+v", st)
			}
			done := make(chan struct{})
			s.Close(func() { close(done) })
			<-done
			_, ports := e.InUse()
			same(t, "ports", ports, 0)
		})
	}
}

func TestManyCallsOpenAndClose(t *testing.T) {
	e := realEngine(t, "127.0.0.1")
	var closed atomic.Int32
	done := make(chan struct{})
	const calls = 300
	for range calls {
		s, err := e.Open("call", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, _, err := s.AddLeg([]Kind{Audio}, false); err != nil {
				t.Fatal(err)
			}
		}
		s.Close(func() {
			if closed.Add(1) == calls {
				close(done)
			}
		})
	}
	<-done
	sessions, ports := e.InUse()
	same(t, "left", []int{sessions, ports}, []int{0, 0})
}

func TestAnAddressOfAnotherMachineIsRefused(t *testing.T) {
	if _, err := New(Options{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}); err == nil {
		t.Error("a foreign address was accepted")
	}
}

// BenchmarkLoopback relays between two sockets of the kernel, one packet at a
// time: the whole way through the house and twice through the kernel.
func BenchmarkLoopback(b *testing.B) {
	caller, ca := realPhone(b, "127.0.0.1")
	taker, ta := realPhone(b, "127.0.0.1")
	e, err := New(Options{Loops: 1, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	s, _ := e.Open("call", nil)
	_, _ = realJoin(b, s, ca)
	leg, to := realJoin(b, s, ta)
	s.Bridge(leg)
	raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 7, Timestamp: 9, SSRC: 5}, Payload: speech(1)}).Marshal()
	dst, buf := to.AddrPort(), make([]byte, 2000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := taker.WriteToUDPAddrPort(raw, dst); err != nil {
			b.Fatal(err)
		}
		if _, _, err := caller.ReadFromUDPAddrPort(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAPortThatIsClosedIsNoticed(t *testing.T) {
	for name, ip := range map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"} {
		t.Run(name, func(t *testing.T) {
			caller, ca := realPhone(t, ip)
			taker, ta := realPhone(t, ip)
			e := realEngine(t, ip)
			s, err := e.Open("call", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, to := realJoin(t, s, ca)
			leg, _ := realJoin(t, s, ta)
			s.Bridge(leg)
			_ = taker.Close()
			raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 7, SSRC: 5}, Payload: speech(1)}).Marshal()
			want := "ICMP port unreachable at " + ta.String() + ", reported by " + ip
			deadline := time.Now().Add(5 * time.Second)
			for s.Stats(leg)[0].Unreachable != want {
				if time.Now().After(deadline) {
					t.Fatalf("%+v, want %q", s.Stats(leg)[0], want)
				}
				if _, err := caller.WriteToUDP(raw, to); err != nil {
					t.Fatal(err)
				}
				_ = caller.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				_, _, _ = caller.ReadFromUDP(make([]byte, 100)) // gives the loop its time
			}
			if st := s.Stats(leg)[0]; st.Unreached == 0 || st.LastUnreached.IsZero() {
				t.Errorf("%+v", st)
			}
			s.Close(nil)
		})
	}
}

// A supervisor barges in on a call over real sockets and in real time.
func TestBargingInOnTheLoopbackInterface(t *testing.T) {
	caller, ca := realPhone(t, "127.0.0.1")
	taker, ta := realPhone(t, "127.0.0.1")
	boss, ba := realPhone(t, "127.0.0.1")
	e := realEngine(t, "127.0.0.1")
	s, err := e.Open("call", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = realJoin(t, s, ca)
	leg, toTaker := realJoin(t, s, ta)
	s.Bridge(leg)
	id, toBoss := realJoin(t, s, ba)
	s.Attend(id, Barge)
	voices := []*singer{{phone: &phone{ssrc: 1}, hz: 713, loud: 6000, ptime: frameTime}, {phone: &phone{ssrc: 2}, hz: 1129, loud: 6000, ptime: frameTime}}
	beat := time.NewTicker(frameTime)
	defer beat.Stop()
	var heard, alone []arrival
	for range 60 {
		<-beat.C
		for i, to := range []*net.UDPAddr{toTaker, toBoss} {
			v := voices[i]
			raw, _ := v.packet(v.note()).Marshal()
			if _, err := []*net.UDPConn{taker, boss}[i].WriteToUDP(raw, to); err != nil {
				t.Fatal(err)
			}
		}
		raw, _ := receive(t, caller).Marshal()
		heard = append(heard, arrival{raw: raw})
	}
	for range 50 {
		raw, _ := receive(t, boss).Marshal()
		alone = append(alone, arrival{raw: raw})
	}
	continuous(t, heard)
	whole := func(who string, heard []arrival, hz float64) {
		t.Helper()
		level, _ := levels(soundOf(t, heard)[2400:], hz)
		slices.Sort(level)
		if middle := level[len(level)/2]; middle < 4000 { // a busy machine may disturb some
			t.Errorf("%s hears %.0f Hz with %.0f", who, hz, middle)
		}
	}
	whole("the caller", heard, 713)
	whole("the caller", heard, 1129)
	whole("the supervisor", alone, 713)
	if x := soundOf(t, alone); strength(x, 1129) > 200 {
		t.Errorf("the supervisor hears itself with %.0f", strength(x, 1129))
	}
	s.Close(nil)
}
