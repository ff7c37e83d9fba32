package console

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"holdline/console/access"
	"holdline/recorder"
)

// The record kinds of who came in, who did not, and who was changed.
const (
	kindSignedIn   = "user.signedin"
	kindSignedOut  = "user.signedout"
	kindRefused    = "user.refused" // a sign-in
	kindDenied     = "user.denied"  // a request that the role does not allow
	kindChanged    = "user.changed" // by an admin, at the console
	kindRecordPlay = "recording.played"
	kindCallViewed = "call.viewed"
	kindListViewed = "list.viewed"
)

// userData is the data of the records user.*.
type userData struct {
	User   string      `json:"user,omitempty"` // as it was written, when the sign-in was refused
	Role   access.Role `json:"role,omitempty"`
	From   string      `json:"from,omitempty"` // the address
	How    string      `json:"how,omitempty"`  // password, oidc, setup
	Why    string      `json:"why,omitempty"`  // it was refused
	Asked  string      `json:"asked,omitempty"`
	Change string      `json:"change,omitempty"`
	By     string      `json:"by,omitempty"`
}

// admit lets those through whose role allows what the route does. Where no
// sign-in is required it lets everybody through.
func (c *Console) admit(at route, next http.Handler) http.Handler {
	if c.o.Gate == nil {
		return next
	}
	needs := permissions()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		u := c.identify(r)
		r = withUser(r, u)
		_, taken := at.methods[method]
		need, known := needs[method+" "+at.pattern]
		switch {
		case !taken: // the answer says so
		case known && (need == access.Anyone || need == access.Signed):
		case u.Name == "":
			c.askWho(w, r)
			return
		case !known || !u.Can(need):
			c.deny(w, r, u, need)
			return
		}
		if u.Name != "" && !u.Can(access.People) {
			w = &veil{ResponseWriter: w}
		}
		c.listed(r, at.pattern)
		next.ServeHTTP(w, r)
	})
}

// identify returns who sends a request: by the token of a machine, or by the
// session of a browser. It is nobody when what is brought along is not valid.
func (c *Console) identify(r *http.Request) access.User {
	if text, ok := bearer(r); ok {
		u, ok, err := c.o.Gate.Machine(text)
		if err != nil {
			c.log.Error("who may sign in cannot be read", zap.Error(err))
		}
		if !ok && c.o.Gate.Journal.Allow(addressOf(r), time.Now()) {
			c.note(kindRefused, userData{From: addressOf(r), How: "token", Why: "unknown token"})
		}
		return u
	}
	if cookie, err := r.Cookie(c.cookieName()); err == nil {
		u, _ := c.o.Gate.Session(cookie.Value, true)
		return u
	}
	return access.User{}
}

// bearer returns the token of a request (RFC 6750 section 2.1).
func bearer(r *http.Request) (string, bool) {
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(text), ok && strings.EqualFold(scheme, "Bearer")
}

// stillIn tells whether whoever opened a stream may go on reading it.
func (c *Console) stillIn(r *http.Request) bool {
	before, ok := userOf(r)
	if !ok {
		return true // nobody had to sign in
	}
	var u access.User
	if text, is := bearer(r); is {
		u, _, _ = c.o.Gate.Machine(text)
	} else if cookie, err := r.Cookie(c.cookieName()); err == nil {
		u, _ = c.o.Gate.Session(cookie.Value, false)
	}
	return u == before
}

// askWho answers somebody who has not signed in: a browser that wants a page is
// led to the sign-in, a program is told.
func (c *Console) askWho(w http.ResponseWriter, r *http.Request) {
	if byBrowser(r) {
		http.Redirect(w, r, "/signin?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="holdline"`)
	fail(w, http.StatusUnauthorized, "this console needs a sign-in", "sign in at /signin, or send Authorization: Bearer with a token that `holdline user token` made")
}

// deny answers somebody whose role does not allow what they ask for.
func (c *Console) deny(w http.ResponseWriter, r *http.Request, u access.User, need access.Permission) {
	if c.o.Gate.Journal.Allow(u.Name, time.Now()) {
		c.note(kindDenied, userData{User: u.Name, Role: u.Role, From: addressOf(r), Asked: r.Method + " " + shortened(r.URL.Path)})
	}
	if byBrowser(r) {
		c.showForm(w, http.StatusForbidden, formView{Action: "denied", Said: u.Name + " is signed in as " + string(u.Role) + ", which does not allow this. Ask an admin for another role."})
		return
	}
	hint := "ask an admin for another role"
	if need != "" {
		hint = "it needs the permission " + string(need) + "; " + hint
	}
	fail(w, http.StatusForbidden, "the role "+string(u.Role)+" does not allow this", hint)
}

// note journals something that no answer waits for.
func (c *Console) note(kind string, data any) {
	c.o.Journal.Commit(func(bool) {}, recorder.Entry{Time: time.Now(), Kind: kind, Data: data})
}

// viewed journals that somebody who has signed in looked at one call, once in
// a while for each of the two: pages ask again and again.
func (c *Console) viewed(r *http.Request, call string) {
	u, ok := userOf(r)
	if !ok || !u.Can(access.People) || !c.o.Gate.Views.Allow(u.Name+" "+call, time.Now()) {
		return
	}
	c.o.Journal.Commit(func(bool) {}, recorder.Entry{Time: time.Now(), Call: call, Kind: kindCallViewed, Data: map[string]string{"by": u.Name, "from": addressOf(r)}})
}

// addressOf is where a request came from, without the port.
func addressOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// shortened bounds what strangers can have written into the journal.
func shortened(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// signedAuthor is who sends a command where people sign in. A person is who
// signed in, whatever the body says; a machine may say for whom it speaks.
func signedAuthor(r *http.Request, claimed json.RawMessage) (string, bool) {
	u, ok := userOf(r)
	if !ok || u.Name == "" {
		return "", false
	}
	var by string
	if u.Machine && json.Unmarshal(claimed, &by) == nil {
		if by = strings.TrimSpace(by); by != "" && len(by) <= maxWord {
			return u.Name + " (" + by + ")", true
		}
	}
	return u.Name, true
}

// cookieName is that of the session's cookie. With the prefix __Host- a browser
// takes it only over TLS, and from no other name of the domain.
func (c *Console) cookieName() string {
	if c.o.Secure {
		return "__Host-holdline"
	}
	return "holdline"
}

func (c *Console) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: c.o.Secure, SameSite: http.SameSiteLaxMode,
	})
}
