package ledger

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdline/policy"
)

// TestNobodyIsForgotten: whatever happens in whatever order, a caller whose
// call ended without complete intake is on the list until something is seen
// that ends it, nothing is raised twice, and who reads the journal again comes
// to the same account.
func TestNobodyIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &chance{t: t, l: New(usual()), at: epoch, calls: map[string]*fate{}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			b.step()
			b.holds()
		}
		again := New(usual())
		var found []policy.Finding
		for _, r := range b.records {
			for due := again.Due(); !due.IsZero() && !due.After(r.Time); due = again.Due() {
				found = append(found, again.Tick(due)...)
			}
			found = append(found, again.Apply(r)...)
		}
		for due := again.Due(); !due.IsZero() && !due.After(b.at); due = again.Due() {
			found = append(found, again.Tick(due)...)
		}
		open := cmp.AllowUnexported(Callback{}, Unrelayed{})
		if d := cmp.Diff(b.l.Callbacks(b.at, true), again.Callbacks(b.at, true), open); d != "" {
			t.Fatalf("callbacks read again -before +after:\n%s", d)
		}
		if d := cmp.Diff(b.l.Unrelayed(b.at, true), again.Unrelayed(b.at, true), open); d != "" {
			t.Fatalf("not passed on, read again -before +after:\n%s", d)
		}
		if d := cmp.Diff(b.found, found); d != "" {
			t.Fatalf("findings read again -before +after:\n%s", d)
		}
	})
}

// chance plays a centre at random. fate is what happened to one call.
type chance struct {
	t       *rapid.T
	l       *Ledger
	at      time.Time
	records []policy.Record
	found   []policy.Finding
	calls   map[string]*fate
	order   []string
}

type fate struct {
	number          string
	answered, ended bool
	intake          policy.Intake
	owed            bool // as the rules in words have it
}

func (b *chance) write(kind, call string, data map[string]any) {
	text, err := json.Marshal(data)
	if err != nil {
		b.t.Fatal(err)
	}
	r := policy.Record{Seq: uint64(len(b.records) + 1), Time: b.at, Node: "a", Call: call, Kind: kind, Data: text}
	b.records = append(b.records, r)
	b.found = append(b.found, b.l.Apply(r)...)
}

func (b *chance) pass(d time.Duration) {
	end := b.at.Add(d)
	for due := b.l.Due(); !due.IsZero() && !due.After(end); due = b.l.Due() {
		b.found = append(b.found, b.l.Tick(due)...)
	}
	b.at = end
}

// step lets one thing happen.
func (b *chance) step() {
	b.pass(time.Duration(rapid.IntRange(1, 100_000).Draw(b.t, "ms")) * time.Millisecond)
	if len(b.order) == 0 || rapid.IntRange(0, 3).Draw(b.t, "new") == 0 {
		b.begins()
		return
	}
	id := rapid.SampledFrom(b.order).Draw(b.t, "call")
	c := b.calls[id]
	switch rapid.SampledFrom([]string{"answer", "mark", "drop", "end", "done", "callback"}).Draw(b.t, "what") {
	case "answer":
		if !c.ended {
			c.answered = true
			b.write("call.answered", id, map[string]any{"position": "p", "agent": "ann"})
		}
	case "mark":
		f := rapid.SampledFrom(policy.Fields()).Draw(b.t, "field")
		was := c.intake.Complete()
		c.intake[f] = policy.Mark{}
		b.write("intake.marked", id, map[string]any{"field": f, "value": "x", "source": "http"})
		if !was && c.intake.Complete() {
			b.settled(id, c)
		}
	case "drop":
		if c.answered && !c.ended {
			b.write("release.requested", id, map[string]any{"position": "p", "agent": "ann", "how": "bye"})
			b.write("release.intercepted", id, map[string]any{"position": "p"})
		}
	case "end":
		b.ends(id, c)
	case "done":
		for _, item := range b.l.Callbacks(b.at, false) {
			if item.ID == id {
				b.write("callback.done", id, map[string]any{"id": id})
				for _, lost := range item.Calls {
					b.calls[lost].owed = false
				}
			}
		}
	case "callback":
		if c.number != "" {
			out := fmt.Sprintf("out-%d", len(b.records))
			b.write("call.offered", out, map[string]any{"kind": "admin", "requestUri": "sip:" + c.number + "@trunk"})
			b.write("call.answered", out, nil)
			b.forgive(c.number)
		}
	}
}

func (b *chance) begins() {
	id := fmt.Sprintf("call-%d", len(b.order))
	number := rapid.SampledFrom([]string{"", "5045550100", "5045550101"}).Draw(b.t, "number")
	b.order = append(b.order, id)
	b.calls[id] = &fate{number: number, intake: policy.Intake{}}
	b.write("call.offered", id, map[string]any{"kind": "emergency", "from": "<sip:" + number + "@x>"})
}

func (b *chance) ends(id string, c *fate) {
	if c.ended {
		return
	}
	by := rapid.SampledFrom([]string{"caller", "error", "position", "supervisor"}).Draw(b.t, "by")
	c.ended = true
	c.owed = by != "supervisor" && !c.intake.Complete()
	b.write("call.ended", id, map[string]any{"by": by})
}

// settled: intake of c is complete, which helps all calls of the same caller.
func (b *chance) settled(id string, c *fate) {
	c.owed = false
	if c.number != "" {
		b.forgive(c.number)
	}
}

func (b *chance) forgive(number string) {
	for _, c := range b.calls {
		if c.number == number {
			c.owed = false
		}
	}
}

// holds compares the account with what happened.
func (b *chance) holds() {
	listed := map[string]bool{}
	for _, item := range b.l.Callbacks(b.at, false) {
		for _, id := range item.Calls {
			listed[id] = true
		}
	}
	for id, c := range b.calls {
		if c.owed != listed[id] {
			b.t.Fatalf("%s: owed %v, listed %v", id, c.owed, listed[id])
		}
	}
	seen := map[string]bool{}
	for _, f := range b.found {
		if f.Resolves != "" {
			if !seen[f.Resolves] {
				b.t.Fatalf("%s is resolved, and was not raised or is resolved already", f.Resolves)
			}
			seen[f.Resolves] = false
			continue
		}
		if _, twice := seen[f.ID]; twice {
			b.t.Fatalf("%s is raised twice", f.ID)
		}
		seen[f.ID] = true
	}
	b.open(seen)
	for _, u := range b.l.Unrelayed(b.at, false) {
		if c := b.calls[u.Call]; len(c.intake) > 0 {
			if _, sent := c.intake[policy.Dispatched]; sent {
				b.t.Fatalf("%s was dispatched and is still open", u.Call)
			}
		}
		if u.Alerts < 1 || u.Alerts > usual().Relay.Alerts {
			b.t.Fatalf("%s has %d alerts", u.Call, u.Alerts)
		}
	}
}

// open compares the alerts that are not resolved with what is still to be done.
func (b *chance) open(alerts map[string]bool) {
	want := map[string]bool{}
	for _, item := range b.l.Callbacks(b.at, false) {
		want[item.Alert] = true
	}
	for _, u := range b.l.Unrelayed(b.at, false) {
		for n := range u.Alerts {
			want[u.alertID(n+1)] = true
		}
	}
	for id, is := range alerts {
		if is != want[id] {
			b.t.Fatalf("alert %s: open %v, should be %v", id, is, want[id])
		}
	}
}
