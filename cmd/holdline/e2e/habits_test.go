package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestWrongNumber plays evasion 14: once it is a legitimate ending.
func TestWrongNumber(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	records := playWith(t, "watchful.yaml", cast{caller: "caller-simple", pos1: "position-wrong-number"})
	if rules, causes := judgedAndTold(records); !slices.Equal(rules, []string{"disposition-given"}) || len(causes) != 0 {
		t.Errorf("judged by %v, alerts of %v", rules, causes)
	}
	if m := find(t, records, "intake.marked").Data; m["value"] != "wrong number" || m["complete"] != false {
		t.Errorf("marked %v", m)
	}
}

// TestSigningOutAsItRings plays evasion 15: it changes nothing.
func TestSigningOutAsItRings(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	g := serveAs(t, "watchful.yaml")
	base := fmt.Sprintf("http://127.0.0.1:%d", g.ports.console)
	post := func(path, body string) {
		t.Helper()
		res, err := http.Post(base+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, res.Status)
		}
	}
	post("/v1/agents/signin", `{"position":"pos-1","agent":"ann"}`)
	parties := []*party{sipp(t, "position-rings", g.ports.pos1, 0), sipp(t, "position-completes", g.ports.fallback, 0), sipp(t, "caller-simple", g.ports.caller, g.ports.sip)}
	callInProgress(t, base)
	post("/v1/agents/signout", `{"position":"pos-1"}`)
	for _, p := range parties {
		p.passes()
	}
	g.stop()
	records := g.journal()
	for _, kind := range []string{"call.answered", "release.requested", "release.intercepted"} {
		if d := find(t, records, kind).Data; d["agent"] != "ann" {
			t.Errorf("%s: agent %v", kind, d["agent"])
		}
	}
}

// TestLeftWithoutARelease plays evasions 16 and 17, in which the caller ends the
// call and no policy is asked: what is owed is known all the same.
func TestLeftWithoutARelease(t *testing.T) {
	for name, story := range map[string]struct{ position, alert string }{
		"16 talks, and enters nothing":           {"position-talks", "unrelayed"},
		"17 is silent until the caller hangs up": {"position-asleep", "dead-air"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, "sipp")
			g := serveAs(t, "watchful.yaml")
			parties := []*party{sipp(t, story.position, g.ports.pos1, 0), sipp(t, "caller-leaves", g.ports.caller, g.ports.sip)}
			for _, p := range parties {
				p.passes()
			}
			base := fmt.Sprintf("http://127.0.0.1:%d", g.ports.console)
			if owed := get(t, base+"/v1/callbacks"); !strings.Contains(owed, `"number":"5045550100"`) || !strings.Contains(owed, `"position":"pos-1"`) {
				t.Errorf("callbacks: %s", owed)
			}
			g.stop()
			records := g.journal()
			if _, causes := judgedAndTold(records); !slices.Contains(causes, story.alert) {
				t.Errorf("alerts of %v, want %s", causes, story.alert)
			}
			if by := find(t, records, "call.ended").Data["by"]; by != "caller" {
				t.Errorf("ended by %v", by)
			}
		})
	}
}

// get is the body of an answer of the console.
func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, res.Status, err)
	}
	return string(body)
}
