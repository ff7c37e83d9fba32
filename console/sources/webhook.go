package sources

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SignatureHeader carries the signature of a webhook message:
//
//	Holdline-Signature: t=1772366400,v1=5257a869...
//
// t is the time in seconds since 1970, v1 the hex HMAC-SHA256 of t, a dot and
// the body under the secret that both sides know.
const SignatureHeader = "Holdline-Signature"

// maxReplays bounds the signatures that are remembered within the window.
const maxReplays = 100_000

// replays are the signatures that were seen, so that none counts twice.
type replays struct {
	mu   sync.Mutex
	seen map[string]time.Time // until when it could come again
}

// Sign returns the value of the signature header for a body.
func Sign(secret, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac(secret, t, body))
}

func mac(secret []byte, t string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(t + "."))
	m.Write(body)
	return m.Sum(nil)
}

// What can be wrong with a webhook message.
var (
	ErrNoWebhook = errors.New("no secret is configured for the webhook")
	ErrSignature = errors.New("the signature is not right")
	ErrReplayed  = errors.New("this message came before")
)

// VerifyWebhook checks the signature of a message. The error wraps one of
// ErrNoWebhook, ErrSignature and ErrReplayed and says what is wrong.
func (in *Intake) VerifyWebhook(header string, body []byte) (err error) {
	defer func() {
		if err != nil {
			in.counts.refused.Add(1)
		}
	}()
	s := in.settings.Load()
	if len(s.Secret) == 0 {
		return ErrNoWebhook
	}
	t, signatures := parseSignature(header)
	if t == "" || len(signatures) == 0 {
		return fmt.Errorf("%w: %s must be like t=1772366400,v1=5257a869", ErrSignature, SignatureHeader)
	}
	seconds, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: t is not a number of seconds", ErrSignature)
	}
	now := in.o.Now()
	if age := now.Sub(time.Unix(seconds, 0)); age > s.Window || age < -s.Window {
		return fmt.Errorf("%w: t is %s away from the time here, more than %s", ErrSignature, age.Round(time.Second).Abs(), s.Window)
	}
	want := mac(s.Secret, t, body)
	for _, sig := range signatures {
		if got, err := hex.DecodeString(sig); err == nil && hmac.Equal(got, want) {
			if !in.seen.first(hex.EncodeToString(want), now, 2*s.Window) {
				return ErrReplayed
			}
			in.counts.messages.Add(1)
			return nil
		}
	}
	return fmt.Errorf("%w: sign t, a dot and the very bytes of the body with HMAC-SHA256", ErrSignature)
}

// parseSignature reads the header. Several v1 are possible while a secret is
// being changed; what else is in it is passed over.
func parseSignature(header string) (t string, v1 []string) {
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "t":
			t = value
		case name == "v1" && len(v1) < 4:
			v1 = append(v1, value)
		}
	}
	return t, v1
}

// first notes a signature; false when it was seen before.
func (r *replays) first(signature string, now time.Time, window time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if until, ok := r.seen[signature]; ok && now.Before(until) {
		return false
	}
	if r.seen == nil {
		r.seen = map[string]time.Time{}
	}
	if len(r.seen)%256 == 255 || len(r.seen) >= maxReplays {
		for k, until := range r.seen {
			if !now.Before(until) {
				delete(r.seen, k)
			}
		}
	}
	if len(r.seen) >= maxReplays {
		return false // nobody honest sends that many; better one refused than one counted twice
	}
	r.seen[signature] = now.Add(window)
	return true
}
