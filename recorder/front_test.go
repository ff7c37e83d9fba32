package recorder

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crashed copies a data directory as it is: what a process that is ended now
// leaves behind.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if out, err := exec.Command("cp", "-a", dir+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

// stuck is a journal whose database takes nothing more: two records are in it,
// and one is in the front alone.
func stuck(t *testing.T) (j *Journal, dir string, release func()) {
	t.Helper()
	dir = t.TempDir()
	var f faults
	j = openTest(t, dir, f.behindFront)
	commitTest(t, j, entry("a", 0), entry("a", 1))
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	f.set(nil, gate)
	commitTest(t, j, entry("a", 2))
	return j, dir, func() {
		f.set(nil, nil)
		close(gate)
	}
}

// TestDurableBeforeTheDatabase: who waits for a record waits for the front and
// not for the database, and a slow database is no trouble as long as that works.
func TestDurableBeforeTheDatabase(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f faults
		var c changes
		j := openTest(t, dir, f.behindFront, c.with, patience50)
		gate := make(chan struct{})
		f.set(nil, gate)
		start := time.Now()
		commitTest(t, j, entry("call", 0))
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
		time.Sleep(time.Second)
		if h := j.Health(); h.Degraded || h.Pending != 1 || !c.is() {
			t.Errorf("%+v %v", h, c.log)
		}
		ok := make(chan bool, 1)
		j.Commit(func(d bool) { ok <- d }, entry("call", 1)) // the writer is still in the database
		if <-ok {
			t.Error("durable although the disk hangs")
		}
		f.set(nil, nil)
		close(gate)
		if err := j.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if r := mustVerify(t, dir); r.Records != 2 || r.Unsigned != 0 {
		t.Errorf("%+v", r)
	}
}

// TestFrontIsPartOfTheJournal: after a crash between the front and the database
// all tools see the record, and the next start signs it.
func TestFrontIsPartOfTheJournal(t *testing.T) {
	live, dir, release := stuck(t)
	dead := crashed(t, dir)
	release()
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dead); r.Records != 3 || r.Unsigned != 1 || r.Last != 3 {
		t.Errorf("before the restart: %+v", r)
	}
	var out bytes.Buffer
	if err := Export(dead, Query{Call: "a"}, &out); err != nil || strings.Count(out.String(), "\n") != 3 || !strings.Contains(out.String(), "BYE sip:2 ") {
		t.Errorf("export: %v\n%s", err, &out)
	}
	for q, want := range map[Query]int{{}: 3, {Limit: 2}: 2, {After: 2}: 1, {After: 3}: 0, {Call: "b"}: 0} {
		n := 0
		if err := ReadDir(t.Context(), dead, q, func(Record) error { n++; return nil }); err != nil || n != want {
			t.Errorf("%+v: %d records, %v, want %d", q, n, err, want)
		}
	}
	j := openTest(t, dead)
	commitTest(t, j, entry("a", 3))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dead); r.Records != 4 || r.Unsigned != 0 {
		t.Errorf("after the restart: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(dead, frontFile)); !os.IsNotExist(err) {
		t.Errorf("a journal that was closed leaves its front: %v", err)
	}
}

// TestTornFront: a frame that was being written in a crash was promised to
// nobody; the journal goes on with what is before it.
func TestTornFront(t *testing.T) {
	live, dir, release := stuck(t)
	defer release()
	_ = live
	whole, err := os.ReadFile(filepath.Join(dir, frontFile))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := cutFrame(whole)
	if len(first) != 2 {
		t.Fatalf("the first frame has %d records", len(first))
	}
	end := len(appendFrame(nil, testSeal(), "psap-a", []item{first[0].item, first[1].item}))
	for _, at := range []int{end, end + 5, end + 9, end + frameHead, end + 60} {
		dead := crashed(t, dir)
		torn := slices.Clone(whole)
		torn[at] ^= 0x40
		if err := os.WriteFile(filepath.Join(dead, frontFile), torn, 0o640); err != nil {
			t.Fatal(err)
		}
		if r := mustVerify(t, dead); r.Records != 2 {
			t.Errorf("byte %d: %+v", at, r)
		}
		j := openTest(t, dead)
		commitTest(t, j, entry("a", 9))
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if r := mustVerify(t, dead); r.Records != 3 {
			t.Errorf("byte %d, after a restart: %+v", at, r)
		}
	}
}

// testSeal is that of somebody who does not have the node's key.
func testSeal() hash.Hash { return frontSeal("none") }

// TestForgedFront: what somebody without the key has put into the front, however
// well it is chained, is found by verify, and never signed: what is before it
// goes on, and it is kept as evidence.
func TestForgedFront(t *testing.T) {
	live, dir, release := stuck(t)
	defer release()
	_ = live
	whole, err := os.ReadFile(filepath.Join(dir, frontFile))
	if err != nil {
		t.Fatal(err)
	}
	list, err := readFront(dir, nil)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	forge := func(like item, data string) item {
		like.data = []byte(data)
		like.hash = sha256.Sum256(appendCanonical(nil, "psap-a", &like))
		return like
	}
	first := len(appendFrame(nil, testSeal(), "psap-a", []item{list[0].item, list[1].item}))
	both := first + len(appendFrame(nil, testSeal(), "psap-a", []item{list[2].item}))
	added := list[2].item
	added.seq, added.prev = 4, list[2].hash
	for name, c := range map[string]struct {
		at    int
		forge item
		good  int
	}{
		"changed": {first, forge(list[2].item, `{"raw":"nothing happened"}`), 2},
		"added":   {both, forge(added, `{"raw":"intake was complete"}`), 3},
	} {
		dead := crashed(t, dir)
		b := append(slices.Clone(whole[:c.at]), appendFrame(nil, testSeal(), "psap-a", []item{c.forge})...)
		if err := os.WriteFile(filepath.Join(dead, frontFile), b, 0o640); err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(dead); err == nil || !strings.Contains(err.Error(), "sealed") || r.Records != uint64(c.good) {
			t.Errorf("%s: verify: %v %+v", name, err, r)
		}
		j := openTest(t, dead)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := Export(dead, Query{}, &out)
		if err != nil || strings.Count(out.String(), "\n") != c.good+1 || !strings.Contains(out.String(), frontForged) || strings.Contains(out.String(), string(c.forge.data)) {
			t.Errorf("%s: export: %v\n%s", name, err, &out)
		}
		if kept, err := filepath.Glob(filepath.Join(dead, frontFile+".*")); err != nil || len(kept) != 1 {
			t.Errorf("%s: kept %v, %v", name, kept, err)
		}
	}
}

// TestFrontHidesNoCut: a record that was cut off the database is missed although
// the front still has it.
func TestFrontHidesNoCut(t *testing.T) {
	live, dir, release := stuck(t)
	dead := crashed(t, dir)
	release()
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := openPool(dsn(filepath.Join(dead, databaseFile), "rw"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM records WHERE seq = 2"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(dead); err == nil || !strings.Contains(err.Error(), "record 2") {
		t.Errorf("got %v, want a complaint about record 2", err)
	}
	j := openTest(t, dead)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(dead); err == nil {
		t.Error("the next start made it good")
	}
}

// TestDetachedFront: records that do not follow those of the database are kept
// as evidence, and the journal says so.
func TestDetachedFront(t *testing.T) {
	live, dir, release := stuck(t)
	defer release()
	_ = live
	dead := crashed(t, dir)
	for _, name := range []string{databaseFile, databaseFile + "-wal", databaseFile + "-shm"} {
		if err := os.Remove(filepath.Join(dead, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	list, err := readFront(dead, nil)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	k, _, err := loadKey(dead, "psap-a")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, frontFile), appendFrame(nil, frontSeal(k.skey), "psap-a", []item{list[2].item}), 0o640); err != nil {
		t.Fatal(err)
	}
	j := openTest(t, dead)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Export(dead, Query{Kind: kindDegraded}, &out); err != nil || !strings.Contains(out.String(), frontLoose) {
		t.Errorf("export: %v\n%s", err, &out)
	}
	kept, err := filepath.Glob(filepath.Join(dead, frontFile+".*"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept: %v %v", kept, err)
	}
}

// TestFrontBeginsAgain: the front is written around and around, also by batches
// that hardly fit and by those that do not fit at all; nothing is lost and
// nothing old comes back.
func TestFrontBeginsAgain(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir)
	big := Entry{Call: "big", Kind: "test", Data: strings.Repeat("x", maxData-10)}
	want := uint64(0)
	for n := range 20 {
		batch := []Entry{entry("small", n)}
		for range n % 7 { // up to six megabytes at once
			batch = append(batch, big)
		}
		commitTest(t, j, batch...)
		want += uint64(len(batch))
		if r := mustVerify(t, crashed(t, dir)); r.Records != want {
			t.Fatalf("after batch %d: %+v, want %d records", n, r, want)
		}
	}
}

// TestFullFrontKeepsWhatTheDatabaseLacks: when the front is full, records that
// are there alone are not overwritten by those that find no room.
func TestFullFrontKeepsWhatTheDatabaseLacks(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f faults
		j := openTest(t, dir, f.behindFront, patience50)
		commitTest(t, j, entry("a", 0))
		synctest.Wait() // it is in the database; the next ones wait for company
		gate := make(chan struct{})
		f.set(nil, gate)
		half := Entry{Call: "a", Kind: "test", Data: strings.Repeat("x", maxData-10)}
		commitTest(t, j, entry("a", 1), half, half)
		j.Commit(func(d bool) {
			if d {
				t.Error("durable without room and without the database")
			}
		}, half, half, half)
		time.Sleep(time.Second)
		if r := mustVerify(t, crashed(t, dir)); r.Records != 4 {
			t.Errorf("%+v", r)
		}
		f.set(nil, nil)
		close(gate)
		if err := j.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if r := mustVerify(t, dir); r.Records != 7 {
		t.Errorf("%+v", r)
	}
}

// TestFrontForgets: what was erased from the database does not live on in the
// front.
func TestFrontForgets(t *testing.T) {
	dir := t.TempDir()
	l, err := openFront(dir, "psap-a", testSeal())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	write := func(word string) {
		if ok, err := l.write([]item{{seq: 1, call: "call", kind: "test", data: []byte(`"` + word + `"`)}}); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	holds := func(word string) bool {
		b, err := os.ReadFile(filepath.Join(dir, frontFile))
		if err != nil || len(b) != frontRoom {
			t.Fatal(len(b), err)
		}
		return bytes.Contains(b, []byte(word))
	}
	write("first")
	write("second")
	now := time.Now()
	if l.due(now) {
		t.Error("due at once")
	}
	if now = now.Add(tidyFront); !l.due(now) {
		t.Error("never due")
	}
	if err := l.tidy(now); err != nil {
		t.Fatal(err)
	}
	write("third")
	if holds("first") || !holds("second") {
		t.Error("want the first overwritten and the second left behind")
	}
	if err := l.tidy(now.Add(tidyFront)); err != nil {
		t.Fatal(err)
	}
	if holds("second") {
		t.Error("what was left behind is still there")
	}
}

// TestUnreadableFront: a front that cannot be read does not keep a node from
// writing its journal.
func TestUnreadableFront(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, frontFile), 0o750); err != nil {
		t.Fatal(err)
	}
	j := openTest(t, dir)
	commitTest(t, j, entry("a", 0))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Export(dir, Query{}, &out); err != nil || strings.Count(out.String(), "\n") != 2 || !strings.Contains(out.String(), frontLoose) {
		t.Errorf("export: %v\n%s", err, &out)
	}
}

func FuzzFront(f *testing.F) {
	it := item{seq: 1, time: 5, call: "call", kind: "kind", data: []byte(`{}`)}
	f.Add(appendFrame(nil, testSeal(), "node", []item{it}))
	f.Add(appendFrame(nil, testSeal(), "", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, rest := cutFrame(b)
		if len(rest) > len(b) {
			t.Error("more came out than went in")
		}
		_, _ = after(records, 1, digest{})
	})
}

// TestFrontHasNoGap: records that went past the front into the database do not
// make those that are written into it afterwards unreadable.
func TestFrontHasNoGap(t *testing.T) {
	dir := t.TempDir()
	var f faults
	j := openTest(t, dir, f.behindFront)
	commitTest(t, j, entry("a", 0))
	big := Entry{Call: "big", Kind: "test", Data: strings.Repeat("x", maxData-10)}
	commitTest(t, j, big, big, big, big, big) // they find no room
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	f.set(nil, gate)
	commitTest(t, j, entry("a", 6))
	dead := crashed(t, dir)
	f.set(nil, nil)
	close(gate)
	if r := mustVerify(t, dead); r.Records != 7 || r.Unsigned != 1 {
		t.Errorf("%+v", r)
	}
}

// TestFrontThatCannotBeWritten: the database goes on alone, as durably, and
// nobody is told of trouble.
func TestFrontThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var c changes
		var l *front
		j := openTest(t, dir, c.with, patience50, func(o *JournalOptions) {
			o.open = opening(func(out *opened) { l = out.front })
		})
		commitTest(t, j, entry("a", 0))
		synctest.Wait()
		f, err := os.Open(l.f.Name()) // for reading alone
		if err != nil {
			t.Fatal(err)
		}
		l.f, f = f, l.f
		defer f.Close()
		for n := range 9 {
			commitTest(t, j, entry("a", n+1))
		}
		if err := j.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if h := j.Health(); h.Degraded || h.Pending != 0 || !c.is() {
			t.Errorf("%+v %v", h, c.log)
		}
		if _, err := os.Stat(filepath.Join(dir, frontFile)); !os.IsNotExist(err) {
			t.Errorf("the front that failed is still there: %v", err)
		}
		_ = j.Close()
	})
	if r := mustVerify(t, dir); r.Records != 10 {
		t.Errorf("%+v", r)
	}
}

// TestReadBesideTheWriter: what gets from memory into the database while
// somebody reads is read all the same, once.
func TestReadBesideTheWriter(t *testing.T) {
	var f faults
	j := openTest(t, t.TempDir(), f.behindFront)
	commitTest(t, j, entry("a", 0))
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	err := j.Read(t.Context(), Query{}, func(r Record) error {
		got = append(got, r.Seq)
		if r.Seq > 1 {
			return nil
		}
		commitTest(t, j, entry("a", 1), entry("a", 2))
		err := j.Flush(t.Context())
		gate := make(chan struct{})
		f.set(nil, gate)
		t.Cleanup(func() { f.set(nil, nil); close(gate) })
		commitTest(t, j, entry("a", 3)) // it stays in memory, and in the front
		return err
	})
	for n := range got {
		if got[n] != uint64(n+1) {
			t.Fatalf("read %v: a gap", got)
		}
	}
	if err != nil || len(got) == 0 {
		t.Fatal(got, err)
	}
}

// TestVerifyFindsADetachedFront: records that only the front has, and that do not
// follow those of the database, are a problem before the next start as well.
func TestVerifyFindsADetachedFront(t *testing.T) {
	live, dir, release := stuck(t)
	defer release()
	_ = live
	dead := crashed(t, dir)
	k, _, err := loadKey(dead, "psap-a")
	if err != nil {
		t.Fatal(err)
	}
	list, err := readFront(dead, nil)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d records, %v", len(list), err)
	}
	loose := list[2].item
	loose.seq, loose.prev = 7, loose.hash
	loose.hash = sha256.Sum256(appendCanonical(nil, "psap-a", &loose))
	if err := os.WriteFile(filepath.Join(dead, frontFile), appendFrame(nil, frontSeal(k.skey), "psap-a", []item{loose}), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(dead); err == nil || !strings.Contains(err.Error(), "from number 7 on") {
		t.Errorf("got %v", err)
	}
}

// TestFrontTakenAway: a front that is not in its place any more, or was cut, is
// made again within a second, and nothing is lost.
func TestFrontTakenAway(t *testing.T) {
	for name, take := range map[string]func(string) error{
		"removed": os.Remove, "cut": func(path string) error { return os.Truncate(path, 100) },
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			j := openTest(t, dir)
			commitTest(t, j, entry("a", 0))
			if err := take(filepath.Join(dir, frontFile)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			commitTest(t, j, entry("a", 1))
			if list, err := readFront(dir, nil); err != nil || len(list) != 1 || list[0].seq != 2 {
				t.Errorf("%s: %d records, %v", name, len(list), err)
			}
			_ = j.Close()
		})
		if r := mustVerify(t, dir); r.Records != 2 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestFrontAfterAPanic: records that are in the front, and of which the writer
// does not know that they are, are not written there twice: nothing that comes
// later is hidden behind a frame that does not go on.
func TestFrontAfterAPanic(t *testing.T) {
	dir := t.TempDir()
	l, err := openFront(dir, "psap-a", testSeal())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	s := stager{node: "psap-a"}
	items := make([]item, 3)
	for i := range items {
		items[i].data = []byte(`{}`)
		s.chain(&items[i])
	}
	if ok, err := l.write(items[:2]); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := l.write(items); ok || err != nil {
		t.Errorf("written twice: %v %v", ok, err)
	}
	if ok, err := l.write(items[2:]); ok || err != nil {
		t.Errorf("written although the database has to take over first: %v %v", ok, err)
	}
	l.turn()
	if ok, err := l.write(items[2:]); !ok || err != nil {
		t.Error(ok, err)
	}
	list, err := readFront(dir, testSeal())
	if err != nil || len(list) != 1 || list[0].seq != 3 {
		t.Errorf("%d records, %v", len(list), err)
	}
}
