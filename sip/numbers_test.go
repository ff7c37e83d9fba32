package sip

import (
	"strings"
	"testing"

	"holdline/policy"
	"holdline/sip/phone"
)

// TestNumbersAreRouted: 911 is 911, however the request line has it.
func TestNumbersAreRouted(t *testing.T) {
	for _, uri := range []string{"911", "tel:911", "TEL:9-1-1;phone-context=+1", "urn:service:911", "911@10.0.0.9"} {
		t.Run(uri, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
				invite := strings.Join([]string{
					"INVITE " + uri + " SIP/2.0",
					"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKnumber", "Max-Forwards: 70", "From: <sip:caller@10.0.0.1>;tag=1",
					"To: <sip:911@psap.example>", "Call-ID: number@test", "CSeq: 1 INVITE", "Contact: <sip:caller@10.0.0.1:5060>", "Content-Length: 0", "", "",
				}, "\n")
				if code := w.raw(invite); code != 0 {
					t.Errorf("refused with %d", code)
				}
				pos := w.rings("pos-1")
				if got := pos.Invite.Recipient.String(); got != uriFor("pos-1") {
					t.Errorf("the position is called %s", got)
				}
				view, err := w.guard.Get("number@test")
				w.must(err)
				if view.Kind != string(policy.Emergency) {
					t.Errorf("kind %s", view.Kind)
				}
				w.must(w.guard.Release(w.ctx, "number@test", "done", "t"))
			})
		})
	}
}

// TestShortSessionsAreRefused with the least that is taken, and never at the
// cost of a caller in need.
func TestShortSessionsAreRefused(t *testing.T) {
	short := [][2]string{{"Supported", "100rel, timer"}, {"Session-Expires", "60;refresher=uac"}}
	inWorld(t, usualSettings(), []string{"caller", "caller2", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.Headers = append(v.Headers, short...) })
		pos := w.answers("pos-1")
		for _, method := range []string{"UPDATE", "INVITE"} {
			res, err := pos.Request(w.ctx, phone.Request{Method: method, Headers: short, Body: sdp("pos-1")})
			w.must(err)
			if res.StatusCode != 422 || get(res, "min-se") != "90" {
				t.Errorf("%s of the position: %d, Min-SE %q", method, res.StatusCode, get(res, "min-se"))
			}
		}
		res, err := pos.Request(w.ctx, phone.Request{Method: "UPDATE", Headers: short[1:], Body: sdp("pos-1")})
		w.must(err)
		if res.StatusCode == 422 {
			t.Error("a position that does not know session timers was told 422")
		}
		res, err = caller.Request(w.ctx, phone.Request{Method: "UPDATE", Headers: short, Body: sdp("caller")})
		w.must(err)
		if res.StatusCode == 422 {
			t.Error("a caller in need was sent back for the session timer")
		}
		w.hangsUp(caller)

		admin := w.calls("caller2", func(v *phone.Invite) { v.RequestURI, v.Headers = "sip:5551000@10.0.0.9", short })
		_, err = admin.WaitEnd(w.ctx)
		w.must(err)
		if !strings.Contains(w.ladder(), "guard -> caller2 422 INVITE") {
			t.Errorf("an administrative call with such a session:\n%s", w.ladder())
		}
	})
}
