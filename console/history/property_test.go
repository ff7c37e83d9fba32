package history

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdline/recorder"
)

// direct is a writer that nobody but the test moves.
func direct(t testing.TB, dir string) *writer {
	x, err := Open(dir, (&script{}).follow, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.cancel()
	<-x.ended
	t.Cleanup(func() { _ = x.db.Close() })
	w, err := newWriter(x, 0)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// dump is everything an index knows.
func dump(t *rapid.T, w *writer) (out string) {
	for _, q := range []string{
		"SELECT concat_ws('|', call, started, answered, ended, kind, caller, number, emergency, incident, position, agent, takers, by, reason, class, verdicts, rescues, complete) FROM calls ORDER BY call",
		"SELECT concat_ws('|', seq, call, at, position, agent, how, class, talk, decision, rule) FROM releases ORDER BY seq",
		"SELECT concat_ws('|', seq, call, at, waited) FROM rescues ORDER BY seq",
	} {
		out += lines(t, w, q)
	}
	return out
}

func lines(t *rapid.T, w *writer, query string) (out string) {
	rows, err := w.x.db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out += s + "\n"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWriteBehindIsTheSame: however records are gathered, and wherever the node
// is killed, the index is that which is written record by record. Call-IDs come
// again, verdicts come late or for nothing, and callers are erased.
func TestWriteBehindIsTheSame(t *testing.T) {
	behind, plain := direct(t, t.TempDir()), direct(t, t.TempDir())
	rapid.Check(t, func(t *rapid.T) {
		for _, w := range []*writer{behind, plain} {
			if _, err := w.x.db.Exec("DELETE FROM calls; DELETE FROM releases; DELETE FROM rescues"); err != nil {
				t.Fatal(err)
			}
			w.begin(0)
		}
		s := &script{}
		kinds := []string{
			"call.offered", "call.offered", "call.answered", "rescue.answered", "release.requested", "release.requested",
			"release.allowed", "release.intercepted", "call.ended", "", recorder.KindErased,
		}
		for n := range rapid.IntRange(1, 40).Draw(t, "records") {
			d := m{"position": fmt.Sprint("p", n), "agent": fmt.Sprint("a", n), "decision": fmt.Sprint("d", n), "rule": fmt.Sprint("r", n), "kind": "emergency"}
			if rapid.Bool().Draw(t, "with a caller") {
				d["from"] = fmt.Sprintf("<sip:+1504555%04d@x>", n)
			}
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			call := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "call")
			if kind == recorder.KindErased {
				call, d = "", m{"ranges": [][2]uint64{{1, uint64(n)}}, "after": "10s"}
			}
			s.add(time.Duration(n)*time.Second, call, kind, d)
		}
		for i := 0; i < len(s.records); i++ {
			if err := plain.apply(s.records[i]); err != nil {
				t.Fatal(err)
			}
			if plain.seen = s.records[i].Seq; plain.flush() != nil {
				t.Fatal("flush")
			}
		}
		for killed, i := 0, 0; i < len(s.records); i++ {
			if err := behind.apply(s.records[i]); err != nil {
				t.Fatal(err)
			}
			behind.seen = s.records[i].Seq
			switch what := rapid.IntRange(0, 9).Draw(t, "then"); {
			case what == 0:
				if err := behind.flush(); err != nil {
					t.Fatal(err)
				}
			case what == 1 && killed < 3: // what was not written is gone, and comes again
				killed++
				behind.begin(behind.written)
				i = int(behind.written) - 1
			}
		}
		if err := behind.flush(); err != nil {
			t.Fatal(err)
		}
		if a, b := dump(t, behind), dump(t, plain); a != b {
			t.Fatalf("gathered:\n%s\nrecord by record:\n%s", a, b)
		}
	})
}
