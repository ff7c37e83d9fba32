package alerting

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdline/policy"
)

// alone is a message about a caller who waits.
func alone() Message {
	return Message{Node: "psap-a", Console: "http://console/", Channel: "pager", Seq: 7, Notices: []Notice{{Event: Firing, Alert: Alert{
		ID: "a1", Seq: 42, Raised: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Node: "psap-a", Call: "one@x", Cause: "intercept",
		Severity: Critical, State: Open, Summary: "pos-1, ann left a caller: nothing is marked",
		Data: json.RawMessage(`{"cause":"intercept","position":"pos-1","agent":"ann","rule":"intake-incomplete"}`), Deliveries: []Delivery{},
		Situation: &Situation{
			State: "waiting", Waiting: time.Now().Add(-12 * time.Second), From: "sip:+15045550123@x",
			Intake: policy.Intake{policy.Location: {Value: "12 Canal St"}},
		},
	}}}}
}

// receiver is a web server that keeps what it gets.
type receiver struct {
	*httptest.Server
	body   []byte
	header http.Header
}

func newReceiver(t *testing.T, status int) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.body, _ = io.ReadAll(q.Body)
		r.header = q.Header
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

// TestWebhook: the body is Alertmanager's version 4, signed, with its number.
func TestWebhook(t *testing.T) {
	r := newReceiver(t, 204)
	secret := []byte("k3y")
	h := Webhook{URL: r.URL + "/hook?token=s3cret", Secret: secret, Client: r.Client()}
	m := alone()
	over := m.Notices[0]
	over.Event, over.Ends, over.Why = Over, m.Notices[0].Alert.Raised.Add(time.Minute), "the caller is with pos-2"
	over.Alert.ID = "a2"
	m.Notices = append(m.Notices, over)
	detail, err := h.Send(t.Context(), m)
	if err != nil || detail != "204 No Content" {
		t.Fatalf("%q, %v", detail, err)
	}
	if got := r.header.Get("Holdline-Signature"); !hmac.Equal([]byte(got), []byte(Sign(secret, r.body))) || got == Sign([]byte("other"), r.body) {
		t.Errorf("signature %s", got)
	}
	var b struct {
		Version, Status, Receiver, GroupKey, ExternalURL string
		Sequence                                         int
		CommonLabels                                     map[string]string
		Alerts                                           []struct {
			Status, Fingerprint, StartsAt, EndsAt string
			Labels, Annotations                   map[string]string
			Holdline                              struct{ ID string }
		}
	}
	if err := json.Unmarshal(r.body, &b); err != nil {
		t.Fatal(err)
	}
	if b.Version != "4" || b.Status != "firing" || b.Receiver != "pager" || b.Sequence != 7 || r.header.Get("Holdline-Sequence") != "7" || len(b.Alerts) != 2 {
		t.Errorf("body: %s", r.body)
	}
	a := b.Alerts[0]
	if a.Status != "firing" || a.EndsAt != "0001-01-01T00:00:00Z" || len(a.Fingerprint) != 16 || a.Fingerprint == b.Alerts[1].Fingerprint ||
		a.Labels["position"] != "pos-1" || a.Labels["severity"] != "critical" || a.Annotations["waiting"] != "0:12" || a.Holdline.ID != "a1" {
		t.Errorf("alert: %+v", a)
	}
	if o := b.Alerts[1]; o.Status != "resolved" || o.EndsAt != "2026-03-01T12:01:00Z" || o.Annotations["resolved"] != "the caller is with pos-2" {
		t.Errorf("end: %+v", o)
	}
	if _, alert := b.CommonLabels["alert"]; alert || b.CommonLabels["cause"] != "intercept" {
		t.Errorf("common: %v", b.CommonLabels)
	}
}

// TestWebhookErrors: what is refused is told from what may be tried again, and
// nothing of the URL is shown.
func TestWebhookErrors(t *testing.T) {
	for status, refused := range map[int]bool{400: true, 413: true, 422: true, 401: false, 404: false, 429: false, 500: false, 503: false, 302: false} {
		r := newReceiver(t, status)
		client := r.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		_, err := Webhook{URL: r.URL + "/?token=s3cret", Client: client}.Send(t.Context(), alone())
		if _, is := errors.AsType[Refused](err); err == nil || is != refused {
			t.Errorf("%d: %v, refused %v", status, err, is)
		}
	}
	r := newReceiver(t, 200)
	r.Close()
	if _, err := (Webhook{URL: r.URL + "/?token=s3cret"}).Send(t.Context(), alone()); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("nobody there: %v", err)
	}
	for raw, want := range map[string]string{
		"https://u:p@hooks.example/a?token=x":        "https://hooks.example/a",
		"https://hooks.example/services/T0/B0/XXXXX": "https://hooks.example/...", "::": "",
	} {
		if got := Redacted(raw); got != want {
			t.Errorf("%s is shown as %s", raw, got)
		}
	}
}

// mailServer takes mail as RFC 5321 has it, enough for a client.
func mailServer(t *testing.T, refuse string, secure ...*tls.Config) (addr string, got <-chan string) {
	t.Helper()
	var upgrade *tls.Config
	if len(secure) > 0 {
		upgrade = secure[0]
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	mails := make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveMail(c, refuse, upgrade, mails)
		}
	}()
	return l.Addr().String(), mails
}

func serveMail(c net.Conn, refuse string, upgrade *tls.Config, mails chan<- string) {
	defer func() { c.Close() }()
	in := bufio.NewReader(c)
	say := func(s string) { fmt.Fprint(c, s+"\r\n") }
	say("220 mail.test")
	var mail strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		mail.WriteString(line)
		switch {
		case verb == refuse:
			say("550 5.7.1 not from you")
		case verb == "EHLO" && upgrade != nil:
			say("250-mail.test\r\n250 STARTTLS")
		case verb == "STARTTLS":
			say("220 go on")
			c = tls.Server(c, upgrade)
			in, upgrade = bufio.NewReader(c), nil
			mail.WriteString("(encrypted)\n")
		case verb == "EHLO":
			say("250-mail.test\r\n250 AUTH PLAIN")
		case verb == "AUTH":
			say("235 2.7.0 welcome")
		case verb == "DATA":
			say("354 go on")
			for line != ".\r\n" {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				mail.WriteString(line)
			}
			say("250 2.0.0 taken")
			mails <- mail.String()
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func TestMail(t *testing.T) {
	addr, mails := mailServer(t, "")
	s := Mail{Server: addr, Security: MailPlain, User: "holdline", Password: "s3cret", From: "holdline@psap.example", To: []string{"chief@psap.example", "deputy@psap.example"}, Hello: "psap.example"}
	if _, err := s.Send(t.Context(), alone()); err != nil {
		t.Fatal(err)
	}
	got := <-mails
	for _, want := range []string{
		"MAIL FROM:<holdline@psap.example>", "RCPT TO:<chief@psap.example>", "RCPT TO:<deputy@psap.example>",
		"Subject: [Holdline psap-a] critical: pos-1, ann left a caller: nothing", "Auto-Submitted: auto-generated", "AUTH PLAIN",
		"Now: the caller is ALONE, waiting 0:12", "location=3D12 Canal St", "http://console/",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestMailEncrypted: TLS after a plain beginning and from the beginning, with a
// certificate that is checked.
func TestMailEncrypted(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	trusted := web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trusted.ServerName = "example.com" // of the test's certificate
	s := Mail{Security: MailStartTLS, From: "a@b.example", To: []string{"c@d.example"}, Hello: "psap.example", User: "u", Password: "s3cret", TLS: trusted}
	addr, mails := mailServer(t, "", web.TLS)
	s.Server = addr
	if _, err := s.Send(t.Context(), alone()); err != nil {
		t.Fatal(err)
	}
	if got := <-mails; strings.Index(got, "(encrypted)") > strings.Index(got, "AUTH") || !strings.Contains(got, "(encrypted)") {
		t.Errorf("the password went out in the clear:\n%s", got)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", web.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := make(chan string, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			serveMail(c, "", nil, taken)
		}
	}()
	s.Server, s.Security = l.Addr().String(), MailTLS
	if _, err := s.Send(t.Context(), alone()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(<-taken, "AUTH") {
		t.Error("nobody signed in")
	}
	s.Server, s.Security, s.TLS = addr, MailStartTLS, nil // the system does not know the test's authority
	if _, err := s.Send(t.Context(), alone()); err == nil {
		t.Error("an unknown certificate was taken")
	}
}

// TestMailErrors: no mail goes out in the clear unless the file says so, and a
// password is in no error.
func TestMailErrors(t *testing.T) {
	addr, mails := mailServer(t, "MAIL")
	s := Mail{Server: addr, From: "holdline@psap.example", To: []string{"chief@psap.example"}, Hello: "psap.example", User: "u", Password: "s3cret"}
	for _, security := range MailSecurities() {
		s.Security = security
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := s.Send(ctx, alone())
		cancel()
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", security, err)
		}
	}
	select {
	case m := <-mails:
		t.Errorf("a mail was taken:\n%s", m)
	default:
	}
}

// TestMailServerHangs: a server that takes the connection and says nothing
// holds a mail up for as long as the channel may take, and no longer.
func TestMailServerHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, security := range MailSecurities() {
		s := Mail{Server: l.Addr().String(), Security: security, From: "a@b.example", To: []string{"c@d.example"}, Hello: "psap.example"}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		_, err := s.Send(ctx, alone())
		cancel()
		if err == nil || err.Error() != "no answer in time" {
			t.Errorf("%s: %v", security, err)
		}
		if took := time.Since(begin); took > 10*time.Second { // the library's own time is 15 s
			t.Errorf("%s: it took %s", security, took)
		}
	}
}

// handset is a phone that does as it is told.
type handset struct {
	texts, rung []string
	joined      string
	err, join   error
}

func (h *handset) Message(ctx context.Context, uri, text string) error {
	h.texts = append(h.texts, uri+" "+text)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return h.err
}

func (h *handset) Ring(_ context.Context, uri, display string) error {
	h.rung = append(h.rung, uri+" "+display)
	return h.err
}

func (h *handset) Join(_ context.Context, call, mode, uri, by string) error {
	h.joined = strings.Join([]string{call, mode, uri, by}, " ")
	return h.join
}

func TestSIPMessage(t *testing.T) {
	h := &handset{}
	s := SIPMessage{Phones: h, URI: "sip:chief@x"}
	if _, err := s.Send(t.Context(), alone()); err != nil {
		t.Fatal(err)
	}
	want := "sip:chief@x HOLDLINE psap-a CRITICAL pos-1, ann left a caller: nothing is marked\nNow: the caller is ALONE, waiting 0:12\n" +
		"From: sip:+15045550123@x\nIntake: location=12 Canal St\nhttp://console/"
	if h.texts[0] != want {
		t.Errorf("text:\n%s", h.texts[0])
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := s.Send(late, alone()); err == nil || err.Error() != "no answer in time" {
		t.Errorf("a phone that does not answer: %v", err)
	}
}

// TestSIPCall: who answers is brought to the caller; when there is no caller any
// more the ringing is the message.
func TestSIPCall(t *testing.T) {
	h := &handset{}
	s := SIPCall{Phones: h, Joiner: h, URI: "sip:chief@x", Mode: "listen", Ring: time.Minute, Name: "ring"}
	if detail, err := s.Send(t.Context(), alone()); err != nil || h.joined != "one@x listen sip:chief@x alert channel ring" || len(h.rung) != 0 {
		t.Errorf("%s, %v, joined %q, rung %v", detail, err, h.joined, h.rung)
	}
	h.join = ErrCallOver
	over := alone()
	over.Notices[0].Alert.Situation.State = callOver
	for _, m := range []Message{alone(), over, {Test: true, Notices: alone().Notices}} {
		h.rung = nil
		if _, err := s.Send(t.Context(), m); err != nil || len(h.rung) != 1 {
			t.Errorf("%v, rung %v", err, h.rung)
		}
	}
	h.join, h.rung = errors.New("it answered 486 Busy Here"), nil
	if _, err := s.Send(t.Context(), alone()); err == nil || len(h.rung) != 0 {
		t.Errorf("busy: %v, rung %v", err, h.rung)
	}
	two := alone()
	second := two.Notices[0]
	second.Alert.Call, second.Alert.Situation = "two@x", &Situation{State: "bridged"}
	two.Notices = []Notice{second, two.Notices[0]}
	h.join = nil
	if _, err := s.Send(t.Context(), two); err != nil || !strings.HasPrefix(h.joined, "one@x ") {
		t.Errorf("of two callers the one who is alone comes first: %q, %v", h.joined, err)
	}
}

// TestShorten: a text is cut between characters.
func TestShorten(t *testing.T) {
	for most := 3; most < 20; most++ {
		got := shorten("Straße über Öl", most)
		if len(got) > most || !strings.HasPrefix("Straße über Öl", strings.TrimSuffix(got, "…")) {
			t.Errorf("%d: %q", most, got)
		}
	}
}
