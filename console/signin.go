package console

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"holdline/console/access"
)

// formView is what the forms of signing in and of users show.
type formView struct {
	Shell  Shell
	Action string // what the form is for: signin, setup, users, said, lost, denied
	Error  string
	Said   string // what was done
	Next   string // where to go after the sign-in
	Name   string
	OIDC   bool   // the centre has a sign-in of its own
	Setup  string // the secret of the setup link
	Token  string // a new one, shown once

	Users  []access.Account
	Tokens []access.Token
}

// HumanRoles are those that people can have.
func (formView) HumanRoles() []access.Role {
	return slices.DeleteFunc(access.Roles(), func(r access.Role) bool { return !r.Human() })
}

// maxForm bounds a form, in bytes.
const maxForm = 16 << 10

// showForm draws a form.
func (c *Console) showForm(w http.ResponseWriter, status int, v formView) {
	v.Shell.Node = c.o.Node // all that somebody who has not signed in is told
	var b bytes.Buffer
	if err := c.forms.ExecuteTemplate(&b, "access.html", v); err != nil {
		c.log.Error("form cannot be drawn", zap.Error(err))
		fail(w, http.StatusInternalServerError, "the page cannot be drawn", "")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// gated answers itself, and returns false, where nobody signs in.
func (c *Console) gated(w http.ResponseWriter) bool {
	if c.o.Gate == nil {
		c.showForm(w, http.StatusNotFound, formView{Action: "said", Said: "This console asks nobody to sign in: it is reached from this machine only, or console.auth.required is never."})
		return false
	}
	return true
}

// readForm reads a form of at most maxForm bytes. It answers itself, and
// returns false, when the request has none.
func readForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		fail(w, http.StatusBadRequest, "the form cannot be read", "send application/x-www-form-urlencoded")
		return false
	}
	return true
}

// localPath is where to go after a sign-in: a path of this console. Anything
// else would let a link lead people elsewhere.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

func (c *Console) getSignInPage(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) {
		return
	}
	c.showForm(w, http.StatusOK, formView{Action: "signin", Next: localPath(r.URL.Query().Get("next")), OIDC: c.o.Gate.OIDC() != nil})
}

// postSignInPage checks a name and a password.
func (c *Console) postSignInPage(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) || !readForm(w, r) {
		return
	}
	name, next := strings.TrimSpace(r.PostForm.Get("name")), localPath(r.PostForm.Get("next"))
	secret, u, err := c.o.Gate.SignIn(r.Context(), name, r.PostForm.Get("password"), addressOf(r))
	if err == nil {
		c.enter(w, r, secret, u, "password")
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	status := c.refuse(r, name, "password", err)
	v := formView{Action: "signin", Next: next, Name: name, OIDC: c.o.Gate.OIDC() != nil, Error: "The name or the password is wrong."}
	switch status {
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "30")
		v.Error = "Too many attempts. Wait half a minute and try again."
	case http.StatusServiceUnavailable:
		v.Error = "Nobody can sign in now; the log of the node says why."
	}
	c.showForm(w, status, v)
}

// enter ends the session that a browser brought along, gives it the new one
// and journals who came in.
func (c *Console) enter(w http.ResponseWriter, r *http.Request, secret string, u access.User, how string) {
	if old, err := r.Cookie(c.cookieName()); err == nil {
		c.o.Gate.End(old.Value)
	}
	c.setCookie(w, c.cookieName(), secret, c.o.Gate.Longest())
	c.note(kindSignedIn, userData{User: u.Name, Role: u.Role, From: addressOf(r), How: how})
}

// refuse journals a sign-in that failed and returns the status of the answer.
func (c *Console) refuse(r *http.Request, name, how string, err error) int {
	status, why := http.StatusUnauthorized, err.Error()
	switch {
	case errors.Is(err, access.ErrTooMany):
		status = http.StatusTooManyRequests
	case errors.Is(err, access.ErrRefused), errors.Is(err, access.ErrFlow), errors.Is(err, access.ErrProof), errors.Is(err, access.ErrSetup):
	case errors.Is(err, access.ErrNoRole):
		status = http.StatusForbidden
	default:
		c.log.Error("somebody cannot sign in", zap.Error(err))
		status = http.StatusServiceUnavailable
	}
	if c.o.Gate.Journal.Allow(addressOf(r), time.Now()) {
		c.note(kindRefused, userData{User: shortened(name), From: addressOf(r), How: how, Why: shortened(why)})
	}
	return status
}

// postSignOutPage ends the session.
func (c *Console) postSignOutPage(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) {
		return
	}
	if cookie, err := r.Cookie(c.cookieName()); err == nil {
		if u, ok := c.o.Gate.Session(cookie.Value, false); ok {
			c.note(kindSignedOut, userData{User: u.Name, Role: u.Role, From: addressOf(r)})
		}
		c.o.Gate.End(cookie.Value)
	}
	c.setCookie(w, c.cookieName(), "", -time.Second)
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}

// getSetup shows the form of the one-time link.
func (c *Console) getSetup(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) {
		return
	}
	secret := r.URL.Query().Get("key")
	if !c.o.Gate.SetupOpen(secret) {
		c.showForm(w, http.StatusNotFound, formView{Action: "said", Error: "This setup link is not valid, or was used. Sign in, or see the newest link in the node's log."})
		return
	}
	c.showForm(w, http.StatusOK, formView{Action: "setup", Setup: secret})
}

// postSetup makes the first admin and signs them in.
func (c *Console) postSetup(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) || !readForm(w, r) {
		return
	}
	secret, name, password := r.PostForm.Get("key"), strings.TrimSpace(r.PostForm.Get("name")), r.PostForm.Get("password")
	if !c.o.Gate.SetupOpen(secret) {
		c.showForm(w, c.refuse(r, name, "setup", access.ErrSetup), formView{Action: "said", Error: "This setup link is not valid, or was used."})
		return
	}
	if password != r.PostForm.Get("again") {
		c.showForm(w, http.StatusBadRequest, formView{Action: "setup", Setup: secret, Name: name, Error: "The two passwords differ."})
		return
	}
	if err := c.o.Gate.Setup(r.Context(), secret, name, password); err != nil {
		c.showForm(w, http.StatusBadRequest, formView{Action: "setup", Setup: secret, Name: name, Error: err.Error()})
		return
	}
	c.note(kindChanged, userData{User: name, Role: access.Admin, Change: "added", By: "setup link"})
	in, u, err := c.o.Gate.SignIn(r.Context(), name, password, addressOf(r))
	if err != nil {
		http.Redirect(w, r, "/signin", http.StatusSeeOther)
		return
	}
	c.enter(w, r, in, u, "setup")
	http.Redirect(w, r, "/users", http.StatusSeeOther)
}

// flowCookie is the name of the cookie that ties a sign-in at the centre's own
// service to the browser that began it.
func (c *Console) flowCookie() string { return c.cookieName() + "-flow" }

// getOIDC sends the browser to the centre's own sign-in.
func (c *Console) getOIDC(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) {
		return
	}
	o := c.o.Gate.OIDC()
	if o == nil {
		c.showForm(w, http.StatusNotFound, formView{Action: "said", Error: "This console has no other sign-in."})
		return
	}
	to, browser, err := o.Begin(r.Context(), localPath(r.URL.Query().Get("next")), time.Now())
	if err != nil {
		c.showForm(w, c.refuse(r, "", "oidc", err), formView{Action: "signin", OIDC: true, Error: "The sign-in service of the centre does not answer. A password of this console works without it."})
		return
	}
	c.setCookie(w, c.flowCookie(), browser, 10*time.Minute)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// getOIDCBack takes a browser that comes back from there.
func (c *Console) getOIDCBack(w http.ResponseWriter, r *http.Request) {
	if !c.gated(w) {
		return
	}
	o, q := c.o.Gate.OIDC(), r.URL.Query()
	cookie, err := r.Cookie(c.flowCookie())
	if o == nil || err != nil {
		c.showForm(w, http.StatusBadRequest, formView{Action: "signin", OIDC: o != nil, Error: "This sign-in was not begun here. Begin it again."})
		return
	}
	c.setCookie(w, c.flowCookie(), "", -time.Second)
	u, next, err := o.Finish(r.Context(), q.Get("state"), cookie.Value, q.Get("code"), time.Now())
	if err != nil {
		v := formView{Action: "signin", OIDC: true, Error: "The sign-in did not succeed. Begin it again; the node's journal says why it was refused."}
		if errors.Is(err, access.ErrNoRole) {
			v.Error = "You are known to the sign-in service, and have no role at this console. Ask an admin."
		}
		c.showForm(w, c.refuse(r, u.Name, "oidc", err), v)
		return
	}
	c.enter(w, r, c.o.Gate.Begin(u, ""), u, "oidc")
	http.Redirect(w, r, next, http.StatusSeeOther)
}
