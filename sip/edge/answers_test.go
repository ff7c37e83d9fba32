package edge

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func datagram(method, via, seq string) []byte {
	return fmt.Appendf(nil, "%s sip:a@b SIP/2.0\r\nMax-Forwards: 70\r\n%s\r\nVia: SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKlower\r\nCSeq: %s\r\n\r\nv=0\r\nCSeq: 9 BYE\r\n", method, via, seq)
}

// What names a transaction names its answer (RFC 3261 section 17.2.3).
func TestAnswersAreTold(t *testing.T) {
	a := newAnswers()
	from := netip.MustParseAddrPort("10.0.0.1:5060")
	via := "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKone"
	key := a.key(datagram("BYE", via, "2 BYE"), from)
	if key == (answerKey{}) {
		t.Fatal("a request has no key")
	}
	if _, ok := a.again(key); ok {
		t.Error("what was never answered is answered again")
	}
	a.keep(key, answer{raw: []byte("200")})
	for _, same := range [][]byte{
		datagram("BYE", via, "2 BYE"),
		datagram("BYE", "v:SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKone", "2 BYE"),
		datagram("BYE", "VIA : SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKone  ", "2 BYE"),
	} {
		if got, ok := a.again(a.key(same, from)); !ok || string(got.raw) != "200" {
			t.Errorf("not known again: %q", same)
		}
	}
	other := netip.MustParseAddrPort("10.0.0.1:5061")
	for name, k := range map[string]answerKey{
		"another branch": a.key(datagram("BYE", via+"2", "2 BYE"), from), "another number": a.key(datagram("BYE", via, "3 BYE"), from),
		"another method": a.key(datagram("ACK", via, "2 ACK"), from), "another source": a.key(datagram("BYE", via, "2 BYE"), other),
	} {
		if _, ok := a.again(k); ok || k == (answerKey{}) {
			t.Errorf("%s is taken for a repetition, or has no key", name)
		}
	}
}

// What cannot be told apart for certain is left to the library.
func TestRequestsWithoutAKey(t *testing.T) {
	a := newAnswers()
	from := netip.MustParseAddrPort("10.0.0.1:5060")
	for _, raw := range [][]byte{
		nil, []byte("\r\n"), []byte("BYE sip:a@b SIP/2.0"), []byte("BYE sip:a@b SIP/2.0\r\n\r\n"), []byte("BYE sip:a@b SIP/2.0\r\nVia"),
		datagram("BYE", "Via: SIP/2.0/UDP 10.0.0.1;branch=old", "2 BYE"),
		[]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKone\r\nCSeq: 2 BYE\r\n\r\n"),
		[]byte("BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKone\r\n\r\nCSeq: 2 BYE\r\n"),
	} {
		if k := a.key(raw, from); k != (answerKey{}) {
			t.Errorf("%q has a key", raw)
		}
	}
	a.keep(answerKey{}, answer{})
	if _, ok := a.again(answerKey{}); ok || len(a.now) != 0 {
		t.Error("no key is a key")
	}
}

// An answer lasts for 64*T1 at least and twice that at most.
func TestAnswersAreForgotten(t *testing.T) {
	a := newAnswers()
	first, next := answerKey{1}, answerKey{2}
	a.keep(first, answer{})
	for turn, want := range []bool{true, true, false} {
		if _, ok := a.again(first); ok != want {
			t.Errorf("after %d turns it is known: %v", turn, ok)
		}
		a.turned = time.Now().Add(-answersFor - time.Second)
		a.keep(next, answer{})
	}
}
