package ledger

import (
	"testing"
	"time"
)

// TestCallbackOwedTooLong: somebody is told once, and told when it is over,
// however that came about.
func TestCallbackOwedTooLong(t *testing.T) {
	ways := map[string]func(b *book){
		"marked as done": func(b *book) { b.write("callback.done", "", "id", "one", "by", "sue") },
		"called again, and intake was completed": func(b *book) {
			b.offered("two", "+15045550123", "pos-1", "ann")
			b.write("call.answered", "two", "position", "pos-1")
			b.write("intake.marked", "two", "field", "disposition", "value", "misdial", "source", "http", "by", "ann")
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			o := usual()
			o.Owed, o.Relay = 10*time.Minute, Relay{}
			b := newBook(t, o)
			b.offered("one", "+15045550123", "pos-1", "ann")
			b.write("call.ended", "one", "by", "caller", "kind", "emergency")
			b.pass(9 * time.Minute)
			if len(b.found) > 0 {
				t.Fatalf("told after nine minutes: %+v", b.found)
			}
			b.pass(5 * time.Hour)
			if len(b.found) != 1 || b.found[0].Cause != CauseCallback || b.found[0].Call != "one" || b.found[0].Position != "" && b.found[0].Position != "pos-1" {
				t.Fatalf("findings: %+v", b.found)
			}
			way(b)
			if last := b.found[len(b.found)-1]; len(b.found) != 2 || last.Resolves != b.found[0].ID || last.Why == "" {
				t.Errorf("findings after it was done: %+v", b.found)
			}
		})
	}
}

// TestCallbackInTimeAlarmsNobody: what is done before its time is nobody's
// business, and a caller who is on the line again is not owed a call yet.
func TestCallbackInTimeAlarmsNobody(t *testing.T) {
	o := usual()
	o.Owed, o.Relay = 10*time.Minute, Relay{}
	b := newBook(t, o)
	b.offered("one", "+15045550123", "pos-1", "ann")
	b.write("call.ended", "one", "by", "caller", "kind", "emergency")
	b.pass(9 * time.Minute)
	b.offered("two", "+15045550123", "pos-1", "ann")
	b.pass(5 * time.Minute)
	if len(b.found) > 0 {
		t.Fatalf("told while the caller was on the line: %+v", b.found)
	}
	b.write("callback.done", "", "id", "one", "by", "sue")
	b.pass(time.Hour)
	if len(b.found) > 0 {
		t.Errorf("told of what is done: %+v", b.found)
	}
}
