package media

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	t140 = Codec{PT: 98, Name: "T140", Rate: 1000}
	red  = Codec{PT: 100, Name: "RED", Rate: 1000}
)

func TestTextCallersReadThePrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.joinKind(s, caller, caller.remote(t140), Text)
		leg := h.joinKind(s, taker, taker.remote(t140), Text)
		s.Bridge(leg)
		taker.pt = 98
		taker.speak(2)
		s.Prompt()
		time.Sleep(15 * time.Second)
		s.Bridge(leg)
		taker.speak(1)
		got := caller.take()
		continuous(t, got)
		text := ""
		prompt := got[2 : len(got)-1]
		for i, a := range prompt {
			p := a.rtp(t)
			same(t, "payload type", p.PayloadType, 98)
			text += string(p.Payload)
			if i > 0 {
				same(t, "clock", p.Timestamp-prompt[i-1].rtp(t).Timestamp, 300)
			}
		}
		same(t, "text", text, "\u2028"+DefaultPromptText+"\u2028")
		ev := h.seen(EventPrompt)
		if len(ev) != 1 || !ev[0].Played {
			t.Errorf("events: %+v", ev)
		}
		same(t, "marker after the prompt", got[len(got)-1].rtp(t).Marker, true)
	})
}

func TestTextIsRepeatedWithRedundancy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.PromptText = "Hilfe kommt gleich, bleiben Sie dran ☎" })
		caller := h.phone("192.0.2.1:4000")
		s := h.open()
		h.joinKind(s, caller, caller.remote(red, t140), Text)
		s.Prompt()
		time.Sleep(textInterval + 5*time.Second)
		got := caller.take()
		continuous(t, got)
		text, lossy := "", ""
		for i, a := range got {
			p := a.rtp(t)
			same(t, "payload type", p.PayloadType, 100)
			blocks := redBlocks(t, p.Payload)
			same(t, "generations", len(blocks), 3)
			text += blocks[2]
			if i%3 == 0 { // of three packets two are lost
				lossy += strings.Join(blocks, "")
			}
			if len(blocks[0]) > 0 && blocks[0] != redBlocks(t, got[i-2].rtp(t).Payload)[2] {
				t.Errorf("packet %d repeats something else", i)
			}
		}
		want := "\u2028Hilfe kommt gleich, bleiben Sie dran ☎\u2028"
		same(t, "text", text, want+want)
		if !strings.HasPrefix(lossy, want[:20]) {
			t.Errorf("redundancy does not make good for loss: %q", lossy)
		}
	})
}

// redBlocks reads a payload of RFC 2198.
func redBlocks(t *testing.T, p []byte) (out []string) {
	t.Helper()
	var sizes []int
	for p[0]&0x80 != 0 {
		same(t, "inner payload type", p[0]&0x7f, 98)
		sizes = append(sizes, int(p[2]&3)<<8|int(p[3]))
		p = p[4:]
	}
	p = p[1:]
	for _, n := range sizes {
		out = append(out, string(p[:n]))
		p = p[n:]
	}
	return append(out, string(p))
}

func TestInnerNumbersOfREDAreMapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.joinKind(s, caller, caller.remote(red, t140), Text)
		s.Bridge(h.joinKind(s, taker, taker.remote(Codec{PT: 112, Name: "red", Rate: 1000}, Codec{PT: 111, Name: "t140", Rate: 1000}), Text))
		taker.pt = 112
		taker.send(taker.packet([]byte{0x80 | 111, 0, 0, 1, 111, 'a', 'b'}))
		p := caller.take()[0].rtp(t)
		same(t, "payload type", p.PayloadType, 100)
		same(t, "blocks", redBlocks(t, p.Payload), []string{"a", "b"})
	})
}
