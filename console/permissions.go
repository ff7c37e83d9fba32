package console

import (
	"context"
	"net/http"

	"holdline/console/access"
)

// permissions is what one must be allowed to for each route; TestEveryRoute
// compares it with the routes. A route that is missing here is for nobody where
// a sign-in is required.
func permissions() map[string]access.Permission {
	return map[string]access.Permission{
		"GET /v1/calls":                     access.States,
		"GET /v1/calls/{id}":                access.States,
		"PUT /v1/calls/{id}/intake":         access.Marks,
		"POST /v1/calls/{id}/release":       access.Command,
		"POST /v1/calls/{id}/join":          access.Join,
		"PATCH /v1/calls/{id}/join/{join}":  access.Join,
		"PUT /v1/calls/{id}/join/{join}":    access.Join,
		"DELETE /v1/calls/{id}/join/{join}": access.Join,
		"POST /v1/calls/{id}/takeover":      access.Join,
		"POST /v1/calls/{id}/assist":        access.Command,
		"GET /v1/events":                    access.States,
		"GET /v1/meters":                    access.States,
		"GET /v1/alerts":                    access.States,
		"POST /v1/alerts/{id}/ack":          access.Command,
		"GET /v1/channels":                  access.Browse,
		"POST /v1/channels/{name}/test":     access.Channels,
		"GET /v1/agents":                    access.People,
		"POST /v1/agents/signin":            access.Seats,
		"POST /v1/agents/signout":           access.Seats,
		"GET /v1/surge":                     access.States,
		"POST /v1/surge":                    access.Surge,
		"DELETE /v1/surge":                  access.Surge,
		"GET /v1/callbacks":                 access.Browse,
		"POST /v1/callbacks/{id}/done":      access.Command,
		"GET /v1/unrelayed":                 access.Browse,
		"POST /v1/unrelayed/{id}/done":      access.Command,
		"GET /v1/patterns":                  access.Browse,
		"GET /v1/recordings/{call}":         access.Audio,
		"GET /v1/recordings/{call}/peaks":   access.Audio,
		"GET /v1/evidence/{call}":           access.Evidence,
		"GET /v1/history":                   access.Browse,
		"GET /agents":                       access.Browse,
		"GET /tv":                           access.States,
		"GET /search":                       access.Browse,
		"GET /reports":                      access.States,
		"GET /reports.csv":                  access.States,
		"GET /v1/holds":                     access.Browse,
		"PUT /v1/holds/{call}":              access.Hold,
		"DELETE /v1/holds/{call}":           access.Hold,
		"POST /v1/eido":                     access.Marks,
		"POST /v1/intake/webhook":           access.Signed,
		"POST /LogEvents":                   access.Signed,
		"GET /Versions":                     access.Anyone,
		"GET /metrics":                      access.Metrics,
		"GET /healthz":                      access.Anyone,
		"GET /readyz":                       access.Anyone,
		"GET /openapi.yaml":                 access.Anyone,
		"GET /static/{file}":                access.Anyone,
		"GET /{$}":                          access.States,
		"GET /calls/{id}":                   access.States,
		"GET /signin":                       access.Anyone,
		"POST /signin":                      access.Anyone,
		"GET /signin/oidc":                  access.Anyone,
		"GET /signin/oidc/callback":         access.Anyone,
		"POST /signout":                     access.Anyone,
		"GET /setup":                        access.Anyone,
		"POST /setup":                       access.Anyone,
		"GET /users":                        access.Users,
		"POST /users":                       access.Users,
	}
}

// mayOpen tells whether the sender of a request may open a page. It is for
// links: what may not be opened is not offered, and is refused all the same.
func mayOpen(r *http.Request, path string) bool {
	if path == "/" {
		path = "/{$}"
	}
	u, _ := userOf(r)
	return u.Can(permissions()["GET "+path])
}

type userKey struct{}

// userOf returns who sends a request; ok tells whether they have signed in.
// Where the console needs no sign-in everybody may everything: Can is right in
// both cases.
func userOf(r *http.Request) (user access.User, ok bool) {
	if u, ok := r.Context().Value(userKey{}).(access.User); ok {
		return u, u.Name != ""
	}
	return access.Everybody(), false
}

func withUser(r *http.Request, u access.User) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), userKey{}, u))
}
