package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEIDOLetsThePositionLeave: the position that would be intercepted may
// leave when CAD has told of an incident with a place.
func TestEIDOLetsThePositionLeave(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	g := serve(t)
	position := sipp(t, "position-hangs-up", g.ports.pos1, 0)
	caller := sipp(t, "caller-simple", g.ports.caller, g.ports.sip)
	base := fmt.Sprintf("http://127.0.0.1:%d", g.ports.console)
	id := callInProgress(t, base)
	doc := fmt.Sprintf(`{"incidentComponent":[{"incidentTypeCommonRegistryText":"Fire"}],
		"locationComponent":[{"locationByReferenceUrl":"https://lis.example/7"}],"callComponent":[{"$id":%q}]}`, id)
	res, err := http.Post(base+"/v1/eido", "application/emergency.eido+json", strings.NewReader(doc))
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
	position.passes()
	caller.passes()
	g.stop()
	records := g.journal()
	if kinds := about(records); !inOrder(kinds, []string{"call.answered", "release.allowed", "call.ended"}) || slices.Contains(kinds, "release.intercepted") {
		t.Errorf("the records are %v", kinds)
	}
	if rule := find(t, records, "release.allowed").Data["rule"]; rule != "intake-complete" {
		t.Errorf("allowed by %v", rule)
	}
	if by := find(t, records, "intake.marked").Data["source"]; by != "eido" {
		t.Errorf("marked by %v", by)
	}
}

// callInProgress waits for the call and returns its emergency call identifier.
func callInProgress(t *testing.T, base string) string {
	t.Helper()
	for deadline := time.Now().Add(slow); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // between two looks
		res, err := http.Get(base + "/v1/calls")
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Calls []struct{ EmergencyID string }
		}
		err = json.NewDecoder(res.Body).Decode(&list)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Calls) == 1 {
			return list.Calls[0].EmergencyID
		}
	}
	t.Fatal("no call came")
	return ""
}
