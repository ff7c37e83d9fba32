package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdline/console/alerting"
	"holdline/recorder"
	"holdline/sip"
)

func TestCallsByAnyIdentifier(t *testing.T) {
	b := newBench(t)
	ids := []string{"a84b4c76e66710@pc33.atlanta.com", "3848276298220188511@[2001:db8::1]:5060", "a/b?c#d%e", "..", `<>"'{}`, "日本"}
	for _, id := range ids {
		b.board.calls = append(b.board.calls, callView(id, "bridged"))
	}
	for _, id := range ids {
		for _, name := range []string{id, "urn:emergency:uid:callid:" + id + ":psap.example"} {
			path := "/v1/calls/" + url.PathEscape(name)
			if name == ".." {
				path = "/v1/calls/%2E%2E"
			}
			w := b.do("GET", path, "")
			var got sip.CallView
			if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != 200 || err != nil || got.ID != id {
				t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}

func TestListPutsCallersWhoWaitFirst(t *testing.T) {
	b := newBench(t)
	late, early := callView("late", "bridged"), callView("early", "bridged")
	late.Started = epoch.Add(time.Minute)
	b.board.calls = []sip.CallView{late, early, callView("alone", "waiting")}
	var got struct{ Calls []sip.CallView }
	w := b.do("GET", "/v1/calls", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	var order []string
	for _, c := range got.Calls {
		order = append(order, c.ID)
	}
	if strings.Join(order, " ") != "alone early late" {
		t.Errorf("order is %v", order)
	}
	b.board.calls = nil
	if w := b.do("GET", "/v1/calls", ""); strings.TrimSpace(w.Body.String()) != `{"calls":[]}` {
		t.Errorf("no calls: %s", w.Body)
	}
}

// TestRequests holds the answer of every request that is easily got wrong, and
// that each failure is JSON that says what and how.
func TestRequests(t *testing.T) {
	tests := map[string]struct {
		method, path, body string
		header             []string
		status             int
		contains           string // of the body, without spaces
	}{
		"intake":                     {"PUT", "/v1/calls/one/intake", `{"location":" 12 Canal St ","callback":true}`, nil, 200, `"location":{"value":"12 Canal St","by":"10.1.2.3","source":"http"`},
		"intake true":                {"PUT", "/v1/calls/one/intake", `{"callback":true}`, nil, 200, `"callback":{"value":"true"`},
		"intake by":                  {"PUT", "/v1/calls/one/intake", `{"incident":"7","by":"agent-7"}`, nil, 200, `"by":"agent-7"`},
		"intake charset":             {"PUT", "/v1/calls/one/intake", `{"incident":"7"}`, []string{"Content-Type: application/json; charset=utf-8"}, 200, `"intakeComplete":true`},
		"intake unknown field":       {"PUT", "/v1/calls/one/intake", `{"locaton":"x"}`, nil, 400, `"there is no intake field \"locaton\"","hint":"did you mean \"location\"?"`},
		"intake strange field":       {"PUT", "/v1/calls/one/intake", `{"zzzzzz":"x"}`, nil, 400, `the fields are location, callback`},
		"intake null":                {"PUT", "/v1/calls/one/intake", `{"nature":null}`, nil, 400, `a mark cannot be taken back`},
		"intake empty value":         {"PUT", "/v1/calls/one/intake", `{"nature":"  "}`, nil, 400, `\"nature\" is empty`},
		"intake false":               {"PUT", "/v1/calls/one/intake", `{"nature":false}`, nil, 400, `\"nature\" is false`},
		"intake number":              {"PUT", "/v1/calls/one/intake", `{"incident":7}`, nil, 400, `must be a text or true, not 7`},
		"intake too long":            {"PUT", "/v1/calls/one/intake", `{"nature":"` + strings.Repeat("ä", 1001) + `"}`, nil, 400, `1001 characters`},
		"intake nothing":             {"PUT", "/v1/calls/one/intake", `{}`, nil, 400, `marks no field`},
		"intake only by":             {"PUT", "/v1/calls/one/intake", `{"by":"x"}`, nil, 400, `marks no field`},
		"intake by number":           {"PUT", "/v1/calls/one/intake", `{"by":5,"nature":"x"}`, nil, 400, `\"by\" must be a name`},
		"intake array":               {"PUT", "/v1/calls/one/intake", `["location"]`, nil, 400, `not a JSON object`},
		"intake broken":              {"PUT", "/v1/calls/one/intake", `{"location":`, nil, 400, `not a JSON object`},
		"intake two objects":         {"PUT", "/v1/calls/one/intake", `{"nature":"x"}{"nature":"y"}`, nil, 400, `more after the first object`},
		"intake no call":             {"PUT", "/v1/calls/two/intake", `{"nature":"x"}`, nil, 404, `no call in progress has the identifier \"two\"`},
		"intake form":                {"PUT", "/v1/calls/one/intake", `nature=x`, []string{"Content-Type: application/x-www-form-urlencoded"}, 415, `send Content-Type: application/json`},
		"intake large":               {"PUT", "/v1/calls/one/intake", `{"nature":"` + strings.Repeat("x", 70000) + `"}`, nil, 413, `larger than 65536`},
		"intake wrong method":        {"POST", "/v1/calls/one/intake", `{}`, nil, 405, `it takes PUT`},
		"release":                    {"POST", "/v1/calls/one/release", `{"reason":"safe","by":"s-2"}`, nil, 200, `"reason":"safe"`},
		"release without reason":     {"POST", "/v1/calls/one/release", `{"by":"s-2"}`, nil, 400, `needs a reason`},
		"release no call":            {"POST", "/v1/calls/two/release", `{"reason":"safe"}`, nil, 404, `no call`},
		"call unknown":               {"GET", "/v1/calls/two", "", nil, 404, `"error"`},
		"calls delete":               {"DELETE", "/v1/calls/one", "", nil, 405, `"error"`},
		"join":                       {"POST", "/v1/calls/one/join", `{"mode":"listen","target":"sip:s@10.0.0.1","by":"s-2"}`, nil, 201, `"id":"j1"`},
		"join whom":                  {"POST", "/v1/calls/one/join", `{"mode":"listen"}`, nil, 400, `who is to join`},
		"join twice":                 {"POST", "/v1/calls/one/join", `{"mode":"listen","target":"sip:s@h","sdp":"v=0"}`, nil, 400, `both a target and an sdp`},
		"join mode":                  {"POST", "/v1/calls/one/join", `{"mode":"shout","target":"sip:s@h"}`, nil, 400, `listen, whisper and barge`},
		"join target":                {"POST", "/v1/calls/one/join", `{"mode":"barge","target":"nowhere"}`, nil, 400, `SIP URI like`},
		"join no call":               {"POST", "/v1/calls/two/join", `{"mode":"barge","target":"sip:s@h"}`, nil, 404, `no call in progress`},
		"join no browsers":           {"POST", "/v1/calls/one/join", `{"mode":"listen","sdp":"v=0"}`, nil, 503, `console.webrtc`},
		"switch":                     {"PATCH", "/v1/calls/one/join/j1", `{"mode":"barge"}`, nil, 200, `"mode":"barge"`},
		"switch put":                 {"PUT", "/v1/calls/one/join/j1", `{"mode":"whisper"}`, nil, 200, `"mode":"whisper"`},
		"switch nobody":              {"PATCH", "/v1/calls/one/join/j2", `{"mode":"barge"}`, nil, 404, `no such supervisor`},
		"leave":                      {"DELETE", "/v1/calls/one/join/j1", "", nil, 200, `"state":"ended"`},
		"take over":                  {"POST", "/v1/calls/one/takeover", `{"join":"j1"}`, nil, 200, `"mode":"taker"`},
		"take over whom":             {"POST", "/v1/calls/one/takeover", `{}`, nil, 400, `who is to take over`},
		"take over too early":        {"POST", "/v1/calls/one/takeover", `{"join":"ringing"}`, nil, 409, `not now`},
		"assist":                     {"POST", "/v1/calls/one/assist", `{"note":"two patients","by":"pos-1"}`, nil, 201, `"kind":"join"`},
		"assist kind":                {"POST", "/v1/calls/one/assist", `{"kind":"shout"}`, nil, 400, `join and handover`},
		"assist note":                {"POST", "/v1/calls/one/assist", `{"note":"` + strings.Repeat("x", 1001) + `"}`, nil, 400, `more than 1000`},
		"nothing there":              {"GET", "/v2/calls", "", nil, 404, `openapi.yaml`},
		"static traversal":           {"GET", "/static/..%2fopenapi.yaml", "", nil, 404, `no such file`},
		"events bad id":              {"GET", "/v1/events?after=x", "", nil, 400, `not the number of a record`},
		"events negative":            {"GET", "/v1/events", "", []string{"Last-Event-ID: -1"}, 400, `Last-Event-ID is \"-1\"`},
		"alert unknown":              {"POST", "/v1/alerts/99/ack", "", nil, 404, `there is no alert \"99\"`},
		"recording without recorder": {"GET", "/v1/recordings/one", "", nil, 404, `no recording`},
		"health":                     {"GET", "/healthz", "", nil, 200, `"alive"`},
		"ready":                      {"GET", "/readyz", "", nil, 200, `"ready"`},
		"openapi":                    {"GET", "/openapi.yaml", "", nil, 200, `openapi: 3.1.0`},
		"script":                     {"GET", "/static/follow.js", "", nil, 200, `EventSource`},
		"foreign page":               {"POST", "/v1/calls/one/release", `{"reason":"x"}`, []string{"Sec-Fetch-Site: cross-site"}, 403, `another site`},
		"foreign origin":             {"PUT", "/v1/calls/one/intake", `{"nature":"x"}`, []string{"Origin: http://evil.example"}, 403, `another site`},
		"own page":                   {"PUT", "/v1/calls/one/intake", `{"nature":"x"}`, []string{"Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1:8911"}, 200, `nature`},
		"foreign name":               {"GET", "/v1/calls", "", []string{"Host: evil.example:8911"}, 421, `not called evil.example`},
		"localhost":                  {"GET", "/v1/calls", "", []string{"Host: localhost:8911"}, 200, `calls`},
		"ipv6 host":                  {"GET", "/v1/calls", "", []string{"Host: [::1]:8911"}, 200, `calls`},
		"own name":                   {"GET", "/v1/calls", "", []string{"Host: console.psap.example"}, 200, `calls`},
		"metrics by any name":        {"GET", "/metrics", "", []string{"Host: evil.example"}, 200, `holdline_build_info`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Hosts = []string{"console.psap.example"} })
			b.board.calls = []sip.CallView{callView("one", "bridged")}
			header := tc.header
			if tc.body != "" && !strings.HasPrefix(strings.Join(header, ""), "Content-Type") {
				header = append([]string{"Content-Type: application/json"}, header...)
			}
			w := b.do(tc.method, tc.path, tc.body, header...)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.contains) {
				t.Errorf("%s %s: %d %s\nwant %d and %s", tc.method, tc.path, w.Code, w.Body, tc.status, tc.contains)
			}
			if w.Code >= 400 {
				var f failure
				if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Error == "" {
					t.Errorf("failure is not JSON with an error: %s", w.Body)
				}
			}
			if w.Code == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestCommandsThatFail(t *testing.T) {
	b := newBench(t)
	b.board.calls = []sip.CallView{callView("one", "bridged")}
	for _, tc := range []struct {
		err    error
		status int
	}{{context.DeadlineExceeded, 504}, {errors.New("bug"), 500}} {
		b.board.fail = fmt.Errorf("marking: %w", tc.err)
		if w := b.do("PUT", "/v1/calls/one/intake", `{"nature":"x"}`); w.Code != tc.status {
			t.Errorf("%v: %d %s", tc.err, w.Code, w.Body)
		}
	}
}

func TestReleaseReachesTheCall(t *testing.T) {
	b := newBench(t)
	b.board.calls = []sip.CallView{callView("one", "waiting")}
	b.do("POST", "/v1/calls/one/release", `{"reason":" safe at home ","by":"s-2"}`)
	if b.board.released != "one|safe at home|s-2" {
		t.Errorf("released %q", b.board.released)
	}
}

func TestPanicEndsTheRequestAlone(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Ready = func() []string { panic("bug") } })
	if w := b.do("GET", "/readyz", ""); w.Code != 500 || !strings.Contains(w.Body.String(), "calls are not affected") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.do("GET", "/healthz", ""); w.Code != 200 {
		t.Errorf("after a panic: %d", w.Code)
	}
}

func TestNotReady(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Ready = func() []string { return []string{"journal: disk full", "draining"} } })
	w := b.do("GET", "/readyz", "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"reasons":["journal: disk full","draining"]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.do("GET", "/", ""); !strings.Contains(w.Body.String(), "disk full") {
		t.Error("the page does not say that the node is degraded")
	}
}

// follow opens the event stream over a real connection.
func follow(t *testing.T, b *bench, query, lastID string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	res, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); res.Body.Close() })
	if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("%d %s", res.StatusCode, ct)
	}
	br := bufio.NewReader(res.Body)
	if line := block(t, br); line != "retry: 1000" {
		t.Fatalf("stream begins with %q", line)
	}
	return br
}

// block reads one event, up to the empty line.
func block(t *testing.T, br *bufio.Reader) string {
	t.Helper()
	var lines []string
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatalf("reading an event after %q: %v", lines, err)
		}
		if line == "\n" {
			return strings.Join(lines, "\n")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

func TestEventsStartLive(t *testing.T) {
	b := newBench(t)
	b.journal.add("one", "call.offered", `{}`)
	events := follow(t, b, "", "")
	want := b.journal.add("one", "call.ended", `{"by":"caller"}`)
	data, _ := json.Marshal(want)
	if got := block(t, events); got != "id: 2\nevent: call.ended\ndata: "+string(data) {
		t.Errorf("event:\n%s", got)
	}
}

func TestEventsResume(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		b.journal.add("one", "rescue.offered", fmt.Sprintf(`{"n":%d}`, i))
	}
	for name, events := range map[string]*bufio.Reader{
		"after":         follow(t, b, "?after=3", ""),
		"Last-Event-ID": follow(t, b, "?after=0", "3"),
	} {
		for _, want := range []string{"id: 4\n", "id: 5\n"} {
			if got := block(t, events); !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %q, want %q first", name, got, want)
			}
		}
	}
	if got := block(t, follow(t, b, "?after=0", "")); !strings.HasPrefix(got, "id: 1\n") {
		t.Errorf("from the beginning: %q", got)
	}
}

// TestStopEndsStreams: a stop must not wait for clients that listen for ever.
func TestStopEndsStreams(t *testing.T) {
	b := newBench(t)
	events := follow(t, b, "", "")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.console.Stop(ctx); err != nil {
		t.Fatalf("stopping with an open stream: %v", err)
	}
	if _, err := events.ReadString('\n'); err == nil {
		t.Error("the stream goes on after the stop")
	}
}

// TestQuietStreamSaysThatItIsAlive runs in virtual time.
func TestQuietStreamSaysThatItIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Console{stopping: make(chan struct{})} // channels from outside the bubble would stop its clock
		ctx, cancel := context.WithTimeout(t.Context(), 2*keepAlive+time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		c.follow(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/events", nil), &memoryStream{c: make(chan recorder.Record)})
		if got, want := w.Body.String(), "retry: 1000\n\n: still here\n\n: still here\n\n"; got != want {
			t.Errorf("stream of half a minute: %q, want %q", got, want)
		}
	})
}

func TestStreamsAreLimited(t *testing.T) {
	b := newBench(t)
	for range maxStreams {
		b.console.streams <- struct{}{}
	}
	if w := b.do("GET", "/v1/events", ""); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestAlerts(t *testing.T) {
	b := newBench(t)
	b.journal.add("one", "alert.raised", `{"id":"rescue/one","why":"location is not marked"}`)
	b.journal.add("one", "call.ended", `{}`)
	b.journal.add("two", "alert.raised", `{"why":"second tier"}`)
	list := func(query string) []alerting.Alert {
		var got struct{ Alerts []alerting.Alert }
		w := b.do("GET", "/v1/alerts"+query, "")
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return got.Alerts
	}
	if got := list(""); len(got) != 2 || got[0].ID != "3" || got[1].ID != "rescue/one" || got[1].Call != "one" {
		t.Fatalf("alerts: %+v", got)
	}
	for _, by := range []string{"s-2", "s-3"} { // the second changes nothing
		w := b.do("POST", "/v1/alerts/rescue%2Fone/ack", `{"by":"`+by+`","note":"called back"}`)
		var got alerting.Alert
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Acknowledged.By != "s-2" {
			t.Fatalf("ack by %s: %d %s", by, w.Code, w.Body)
		}
	}
	acks := 0
	_ = b.journal.Read(t.Context(), "alert.acknowledged", func(recorder.Record) error { acks++; return nil })
	if acks != 1 {
		t.Errorf("%d records of two acknowledgments, want one", acks)
	}
	if got := list("?open=true"); len(got) != 1 || got[0].ID != "3" {
		t.Errorf("open alerts: %+v", got)
	}
	if w := b.do("POST", "/v1/alerts/3/ack", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "10.1.2.3") {
		t.Errorf("ack without a body: %d %s", w.Code, w.Body)
	}
	b.journal.breaks(errors.New("disk gone")) // the alerts are in memory
	if w := b.do("GET", "/v1/alerts", ""); w.Code != 200 {
		t.Errorf("journal gone: %d %s", w.Code, w.Body)
	}
}

func TestAgents(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Positions = func() []sip.PositionView {
			return []sip.PositionView{
				{ID: "pos-1", URI: "sip:pos-1@10.0.0.11", Agent: "ann", Limit: 1},
				{ID: "pos-2", URI: "sip:pos-2@10.0.0.12", Limit: 2},
				{ID: "pos-3", URI: "sip:pos-3@10.0.0.13", Limit: 1, Idle: epoch},
			}
		}
	})
	one, two := callView("one", "bridged"), callView("two", "offering")
	one.Legs = []sip.LegView{{Role: "caller", Target: "x", State: "confirmed"}, {Role: "taker", Target: "pos-1", State: "confirmed"}, {Role: "taker", Target: "pos-3", State: "ended"}}
	two.Legs = []sip.LegView{{Role: "taker", Target: "sip:pos-2@10.0.0.12", State: "early"}}
	b.board.calls = []sip.CallView{one, two}
	w := b.do("GET", "/v1/agents", "")
	want := `{"agents":[{"position":"pos-1","uri":"sip:pos-1@10.0.0.11","agent":"ann","source":"static","state":"busy","calls":["one"],"capacity":1},` +
		`{"position":"pos-2","uri":"sip:pos-2@10.0.0.12","state":"ringing","calls":["two"],"capacity":2},` +
		`{"position":"pos-3","uri":"sip:pos-3@10.0.0.13","state":"idle","calls":[],"capacity":1,"idleSince":"2026-03-01T12:00:00Z"}]}`
	if got := strings.TrimSpace(w.Body.String()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// shelf holds recordings by call.
type shelf map[string]string

func (s shelf) Open(call string) (*recorder.Playable, error) {
	path, ok := s[call]
	switch {
	case !ok:
		return nil, fmt.Errorf("recording of %s: %w", call, fs.ErrNotExist)
	case path == "locked":
		return nil, recorder.ErrLocked
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return nil, errors.Join(errors.New("not a file"), err, f.Close())
	}
	return &recorder.Playable{ReadSeeker: f, Closer: f, Path: path}, nil
}

func TestRecordings(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "call.wav")
	if err := os.WriteFile(path, []byte("RIFF0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(o *Options) {
		o.Recordings = shelf{"a/b@c": path, "gone": filepath.Join(dir, "none.wav"), "folder": dir, "other": "locked"}
	})
	w := b.do("GET", "/v1/recordings/a%2Fb@c", "")
	if w.Code != 200 || w.Body.String() != "RIFF0123456789" || w.Header().Get("Content-Type") != "audio/wav" {
		t.Errorf("whole: %d %v %q", w.Code, w.Header(), w.Body)
	}
	w = b.do("GET", "/v1/recordings/a%2Fb@c", "", "Range: bytes=4-6")
	if w.Code != 206 || w.Body.String() != "012" || w.Header().Get("Content-Range") != "bytes 4-6/14" {
		t.Errorf("range: %d %v %q", w.Code, w.Header(), w.Body)
	}
	for call, status := range map[string]int{"nobody": 404, "gone": 404, "folder": 500, "other": 403} {
		if w := b.do("GET", "/v1/recordings/"+call, ""); w.Code != status {
			t.Errorf("%s: %d %s, want %d", call, w.Code, w.Body, status)
		}
	}
}

// TestSlowClientIsCutOff: a client that opens a connection and says nothing
// loses it, and does not hold up others.
func TestSlowClientIsCutOff(t *testing.T) {
	b := newBench(t)
	s := b.console.server
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a limit is missing: %+v", s)
	}
	conn, err := net.Dial("tcp", b.console.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n")); err != nil {
		return // cut off while it was still sending
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("oversized header: %d", res.StatusCode)
		}
	}
}

func TestPage(t *testing.T) {
	b := newBench(t)
	alone := callView("alone@x", "waiting")
	alone.From, alone.Waiting, alone.Rescues = `"<script>alert(1)</script>" <sip:5045550100@x>`, time.Now().Add(-65*time.Second), 1
	b.board.calls = []sip.CallView{callView("one", "bridged"), alone}
	b.journal.add("alone@x", "alert.raised", `{"id":"7","cause":"intercept","why":"nature is not marked"}`)
	w := b.do("GET", "/", "")
	page := w.Body.String()
	for _, want := range []string{"Callers waiting alone", "alone@x", "1:05", "kept on the line", "&lt;script&gt;", `data-last="1"`, "intercept: nature is not marked", "Calls in progress"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a caller's name is markup on the page")
	}
	if strings.Index(page, "alone@x") > strings.Index(page, `id="calls"`) {
		t.Error("the caller who waits is not above the other calls")
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") || strings.Contains(page, "http://") {
		t.Errorf("the page may load from elsewhere: %s", csp)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a console without calls was built")
	}
	taken := errors.New("address in use")
	_, err := New(Options{Calls: &board{}, Journal: newMemory(), Listen: func() (net.Listener, error) { return nil, taken }})
	if !errors.Is(err, taken) {
		t.Errorf("socket that cannot be opened: %v", err)
	}
}
