package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/cmd/holdline/config"
	"holdline/console/alerting"
	"holdline/sip/phone"
)

// told is what somebody was told, and when.
type told struct {
	at   time.Time
	text string
}

// pagers is a web server that passes on which alerts it gets: "firing intercept".
func pagers(t *testing.T) (url string, got <-chan told) {
	t.Helper()
	out := make(chan told, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		body, _ := io.ReadAll(r.Body)
		var b struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if json.Unmarshal(body, &b) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, a := range b.Alerts {
			out <- told{at, a.Status + " " + a.Labels["cause"]}
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, out
}

// chief is a supervisor's phone that passes on the texts it gets.
func chief(t *testing.T) (*phone.Phone, <-chan told) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan told, 100)
	p, err := phone.New(phone.Options{
		Conn: conn, User: "chief", Media: func() (net.PacketConn, error) { return net.ListenPacket("udp4", "127.0.0.1:0") },
		OnRequest: func(_ *phone.Call, r *gosip.Request) *phone.Reply {
			if r.Method == "MESSAGE" {
				out <- told{time.Now(), string(r.Body())}
				return &phone.Reply{Code: 200}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, out
}

// next waits for what somebody is told, past what is about other causes: on a
// slow machine the node may be degraded for a moment.
func next(t *testing.T, from <-chan told, want string) told {
	t.Helper()
	limit := time.After(slow)
	for {
		select {
		case g := <-from:
			if strings.Contains(g.text, want) {
				return g
			}
			if !strings.Contains(g.text, "degraded") && !strings.Contains(g.text, "recording") {
				t.Fatalf("told of %q, want %q", g.text, want)
			}
		case <-limit:
			t.Fatalf("nobody was told of %q", want)
		}
	}
}

// TestAlertsReachPeople: from the BYE of a position to the pager and the text on
// the supervisor's phone is less than a second; when nobody acknowledges, the
// phone rings, and who answers hears the caller; an acknowledgment ends it.
func TestAlertsReachPeople(t *testing.T) {
	t.Parallel()
	pager, paged := pagers(t)
	sup, texts := chief(t)
	var pos *phone.Phone
	s := newStudio(t, func(c *config.Config) {
		pos = newPhone(t, "pos-1")
		c.Positions = []config.Position{{ID: "pos-1", URI: pos.URI(), Calls: 1, Agent: "ann"}}
		c.Alerts.Channels = []config.Channel{
			{Name: "pager", Kind: "webhook", URL: pager, Timeout: config.Duration(5 * time.Second)},
			{Name: "text", Kind: "sip-message", URI: sup.URI(), Timeout: config.Duration(5 * time.Second)},
			{Name: "ring", Kind: "sip-call", URI: sup.URI(), Mode: "barge", Ring: config.Duration(20 * time.Second), Timeout: config.Duration(5 * time.Second)},
		}
		c.Alerts.Escalation = []config.Escalation{
			{Channels: []string{"pager", "text"}, Causes: []string{"intercept"}},
			{Channels: []string{"ring"}, After: config.Duration(2 * time.Second), Causes: []string{"intercept"}, Unresolved: true},
		}
	})
	caller := newPhone(t, "caller")
	call, taken := s.calls(caller, pos)
	begin := time.Now()
	if res, err := taken.Bye(s.ctx); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	first := next(t, paged, "firing intercept")
	text := next(t, texts, "CRITICAL pos-1, ann left a caller")
	t.Logf("from the BYE to the pager %s, to the phone's text %s", first.at.Sub(begin), text.at.Sub(begin))
	for who, at := range map[string]time.Time{"the pager": first.at, "the text": text.at} {
		if d := at.Sub(begin); d > time.Second {
			t.Errorf("%s took %s", who, d)
		}
	}
	if !strings.Contains(text.text, "ALONE") {
		t.Errorf("the text does not say that the caller is alone:\n%s", text.text)
	}
	answered := s.takes(sup, supervisorTone)
	if d := time.Since(begin); d < 2*time.Second || d > 10*time.Second {
		t.Errorf("the phone rang after %s, want 2s and some", d)
	}
	s.hears("the supervisor", answered, callerTone)
	var list struct{ Alerts []alerting.Alert }
	s.api("GET", "/v1/alerts?open=true", nil, &list, 200)
	i := slices.IndexFunc(list.Alerts, func(a alerting.Alert) bool { return a.Cause == "intercept" })
	if i < 0 || len(list.Alerts[i].Actions) == 0 || list.Alerts[i].Situation == nil {
		t.Fatalf("alerts: %+v", list)
	}
	s.api("POST", "/v1/alerts/"+list.Alerts[i].ID+"/ack", map[string]string{"by": "chief"}, nil, 200)
	next(t, paged, "resolved intercept")
	if res, err := call.Bye(s.ctx); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	if _, err := answered.WaitEnd(s.ctx); err != nil {
		t.Fatal(err)
	}
}
