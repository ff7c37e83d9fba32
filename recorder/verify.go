package recorder

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Report is what Verify found out about a journal that it could read.
type Report struct {
	Dir         string
	Node        string    // of the last record
	KeyID       string    // fingerprint of the public key everything was checked with
	Records     uint64    // records checked
	First, Last uint64    // numbers of the first and the last one
	LastTime    time.Time // of the last one
	Head        string    // hash of the last one, hex
	Root        string    // Merkle tree head over all of them, base64
	Erased      uint64    // records whose contents were erased, as a later record says
	Unsigned    uint64    // of the records, those that a crash left in the front: chained, and not signed yet
	Checkpoints int       // signed checkpoints checked
	Problems    []Problem // what is wrong, in order; at most 100 are kept
}

// Problem is one thing that is wrong with a journal.
type Problem struct {
	Seq uint64 // the record that is concerned, 0 if it is none in particular
	Why string
}

func (p Problem) String() string {
	if p.Seq == 0 {
		return p.Why
	}
	return fmt.Sprintf("record %d: %s", p.Seq, p.Why)
}

// VerifyError says that a journal is not what was once written. It names the
// first problem; the report has the others.
type VerifyError struct {
	Problem
	More int // how many more problems there are
}

func (e *VerifyError) Error() string {
	if e.More == 0 {
		return "journal does not verify: " + e.String()
	}
	return fmt.Sprintf("journal does not verify: %s (and %d more problems)", e.Problem, e.More)
}

const maxProblems = 100

// verifier walks through a journal once.
type verifier struct {
	dir    string
	pub    *publicKey
	report Report
	tree   tree
	prev   digest
	canon  []byte
	marks  []mark          // signed heads not reached yet, by number
	lost   int             // problems beyond maxProblems
	erased map[uint64]bool // records without contents that no later record has named yet
}

// mark is a signed head that the records have to agree with.
type mark struct {
	head
	from string
}

// Verify checks the hash chain, the tree heads and the signatures of the
// journal in a data directory, of a running node or of a stopped one. The
// error is a *VerifyError if the journal is not intact: a record was changed,
// removed, inserted or moved, or its end was cut off, or what proves this is
// missing. Any other error means that it could not be read.
func Verify(dir string) (Report, error) {
	v := &verifier{dir: dir, report: Report{Dir: dir}, erased: map[uint64]bool{}}
	if err := hasJournal(dir); err != nil {
		return v.report, err
	}
	if err := v.loadKey(); err != nil {
		return v.report, err
	}
	// The heads first: a running node may commit more before the rest is read,
	// but never less than they promise.
	if err := v.loadHeads(); err != nil {
		return v.report, err
	}
	db, err := openReadOnly(dir)
	if err != nil {
		if corrupt(err) {
			v.problem(0, "the database is damaged: "+err.Error())
			return v.result()
		}
		return v.report, err
	}
	defer func() { _ = db.Close() }()
	if err := v.walk(db); err != nil {
		if !corrupt(err) {
			return v.report, err
		}
		v.problem(v.report.Last+1, "the database is damaged after this record: "+err.Error())
	}
	return v.result()
}

func (v *verifier) problem(seq uint64, why string) {
	if len(v.report.Problems) >= maxProblems {
		v.lost++
		return
	}
	v.report.Problems = append(v.report.Problems, Problem{Seq: seq, Why: why})
}

// result sorts the problems: the first bad record is named first.
func (v *verifier) result() (Report, error) {
	for seq := range v.erased {
		v.problem(seq, "its contents were erased, and no later record says so")
	}
	v.report.Head, v.report.Root = v.prev.String(), v.tree.root().String()
	p := v.report.Problems
	if len(p) == 0 {
		return v.report, nil
	}
	sort.SliceStable(p, func(a, b int) bool {
		return p[a].Seq != 0 && (p[b].Seq == 0 || p[a].Seq < p[b].Seq)
	})
	return v.report, &VerifyError{Problem: p[0], More: len(p) - 1 + v.lost}
}

func (v *verifier) loadKey() error {
	pub, err := loadPublicKey(v.dir)
	switch {
	case errors.Is(err, os.ErrPermission):
		return err
	case err != nil:
		v.problem(0, "no usable public key, so that no signature can be checked: "+err.Error())
	default:
		v.pub, v.report.KeyID = pub, pub.id
	}
	return nil
}

// loadHeads reads the head file, and those that were kept because the
// database did not reach them.
func (v *verifier) loadHeads() error {
	if v.pub == nil {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(escapeGlob(v.dir), headFile+"*"))
	if err != nil {
		return fmt.Errorf("looking for signed heads in %s: %w", v.dir, err)
	}
	main := filepath.Join(v.dir, headFile)
	found := false
	for _, name := range names {
		if strings.HasSuffix(name, ".tmp") {
			continue
		}
		found = found || name == main
		h, err := readHead(name, v.pub)
		switch {
		case errors.Is(err, errHeadUnreadable):
			v.problem(0, filepath.Base(name)+": "+err.Error())
		case err != nil:
			return fmt.Errorf("reading a signed head: %w", err)
		default:
			v.marks = append(v.marks, mark{head: h, from: filepath.Base(name)})
		}
	}
	if !found {
		v.problem(0, headFile+" is missing: nothing proves that the end of the journal was not cut off")
	}
	return nil
}

// escapeGlob makes a directory's name safe to be part of a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// walk checks all records up to the newest head at the start.
func (v *verifier) walk(db *sql.DB) error {
	end, err := v.loadState(db)
	if err != nil {
		return err
	}
	sort.SliceStable(v.marks, func(a, b int) bool { return v.marks[a].seq < v.marks[b].seq })
	v.pass()
	err = readAll(context.Background(), db, Query{}, func(r Record) error {
		if end > 0 && r.Seq > end {
			return errPastEnd
		}
		v.record(&r)
		return nil
	})
	if err != nil && !errors.Is(err, errPastEnd) {
		return err
	}
	if err := v.front(db); err != nil {
		return err
	}
	v.unreached()
	return nil
}

var errPastEnd = errors.New("past the head that was newest at the start")

// loadState reads the newest head in the database and all checkpoints, in one
// transaction. It returns the number of the last record that the head covers;
// records beyond it are only left alone if a running node may just have
// written them, that is if the head has moved since.
func (v *verifier) loadState(db *sql.DB) (end uint64, err error) {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return 0, fmt.Errorf("reading the journal: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var first, last sql.NullInt64
	if err := tx.QueryRowContext(context.Background(), "SELECT min(seq), max(seq) FROM records").Scan(&first, &last); err != nil {
		return 0, fmt.Errorf("reading the journal: %w", err)
	}
	if first.Valid && first.Int64 < 1 { // walk begins with 1, as every reader does
		v.problem(0, fmt.Sprintf("record %d was inserted: records are numbered from 1", first.Int64))
	}
	var signed string
	switch err := tx.QueryRowContext(context.Background(), "SELECT head FROM state WHERE id = 1").Scan(&signed); {
	case errors.Is(err, sql.ErrNoRows):
		if last.Int64 > 0 {
			v.problem(0, "the database has records, but its signed head is missing")
		}
	case err != nil:
		return 0, fmt.Errorf("reading the journal's head: %w", err)
	default:
		h, ok := v.signed(signed, "the signed head in the database")
		if ok && uint64(last.Int64) > h.seq {
			v.problem(h.seq+1, "it was added after the head in the database was signed")
		}
		if ok && uint64(last.Int64) < h.seq { // not even if the front has it: both are of one transaction
			v.problem(uint64(last.Int64)+1, "it is missing from the database, whose head was signed for it")
		}
	}
	return uint64(last.Int64), v.loadCheckpoints(tx, last.Int64 > 0)
}

func (v *verifier) loadCheckpoints(tx *sql.Tx, records bool) error {
	rows, err := tx.QueryContext(context.Background(), "SELECT size, note FROM checkpoints ORDER BY size")
	if err != nil {
		return fmt.Errorf("reading the journal's checkpoints: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var size int64
		var text string
		if err := rows.Scan(&size, &text); err != nil {
			return fmt.Errorf("reading the journal's checkpoints: %w", err)
		}
		v.report.Checkpoints++
		v.signed(text, fmt.Sprintf("the checkpoint of %d records", size))
	}
	if records && v.report.Checkpoints == 0 {
		v.problem(0, "the database has records, but no checkpoint")
	}
	return rows.Err()
}

// signed checks a signature and puts the head on the list of those that the
// records must agree with.
func (v *verifier) signed(text, from string) (head, bool) {
	if v.pub == nil {
		return head{}, false
	}
	h, err := v.pub.open([]byte(text))
	if err != nil {
		v.problem(0, from+": "+err.Error())
		return head{}, false
	}
	v.marks = append(v.marks, mark{head: h, from: from})
	return h, true
}

// record checks one record against the one before.
func (v *verifier) record(r *Record) {
	want := v.report.Last + 1
	if r.Seq != want {
		v.problem(want, v.gap(want, r.Seq))
	}
	it := item{seq: r.Seq, time: r.Time.UnixNano(), call: r.Call, kind: r.Kind, data: r.Data}
	stored := decodeDigest(r.Hash)
	it.prev = decodeDigest(r.Prev)
	if r.Seq == want && it.prev != v.prev {
		v.problem(r.Seq, "it does not follow the record before it: prev is "+r.Prev+", but that record's hash is "+v.prev.String())
	}
	v.canon = appendCanonical(v.canon[:0], r.Node, &it)
	if hash := digest(sha256.Sum256(v.canon)); hash != stored && string(r.Data) == erased {
		v.erased[r.Seq] = true
	} else if hash != stored {
		v.problem(r.Seq, "its contents do not belong to its hash: it was changed or moved")
	}
	v.content(r)
	v.prev = stored
	v.tree.add(stored)
	v.report.Records++
	if v.report.First == 0 {
		v.report.First = r.Seq
	}
	v.report.Last, v.report.Node, v.report.LastTime = r.Seq, r.Node, r.Time
	v.pass()
}

func (v *verifier) gap(from, next uint64) string {
	if next == from+1 {
		return "it is missing"
	}
	return fmt.Sprintf("it and all records up to %d are missing", next-1)
}

// content checks what records say about the journal itself.
func (v *verifier) content(r *Record) {
	switch r.Kind {
	case "node.started":
		var said struct {
			Key string `json:"key"`
		}
		if json.Unmarshal(r.Data, &said) == nil && said.Key != "" && v.pub != nil && said.Key != v.pub.id {
			v.problem(r.Seq, "the node started with key "+said.Key+", but the key here is "+v.pub.id)
		}
	case KindErased:
		v.wasErased(r)
	case kindDegraded:
		var said finding
		if json.Unmarshal(r.Data, &said) == nil && said.Journal != "" {
			v.problem(r.Seq, "the node itself reported "+said.Journal+": "+said.Why)
		}
	}
}

// wasErased takes back the doubt about records that retention has erased.
func (v *verifier) wasErased(r *Record) {
	var said ErasedData
	if json.Unmarshal(r.Data, &said) != nil {
		return
	}
	for seq := range v.erased {
		for _, span := range said.Ranges {
			if seq >= span[0] && seq <= span[1] && seq < r.Seq {
				delete(v.erased, seq)
				v.report.Erased++
				break
			}
		}
	}
}

// pass compares the records so far with the heads signed for them. Once
// something is wrong every later tree head differs: only hashes count then.
func (v *verifier) pass() {
	for len(v.marks) > 0 && v.marks[0].seq <= v.report.Last {
		m := v.marks[0]
		v.marks = v.marks[1:]
		switch {
		case m.size == 0 || m.seq < v.report.Last: // an empty journal's head, or within a gap that was reported
		case m.hash != v.prev:
			v.problem(m.seq, fmt.Sprintf("it is not the record that %s was signed for", m.from))
		case len(v.report.Problems) == 0 && (m.size != v.tree.size || m.root != v.tree.root()):
			v.problem(m.seq, fmt.Sprintf("the records up to it are not those that %s was signed for", m.from))
		}
	}
}

// unreached reports the heads that go beyond the end of the records.
func (v *verifier) unreached() {
	for _, m := range v.marks {
		v.problem(v.report.Last+1, fmt.Sprintf(
			"it is missing: %s was signed at %s for %d records up to number %d, but there are only %d",
			m.from, time.Unix(0, m.time).UTC().Format(time.RFC3339), m.size, m.seq, v.report.Records))
	}
}

func decodeDigest(s string) (d digest) {
	raw, err := hex.DecodeString(s)
	if err == nil && len(raw) == len(d) {
		copy(d[:], raw)
	}
	return d
}
