package console

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"holdline/recorder/evidence"
)

func TestEvidenceIsJournaledBeforeItLeaves(t *testing.T) {
	b := newBench(t)
	b.console.o.Evidence = func(_ context.Context, call, by string, w io.Writer) (evidence.Manifest, error) {
		if call != "a/b" {
			return evidence.Manifest{}, evidence.ErrNoCall
		}
		_, err := io.WriteString(w, "a bundle for "+by)
		return evidence.Manifest{Call: call, Files: []evidence.File{{Name: "x", SHA256: "77"}}}, err
	}
	res := b.do("GET", "/v1/evidence/a%2Fb?by=auditor", "")
	if res.Code != http.StatusOK || res.Body.String() != "a bundle for auditor" || !strings.Contains(res.Header().Get("Content-Disposition"), "evidence-a_b.zip") {
		t.Errorf("%d %v %q", res.Code, res.Header(), res.Body)
	}
	last := b.journal.records[len(b.journal.records)-1]
	if last.Kind != "evidence.exported" || last.Call != "a/b" || !strings.Contains(string(last.Data), `"by":"auditor"`) {
		t.Errorf("record %s of %q: %s", last.Kind, last.Call, last.Data)
	}
	if res := b.do("GET", "/v1/evidence/nobody", ""); res.Code != http.StatusNotFound {
		t.Errorf("a call that never was: %d %s", res.Code, res.Body)
	}
}
