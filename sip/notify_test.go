package sip

import (
	"context"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/phone"
)

// chief is a supervisor's phone that answers MESSAGE with code.
func (w *world) chief(code int) *phone.Phone {
	w.t.Helper()
	conn, err := w.net.ListenUDP(hosts["fallback2"])
	w.must(err)
	p, err := phone.New(phone.Options{Conn: conn, User: "chief", OnRequest: func(_ *phone.Call, r *gosip.Request) *phone.Reply {
		if r.Method != "MESSAGE" || code == 0 {
			return nil
		}
		return &phone.Reply{Code: code}
	}})
	w.must(err)
	w.phones["chief"] = p
	return p
}

// TestMessage: a text reaches the phone as it is, and a refusal is an error
// that says which.
func TestMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		code int
		err  string
	}{
		"taken":    {200, ""},
		"stored":   {202, ""},
		"unknown":  {404, "it answered 404 Not Found; is the phone registered there?"},
		"no login": {407, "wants a login"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), nil, func(w *world) {
				p := w.chief(tc.code)
				err := w.guard.Message(w.ctx, "sip:chief@"+hosts["fallback2"], "Caller is alone, Straße 1\nline 2")
				if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got %v, want %q", err, tc.err)
				}
				for _, m := range p.Trace() {
					if text := string(m.Raw); strings.HasPrefix(text, "MESSAGE ") &&
						(!strings.HasSuffix(text, "\r\n\r\nCaller is alone, Straße 1\nline 2") || strings.Contains(text, "Contact:")) {
						t.Errorf("message:\n%s", text)
					}
				}
			})
		})
	}
}

// TestMessageToNobody: the sender's patience ends it, not SIP's 32 seconds.
func TestMessageToNobody(t *testing.T) {
	inWorld(t, usualSettings(), nil, func(w *world) {
		ctx, cancel := context.WithTimeout(w.ctx, 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := w.guard.Message(ctx, "sip:chief@10.0.0.99", "x"); err == nil || time.Since(begin) > 4*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		if err := w.guard.Message(ctx, "not a uri", "x"); err == nil {
			t.Error("a message to nowhere was sent")
		}
	})
}

// TestRing: a phone that answers is told so and let go; its own streams are
// refused.
func TestRing(t *testing.T) {
	inWorld(t, usualSettings(), nil, func(w *world) {
		w.chief(0)
		done := make(chan error, 1)
		go func() { done <- w.guard.Ring(w.ctx, "sip:chief@"+hosts["fallback2"], `ALERT "intercept"`) }()
		c := w.rings("chief")
		if from := get(c.Invite, "from"); !strings.HasPrefix(from, `"ALERT intercept" <sip:holdline@`) {
			t.Errorf("From is %s", from)
		}
		w.must(c.Ring())
		w.pass(5 * time.Second)
		w.must(c.Answer(sdp("fallback2")))
		w.must(c.WaitAck(w.ctx))
		w.must(<-done)
		if sdp := string(c.RemoteSDP()); !strings.Contains(sdp, "m=audio 0 RTP/AVP") {
			t.Errorf("the answer takes a stream:\n%s", sdp)
		}
		w.ended(c, "chief", "BYE", true)
	})
}

// TestRingNotAnswered: the phone stops ringing when the time is over, and one
// that declines is told apart.
func TestRingNotAnswered(t *testing.T) {
	inWorld(t, usualSettings(), nil, func(w *world) {
		w.chief(0)
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- w.guard.Ring(ctx, "sip:chief@"+hosts["fallback2"], "ALERT") }()
		c := w.rings("chief")
		w.must(c.Ring())
		if err := <-done; err == nil {
			t.Error("a phone that nobody answered counts as answered")
		}
		w.ended(c, "chief", "CANCEL", true)
		go func() { done <- w.guard.Ring(w.ctx, "sip:chief@"+hosts["fallback2"], "ALERT") }()
		w.must(w.rings("chief").Reject(486))
		if err := <-done; err == nil || !strings.Contains(err.Error(), "486") {
			t.Errorf("declined: %v", err)
		}
		w.settle()
	})
}
