package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// protect puts around every handler what browsers and mistakes make necessary:
// a page of another site can neither send commands nor read calls, and a panic
// ends the request alone.
func (c *Console) protect(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, "a page of another site may not send commands", "use the console's own page, or a program that sends no Origin header")
	}))
	inner := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer c.recovered(w, r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer a form over plain HTTP would come from the origin "null"
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		if !public(r.URL.Path) && !c.knownHost(r.Host) {
			fail(w, http.StatusMisdirectedRequest, "this console is not called "+r.Host,
				"ask for it by its address, so that no other site's name can be pointed here")
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// recovered answers 500 for a handler that panicked, if it still can.
func (c *Console) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // net/http's own way to cut a connection
	}
	c.log.Error("console handler panicked", zap.String("method", r.Method), zap.String("path", r.URL.Path),
		zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
	fail(w, http.StatusInternalServerError, "the console failed to answer; calls are not affected", "the log has the details")
}

// public tells whether a path shows nothing of any call, so that it may be asked
// for by any name: by monitoring, and by systems that sign what they send.
func public(path string) bool {
	switch path {
	case "/metrics", "/healthz", "/readyz", "/LogEvents", "/Versions", "/v1/intake/webhook":
		return true
	}
	return false
}

// knownHost tells whether a request was meant for this console. A browser can
// be led here under a foreign name that resolves to this address ("DNS
// rebinding"), and would then let that site's page read calls. Such a name has
// a dot; addresses, localhost and bare host names of the local network do not
// belong to anybody else.
func (c *Console) knownHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return !strings.Contains(host, ".") || slices.Contains(c.o.Hosts, host)
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
