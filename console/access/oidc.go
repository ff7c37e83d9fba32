package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDC is the sign-in of the centre's own: OpenID Connect, authorization code
// flow with PKCE (RFC 7636), state and nonce.
type OIDC struct {
	Issuer     string
	ClientID   string
	SecretFile string          // "": a public client
	Redirect   string          // the URL under which the provider sends people back
	Claim      string          // of the ID token: says what somebody is
	Roles      map[string]Role // by a value of the claim
	HTTP       *http.Client    // nil: one with a time limit

	mu       sync.Mutex
	provider *oidc.Provider // known from the first sign-in on
	pending  map[string]flow
}

// flow is a sign-in that went to the provider and has not come back.
type flow struct {
	browser  string // the digest of what the browser got in a cookie
	nonce    string
	verifier string
	next     string
	until    time.Time
}

// Bounds of sign-ins that are under way.
const (
	flowTime = 10 * time.Minute
	maxFlows = 1000
	oidcWait = 10 * time.Second
)

// ErrNoRole is the answer to somebody whom the provider knows and who is
// nothing at this centre.
var ErrNoRole = errors.New("you are known, and have no role at this console")

// ErrFlow is the answer to a sign-in that was not begun with this browser.
var ErrFlow = errors.New("this sign-in was not begun here, or too long ago")

// ErrProof is the answer when what the service sent does not prove who it is.
var ErrProof = errors.New("what the sign-in service sent proves nothing")

// client bounds how long the provider may take.
func (o *OIDC) client(ctx context.Context) context.Context {
	c := o.HTTP
	if c == nil {
		c = &http.Client{Timeout: oidcWait}
	}
	return oidc.ClientContext(ctx, c)
}

// discover asks the provider where its endpoints are, once it can be reached.
func (o *OIDC) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o.mu.Lock()
	p := o.provider
	o.mu.Unlock()
	if p == nil {
		var err error
		// The provider keeps the context for its keys: it must outlive the request.
		if p, err = oidc.NewProvider(o.client(context.WithoutCancel(ctx)), o.Issuer); err != nil {
			return nil, nil, fmt.Errorf("asking the sign-in service: %w", err)
		}
		o.mu.Lock()
		o.provider = p
		o.mu.Unlock()
	}
	c := &oauth2.Config{ClientID: o.ClientID, Endpoint: p.Endpoint(), RedirectURL: o.Redirect, Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
	if o.SecretFile != "" {
		raw, err := os.ReadFile(o.SecretFile)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the secret of the sign-in service: %w", err)
		}
		c.ClientSecret = strings.TrimSpace(string(raw))
	}
	return p, c, nil
}

// Begin returns where to send a browser, and what it must bring back in a
// cookie. next is where it wants to go afterwards.
func (o *OIDC) Begin(ctx context.Context, next string, now time.Time) (to, browser string, err error) {
	_, c, err := o.discover(ctx)
	if err != nil {
		return "", "", err
	}
	state, nonce, verifier := secret(), secret(), oauth2.GenerateVerifier()
	browser = secret()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending == nil {
		o.pending = map[string]flow{}
	}
	for s, f := range o.pending {
		if now.After(f.until) || len(o.pending) >= maxFlows {
			delete(o.pending, s)
		}
	}
	o.pending[state] = flow{digest(browser), nonce, verifier, next, now.Add(flowTime)}
	return c.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), browser, nil
}

// take returns a sign-in under way, which can come back once.
func (o *OIDC) take(state, browser string, now time.Time) (flow, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, ok := o.pending[state]
	if !ok || now.After(f.until) || subtle.ConstantTimeCompare([]byte(f.browser), []byte(digest(browser))) != 1 {
		return flow{}, false
	}
	delete(o.pending, state)
	return f, true
}

// Finish exchanges what came back for a user, and says where they wanted to go.
func (o *OIDC) Finish(ctx context.Context, state, browser, code string, now time.Time) (u User, next string, err error) {
	f, ok := o.take(state, browser, now)
	if !ok {
		return User{}, "", ErrFlow
	}
	p, c, err := o.discover(ctx)
	if err != nil {
		return User{}, "", err
	}
	ctx = o.client(ctx)
	got, err := c.Exchange(ctx, code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return User{}, "", fmt.Errorf("%w: it does not take the code: %w", ErrProof, err)
	}
	raw, _ := got.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: o.ClientID, Now: func() time.Time { return now }}).Verify(ctx, raw)
	if err != nil {
		return User{}, "", fmt.Errorf("%w: %w", ErrProof, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.nonce)) != 1 {
		return User{}, "", fmt.Errorf("%w: it is for another sign-in", ErrProof)
	}
	u, err = o.user(id)
	return u, f.next, err
}

// user reads who somebody is from an ID token that was verified.
func (o *OIDC) user(id *oidc.IDToken) (User, error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return User{}, fmt.Errorf("what the sign-in service sent cannot be read: %w", err)
	}
	name := id.Subject
	verified, _ := claims["email_verified"].(bool)
	if email, _ := claims["email"].(string); email != "" && verified {
		name = email
	} else if n, _ := claims["preferred_username"].(string); n != "" {
		name = n
	}
	if CheckName(name) != nil {
		name = digest(id.Subject)[:16]
	}
	role, ok := o.role(claims[o.Claim])
	if !ok {
		return User{Name: name}, ErrNoRole
	}
	return User{Name: name, Role: role}, nil
}

// role returns the first of supervisor, admin, auditor and tester that a value
// of the claim stands for.
func (o *OIDC) role(claim any) (Role, bool) {
	var values []string
	switch v := claim.(type) {
	case string:
		values = []string{v}
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				values = append(values, s)
			}
		}
	}
	for _, r := range Roles() {
		if r.Human() && slices.ContainsFunc(values, func(v string) bool { return o.Roles[v] == r }) {
			return r, true
		}
	}
	return "", false
}
