package sip

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
)

// A call's state is a plain value: written down and read back it is the same,
// and from it alone the next requests on every leg can be made.
func TestACallCanBeWrittenDownAndReadBack(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		taker := w.answers("fallback")
		var state CallState
		c := w.guard.lookup(caller.ID())
		done := make(chan struct{})
		c.post(func() { state = c.snapshot(); close(done) })
		<-done
		text, err := json.Marshal(state)
		w.must(err)
		var back CallState
		w.must(json.Unmarshal(text, &back))
		again, err := json.Marshal(back)
		w.must(err)
		if diff := cmp.Diff(string(text), string(again)); diff != "" {
			t.Fatalf("state changes when written down (-before +after):\n%s", diff)
		}
		if back.State != Bridged || back.Rescues != 1 || len(back.Legs) != 2 || len(back.History) != 1 {
			t.Errorf("read back: state %s, %d rescues, %d legs, %d history", back.State, back.Rescues, len(back.Legs), len(back.History))
		}
		if msg, err := gosip.NewParser().ParseSIP([]byte(back.Invite)); err != nil || get(msg, "call-id") != caller.ID() {
			t.Errorf("the INVITE does not read back: %v", err)
		}

		// Another process, that knows only the text, ends both legs.
		for _, c := range []struct {
			tag, host string
			ended     func()
		}{
			{back.Taker, "fallback", func() { w.ended(taker, "fallback", "BYE", true) }},
			{back.Caller, "caller", func() { w.ended(caller, "caller", "BYE", true) }},
		} {
			l := back.Legs[c.tag]
			bye, err := l.Dialog.request("BYE", l.Dialog.nextSeq())
			w.must(err)
			bye.SetBody(nil)
			if l.Dialog.Next != hosts[c.host] {
				t.Errorf("the BYE for %s would go to %s", c.host, l.Dialog.Next)
			}
			stranger, err := w.net.ListenUDP("10.0.0.99:0")
			w.must(err)
			if _, err := stranger.WriteTo([]byte(bye.String()), udpAddr(hosts[c.host])); err != nil {
				t.Fatal(err)
			}
			c.ended()
			w.must(stranger.Close())
		}
		w.pass(time.Second)
		if strings.Contains(string(text), "0x") {
			t.Error("a pointer was written down")
		}
	})
}
