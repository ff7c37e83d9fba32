package simulate

import (
	"encoding/json"
	"testing"
	"time"

	"holdline/policy"
)

func TestTry(t *testing.T) {
	o := Default()
	o.Policy = policy.Builtin()
	o.Days = 60; o.Runs=100
	at := time.Now()
	q := Honest(o)
	j, _ := json.MarshalIndent(q, "", " ")
	t.Logf("%v %s", time.Since(at), j)
	for _, p := range Patterns() {
		at = time.Now()
		w := Wrong(o, p, q)
		j, _ = json.Marshal(w)
		t.Logf("%v %s", time.Since(at), j)
	}
}
