package sources

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWebhookSignature(t *testing.T) {
	secret, body := []byte("a shared secret of some length"), []byte(`{"call":"1","incident":"7"}`)
	d := newDesk(t, Settings{Secret: secret, Window: 5 * time.Minute})
	now := d.clock()
	good := Sign(secret, body, now)
	tests := []struct {
		name, header string
		body         []byte
		want         error
	}{
		{"as it should be", good, body, nil},
		{"the same once more", good, body, ErrReplayed},
		{"with spaces, another scheme and an old secret's", strings.Replace(Sign(secret, body, now.Add(time.Second)), ",v1=", ", v0=1, v1=00, v1=", 1), body, nil},
		{"another body", Sign(secret, body, now.Add(2*time.Second)), []byte(`{"call":"2","incident":"7"}`), ErrSignature},
		{"another secret", Sign([]byte("x"), body, now), body, ErrSignature},
		{"too old", Sign(secret, body, now.Add(-6*time.Minute)), body, ErrSignature},
		{"from the future", Sign(secret, body, now.Add(6*time.Minute)), body, ErrSignature},
		{"another time put in", strings.Replace(good, "t=1", "t=2", 1), body, ErrSignature},
		{"no time", "v1=00", body, ErrSignature},
		{"no number", "t=x,v1=00", body, ErrSignature},
		{"no signature", "t=1772366400", body, ErrSignature},
		{"nothing", "", body, ErrSignature},
	}
	for _, tc := range tests {
		if err := d.in.VerifyWebhook(tc.header, tc.body); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if s := d.in.Stats(); s.Messages != 2 || s.Refused != 10 {
		t.Errorf("counted %d messages, %d refused", s.Messages, s.Refused)
	}
	if err := newDesk(t, Settings{}).in.VerifyWebhook(good, body); !errors.Is(err, ErrNoWebhook) {
		t.Errorf("without a secret: %v", err)
	}
}

// TestReplaysAreForgotten: what is too old to be accepted need not be remembered.
func TestReplaysAreForgotten(t *testing.T) {
	secret := []byte("s")
	d := newDesk(t, Settings{Secret: secret, Window: time.Minute})
	for n := range 3000 {
		if err := d.in.VerifyWebhook(Sign(secret, []byte{byte(n)}, d.clock()), []byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
		d.pass(time.Second)
	}
	if n := len(d.in.seen.seen); n > 600 {
		t.Errorf("%d signatures are remembered", n)
	}
}
