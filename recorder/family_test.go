package recorder

import (
	"strings"
	"testing"
)

// TestReadFamily: "alert.*" is every kind that begins so, in order, and is
// found by its index: a node that has run for years must not read all of its
// journal to know its alerts.
func TestReadFamily(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir)
	for _, kind := range []string{"alert", "alert.raised", "call.offered", "alerts.x", "alert.acknowledged", "node.started", "alert.a"} {
		commitTest(t, j, Entry{Kind: kind, Data: struct{}{}})
	}
	for pattern, want := range map[string]string{
		"alert.*": "alert.raised alert.acknowledged alert.a", "node.*": "node.started", "alert": "alert", "nothing.*": "", "a'--.*": "",
	} {
		var kinds []string
		if err := j.Read(t.Context(), Query{Kind: pattern}, func(r Record) error { kinds = append(kinds, r.Kind); return nil }); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(kinds, " "); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
	}
	db, err := openReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for pattern, index := range map[string]string{"alert.*": "records_alert", "node.*": "records_node"} {
		text, args := Query{Kind: pattern}.statement(page)
		var id, parent, unused int
		var plan string
		if err := db.QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...).Scan(&id, &parent, &unused, &plan); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, index) {
			t.Errorf("%s is read by %q", pattern, plan)
		}
	}
}
