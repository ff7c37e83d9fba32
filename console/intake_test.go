package console

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdline/console/sources"
	"holdline/policy"
	"holdline/sip"
)

// Matching and MarkFrom make the board what sources need of the guard.
func (b *board) Transferred(context.Context, string, string) error { return nil }

func (b *board) Matching(ids ...string) []string {
	var out []string
	for _, v := range b.List() {
		if slices.Contains(ids, v.ID) || slices.Contains(ids, v.EmergencyID) {
			out = append(out, v.ID)
		}
	}
	return out
}

func (b *board) MarkFrom(ctx context.Context, id string, marks map[policy.Field]string, by, source string) (sip.CallView, error) {
	b.mu.Lock()
	for _, f := range policy.Fields() {
		if v, ok := marks[f]; ok {
			b.told = append(b.told, string(f)+"="+v+" "+by+"/"+source)
		}
	}
	b.mu.Unlock()
	return b.MarkIntake(ctx, id, marks, by)
}

// newSourcesBench is a console that takes the word of other systems.
func newSourcesBench(t *testing.T, s sources.Settings) *bench {
	t.Helper()
	b := newBench(t, func(o *Options) {
		in := sources.New(sources.Options{Node: "psap-a", Calls: o.Calls.(*board), Journal: o.Journal})
		s.Keep, s.Window = time.Minute, time.Minute
		in.Reload(s)
		o.Intake = in
	})
	b.board.calls = []sip.CallView{callView("a", "bridged")}
	return b
}

const secret = "a secret for tests only"

func TestWhatOtherSystemsSend(t *testing.T) {
	event := `{"payload":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"logEventType":"CallStartLogEvent","elementId":"chs"}`)) + `"}`
	now := time.Now() // the same for the message that comes twice
	signed := func(body string) string {
		return sources.SignatureHeader + ": " + sources.Sign([]byte(secret), []byte(body), now)
	}
	hook := `{"call":"a","incident":"7","by":"cad"}`
	old := sources.SignatureHeader + ": " + sources.Sign([]byte(secret), []byte(hook), time.Now().Add(-time.Hour))
	const doc = `{"incidentComponent":{"incidentTypeCommonRegistryText":"Fire"},"callComponent":{"callIdSip":"CALL"}}`
	tests := []struct {
		name, path, body, header string
		status                   int
		want                     string
	}{
		{"a document", "/v1/eido", strings.Replace(doc, "CALL", "a", 1), "Content-Type: application/emergency.eido+json", 200, `"calls":["a"]`},
		{"a list of them", "/v1/eido", "[" + strings.Replace(doc, "CALL", "a", 1) + "]", "Content-Type: application/json", 200, `"marks":{"nature":"Fire"}`},
		{"one whose call is not here", "/v1/eido", strings.Replace(doc, "CALL", "b", 1), "Content-Type: application/json", 202, `"kept":true`},
		{"no document", "/v1/eido", `{"a":1}`, "Content-Type: application/json", 400, "there is no EIDO in it"},
		{"XML", "/v1/eido", `<a/>`, "Content-Type: application/xml", 415, "application/emergency.eido+json"},
		{"nothing", "/v1/eido", ``, "Content-Type: application/json", 400, "empty"},
		{"too much", "/v1/eido", strings.Repeat(" ", maxEIDO+1), "Content-Type: application/json", 413, "larger"},
		{"a signed message", "/v1/intake/webhook", hook, signed(hook), 200, `"calls":["a"]`},
		{"the same again", "/v1/intake/webhook", hook, signed(hook), 409, "came before"},
		{"an old one", "/v1/intake/webhook", hook, old, 401, "away from the time here"},
		{"an unsigned one", "/v1/intake/webhook", hook, "X: y", 401, "Holdline-Signature must be"},
		{"one for a call that is not here", "/v1/intake/webhook", `{"call":"b","incident":"7"}`, signed(`{"call":"b","incident":"7"}`), 202, `"kept":true`},
		{"one for no call", "/v1/intake/webhook", `{"incident":"7"}`, signed(`{"incident":"7"}`), 400, "names no call"},
		{"one without a field", "/v1/intake/webhook", `{"call":"a"}`, signed(`{"call":"a"}`), 400, "marks no field"},
		{"one with a wrong field", "/v1/intake/webhook", `{"call":"a","locatoin":"x"}`, signed(`{"call":"a","locatoin":"x"}`), 400, `did you mean \"location\"?`},
		{"one with a wrong call", "/v1/intake/webhook", `{"call":7,"nature":"x"}`, signed(`{"call":7,"nature":"x"}`), 400, "must be an identifier"},
		{"no object", "/v1/intake/webhook", `[]`, signed(`[]`), 400, "not a JSON object"},
		{"a log event", "/LogEvents", event, "Host: holdline.psap.example", 201, `"urn:emergency:uid:logid:`},
		{"a bad one", "/LogEvents", `{}`, "X: y", 460, "no payload"},
		{"one that is too big", "/LogEvents", strings.Repeat(" ", sources.MaxEvent+1), "X: y", 461, "more than"},
	}
	b := newSourcesBench(t, sources.Settings{Secret: []byte(secret), Unsigned: true, Rate: 10})
	for _, tc := range tests {
		w := b.do(http.MethodPost, tc.path, tc.body, tc.header)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s: %d %s, want %d with %s", tc.name, w.Code, w.Body, tc.status, tc.want)
		}
		var f failure
		if w.Code >= 400 && (json.Unmarshal(w.Body.Bytes(), &f) != nil || f.Error == "" || f.Hint == "") {
			t.Errorf("%s: the failure is %s", tc.name, w.Body)
		}
	}
	want := []string{"nature=Fire 10.1.2.3/eido", "nature=Fire 10.1.2.3/eido", "incident=7 cad/webhook"}
	if got := b.board.told; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if w := b.do(http.MethodGet, "/Versions", "", "Host: holdline.psap.example"); w.Code != 200 || !strings.Contains(w.Body.String(), `"major":1`) {
		t.Errorf("versions: %d %s", w.Code, w.Body)
	}
}

// TestWithoutSources: nothing is taken unless it was configured.
func TestWithoutSources(t *testing.T) {
	b := newSourcesBench(t, sources.Settings{})
	if w := b.do(http.MethodPost, "/v1/intake/webhook", `{}`, "X: y"); w.Code != 503 || !strings.Contains(w.Body.String(), "intake.webhook.secret") {
		t.Errorf("webhook: %d %s", w.Code, w.Body)
	}
	if w := b.do(http.MethodPost, "/LogEvents", `{"payload":"e30"}`); w.Code != 438 {
		t.Errorf("log event: %d %s", w.Code, w.Body)
	}
	none := newBench(t)
	for _, path := range []string{"/v1/eido", "/v1/intake/webhook", "/LogEvents"} {
		if w := none.do(http.MethodPost, path, `{}`); w.Code != 503 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestReadinessHasNotes: what does not work and keeps no call from being taken
// is told, and the node is ready all the same.
func TestReadinessHasNotes(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Notes = func() []string { return []string{"EIDO service x: gone"} } })
	if w := b.do(http.MethodGet, "/readyz", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"notes":["EIDO service x: gone"]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
