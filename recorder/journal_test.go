package recorder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// openTest opens a journal that is closed with the test.
func openTest(t testing.TB, dir string, change ...func(*JournalOptions)) *Journal {
	t.Helper()
	opts := JournalOptions{Dir: dir, Node: "psap-a", Patience: 10 * time.Second}
	for _, c := range change {
		c(&opts)
	}
	j, err := OpenJournal(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// commit records entries and waits until they are on disk.
func commitTest(t testing.TB, j *Journal, entries ...Entry) {
	t.Helper()
	ok := make(chan bool, 1)
	j.Commit(func(durable bool) { ok <- durable }, entries...)
	if !<-ok {
		t.Fatal("commit was not durable")
	}
}

type bye struct {
	Raw  string `json:"raw"`
	From string `json:"from"`
}

func entry(call string, n int) Entry {
	return Entry{Call: call, Kind: "release.requested", Data: bye{Raw: fmt.Sprintf("BYE sip:%d SIP/2.0\r\nTo: <sip:a@b>\r\n", n), From: "10.0.0.1"}}
}

func mustVerify(t *testing.T, dir string) Report {
	t.Helper()
	r, err := Verify(dir)
	if err != nil {
		t.Fatalf("verify: %v\n%v", err, r.Problems)
	}
	return r
}

func TestJournalKeepsOrderAndVerifies(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir)
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", -5*3600))
	j.Append(Entry{Kind: "node.started", Data: map[string]string{"key": j.KeyID()}})
	for i := range 100 {
		j.Append(entry("call-1", i))
	}
	commitTest(t, j, Entry{Time: at, Call: "c<2>", Kind: "call.ended", Data: map[string]string{"by": "caller"}})
	if r := mustVerify(t, dir); r.Records != 102 || r.Node != "psap-a" || r.KeyID != j.KeyID() {
		t.Fatalf("live report: %+v", r)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir); r.Records != 102 || r.Checkpoints == 0 {
		t.Fatalf("report after close: %+v", r)
	}
	var out bytes.Buffer
	if err := Export(dir, Query{Call: "c<2>"}, &out); err != nil {
		t.Fatal(err)
	}
	want := `{"seq":102,"time":"2026-03-01T17:00:00.123456789Z","node":"psap-a","call":"c<2>","kind":"call.ended","data":{"by":"caller"},"prev":"`
	if !strings.HasPrefix(out.String(), want) {
		t.Fatalf("export:\n%s", out.String())
	}
}

func TestJournalGoesOnAfterRestart(t *testing.T) {
	dir := t.TempDir()
	var id string
	for round := range 3 {
		j := openTest(t, dir)
		if id != "" && j.KeyID() != id {
			t.Fatal("the key changed")
		}
		id = j.KeyID()
		commitTest(t, j, entry("a", round), entry("b", round))
		sub := j.Subscribe(0) // the past is delivered too, from the disk
		for want := uint64(1); want <= uint64(2*round+2); want++ {
			if r := <-sub.C; r.Seq != want {
				t.Fatalf("got %d, want %d", r.Seq, want)
			}
		}
		sub.Close()
		if h := j.Health(); h.LastSeq != uint64(2*round+2) || h.Degraded || h.Pending != 0 {
			t.Fatalf("health: %+v", h)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r := mustVerify(t, dir); r.Records != 6 {
		t.Fatalf("report: %+v", r)
	}
}

func TestReadSelects(t *testing.T) {
	j := openTest(t, t.TempDir())
	for i := range 50 {
		j.Append(Entry{Time: time.Unix(int64(1000+i), 0), Call: fmt.Sprint("c", i%5), Kind: fmt.Sprint("k", i%2), Data: i})
	}
	if err := j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    Query
		want int
	}{
		{Query{}, 50},
		{Query{Call: "c3"}, 10},
		{Query{Call: "c3", Kind: "k1"}, 5},
		{Query{Since: time.Unix(1040, 0)}, 10},
		{Query{After: 45}, 5},
		{Query{Limit: 7}, 7},
		{Query{Call: "none"}, 0},
	} {
		n := 0
		if err := j.Read(context.Background(), c.q, func(Record) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		if n != c.want {
			t.Errorf("%+v: %d records, want %d", c.q, n, c.want)
		}
	}
	stop := errors.New("enough")
	if err := j.Read(context.Background(), Query{}, func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkJournalAppend(b *testing.B) {
	j := openTest(b, b.TempDir())
	call := strings.Repeat("x", 36)
	b.ReportAllocs()
	for i := range b.N {
		if i%7 == 0 {
			call = fmt.Sprintf("%036d", i*7919%100000007)
		}
		for j.Health().Pending > 20000 {
			time.Sleep(time.Millisecond)
		}
		j.Append(entry(call, i))
	}
	if err := j.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	h := j.Health()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(h.Written)/float64(h.Commits), "records/commit")
}

// BenchmarkJournalCommitAlone is what a call waits for its record when nobody
// else is there to share the commit with.
func BenchmarkJournalCommitAlone(b *testing.B) {
	j := openTest(b, b.TempDir())
	ok := make(chan bool, 1)
	b.ReportAllocs()
	for i := range b.N {
		b.StopTimer()
		time.Sleep(paceEvery)
		b.StartTimer()
		j.Commit(func(d bool) { ok <- d }, entry("call", i))
		<-ok
	}
}
