package sip

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"holdline/sip/phone"
)

// A supervisor in the browser has media and no dialog.
func TestSupervisorInTheBrowser(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		closed := make(chan string, 2)
		m := &MediaEndpoint{RTP: mustAddr("127.0.0.1:7000"), Codec: 0, Closed: func(why string) { closed <- why }}
		v, err := w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeListen, By: "chief", Media: m})
		w.must(err)
		if !v.Media.IsValid() || v.Via != ViaBrowser || v.Target != "chief" {
			t.Fatalf("join is %+v", v)
		}
		if got := w.attending(caller, 2); got != "listen" {
			t.Errorf("attends as %q", got)
		}
		_, err = w.guard.TakeOver(w.ctx, caller.ID(), v.ID, "chief")
		w.must(err)
		w.hears(caller, "leg 2")
		w.ended(pos, "pos-1", "BYE", true)
		for _, method := range []string{"INFO", "MESSAGE", "OPTIONS"} {
			if res, err := caller.Request(w.ctx, phone.Request{Method: method}); err != nil || res.StatusCode != 200 {
				t.Errorf("%s while a browser has the caller: %v, %v", method, res, err)
			}
		}
		if res, err := caller.Reinvite(w.ctx, sdp("caller")); err != nil || res.StatusCode != 200 {
			t.Errorf("re-INVITE: %v, %v", res, err)
		}
		_, err = w.guard.Leave(w.ctx, caller.ID(), v.ID, "chief")
		w.must(err)
		w.hears(caller, "prompt")
		if why := <-closed; why == "" || len(closed) != 0 {
			t.Errorf("the gateway was told %q", why)
		}

		_, err = w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeListen, By: "chief", Media: m})
		w.must(err)
		w.settle()
		w.hangsUp(caller)
		if why := <-closed; why != "the call ended" {
			t.Errorf("the gateway was told %q", why)
		}
		w.nothingLeft()
	})
}

// A call with more streams than audio: the supervisor gets the audio and the
// text in their places, and answers for the caller who waits.
func TestSupervisorOfferHasTheCallsStreams(t *testing.T) {
	many := strings.ReplaceAll(`v=0
o=c 1 1 IN IP4 10.0.0.1
s=-
c=IN IP4 10.0.0.1
t=0 0
m=video 4100 RTP/AVP 99
a=rtpmap:99 H264/90000
m=audio 4000 RTP/AVP 8 0 101
a=rtpmap:101 telephone-event/8000
a=sendrecv
m=text 4200 RTP/AVP 98
a=rtpmap:98 t140/1000
`, "\n", "\r\n")
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.Body = []byte(many) })
		w.must(w.rings("pos-1").Ring())
		w.joins(caller, ModeBarge, "sup-1")
		sup := w.rings("sup-1")
		s, err := parseSDP(sup.Invite.Body())
		w.must(err)
		var got []string
		for _, m := range s.media {
			got = append(got, fmt.Sprintf("%v %v %v", m.kind, m.port != 0, m.formats))
		}
		if want := []string{"1 false [99]", "0 true [0 8 101]", "2 true [98]"}; !slices.Equal(got, want) {
			t.Errorf("the supervisor was offered %v, want %v", got, want)
		}
		w.must(sup.Answer([]byte("v=0\r\no=s 1 1 IN IP4 10.0.0.31\r\ns=-\r\nc=IN IP4 10.0.0.31\r\nt=0 0\r\n" +
			"m=video 0 RTP/AVP 99\r\nm=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\nm=text 0 RTP/AVP 98\r\n")))
		w.settle()
		w.hears(caller, "leg 2")
		answer, err := parseSDP(caller.RemoteSDP())
		w.must(err)
		if answer.media[0].port != 0 || answer.media[1].port == 0 || answer.media[2].port != 0 {
			t.Errorf("the caller was answered\n%s", caller.RemoteSDP())
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func mustAddr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
