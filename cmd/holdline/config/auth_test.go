package config

import (
	"strings"
	"testing"
)

func TestConsoleAuth(t *testing.T) {
	const oidc = "issuer: 'https://login.example', client_id: holdline, roles: {map: {chiefs: supervisor}}"
	for yaml, want := range map[string]string{
		"console: {auth: {required: always}}":                                                "",
		"console: {auth: {required: alway}}":                                                 `did you mean "always"`,
		"console: {auth: {session: {idle: 1s}}}":                                             "console.auth.session.idle is 1s",
		"console: {auth: {session: {max: 9000h}}}":                                           "console.auth.session.max",
		"console: {auth: {oidc: {" + oidc + "}}}":                                            "",
		"console: {auth: {oidc: {client_id: x}}}":                                            "has no issuer",
		"console: {auth: {oidc: {issuer: 'http://login.example', client_id: x}}}":            "not an https URL",
		"console: {auth: {oidc: {issuer: 'https://login.example'}}}":                         "no client_id",
		"console: {auth: {oidc: {issuer: 'https://login.example', client_id: x}}}":           "roles.map is empty",
		"console: {auth: {oidc: {" + strings.Replace(oidc, "supervisor", "chief", 1) + "}}}": `unknown role "chief"`,
		"console: {listen: '0.0.0.0:8911', auth: {oidc: {" + oidc + "}}}":                    "alerts.url does not say",
		"console: {tls: {cert: c.pem}}":                                                      "a cert and no key",
		"console: {tls: {key: k.pem}}":                                                       "a key and no cert",
		"console: {tls: {cert: nowhere.pem, key: nowhere.key}}":                              "nowhere.pem",
	} {
		_, err := Parse("holdline.yaml", []byte(yaml+"\n"+minimal))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

// TestWhoMustSignIn: nobody on a loopback address, everybody on any other,
// unless the file says so.
func TestWhoMustSignIn(t *testing.T) {
	for yaml, want := range map[string]bool{
		"":                                   false,
		"console: {listen: '[::1]:8911'}":    false,
		"console: {listen: '10.0.0.5:8911'}": true,
		"console: {listen: '0.0.0.0:8911'}":  true,
		"console: {listen: '0.0.0.0:8911', auth: {required: never}}":    false,
		"console: {listen: '127.0.0.1:8911', auth: {required: always}}": true,
	} {
		c, err := Parse("holdline.yaml", []byte(yaml+"\n"+minimal))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Console.SignIn(); got != want {
			t.Errorf("%q: %v", yaml, got)
		}
	}
}
