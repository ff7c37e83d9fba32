package retention

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdline/recorder"
	"holdline/recorder/capture"
)

type m = map[string]any

// house is a data directory with calls in it that ended long ago.
type house struct {
	t       *testing.T
	dir     string
	journal *recorder.Journal
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	j, err := recorder.OpenJournal(recorder.JournalOptions{Dir: dir, Node: "psap-a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return &house{t, dir, j}
}

// put journals a record of long ago: it is in the database.
func (h *house) put(at time.Time, call, kind string, data any) {
	h.t.Helper()
	h.journal.Append(recorder.Entry{Time: at, Call: call, Kind: kind, Data: data})
	if err := h.journal.Flush(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// call journals a call with a recording and messages; extra is what makes it
// what it is.
func (h *house) call(at time.Time, id string, extra ...string) string {
	h.t.Helper()
	h.put(at, id, "call.offered", m{"from": "sip:+15045550123@x"})
	for _, kind := range extra {
		h.put(at, id, kind, m{})
	}
	path := filepath.Join(h.dir, "recordings", at.Format(time.DateOnly), id+".wav")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("audio"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.put(at, id, "recording.closed", m{"path": "elsewhere/recordings/" + at.Format(time.DateOnly) + "/" + id + ".wav", "sha256": "77"})
	return path
}

func (h *house) messages(at time.Time, ids ...string) {
	log := capture.New(capture.Options{Dir: filepath.Join(h.dir, "signalling")})
	for _, id := range ids {
		raw := fmt.Appendf(nil, "BYE sip:x SIP/2.0\r\nCall-ID: %s\r\nCSeq: 1 BYE\r\n\r\n", id)
		log.Seen(capture.Message{At: at, Network: "udp", From: "127.0.0.1:1", To: "127.0.0.1:2", Raw: raw})
	}
	if err := log.Close(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) kept(at time.Time, ids ...string) (out []string) {
	found, err := capture.Find(filepath.Join(h.dir, "signalling"), ids, at.Add(-time.Hour), at.Add(time.Hour))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range found {
		out = append(out, f.Comment)
	}
	return out
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func TestSweepByClassAndHold(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	old, recent := now.AddDate(0, 0, -150), now.AddDate(0, 0, -10)
	ordinary := h.call(old, "ordinary")
	evidential := h.call(old, "evidential", "release.intercepted")
	held := h.call(old, "held")
	lifted := h.call(old, "lifted")
	young := h.call(recent, "young")
	h.put(now, "held", KindPlaced, m{"reason": "subpoena"})
	h.put(now, "lifted", KindPlaced, m{"reason": "subpoena"})
	h.put(now, "lifted", KindLifted, m{})
	// The lift is recent, but the call ended long ago: it is its last record
	// that counts, so that nothing goes on the day a hold is lifted.
	h.messages(old, "ordinary", "evidential", "held")
	k := Keeper{Data: h.dir, Journal: h.journal, Periods: Periods{Ordinary: 120 * 24 * time.Hour, Evidential: 730 * 24 * time.Hour}}
	if err := k.Sweep(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{ordinary: false, evidential: true, held: true, lifted: true, young: true} {
		if exists(path) != want {
			t.Errorf("%s is there: %v", path, !want)
		}
	}
	if got := h.kept(old, "ordinary", "evidential", "held"); !slices.Equal(got, []string{"evidential", "held"}) {
		t.Errorf("messages kept: %v", got)
	}
	h.find("retention.deleted", "ordinary")
	h.find("retention.thinned", "")
	if err := k.Sweep(t.Context(), now.AddDate(3, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if exists(evidential) || exists(young) || !exists(held) || len(h.kept(old, "evidential")) > 0 {
		t.Error("three years later only what is held should be there")
	}
}

func (h *house) find(kind, call string) {
	h.t.Helper()
	n := 0
	err := h.journal.Read(h.t.Context(), recorder.Query{Kind: kind}, func(r recorder.Record) error {
		if r.Call == call {
			n++
		}
		return nil
	})
	if err != nil || n != 1 {
		h.t.Errorf("%d records %s of call %q: %v", n, kind, call, err)
	}
}

// TestNothingGoesUnjournaled: where a deletion cannot be written down, nothing
// is deleted.
func TestNothingGoesUnjournaled(t *testing.T) {
	h := newHouse(t)
	old := time.Now().AddDate(0, 0, -150)
	path := h.call(old, "a")
	h.messages(old, "a")
	k := Keeper{Data: h.dir, Journal: broken{}, Periods: Periods{Ordinary: time.Hour, Evidential: time.Hour, Records: time.Hour}}
	if err := k.Sweep(t.Context(), time.Now()); err == nil || !exists(path) || len(h.kept(old, "a")) == 0 {
		t.Errorf("recording there: %v, error %v", exists(path), err)
	}
}

type broken struct{}

func (broken) Commit(done func(bool), _ ...recorder.Entry) { done(false) }

// TestErasedRecordsKeepTheChain erases contents, and the journal verifies;
// contents that vanish without a record of it are found.
func TestErasedRecordsKeepTheChain(t *testing.T) {
	h := newHouse(t)
	old := time.Now().AddDate(-8, 0, 0)
	h.put(old, "", "node.started", m{})
	h.call(old, "a")
	h.call(old, "held")
	h.put(time.Now(), "held", KindPlaced, m{"reason": "subpoena"})
	k := Keeper{Data: h.dir, Journal: h.journal, Periods: Periods{Records: 365 * 24 * time.Hour}}
	for range 2 { // the second finds nothing to do
		if err := k.Sweep(context.Background(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	h.find(recorder.KindErased, "")
	r, err := recorder.Verify(h.dir)
	if err != nil || r.Erased != 2 {
		t.Fatalf("%d erased, %v", r.Erased, err)
	}
	said := 0
	err = h.journal.Read(t.Context(), recorder.Query{}, func(r recorder.Record) error {
		if string(r.Data) != `{"erased":true}` && (r.Call == "a" || r.Call == "held") {
			said++
		}
		return nil
	})
	if err != nil || said != 3 { // the held call's, and the hold
		t.Errorf("%d records of the calls still speak: %v", said, err)
	}
	if err := recorder.Erase(t.Context(), h.dir, [][2]uint64{{4, 4}}); err != nil {
		t.Fatal(err)
	}
	if _, err := recorder.Verify(h.dir); err == nil {
		t.Error("contents vanished without a record, and the journal verifies")
	}
}
