package recorder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tampered makes a journal of n records in several commits, stops it, and lets
// an attacker at it.
func tampered(t *testing.T, n int, attack func(t *testing.T, dir string)) (string, error) {
	t.Helper()
	dir := t.TempDir()
	fillJournal(t, dir, n)
	attack(t, dir)
	_, err := Verify(dir)
	return dir, err
}

func fillJournal(t *testing.T, dir string, n int) {
	t.Helper()
	j := openTest(t, dir)
	commitTest(t, j, Entry{Kind: "node.started", Data: map[string]string{"key": j.KeyID()}})
	for i := 1; i < n; i++ {
		commitTest(t, j, entry(fmt.Sprint("call-", i%3), i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// alter runs statements on a journal that is not running.
func alter(t *testing.T, dir string, statements ...string) {
	t.Helper()
	c, err := openRaw(dsn(filepath.Join(dir, databaseFile), "rw"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range statements {
		if err := c.exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

func sqlAttack(statements ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { alter(t, dir, statements...) }
}

func removeFile(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	for _, c := range []struct {
		name   string
		attack func(*testing.T, string)
		seq    uint64
		why    string
	}{
		{"data changed", sqlAttack(`UPDATE records SET data = replace(data, 'BYE', 'ACK') WHERE seq = 7`), 7, "changed"},
		{"time changed", sqlAttack(`UPDATE records SET time = time + 1 WHERE seq = 9`), 9, "changed"},
		{"node changed", sqlAttack(`UPDATE records SET node = 'other' WHERE seq = 4`), 4, "changed"},
		{"call changed", sqlAttack(`UPDATE records SET call = 'x' WHERE seq = 2`), 2, "changed"},
		{"kind changed", sqlAttack(`UPDATE records SET kind = 'x' WHERE seq = 2`), 2, "changed"},
		{"hash changed", sqlAttack(`UPDATE records SET hash = zeroblob(32) WHERE seq = 5`), 5, "changed"},
		{"prev changed", sqlAttack(`UPDATE records SET prev = zeroblob(32) WHERE seq = 5`), 5, "does not follow"},
		{"one removed", sqlAttack(`DELETE FROM records WHERE seq = 6`), 6, "missing"},
		{"first removed", sqlAttack(`DELETE FROM records WHERE seq = 1`), 1, "missing"},
		{"several removed", sqlAttack(`DELETE FROM records WHERE seq IN (6,7,8)`), 6, "up to 8"},
		{"removed and renumbered", sqlAttack(`DELETE FROM records WHERE seq = 6`, `UPDATE records SET seq = -seq WHERE seq > 6`,
			`UPDATE records SET seq = -seq - 1 WHERE seq < 0`), 6, "does not follow"},
		{"two swapped", sqlAttack(`UPDATE records SET seq = -1 WHERE seq = 3`, `UPDATE records SET seq = 3 WHERE seq = 4`,
			`UPDATE records SET seq = 4 WHERE seq = -1`), 3, "does not follow"},
		{"inserted", sqlAttack(`UPDATE records SET seq = -seq - 1 WHERE seq >= 8`, `UPDATE records SET seq = -seq WHERE seq < 0`,
			`INSERT INTO records SELECT 8, time, node, call, kind, data, prev, hash FROM records WHERE seq = 7`), 8, "does not follow"},
		{"appended", sqlAttack(`INSERT INTO records SELECT 13, time, node, call, kind, data, hash, hash FROM records WHERE seq = 12`), 13, "after the head"},
		{"inserted before the first", sqlAttack(`INSERT INTO records SELECT 0, time, node, call, kind, data, prev, hash FROM records WHERE seq = 1`), 0, "record 0 was inserted"},
		{"inserted far before the first", sqlAttack(`INSERT INTO records SELECT -7, time, node, call, kind, data, prev, hash FROM records WHERE seq = 1`), 0, "record -7 was inserted"},
		{"tail cut", sqlAttack(`DELETE FROM records WHERE seq > 10`), 11, "missing"},
		{"tail cut with checkpoints", sqlAttack(`DELETE FROM records WHERE seq > 10`, `DELETE FROM checkpoints WHERE seq > 10`), 11, "missing"},
		{"tail and head cut", sqlAttack(`DELETE FROM records WHERE seq > 10`, `DELETE FROM checkpoints WHERE seq > 10`, `DELETE FROM state`), 11, "missing"},
		{"all records cut", sqlAttack(`DELETE FROM records`, `DELETE FROM checkpoints`, `DELETE FROM state`), 1, "missing"},
		{"head in the database removed", sqlAttack(`DELETE FROM state`), 0, "signed head is missing"},
		{"checkpoints removed", sqlAttack(`DELETE FROM checkpoints`), 0, "no checkpoint"},
		{"checkpoint changed", sqlAttack(`UPDATE checkpoints SET note = replace(note, char(10)||'seq ', char(10)||'seq 1')`), 0, "signature"},
		{"head file removed", removeFile(headFile), 0, headFile + " is missing"},
		{"public key removed", removeFile(pubFile), 0, "public key"},
		{"head file emptied", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, headFile), 0); err != nil {
				t.Fatal(err)
			}
		}, 0, "no slot"},
		{"key swapped", swapKey, 1, "started with key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := tampered(t, 12, c.attack)
			var ve *VerifyError
			if !errors.As(err, &ve) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(ve.Why, c.why) || c.seq != 0 && ve.Seq != c.seq {
				t.Fatalf("got record %d: %s; want record %d: %s", ve.Seq, ve.Why, c.seq, c.why)
			}
		})
	}
}

// swapKey replaces the public key by that of another node.
func swapKey(t *testing.T, dir string) {
	t.Helper()
	k, _, err := loadKey(t.TempDir(), "psap-a")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, pubFile), []byte(k.vkey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyKnowsTheKey lets an attacker sign everything anew with a key of
// his own: what the node said when it started gives him away.
func TestVerifyKnowsTheKey(t *testing.T) {
	_, err := tampered(t, 5, func(t *testing.T, dir string) {
		other, _, err := loadKey(t.TempDir(), "psap-a")
		if err != nil {
			t.Fatal(err)
		}
		old, err := loadPublicKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		h, err := readHead(filepath.Join(dir, headFile), old)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := other.sign(h)
		if err != nil {
			t.Fatal(err)
		}
		alter(t, dir, `UPDATE state SET head = '`+string(signed)+`'`, `DELETE FROM checkpoints`,
			fmt.Sprintf(`INSERT INTO checkpoints VALUES (%d, %d, '%s')`, h.size, h.seq, signed))
		for name, data := range map[string][]byte{pubFile: []byte(other.vkey), headFile: padSlot(signed)} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	var ve *VerifyError
	if !errors.As(err, &ve) || ve.Seq != 1 || !strings.Contains(ve.Why, "started with key") {
		t.Fatalf("got %v", err)
	}
}

func TestCutTailIsNotPaperedOver(t *testing.T) {
	dir, err := tampered(t, 12, sqlAttack(`DELETE FROM records WHERE seq > 10`, `DELETE FROM checkpoints WHERE seq > 10`, `DELETE FROM state`))
	if err == nil {
		t.Fatal("the cut was not found")
	}
	for range 2 { // the node is started again, twice
		j := openTest(t, dir)
		commitTest(t, j, entry("later", 1))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Verify(dir)
		var ve *VerifyError
		if !errors.As(err, &ve) || ve.Seq != 11 || !strings.Contains(ve.Why, "missing") {
			t.Fatalf("got %v", err)
		}
		if r.Last < 14 {
			t.Fatalf("numbers were used again: last is %d", r.Last)
		}
	}
	kept, err := filepath.Glob(filepath.Join(dir, headFile+".2*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("evidence: %v, %v", kept, err)
	}
	// Whoever removes the evidence as well is found out by the journal itself.
	if err := os.Remove(kept[0]); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(dir)
	if err == nil || !strings.Contains(fmt.Sprint(r.Problems), tailMissing) {
		t.Fatalf("got %v: %v", err, r.Problems)
	}
}

func TestCorruptDatabaseIsKeptAndReplaced(t *testing.T) {
	dir, _ := tampered(t, 5, func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, databaseFile), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := Verify(dir); err == nil {
		t.Fatal("verified a file that is no database")
	}
	j := openTest(t, dir)
	commitTest(t, j, entry("after", 1))
	if err := j.Flush(t.Context()); err != nil { // LastSeq is the database's
		t.Fatal(err)
	}
	if h := j.Health(); h.Degraded || h.LastSeq < 7 {
		t.Fatalf("health: %+v", h)
	}
	r, err := Verify(dir)
	if err == nil || !strings.Contains(fmt.Sprint(r.Problems), dbCorrupt) {
		t.Fatalf("got %v: %v", err, r.Problems)
	}
	kept, _ := filepath.Glob(filepath.Join(dir, databaseFile+".2*"))
	if len(kept) != 1 {
		t.Fatalf("kept: %v", kept)
	}
}

func TestUnusableKeyIsReplacedAndToldOf(t *testing.T) {
	dir, _ := tampered(t, 3, func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("garbage\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	j := openTest(t, dir)
	commitTest(t, j, entry("after", 1))
	r, err := Verify(dir)
	if err == nil || !strings.Contains(fmt.Sprint(r.Problems), newKeyMade) {
		t.Fatalf("got %v: %v", err, r.Problems)
	}
}

func TestVerifyOfNothing(t *testing.T) {
	_, err := Verify(t.TempDir())
	var ve *VerifyError
	if !errors.Is(err, os.ErrNotExist) || errors.As(err, &ve) {
		t.Fatalf("got %v", err)
	}
}

// TestVerifyBesideALoad verifies and exports while the journal is written.
func TestVerifyBesideALoad(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, dir)
	commitTest(t, j, entry("first", 0))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			ok := make(chan bool, 1)
			j.Commit(func(d bool) { ok <- d }, entry("load", i), entry("load", i))
			<-ok
		}
	}()
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		if r, err := Verify(dir); err != nil {
			t.Errorf("%v %v", err, r.Problems)
			break
		}
	}
	close(stop)
	<-stopped
}
