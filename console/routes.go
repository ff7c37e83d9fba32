package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"holdline/sip"
)

// route is one path of the API with what each method does. The OpenAPI
// description is tested against this table.
type route struct {
	pattern string // of http.ServeMux
	methods map[string]http.HandlerFunc
}

// routes is everything the server answers. {id} and {call} are single path
// segments in which any character may be percent-encoded, a slash too.
func (c *Console) routes() []route {
	type m = map[string]http.HandlerFunc
	return []route{
		{"/v1/calls", m{"GET": c.listCalls}},
		{"/v1/calls/{id}", m{"GET": c.getCall}},
		{"/v1/calls/{id}/intake", m{"PUT": c.putIntake}},
		{"/v1/calls/{id}/release", m{"POST": c.postRelease}},
		{"/v1/calls/{id}/join", m{"POST": c.postJoin}},
		{"/v1/calls/{id}/join/{join}", m{"PATCH": c.patchJoin, "PUT": c.patchJoin, "DELETE": c.deleteJoin}},
		{"/v1/calls/{id}/takeover", m{"POST": c.postTakeOver}},
		{"/v1/calls/{id}/assist", m{"POST": c.postAssist}},
		{"/v1/events", m{"GET": c.getEvents}},
		{"/v1/meters", m{"GET": c.getMeters}},
		{"/v1/alerts", m{"GET": c.listAlerts}},
		{"/v1/alerts/{id}/ack", m{"POST": c.postAck}},
		{"/v1/channels", m{"GET": c.listChannels}},
		{"/v1/channels/{name}/test", m{"POST": c.postChannelTest}},
		{"/v1/agents", m{"GET": c.listAgents}},
		{"/v1/agents/signin", m{"POST": c.postSignIn}},
		{"/v1/agents/signout", m{"POST": c.postSignOut}},
		{"/v1/surge", m{"GET": c.getSurge, "POST": c.postSurge, "DELETE": c.deleteSurge}},
		{"/v1/callbacks", m{"GET": c.listCallbacks}},
		{"/v1/callbacks/{id}/done", m{"POST": c.postCallbackDone}},
		{"/v1/unrelayed", m{"GET": c.listUnrelayed}},
		{"/v1/unrelayed/{id}/done", m{"POST": c.postUnrelayedDone}},
		{"/v1/patterns", m{"GET": c.listPatterns}},
		{"/v1/recordings/{call}", m{"GET": c.getRecording}},
		{"/v1/recordings/{call}/peaks", m{"GET": c.getPeaks}},
		{"/v1/evidence/{call}", m{"GET": c.getEvidence}},
		{"/v1/history", m{"GET": c.listHistory}},
		{"/v1/holds", m{"GET": c.listHolds}},
		{"/v1/holds/{call}", m{"PUT": c.putHold, "DELETE": c.deleteHold}},
		{"/v1/eido", m{"POST": c.postEIDO}},
		{"/v1/intake/webhook", m{"POST": c.postWebhook}},
		{"/LogEvents", m{"POST": c.postLogEvent}},
		{"/Versions", m{"GET": c.getVersions}},
		{"/metrics", m{"GET": c.metrics.handler.ServeHTTP}},
		{"/healthz", m{"GET": c.getHealth}},
		{"/readyz", m{"GET": c.getReady}},
		{"/openapi.yaml", m{"GET": getOpenAPI}},
		{"/static/{file}", m{"GET": getStatic}},
		{"/search", m{"GET": c.getSearch}},
		{"/reports", m{"GET": c.getReports}},
		{"/reports.csv", m{"GET": c.getReportCSV}},
		{"/agents", m{"GET": c.getAgents}},
		{"/tv", m{"GET": c.getTV}},
		{"/{$}", m{"GET": c.getPage}},
		{"/calls/{id}", m{"GET": c.getCallPage}},
		{"/signin", m{"GET": c.getSignInPage, "POST": c.postSignInPage}},
		{"/signin/oidc", m{"GET": c.getOIDC}},
		{"/signin/oidc/callback", m{"GET": c.getOIDCBack}},
		{"/signout", m{"POST": c.postSignOutPage}},
		{"/setup", m{"GET": c.getSetup, "POST": c.postSetup}},
		{"/users", m{"GET": c.getUsers, "POST": c.postUsers}},
	}
}

// Handler returns the whole server as a handler, with its protections.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range c.routes() {
		mux.Handle(r.pattern, c.admit(r, byMethod(r.methods)))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.lost(w, r, "There is no page at this address.", "there is nothing at this path", "GET /openapi.yaml lists what there is")
	})
	return c.protect(mux)
}

// byBrowser tells whether a person is to read the answer.
func byBrowser(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// lost says that there is nothing at a path: to people as a page, to programs as
// any other failure.
func (c *Console) lost(w http.ResponseWriter, r *http.Request, words, message, hint string) {
	if byBrowser(r) {
		c.showForm(w, http.StatusNotFound, formView{Action: "lost", Said: words})
		return
	}
	fail(w, http.StatusNotFound, message, hint)
}

// byMethod chooses the handler, and answers 405 with Allow otherwise (RFC 9110
// section 15.5.6).
func byMethod(methods map[string]http.HandlerFunc) http.Handler {
	allow := []string{}
	for m := range methods {
		allow = append(allow, m)
	}
	if _, ok := methods["GET"]; ok {
		allow = append(allow, "HEAD")
	}
	slices.Sort(allow)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if h, ok := methods[method]; ok {
			h(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		fail(w, http.StatusMethodNotAllowed, "this path does not take "+r.Method, "it takes "+strings.Join(allow, ", "))
	})
}

// failure is the body of every answer that is not a success.
type failure struct {
	Error string `json:"error"`          // what is wrong
	Hint  string `json:"hint,omitempty"` // how to put it right
}

func fail(w http.ResponseWriter, status int, message, hint string) {
	reply(w, status, failure{message, hint})
}

// reply writes v as JSON.
func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer could not be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// readObject reads a JSON object of at most maxBody bytes. It answers itself,
// and returns false, when the request has something else.
func readObject(w http.ResponseWriter, r *http.Request, v any) bool {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if kind, _, err := mime.ParseMediaType(ct); err != nil || kind != "application/json" {
			fail(w, http.StatusUnsupportedMediaType, fmt.Sprintf("the body is %q, not JSON", ct), "send Content-Type: application/json")
			return false
		}
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	err := dec.Decode(v)
	if err == nil && dec.More() {
		err = errors.New("there is more after the first object")
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return true
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody), "send only the fields of this request")
	default:
		fail(w, http.StatusBadRequest, "the body is not a JSON object: "+strings.TrimPrefix(err.Error(), "json: "), `send an object like {"location": "12 Canal Street"}`)
	}
	return false
}

// callFailed answers a command or question about a call that went wrong.
func (c *Console) callFailed(w http.ResponseWriter, id string, err error) {
	switch {
	case errors.Is(err, sip.ErrNoCall):
		fail(w, http.StatusNotFound, fmt.Sprintf("no call in progress has the identifier %q", id),
			"GET /v1/calls lists the calls in progress; percent-encode / ? # and % in an identifier")
	case isTimeout(err):
		fail(w, http.StatusGatewayTimeout, "the call did not take the command in time", "look at the call and try again")
	default:
		c.log.Error("command to a call failed", zap.String("call", id), zap.Error(err))
		fail(w, http.StatusInternalServerError, err.Error(), "")
	}
}
