package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestHolds(t *testing.T) {
	b := newBench(t)
	b.journal.add("a/b", "call.offered", `{}`)
	path := "/v1/holds/" + url.PathEscape("a/b")
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"PUT", path, `{}`, http.StatusBadRequest, "needs a reason"},
		{"PUT", "/v1/holds/nobody", `{"reason": "subpoena"}`, http.StatusNotFound, "no call"},
		{"DELETE", path, "", http.StatusNotFound, "no hold"},
		{"PUT", path, `{"reason": "subpoena", "by": "records"}`, http.StatusOK, `"subpoena"`},
		{"GET", "/v1/holds", "", http.StatusOK, `"by":"records"`},
		{"DELETE", path + "?by=records", "", http.StatusNoContent, ""},
		{"GET", "/v1/holds", "", http.StatusOK, `"holds":[]`},
	} {
		if res := b.do(c.method, c.path, c.body); res.Code != c.status || !strings.Contains(res.Body.String(), c.says) {
			t.Errorf("%s %s: %d %s", c.method, c.path, res.Code, res.Body)
		}
	}
}
