package console

import (
	"strings"
	"testing"
	"time"

	"holdline/policy"
	"holdline/policy/pattern"
)

func TestPatterns(t *testing.T) {
	bank := pattern.New(pattern.Options{})
	at := time.Date(2026, 8, 14, 12, 0, 0, 0, time.UTC)
	bank.Observe(pattern.Event{What: pattern.Offered, Time: at, Call: "c1", Leg: "a", Agent: "eve", Kind: policy.Emergency})
	bank.Observe(pattern.Event{What: pattern.Failed, Time: at, Call: "c1", Leg: "a", Agent: "eve", Refused: true})
	b := newBench(t, func(o *Options) { o.Patterns = bank })
	for path, want := range map[string]struct {
		status int
		parts  []string
	}{
		"/v1/patterns":             {200, []string{`"falseAlarmsPerMonth":1`, `"signal":"needed"`, `"state":"learning"`, `"agent":"eve"`, `"hits":1`, `"complete":true`}},
		"/v1/patterns?agent=eve":   {200, []string{`"agent":"eve"`}},
		"/v1/patterns?agent=zelda": {404, []string{"GET /v1/patterns"}},
	} {
		res := b.do("GET", path, "")
		body := res.Body.String()
		if res.Code != want.status {
			t.Errorf("%s: %d %s", path, res.Code, body)
		}
		for _, part := range want.parts {
			if !strings.Contains(body, part) {
				t.Errorf("%s: %q is not in %s", path, part, body)
			}
		}
	}
}
