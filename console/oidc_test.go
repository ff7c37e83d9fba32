package console

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"holdline/console/access"
)

// provider is a sign-in service: OpenID Connect with PKCE, as far as a client
// sees it.
type provider struct {
	t    *testing.T
	http *httptest.Server
	key  *rsa.PrivateKey

	mu     sync.Mutex
	asked  url.Values     // of the last authorization request
	claims map[string]any // of the next ID token, beside the usual ones
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		u := p.http.URL
		reply(w, http.StatusOK, map[string]any{
			"issuer": u, "authorization_endpoint": u + "/authorize", "token_endpoint": u + "/token", "jwks_uri": u + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		e := base64.RawURLEncoding
		reply(w, http.StatusOK, map[string]any{"keys": []map[string]any{{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
			"n": e.EncodeToString(key.N.Bytes()), "e": e.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("/token", p.token)
	p.http = httptest.NewServer(mux)
	t.Cleanup(p.http.Close)
	return p
}

// authorize is what the browser does at the provider: it returns the state.
func (p *provider) authorize(location string) string {
	p.t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, p.http.URL+"/authorize?") {
		p.t.Fatalf("the browser is sent to %q (%v)", location, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = u.Query()
	return p.asked.Get("state")
}

// token exchanges the code, if the verifier is that of the challenge.
func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if r.PostFormValue("code") != "the-code" || base64.RawURLEncoding.EncodeToString(sum[:]) != p.asked.Get("code_challenge") || p.asked.Get("code_challenge_method") != "S256" {
		reply(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{
		"iss": p.http.URL, "aud": "holdline", "sub": "u-1", "nonce": p.asked.Get("nonce"),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	maps.Copy(claims, p.claims)
	reply(w, http.StatusOK, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign(claims)})
}

func (p *provider) sign(claims map[string]any) string {
	e := base64.RawURLEncoding
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	text := e.EncodeToString([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + e.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + e.EncodeToString(sig)
}

func (p *provider) says(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

// newCentre is a console whose people sign in at p.
func newCentre(t *testing.T, p *provider) *gatedBench {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return newGatedBench(t, func(o *access.Options) {
		o.OIDC = &access.OIDC{
			Issuer: p.http.URL, ClientID: "holdline", Redirect: "https://console.example/signin/oidc/callback", Claim: "groups",
			Roles: map[string]access.Role{"chiefs": access.Supervisor, "lab": access.Tester},
			HTTP:  &http.Client{Transport: transport, Timeout: 10 * time.Second},
		}
	})
}

// begin goes to the provider and returns the state and the browser's cookie.
func (g *gatedBench) begin(p *provider) (state, cookie string) {
	g.t.Helper()
	w := g.do("GET", "/signin/oidc?next=/v1/surge", "")
	if w.Code != http.StatusSeeOther {
		g.t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, c := range w.Result().Cookies() {
		cookie = "Cookie: " + c.Name + "=" + c.Value
	}
	return p.authorize(w.Header().Get("Location")), cookie
}

func back(state string) string {
	return "/signin/oidc/callback?code=the-code&state=" + url.QueryEscape(state)
}

func TestSignInOfTheCentre(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	g := newCentre(t, p)
	p.says(map[string]any{"groups": []string{"staff", "lab", "chiefs"}, "email": "ann@psap.example", "email_verified": true})
	state, cookie := g.begin(p)
	if p.asked.Get("redirect_uri") != "https://console.example/signin/oidc/callback" || p.asked.Get("nonce") == "" || !strings.Contains(p.asked.Get("scope"), "openid") {
		t.Errorf("the provider was asked %v", p.asked)
	}
	w := g.do("GET", back(state), "", cookie)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/v1/surge" {
		t.Fatalf("%d %s %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	in := cookieHeader(t, w)
	if w := g.do("POST", "/v1/surge", `{"for":"5m","reason":"test"}`, in); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"by":"ann@psap.example"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := g.do("GET", back(state), "", cookie); w.Code != http.StatusUnauthorized {
		t.Errorf("the same answer a second time: %d", w.Code)
	}
	if got := g.kinds("user.signedin"); len(got) != 1 || !strings.Contains(got[0], `"how":"oidc"`) {
		t.Errorf("journaled %v", got)
	}
}

func TestSignInOfTheCentreRefuses(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	g := newCentre(t, p)
	for name, x := range map[string]struct {
		claims map[string]any
		want   int
	}{
		"no role":         {map[string]any{"groups": []string{"staff"}}, http.StatusForbidden},
		"no claim":        {nil, http.StatusForbidden},
		"another nonce":   {map[string]any{"groups": "chiefs", "nonce": "x"}, http.StatusUnauthorized},
		"another issuer":  {map[string]any{"groups": "chiefs", "iss": "https://evil.example"}, http.StatusUnauthorized},
		"another console": {map[string]any{"groups": "chiefs", "aud": "mail"}, http.StatusUnauthorized},
		"over":            {map[string]any{"groups": "chiefs", "exp": time.Now().Add(-time.Hour).Unix()}, http.StatusUnauthorized},
	} {
		p.says(x.claims)
		state, cookie := g.begin(p)
		if w := g.do("GET", back(state), "", cookie); w.Code != x.want || strings.Contains(fmt.Sprint(w.Result().Cookies()), "holdline=") && !strings.Contains(fmt.Sprint(w.Result().Cookies()), "holdline-flow=") {
			t.Errorf("%s: %d %v", name, w.Code, w.Result().Cookies())
		}
	}
	p.says(map[string]any{"groups": "chiefs"})
	state, cookie := g.begin(p)
	if w := g.do("GET", back(state), ""); w.Code != http.StatusBadRequest {
		t.Errorf("another browser: %d", w.Code)
	}
	_, other := g.begin(p)
	if w := g.do("GET", back(state), "", other); w.Code != http.StatusUnauthorized {
		t.Errorf("the answer to another sign-in: %d", w.Code)
	}
	if w := g.do("GET", back("made-up"), "", cookie); w.Code != http.StatusUnauthorized {
		t.Errorf("a state that was made up: %d", w.Code)
	}
	if got := g.kinds("user.signedin"); len(got) != 0 {
		t.Errorf("journaled %v", got)
	}
	p.http.Close()
	if w := newCentre(t, p).do("GET", "/signin/oidc", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "does not answer") {
		t.Errorf("a provider that is away: %d %s", w.Code, w.Body)
	}
}
