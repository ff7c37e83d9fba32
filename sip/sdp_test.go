package sip

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdline/media"
)

const offerSDP = "v=0\r\no=alice 2890844526 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=ice-lite\r\n" +
	"m=audio 49170 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:49180\r\na=ptime:30\r\n" +
	"a=candidate:1 1 UDP 1 192.0.2.1 49170 typ host\r\na=x-unknown: kept  as is\r\n" +
	"m=video 49172 RTP/AVP 99\r\nc=IN IP4 192.0.2.9\r\na=rtpmap:99 H264/90000\r\na=rtcp-mux\r\na=sendonly\r\n" +
	"m=text 0 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n"

func ports(t *testing.T, addrs ...string) []media.Ports {
	t.Helper()
	var out []media.Ports
	for _, a := range addrs {
		p := netip.MustParseAddrPort(a)
		out = append(out, media.Ports{RTP: p, RTCP: netip.AddrPortFrom(p.Addr(), p.Port()+1)})
	}
	return out
}

func mustSDP(t *testing.T, text string) *session {
	t.Helper()
	s, err := parseSDP([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRewriteOwnsAddressesAndNothingElse(t *testing.T) {
	s := mustSDP(t, offerSDP)
	var o origin
	got := string(s.rewrite(ports(t, "10.0.0.5:20000", "10.0.0.5:20002", "10.0.0.5:20004"), &o))
	want := "v=0\r\no=alice 2890844526 7 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n" +
		"m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:20001 IN IP4 10.0.0.5\r\na=ptime:30\r\n" +
		"a=x-unknown: kept  as is\r\n" +
		"m=video 20002 RTP/AVP 99\r\nc=IN IP4 10.0.0.5\r\na=rtpmap:99 H264/90000\r\na=rtcp-mux\r\na=sendonly\r\n" +
		"m=text 0 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rewritten SDP (-want +got):\n%s", diff)
	}
}

func TestRewriteToOtherFamily(t *testing.T) {
	got := string(mustSDP(t, offerSDP).rewrite(ports(t, "[2001:db8::5]:20000", "[2001:db8::5]:20002", "[2001:db8::5]:20004"), &origin{}))
	for _, want := range []string{"c=IN IP6 2001:db8::5\r\n", "o=alice 2890844526 7 IN IP6 2001:db8::5\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}

// Towards one peer the session keeps its name and its version only grows,
// whoever wrote the body (RFC 3264 section 8).
func TestOriginIsStableAcrossTakers(t *testing.T) {
	var o origin
	p := ports(t, "10.0.0.5:20000", "10.0.0.5:20002", "10.0.0.5:20004")
	line := func(s *session) string { return strings.Split(string(s.rewrite(p, &o)), "\r\n")[1] }
	first := line(mustSDP(t, offerSDP))
	if again := line(mustSDP(t, offerSDP)); again != first {
		t.Errorf("same body again: %q, was %q", again, first)
	}
	other := strings.Replace(offerSDP, "o=alice 2890844526 7", "o=bob 1 1", 1)
	if got := line(mustSDP(t, other)); got != first {
		t.Errorf("same body of another author: %q, was %q", got, first)
	}
	changed := strings.Replace(other, "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1)
	if got, want := line(mustSDP(t, changed)), "o=alice 2890844526 8 IN IP4 10.0.0.5"; got != want {
		t.Errorf("changed body: %q, want %q", got, want)
	}
}

func TestRemotes(t *testing.T) {
	r := mustSDP(t, offerSDP).remotes()
	if got, want := r[0].RTP.String(), "192.0.2.1:49170"; got != want {
		t.Errorf("audio RTP %s, want %s", got, want)
	}
	if got, want := r[0].RTCP.String(), "192.0.2.1:49180"; got != want {
		t.Errorf("audio RTCP %s, want %s", got, want)
	}
	if got, want := r[1].RTP.String(), "192.0.2.9:49172"; got != want || !r[1].Mux || !r[1].Muted {
		t.Errorf("video %+v: want %s, mux, muted", r[1], want)
	}
	if !r[2].Muted || r[2].RTP.IsValid() {
		t.Errorf("text with port 0 is %+v: want muted, no address", r[2])
	}
	want := []media.Codec{{PT: 0, Name: "PCMU", Rate: 8000, Channels: 1}, {PT: 8, Name: "PCMA", Rate: 8000, Channels: 1}, {PT: 101, Name: "TELEPHONE-EVENT", Rate: 8000, Channels: 1}}
	if diff := cmp.Diff(want, r[0].Codecs); diff != "" {
		t.Errorf("audio codecs (-want +got):\n%s", diff)
	}
}

func TestHoldAddressStaysAHold(t *testing.T) {
	hold := strings.ReplaceAll(offerSDP, "c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0")
	s := mustSDP(t, hold)
	if got := string(s.rewrite(ports(t, "10.0.0.5:20000"), &origin{})); !strings.Contains(got, "c=IN IP4 0.0.0.0") {
		t.Errorf("0.0.0.0 was replaced:\n%s", got)
	}
	if !s.remotes()[0].Muted || !holds(s) {
		t.Error("a connection address of 0.0.0.0 must be a hold")
	}
}

func TestPreferPutsTheCodecInUseFirst(t *testing.T) {
	s := mustSDP(t, offerSDP).prefer([][]media.Codec{{{PT: 8, Name: "PCMA", Rate: 8000, Channels: 1}}})
	if got, want := s.lines[s.media[0].from], "m=audio 49170 RTP/AVP 8 0 101"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAnswerMirrorsAndNarrows(t *testing.T) {
	offer := mustSDP(t, strings.Replace(offerSDP, "a=ptime:30", "a=sendonly", 1))
	a := offer.answer([][]media.Codec{{{PT: 0, Name: "PCMU", Rate: 8000, Channels: 1}}, nil})
	if got, want := a.lines[a.media[0].from], "m=audio 49170 RTP/AVP 0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := a.direction(a.media[0]); got != "recvonly" {
		t.Errorf("direction %s, want recvonly", got)
	}
}

func TestBadSDPIsRefused(t *testing.T) {
	for _, text := range []string{"", "hello", "v=0\r\nm=audio\r\n", "v=0\r\nm=audio 99999 RTP/AVP 0\r\n", "v=0\r\nm=audio x RTP/AVP 0\r\n"} {
		if _, err := parseSDP([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func FuzzSDP(f *testing.F) {
	f.Add([]byte(offerSDP))
	f.Add([]byte("v=0\nm=audio 1 RTP/AVP\nc=\na=rtcp:\nc=IN IP4 1/2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSDP(b)
		if err != nil {
			return
		}
		s.remotes()
		p := make([]media.Ports, len(s.media))
		for i := range p {
			p[i] = media.Ports{RTP: netip.MustParseAddrPort("127.0.0.1:20000"), RTCP: netip.MustParseAddrPort("127.0.0.1:20001")}
		}
		out := s.answer(nil).active().prefer(nil).rewrite(p, &origin{})
		again, err := parseSDP(out)
		if err != nil || len(again.media) != len(s.media) {
			t.Fatalf("rewritten SDP does not read back: %v\n%q", err, out)
		}
	})
}
