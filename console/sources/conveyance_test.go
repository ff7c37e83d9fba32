package sources

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// service is an EIDO service (NENA-STA-024.1): a notifier that a test plays.
type service struct {
	t     *testing.T
	http  *httptest.Server
	conns chan *peer
	deny  chan int      // statuses with which connections are refused, while there are some
	over  chan struct{} // closed when the test is
}

// peer is one connection of a subscriber.
type peer struct {
	t    *testing.T
	conn *websocket.Conn
	ctx  context.Context
	auth string
	end  context.CancelFunc
}

func newService(t *testing.T) *service {
	s := &service{t: t, conns: make(chan *peer), deny: make(chan int, 10), over: make(chan struct{})}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { close(s.over); s.http.Close() })
	return s
}

func (s *service) url() string {
	return "ws" + strings.TrimPrefix(s.http.URL, "http") + "/IncidentData/ent"
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case code := <-s.deny:
		w.WriteHeader(code)
		return
	default:
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		s.t.Errorf("handshake: %v", err)
		return
	}
	ctx, end := context.WithTimeout(context.Background(), 30*time.Second)
	defer end()
	if conn.Subprotocol() != subprotocol {
		s.t.Errorf("subprotocol %q", conn.Subprotocol())
	}
	select {
	case s.conns <- &peer{s.t, conn, ctx, r.Header.Get("Authorization"), end}:
		<-ctx.Done() // the test has done with it
	case <-s.over: // a subscriber that came back, and nobody waits for it any more
	}
	_ = conn.CloseNow()
}

// said is the next message of the subscriber, without its kind.
func (p *peer) said(kind string) map[string]any {
	p.t.Helper()
	_, text, err := p.conn.Read(p.ctx)
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", kind, err)
	}
	var m map[string]map[string]any
	if err := json.Unmarshal(text, &m); err != nil || m[kind] == nil || len(m) != 1 {
		p.t.Fatalf("waiting for %s: %s, %v", kind, text, err)
	}
	return m[kind]
}

func (p *peer) says(text string) {
	p.t.Helper()
	if err := p.conn.Write(p.ctx, websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// grants accepts the subscribe that comes next.
func (p *peer) grants(id, expires string) map[string]any {
	p.t.Helper()
	s := p.said("subscribe")
	p.says(`{"subscribeResponse":{"requestId":"` + s["requestId"].(string) + `","subscriptionId":"` + id + `","expires":` + expires + `,"statusCode":200,"statusText":"OK"}}`)
	return s
}

func (p *peer) event(transaction, notification string) map[string]any {
	p.t.Helper()
	p.says(`{"event":{"subscriptionId":"sub-1","transactionId":"` + transaction + `","notification":` + notification + `}}`)
	r := p.said("eventResponse")
	if r["transactionId"] != transaction {
		p.t.Errorf("acknowledged %v, want %s", r, transaction)
	}
	return r
}

var quick = pace{first: time.Millisecond, most: 4 * time.Millisecond, ping: 20 * time.Millisecond, answer: 5 * time.Second}

func subscribedDesk(t *testing.T, s *service) *desk {
	d := newDesk(t, Settings{})
	d.in.pace = quick
	d.in.Reload(Settings{Keep: time.Minute, Subscribe: []Subscription{{URL: s.url(), Token: "a token", Expires: time.Hour}}})
	return d
}

// TestSubscription: subscribe, notification, acknowledgment, joined to its call.
func TestSubscription(t *testing.T) {
	s := newService(t)
	d := subscribedDesk(t, s)
	d.begins(one)
	if why := d.in.Troubles(); len(why) != 1 || !strings.Contains(why[0], "not connected yet") {
		t.Errorf("troubles before the answer: %q", why)
	}
	p := <-s.conns
	if sub := p.grants("sub-1", "3600"); p.auth != "Bearer a token" || sub["requestType"] != "EIDO" || sub["requestSubType"] != "new" ||
		sub["expires"] != 3600.0 || !strings.HasPrefix(sub["requestAccepts"].(string), "application/emergency.eido+json") {
		t.Errorf("subscribe %v, authorization %q", sub, p.auth)
	}
	if r := p.event("t-1", "["+incidentDoc+"]"); r["statusCode"] != 200.0 || r["statusText"] != "OK" {
		t.Errorf("acknowledged %v", r)
	}
	if got := d.has(one.ID); len(got) != 3 || got[0] != "location=12 Canal "+s.url()+"/eido" {
		t.Errorf("marked %q", got)
	}
	if st := d.in.Stats(); st.Subscriptions != 1 || st.Connected != 1 || st.Documents != 1 || st.Joined != 1 || len(d.in.Troubles()) != 0 {
		t.Errorf("stats %+v, troubles %q", st, d.in.Troubles())
	}
	if r := p.event("t-2", "[]"); r["statusCode"] != 200.0 {
		t.Errorf("an empty notification is acknowledged %v", r)
	}
	if r := p.event("t-3", `[{"what":"is this"}]`); r["statusCode"] != 400.0 {
		t.Errorf("what is no document is acknowledged %v", r)
	}
	p.says("not JSON")
	p.says(`{"somethingNew":{}}`)
	p.event("t-4", "["+dispatchDoc+"]")

	// When Holdline stops it leaves in order.
	left := make(chan struct{})
	go func() { defer close(left); _ = d.in.Close() }()
	if u := p.said("unsubscribe"); u["subscriptionId"] != "sub-1" {
		t.Errorf("unsubscribed %v", u)
	}
	p.end()
	<-left
}

// TestSubscriptionIsRenewed before it expires, by its identifier.
func TestSubscriptionIsRenewed(t *testing.T) {
	s := newService(t)
	subscribedDesk(t, s)
	p := <-s.conns
	p.grants("sub-1", "1")
	if again := p.grants("sub-1", "3600"); again["subscriptionId"] != "sub-1" || again["requestType"] != nil {
		t.Errorf("renewed with %v", again)
	}
	p.end()
}

// TestSubscriptionComesBack: after each way in which a service can fail, the
// subscription is made anew, and a service that pings out is noticed.
func TestSubscriptionComesBack(t *testing.T) {
	s := newService(t)
	s.deny <- 503
	s.deny <- 401
	d := subscribedDesk(t, s)
	ways := map[string]func(*peer){
		"the connection ends": func(p *peer) { p.grants("sub-1", "3600"); p.end() },
		"it is refused": func(p *peer) {
			sub := p.said("subscribe")
			p.says(`{"subscribeResponse":{"requestId":"` + sub["requestId"].(string) + `","statusCode":403,"statusText":"Forbidden"}}`)
		},
		"it is terminated": func(p *peer) {
			p.grants("sub-1", "3600")
			p.says(`{"terminate":{"requestId":"r","subscriptionId":"sub-1"}}`)
			if r := p.said("terminateResponse"); r["requestId"] != "r" || r["statusCode"] != 200.0 {
				t.Errorf("answered %v", r)
			}
		},
		"the protocol is not known there": func(p *peer) {
			p.said("subscribe")
			p.says(`{"response":{"requestId":"1","statusCode":501,"statusText":"Not implemented"}}`)
		},
		"it is forgotten": func(p *peer) {
			p.grants("sub-1", "1")
			sub := p.said("subscribe")
			p.says(`{"subscribeResponse":{"requestId":"` + sub["requestId"].(string) + `","statusCode":481,"statusText":"no such subscription"}}`)
		},
	}
	for name, fails := range ways {
		p := <-s.conns
		fails(p)
		p.end()
		t.Log(name)
	}
	p := <-s.conns
	p.grants("sub-9", "3600")
	p.event("t", "[]")
	if d.in.Stats().Connected != 1 {
		t.Error("not subscribed after all that")
	}
	p.end()
}

// TestSilentService: one that does not answer pings is left.
func TestSilentService(t *testing.T) {
	s := newService(t)
	d := newDesk(t, Settings{})
	d.in.pace = pace{first: time.Millisecond, most: 2 * time.Millisecond, ping: 5 * time.Millisecond, answer: 50 * time.Millisecond}
	d.in.Reload(Settings{Subscribe: []Subscription{{URL: s.url(), Expires: time.Hour}}})
	p := <-s.conns // it never reads, so that it answers neither subscribe nor ping
	second := <-s.conns
	if why := d.in.Troubles(); len(why) != 1 || !strings.Contains(why[0], "does not answer") {
		t.Errorf("troubles %q", why)
	}
	p.end()
	second.end()
}

// TestReloadedSubscriptions: only what has changed is made anew.
func TestReloadedSubscriptions(t *testing.T) {
	s := newService(t)
	d := subscribedDesk(t, s)
	p := <-s.conns
	p.grants("sub-1", "3600")
	same := Settings{Keep: time.Hour, Subscribe: []Subscription{{URL: s.url(), Token: "a token", Expires: time.Hour}}}
	d.in.Reload(same)
	p.event("t", "[]")
	same.Subscribe = []Subscription{{URL: s.url(), Token: "another", Expires: time.Hour}}
	d.in.Reload(same)
	p.said("unsubscribe")
	p.end()
	next := <-s.conns
	if next.auth != "Bearer another" {
		t.Errorf("authorization %q", next.auth)
	}
	next.grants("sub-2", "3600")
	next.end()
	d.in.Reload(Settings{})
	if st := d.in.Stats(); st.Subscriptions != 0 {
		t.Errorf("%d subscriptions after all were removed", st.Subscriptions)
	}
}
