package console

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"holdline/console/access"
	"holdline/policy"
	"holdline/sip"
)

const goodPassword = "correct horse battery"

// gatedBench is a bench where people sign in, with one user of each role, named
// like it, and one token of each role of machines.
type gatedBench struct {
	*bench

	gate   *access.Gate
	tokens map[access.Role]string
}

func newGatedBench(t *testing.T, change ...func(*access.Options)) *gatedBench {
	t.Helper()
	users := everyRole()
	o := access.Options{Data: t.TempDir(), Idle: time.Hour, Max: 12 * time.Hour}
	if err := os.WriteFile(filepath.Join(o.Data, "users.json"), users.file, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&o)
	}
	g := &gatedBench{gate: access.New(o), tokens: users.tokens}
	g.bench = newBench(t, func(o *Options) { o.Gate = g.gate })
	return g
}

// prepared is a file of users, with the tokens that are in it as digests.
type prepared struct {
	file   []byte
	tokens map[access.Role]string
}

// everyRole makes the users once for all tests, with hashes that are cheap to
// check: passwords cost time on purpose.
var everyRole = sync.OnceValue(func() prepared {
	dir, err := os.MkdirTemp("", "holdline-users-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, p := access.OpenStore(dir), prepared{tokens: map[access.Role]string{}}
	for _, r := range access.Roles() {
		if r.Human() {
			err = errors.Join(err, s.Add(context.Background(), "the-"+string(r), r, goodPassword, "test"))
		}
		if r != access.Admin {
			text, problem := s.AddToken("m-"+string(r), r, "test")
			p.tokens[r], err = text, errors.Join(err, problem)
		}
	}
	file, problem := os.ReadFile(filepath.Join(dir, "users.json"))
	if err = errors.Join(err, problem); err != nil {
		panic(err)
	}
	salt, e := []byte("salt of the tests"), base64.RawStdEncoding
	cheap := fmt.Sprintf(`"hash": "$argon2id$v=%d$m=64,t=1,p=1$%s$%s"`, argon2.Version, e.EncodeToString(salt), e.EncodeToString(argon2.IDKey([]byte(goodPassword), salt, 1, 64, 1, 32)))
	p.file = regexp.MustCompile(`"hash": "[^"]*"`).ReplaceAllLiteral(file, []byte(cheap))
	return p
})

// form posts a form.
func (g *gatedBench) form(path string, fields url.Values, header ...string) *httptest.ResponseRecorder {
	return g.do("POST", path, fields.Encode(), append([]string{"Content-Type: application/x-www-form-urlencoded"}, header...)...)
}

// signIn returns the Cookie header of a new session.
func (g *gatedBench) signIn(name string, header ...string) string {
	g.t.Helper()
	w := g.form("/signin", url.Values{"name": {name}, "password": {goodPassword}}, header...)
	if w.Code != http.StatusSeeOther {
		g.t.Fatalf("signing in as %s: %d %s", name, w.Code, w.Body)
	}
	return cookieHeader(g.t, w)
}

func cookieHeader(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == "holdline" && c.Value != "" {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
				t.Errorf("the cookie is %v", c)
			}
			return "Cookie: holdline=" + c.Value
		}
	}
	t.Fatal("no session cookie")
	return ""
}

// kinds counts the records of a kind.
func (b *bench) kinds(kind string) (data []string) {
	b.journal.mu.Lock()
	defer b.journal.mu.Unlock()
	for _, r := range b.journal.records {
		if r.Kind == kind {
			data = append(data, string(r.Data))
		}
	}
	return data
}

// concrete makes a request path of a route's pattern.
func concrete(pattern string) string {
	return strings.NewReplacer("{$}", "", "{id}", "none", "{call}", "none", "{join}", "none", "{name}", "none", "{file}", "live.css").Replace(pattern)
}

// TestRoleMatrix asks every route as every role, and as nobody.
func TestRoleMatrix(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	streams := []string{"GET /v1/events", "GET /v1/meters"}
	for route, need := range permissions() {
		method, pattern, _ := strings.Cut(route, " ")
		if slices.Contains(streams, route) {
			method = "HEAD" // as GET is, and it ends
		}
		open := need == access.Anyone || need == access.Signed
		if w := g.do(method, concrete(pattern), ""); !open && w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a sign-in is answered %d", route, w.Code)
		}
		if w := g.do(method, concrete(pattern), "", "Authorization: Bearer holdline_wrong"); !open && w.Code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token is answered %d", route, w.Code)
		}
		for role, token := range g.tokens {
			w := g.do(method, concrete(pattern), "", "Authorization: Bearer "+token)
			denied := w.Code == http.StatusForbidden && strings.Contains(w.Body.String(), "does not allow this")
			if method == "HEAD" {
				denied = w.Code == http.StatusForbidden
			}
			if role.Can(need) == denied {
				t.Errorf("%s as %s (needs %s): %d %s", route, role, need, w.Code, w.Body)
			}
		}
	}
}

// TestRolesAreLeast writes down what matters most of the roles.
func TestRolesAreLeast(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		role access.Role
		not  []access.Permission
	}{
		{access.Tester, []access.Permission{access.People, access.Browse, access.Audio, access.Evidence, access.Command, access.Join, access.Surge, access.Hold, access.Marks, access.Seats, access.Users}},
		{access.Auditor, []access.Permission{access.Command, access.Join, access.Surge, access.Hold, access.Marks, access.Seats, access.Channels, access.Users}},
		{access.Admin, []access.Permission{access.Audio, access.Evidence, access.Join, access.Command}},
		{access.Supervisor, []access.Permission{access.Users}},
		{access.Integration, []access.Permission{access.States, access.Browse, access.Audio, access.Evidence, access.Command, access.Join, access.Surge, access.Users}},
		{access.Scraper, []access.Permission{access.States, access.People, access.Audio, access.Marks}},
		{"", []access.Permission{access.States, access.Metrics}},
	} {
		for _, p := range x.not {
			if x.role.Can(p) {
				t.Errorf("%q may %s", x.role, p)
			}
		}
	}
}

func TestWhoSignedInIsWhoDidIt(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	g.board.calls = []sip.CallView{callView("c1", "bridged")}
	in := g.signIn("The-Supervisor") // names are the same in any case
	if w := g.do("POST", "/v1/calls/c1/release", `{"reason":"safe","by":"somebody else"}`, in); w.Code != 200 || g.board.released != "c1|safe|the-supervisor" {
		t.Errorf("%d %s: released %q", w.Code, w.Body, g.board.released)
	}
	w := g.do("PUT", "/v1/calls/c1/intake", `{"incident":"7","by":"agent-7"}`, "Authorization: Bearer "+g.tokens[access.Integration])
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"by":"m-integration (agent-7)"`) {
		t.Errorf("a machine speaks for somebody: %d %s", w.Code, w.Body)
	}
	if got := g.kinds("user.signedin"); len(got) != 1 || !strings.Contains(got[0], `"user":"the-supervisor","role":"supervisor","from":"10.1.2.3","how":"password"`) {
		t.Errorf("journaled %v", got)
	}
	for range 3 {
		g.do("GET", "/v1/calls/c1", "", in)
	}
	if got := g.kinds("call.viewed"); len(got) != 1 || !strings.Contains(got[0], `"by":"the-supervisor"`) {
		t.Errorf("journaled %v", got)
	}
	if w := g.do("POST", "/signout", "", in); w.Code != http.StatusSeeOther {
		t.Errorf("signing out: %d", w.Code)
	}
	if w := g.do("GET", "/v1/calls", "", in); w.Code != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %d", w.Code)
	}
	if got := g.kinds("user.signedout"); len(got) != 1 {
		t.Errorf("journaled %v", got)
	}
}

// TestListsAreJournaled: a list of callers shows people as much as the page of
// a call does, so who read it, and what they searched for, is written down;
// once in a while, and not for those who are shown nobody.
func TestListsAreJournaled(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	in := g.signIn("the-auditor")
	for range 3 {
		g.do("GET", "/v1/calls", "", in)
		g.do("GET", "/", "", in)
		g.do("GET", "/search?caller=5045550142", "", in)
	}
	g.do("GET", "/v1/history?caller=x&agent=ann", "", in)
	g.do("GET", "/v1/callbacks", "", in)
	g.do("HEAD", "/v1/alerts", "", in)
	g.do("GET", "/v1/calls", "", g.signIn("the-tester"))
	want := []string{`"list":"calls"`, `"list":"live"`, `"list":"search","query":"caller=5045550142"`, `"list":"search","query":"agent=ann\u0026caller=x"`, `"list":"callbacks"`}
	got := g.kinds(kindListViewed)
	if len(got) != len(want) {
		t.Fatalf("journaled %v", got)
	}
	for i, w := range want {
		if !strings.Contains(got[i], `"by":"the-auditor"`) || !strings.Contains(got[i], w) {
			t.Errorf("record %d is %s, want %s", i, got[i], w)
		}
	}
}

// TestTestersAreNotTold: what a tester is not shown is not said to be otherwise.
func TestTestersAreNotTold(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	g.console.o.Positions = func() []sip.PositionView { return []sip.PositionView{{ID: "pos-1", Agent: "ann"}, {ID: "pos-2"}} }
	call := callView("c1", "waiting")
	call.From = `"Dana" <sip:5045550100@x>`
	g.board.set(call)
	g.journal.add("c1", "alert.raised", `{"id":"7","cause":"intercept","why":"Dana"}`)
	page := g.do("GET", "/", "", g.signIn("the-tester")).Body.String()
	for _, not := range []string{"ann", "Dana", "504-555-0100", "nobody<"} {
		if strings.Contains(page, not) {
			t.Errorf("the page says %q", not)
		}
	}
	for _, want := range []string{`<p class="who">c1</p>`, "</strong> intercept</p>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestMachinesThatMarkSeeNoLists: the token of a CAD tells and asks of one call
// and of desks. It is not for reading who called, nor how call takers did.
func TestMachinesThatMarkSeeNoLists(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	token := "Authorization: Bearer " + g.tokens[access.Integration]
	for _, path := range []string{"/v1/history", "/search", "/v1/callbacks", "/v1/unrelayed", "/v1/patterns", "/agents", "/v1/holds", "/v1/channels", "/v1/calls", "/v1/alerts", "/v1/events", "/"} {
		if w := g.do("GET", path, "", token); w.Code != http.StatusForbidden {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if w := g.do("GET", "/v1/agents", "", token); w.Code != http.StatusOK {
		t.Errorf("GET /v1/agents: %d", w.Code)
	}
}

func TestPagesLeadToTheSignIn(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	w := g.do("GET", "/?a=b", "", "Accept: text/html")
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/signin?next=%2F%3Fa%3Db" {
		t.Errorf("%d %q", w.Code, to)
	}
	for next, want := range map[string]string{"/users": "/users", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "": "/", "users": "/", "/\t/evil.example": "/"} {
		w := g.form("/signin", url.Values{"name": {"the-admin"}, "password": {goodPassword}, "next": {next}}, "X: "+next)
		if to := w.Header().Get("Location"); to != want {
			t.Errorf("next %q leads to %q", next, to)
		}
	}
}

func TestSessionIsNew(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	first := g.signIn("the-supervisor")
	if w := g.do("GET", "/v1/calls", "", "Cookie: holdline=chosen-by-somebody"); w.Code != http.StatusUnauthorized {
		t.Errorf("a session that was never begun: %d", w.Code)
	}
	second := g.signIn("the-supervisor", first)
	if first == second {
		t.Error("the session of before the sign-in is kept")
	}
	if w := g.do("GET", "/v1/calls", "", first); w.Code != http.StatusUnauthorized {
		t.Errorf("the session of before the sign-in goes on: %d", w.Code)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	g := newGatedBench(t, func(o *access.Options) { o.Now = func() time.Time { return now } })
	ok := func(in string) bool { return g.do("GET", "/v1/calls", "", in).Code == http.StatusOK }
	in := g.signIn("the-auditor")
	for range 12 {
		now = now.Add(59 * time.Minute)
		if !ok(in) {
			t.Fatal("a session that is used ended")
		}
	}
	now = now.Add(30 * time.Minute)
	if ok(in) {
		t.Error("a session goes on after its longest time")
	}
	in = g.signIn("the-auditor")
	now = now.Add(61 * time.Minute)
	if ok(in) {
		t.Error("a session that nobody used goes on")
	}
	for name, change := range map[string]func() error{
		"password": func() error { return g.gate.SetPassword(context.Background(), "the-auditor", goodPassword) },
		"role":     func() error { return g.gate.SetRole("the-auditor", access.Tester) },
		"removal":  func() error { return g.gate.Remove("the-auditor") },
	} {
		if name == "removal" {
			continue
		}
		in = g.signIn("the-auditor")
		if err := change(); err != nil || ok(in) {
			t.Errorf("%s: a session of before goes on (%v)", name, err)
		}
	}
	in = g.signIn("the-auditor")
	if err := g.gate.Remove("the-auditor"); err != nil || ok(in) {
		t.Errorf("somebody who was removed goes on (%v)", err)
	}
}

func TestSignInIsLimitedAndTellsNothing(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	try := func(name string) *httptest.ResponseRecorder {
		return g.form("/signin", url.Values{"name": {name}, "password": {"wrong password"}})
	}
	known, unknown := try("the-admin"), try("the-nobody")
	if known.Code != http.StatusUnauthorized || strings.ReplaceAll(known.Body.String(), "the-admin", "X") != strings.ReplaceAll(unknown.Body.String(), "the-nobody", "X") {
		t.Errorf("%d: a user and nobody are answered differently", known.Code)
	}
	var last *httptest.ResponseRecorder
	for range 5 {
		last = try("the-admin")
	}
	if last.Code != http.StatusTooManyRequests || last.Header().Get("Retry-After") == "" {
		t.Errorf("the sixth attempt is answered %d", last.Code)
	}
	if w := g.form("/signin", url.Values{"name": {"the-admin"}, "password": {goodPassword}}); w.Code != http.StatusTooManyRequests {
		t.Errorf("the right password after too many wrong ones: %d", w.Code)
	}
	for range 40 {
		try(fmt.Sprint("user", time.Now().UnixNano()))
	}
	if got := g.kinds("user.refused"); len(got) < 5 || len(got) > 25 {
		t.Errorf("%d refusals are journaled", len(got))
	}
}

func TestOtherSitesCannotAct(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	in := g.signIn("the-admin")
	add := url.Values{"do": {"add"}, "name": {"eve"}, "role": {"admin"}, "password": {goodPassword}}
	for _, foreign := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"} {
		for _, path := range []string{"/users", "/signin", "/signout", "/setup"} {
			if w := g.form(path, add, in, foreign); w.Code != http.StatusForbidden {
				t.Errorf("%s with %s is answered %d", path, foreign, w.Code)
			}
		}
	}
	if w := g.form("/users", add, in, "Sec-Fetch-Site: same-origin"); w.Code != http.StatusOK {
		t.Errorf("the page's own form: %d %s", w.Code, w.Body)
	}
}

// TestTesterSeesNobody: no answer to a tester has anything of people.
func TestTesterSeesNobody(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	v := callView("c1", "waiting")
	v.From, v.Agent, v.Taker, v.EmergencyID = "sip:+15045550123@secret.example", "Secret Ann", "sip:secret@10.0.0.1", "urn:secret"
	v.Recording = "secret.wav"
	v.Intake = policy.Intake{"location": {Value: "12 Secret Street", By: "Secret Ann", Source: "http", At: epoch}}
	v.Legs = []sip.LegView{{Role: "caller", Target: "sip:secret@x", State: "confirmed"}}
	g.board.calls = []sip.CallView{v}
	g.journal.add("c1", "alert.raised", `{"id":"a1","cause":"abandoned","severity":"critical","why":"Secret Ann left +15045550123","from":"+15045550123","agent":"Secret Ann","position":"pos-1","waitingMs":5000,"extra":{"deep":["secret"],"lat":29.95}}`)
	in := g.signIn("the-tester")
	for _, path := range []string{"/v1/calls", "/v1/calls/c1", "/v1/alerts", "/v1/surge", "/"} {
		w := g.do("GET", path, "", in)
		body := w.Body.String()
		if w.Code != http.StatusOK || strings.Contains(strings.ToLower(body), "secret") || strings.Contains(body, "5045550123") || strings.Contains(body, "29.95") {
			t.Errorf("%s: %d %s", path, w.Code, body)
		}
		if path != "/v1/surge" && path != "/v1/alerts" && !strings.Contains(body, "c1") {
			t.Errorf("%s does not show the call: %s", path, body)
		}
	}
	for _, path := range []string{"/v1/recordings/c1", "/v1/evidence/c1", "/v1/agents", "/v1/callbacks", "/v1/patterns"} {
		if w := g.do("GET", path, "", in); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	event := string(veiledEvents([]byte("id: 7\nevent: intake.marked\ndata: {\"seq\":12345678901234567,\"data\":{\"value\":\"secret\",\"field\":\"location\"}}\n\n")))
	if event != "id: 7\nevent: intake.marked\ndata: {\"data\":{\"field\":\"location\"},\"seq\":12345678901234567}\n\n" {
		t.Errorf("an event is %q", event)
	}
	if w := g.do("GET", "/v1/calls", "", g.signIn("the-auditor")); !strings.Contains(w.Body.String(), "12 Secret Street") {
		t.Errorf("an auditor does not see it: %s", w.Body)
	}
}

// TestEventsAreVeiled: the veil is around streams too, and lets the
// connection be flushed.
func TestEventsAreVeiled(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	g.journal.add("c1", "call.offered", `{"from":"+15045550123","kind":"emergency"}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.base+"/v1/events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+g.tokens[access.Tester])
	res, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got string
	for b := make([]byte, 4096); !strings.Contains(got, "data: "); {
		n, err := res.Body.Read(b)
		if got += string(b[:n]); err != nil {
			t.Fatal(got, err)
		}
	}
	if strings.Contains(got, "5045550123") || !strings.Contains(got, `"kind":"emergency"`) {
		t.Errorf("the stream has %q", got)
	}
}

func TestSetupLinkWorksOnce(t *testing.T) {
	t.Parallel()
	gate := access.New(access.Options{Data: t.TempDir(), Idle: time.Hour, Max: time.Hour})
	g := &gatedBench{gate: gate}
	g.bench = newBench(t, func(o *Options) { o.Gate = gate })
	key := ""
	if _, err := gate.OfferSetup(func(k string) string { key = k; return "http://x/setup?key=" + k }); err != nil {
		t.Fatal(err)
	}
	if w := g.do("GET", "/setup?key=wrong", ""); w.Code != http.StatusNotFound {
		t.Errorf("a wrong link: %d", w.Code)
	}
	if w := g.do("GET", "/setup?key="+key, ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), key) {
		t.Errorf("the link: %d", w.Code)
	}
	send := func(name, password string) *httptest.ResponseRecorder {
		return g.form("/setup", url.Values{"key": {key}, "name": {name}, "password": {password}, "again": {password}})
	}
	if w := send("ann", "short"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "at least 12") {
		t.Errorf("a short password: %d %s", w.Code, w.Body)
	}
	w := send("ann", goodPassword)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("the first admin: %d %s", w.Code, w.Body)
	}
	if w := g.do("GET", "/users", "", cookieHeader(t, w)); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "ann") {
		t.Errorf("the users: %d", w.Code)
	}
	if w := send("eve", goodPassword); w.Code != http.StatusUnauthorized {
		t.Errorf("the link a second time: %d", w.Code)
	}
	if users, _, err := gate.List(); err != nil || len(users) != 1 {
		t.Errorf("%v %v", users, err)
	}
}

func TestUsersPage(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	in := g.signIn("the-admin")
	post := func(kv ...string) *httptest.ResponseRecorder {
		f := url.Values{}
		for i := 0; i < len(kv); i += 2 {
			f.Set(kv[i], kv[i+1])
		}
		return g.form("/users", f, in)
	}
	for _, x := range []struct {
		want int
		says string
		kv   []string
	}{
		{200, "bob: added", []string{"do", "add", "name", "bob", "role", "supervisor", "password", goodPassword}},
		{400, "taken", []string{"do", "add", "name", "BOB", "role", "supervisor", "password", goodPassword}},
		{400, "no role", []string{"do", "add", "name", "eve", "role", "metrics", "password", goodPassword}},
		{400, "cannot be a name", []string{"do", "add", "name", "<b>", "role", "tester", "password", goodPassword}},
		{200, "bob: role changed", []string{"do", "role", "name", "bob", "role", "tester"}},
		{200, "bob: password changed", []string{"do", "password", "name", "bob", "password", goodPassword + "2"}},
		{200, "bob: removed", []string{"do", "remove", "name", "bob"}},
		{404, "no such user", []string{"do", "remove", "name", "bob"}},
		{400, "last admin", []string{"do", "remove", "name", "the-admin"}},
		{400, "last admin", []string{"do", "role", "name", "the-admin", "role", "tester"}},
		{200, "holdline_", []string{"do", "token", "name", "cad", "role", "integration"}},
		{400, "what to do", nil},
	} {
		if w := post(x.kv...); w.Code != x.want || !strings.Contains(w.Body.String(), x.says) {
			t.Errorf("%v: %d %s", x.kv, w.Code, w.Body)
		}
	}
	for _, data := range g.kinds("user.changed") {
		var d userData
		if err := json.Unmarshal([]byte(data), &d); err != nil || d.By != "the-admin" || strings.Contains(data, "horse") || strings.Contains(data, "holdline_") {
			t.Errorf("journaled %s", data)
		}
	}
}

// TestLoopbackNeedsNoSignIn: without a gate everything is as it was.
func TestLoopbackNeedsNoSignIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if w := b.do("GET", "/v1/calls", ""); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
	if w := b.do("GET", "/signin", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "asks nobody") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestPagesOfferWhatOneMayOpen: the links are those of the role.
func TestPagesOfferWhatOneMayOpen(t *testing.T) {
	t.Parallel()
	g := newGatedBench(t)
	for name, x := range map[string]struct{ has, not string }{
		"the-tester":  {`href="/reports"`, `href="/search"`},
		"the-admin":   {`href="/users"`, `href="/tester"`},
		"the-auditor": {`href="/search"`, `href="/users"`},
	} {
		body := g.do("GET", "/reports", "", g.signIn(name)).Body.String()
		if !strings.Contains(body, x.has) || strings.Contains(body, x.not) || !strings.Contains(body, `action="/signout"`) || !strings.Contains(body, name) {
			t.Errorf("%s: %s", name, body)
		}
	}
	w := g.do("GET", "/users", "", g.signIn("the-auditor"), "Accept: text/html")
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "the-auditor is signed in as auditor, which does not allow this.") {
		t.Errorf("a page that is not for auditors: %d %s", w.Code, w.Body)
	}
}
