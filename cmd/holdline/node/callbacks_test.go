package node

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"holdline/cmd/holdline/config"
	"holdline/recorder"
	"holdline/sip/phone"
)

// desk is a phone with media on a loopback socket.
func desk(t *testing.T, user string) *phone.Phone {
	t.Helper()
	open := func() (net.PacketConn, error) { return net.ListenPacket("udp", "127.0.0.1:0") }
	conn, err := open()
	if err != nil {
		t.Fatal(err)
	}
	p, err := phone.New(phone.Options{Conn: conn, User: user, Media: open})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestAutomaticCallback: a caller who hangs up before anybody answers is called
// back: a call taker first, then the caller, and the two hear each other.
func TestAutomaticCallback(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	caller, taker := desk(t, "5045550100"), desk(t, "fallback")
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := pc.LocalAddr().String()
	pc.Close()
	c, err := config.Parse("holdline.yaml", fmt.Appendf(nil, `
data: %s
sip: {listen: ["udp://%s"], trust: ["127.0.0.0/8"], dead_after: 200ms}
media: {address: 127.0.0.1, ports: 20100-20199}
positions: [{id: pos-1, uri: "sip:pos-1@127.0.0.1:9"}]
routes: [{match: "urn:service:sos", to: [pos-1]}]
fallback: [{to: ["sip:fallback@%s"]}]
callbacks: {automatic: true, to: "sip:{number}@%s", from: "sip:5045551000@psap.example", delay: 0s}
console: {listen: "127.0.0.1:0"}
`, t.TempDir(), own, taker.Addr(), caller.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop(t.Context())

	lost, err := caller.Call(ctx, phone.Invite{Dest: own, RequestURI: "urn:service:sos"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lost.WaitProvisional(ctx); err != nil {
		t.Fatal(err)
	}
	lost.Cancel()

	var back, called *phone.Call
	for back == nil || back.ID() == lost.ID() { // the lost call may have rung there as well
		if back, err = taker.Accept(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := back.Answer(nil); err != nil {
		t.Fatal(err)
	}
	if called, err = caller.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	if err := called.Answer(nil); err != nil {
		t.Fatal(err)
	}
	tone := make([]byte, 1600)
	for _, pair := range [][2]*phone.Call{{called, back}, {back, called}} {
		go pair[0].Play(ctx, tone)
		if _, err := pair[1].WaitRTP(ctx, func(phone.RTPPacket) bool { return true }); err != nil {
			t.Errorf("one side does not hear the other: %v", err)
		}
	}
	kinds, seq := follows(t, n.journal, "callback.done")
	if kinds["callback.started"] != 1 || kinds["callback.dialled"] != 1 || kinds["callback.missed"] != 0 {
		t.Errorf("records %v", kinds)
	}
	if !n.follower.reached(ctx, seq) {
		t.Error("the journal is not followed")
	}
	if owed := n.ledger.Callbacks(time.Now(), true); len(owed) != 1 || owed[0].Closed == nil || owed[0].Attempts != 1 {
		t.Errorf("owed: %+v", owed)
	}
}

// follows counts the kinds of records until there is one of a kind, and returns
// the number of that one.
func follows(t *testing.T, j *recorder.Journal, kind string) (kinds map[string]int, last uint64) {
	t.Helper()
	s := j.Subscribe(0)
	defer s.Close()
	kinds = map[string]int{}
	late := time.After(20 * time.Second)
	for kinds[kind] == 0 {
		select {
		case r := <-s.C:
			kinds[r.Kind]++
			last = r.Seq
		case <-late:
			t.Fatalf("no %s among %v", kind, kinds)
		}
	}
	return kinds, last
}
