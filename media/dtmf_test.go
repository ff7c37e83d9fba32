package media

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

// dial sends the packets of one key: four while it is down, three at the end.
func (p *phone) dial(key byte, lose func(i int) bool) (packets int) {
	ts := p.ts
	code := byte(strings.IndexByte(digits, key))
	for i := range 7 {
		time.Sleep(20 * time.Millisecond)
		end, marker := byte(10), i == 0
		if i >= 4 {
			end |= 0x80
		}
		pkt := &rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: marker, PayloadType: 101, SequenceNumber: p.seq, Timestamp: ts, SSRC: p.ssrc},
			Payload: []byte{code, end, 0, byte(min(i+1, 5)) * 20},
		}
		p.seq++
		p.ts += 160
		if lose == nil || !lose(i) {
			p.send(pkt)
			packets++
		}
	}
	return packets
}

func (h *house) codes() (out []string) {
	for _, ev := range h.seen(EventCode) {
		out = append(out, ev.Code)
	}
	return out
}

func watched(t *testing.T, codes ...string) (h *house, caller, taker *phone) {
	h = newHouse(t)
	caller, taker = h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
	s := h.open()
	h.join(s, caller, caller.remote(pcmu, tele))
	leg := h.join(s, taker, taker.remote(pcmu, tele))
	s.WatchCodes(leg, codes)
	s.Bridge(leg)
	return h, caller, taker
}

func TestACodeIsHeardOnceAndWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, caller, taker := watched(t, "*11", "*12")
		taker.speak(3)
		for _, key := range []byte("*12") {
			taker.dial(key, nil)
			taker.speak(2)
		}
		same(t, "codes", h.codes(), []string{"*12"})
		got := caller.take()
		same(t, "packets, none of the digits", len(got), 9)
		continuous(t, got)
		for _, a := range got {
			same(t, "payload type", a.rtp(t).PayloadType, 0)
		}
	})
}

func TestOtherDigitsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, caller, taker := watched(t, "*11")
		n := taker.dial('5', nil) + taker.dial('1', nil)
		same(t, "codes", h.codes(), []string{})
		same(t, "packets", len(caller.take()), n)
		taker.dial('*', nil)
		taker.dial('1', nil)
		same(t, "withheld", len(caller.take()), 0)
		n = taker.dial('7', nil)
		same(t, "no longer a code", len(caller.take()), n)
		n = taker.dial('1', nil)
		same(t, "forgotten", len(caller.take()), n)
	})
}

func TestACodeSurvivesLossAndEndsAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, taker := watched(t, "*11")
		for _, key := range []byte("*11") { // all end packets lost
			taker.dial(key, func(i int) bool { return i >= 4 })
		}
		same(t, "codes", h.codes(), []string{"*11"})
		for _, key := range []byte("**11") { // only one packet of each arrives; the first key was a slip
			taker.dial(key, func(i int) bool { return i != 6 })
		}
		same(t, "codes", h.codes(), []string{"*11", "*11"})
		taker.dial('*', nil)
		time.Sleep(digitTimeout + time.Millisecond)
		taker.dial('1', nil)
		taker.dial('1', nil)
		same(t, "codes", len(h.codes()), 2)
	})
}

func TestALongPressIsOneDigit(t *testing.T) {
	d := &dialler{codes: []string{"11"}}
	press := func(ts uint32, duration uint16) (bool, string) {
		return d.hear(&header{ts: ts, ssrc: 1}, []byte{1, 10, byte(duration >> 8), byte(duration)}, time.Second)
	}
	press(1000, 160)
	press(1000, 0xffff)
	if held, code := press(1000+0xffff, 160); !held || code != "" {
		t.Errorf("the second segment counted as a digit: %v %q", held, code)
	}
	press(1000+0xffff, 400)
	if _, code := press(200000, 160); code != "11" {
		t.Error("the second press was not counted")
	}
}

func TestANumberOfTheCallersOwnIsUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu, tele))
		// The taker wants events as 96 but sends them under the caller's 101.
		leg := h.join(s, taker, taker.remote(pcmu, Codec{PT: 96, Name: "TELEPHONE-EVENT", Rate: 8000}))
		s.WatchCodes(leg, []string{"*1"})
		s.Bridge(leg)
		taker.dial('*', nil)
		taker.dial('1', nil)
		same(t, "codes", h.codes(), []string{"*1"})
		same(t, "packets", len(caller.take()), 0)
	})
}
