package recorder

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// finding is something that is wrong with a journal that was opened. It
// becomes a record, so that it cannot be forgotten, and Verify goes on
// reporting it.
type finding struct {
	Journal  string `json:"journal"` // what is wrong, in one word
	Why      string `json:"why"`
	HeadSeq  uint64 `json:"headSeq,omitempty"`  // records were signed up to here
	HeadHash string `json:"headHash,omitempty"` // hash of that last record
	TailSeq  uint64 `json:"tailSeq,omitempty"`  // but the database ends here
	Evidence string `json:"evidence,omitempty"` // file that was kept
	Key      string `json:"key,omitempty"`      // fingerprint of a new key
}

// kindDegraded is the kind of record that says what is wrong with this node.
const kindDegraded = "node.degraded"

// The words of finding.Journal.
const (
	tailMissing  = "tail_missing"
	headMissing  = "head_missing"
	headInvalid  = "head_invalid"
	stateInvalid = "state_invalid"
	newKeyMade   = "key_replaced"
	dbCorrupt    = "database_corrupt"
	recordsLost  = "records_dropped"
	dbReplaced   = "database_replaced"
	frontLoose   = "front_detached"
	frontForged  = "front_forged"
)

// opened is a data directory ready to be written to.
type opened struct {
	store    store
	front    *front // nil where there is no room for it: then the store alone is durable
	side     *sidecar
	lock     *os.File
	key      *key
	seq      uint64 // the next record gets a higher number than this
	hash     digest // of the last record, or of the last one known to have been
	tree     tree
	findings []finding
}

// opener opens one data directory, once.
type opener struct {
	dir  string
	node string
	now  time.Time
	out  *opened

	recordSeq  uint64 // of the last record in the database, 0 if none
	recordHash digest
	top        head // the newest head that is signed by the key, from anywhere
}

// openDir opens a data directory. It repairs nothing silently: whatever is
// wrong with the evidence is kept and comes back as findings. An error means
// that the disk cannot be used now. have is the key of an earlier opening.
func openDir(dir, node string, have *key, now time.Time) (*opened, error) {
	o := &opener{dir: dir, node: node, now: now, out: &opened{}}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("creating the data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	o.out.lock = lock
	if err := o.open(have); err != nil {
		if lock != nil {
			_ = lock.Close()
		}
		return nil, err
	}
	return o.out, nil
}

// open does the work of openDir, under the lock.
func (o *opener) open(have *key) error {
	if err := o.openKey(have); err != nil {
		return err
	}
	err := o.openDatabase()
	if corrupt(err) {
		if err = o.moveAside(err); err == nil {
			err = o.openDatabase()
		}
	}
	if err != nil {
		return err
	}
	if err = o.takeFront(); err == nil {
		err = o.openHead()
	}
	if err != nil {
		_ = o.out.store.close()
		return err
	}
	o.continueFrom()
	return o.openFront()
}

func (o *opener) find(f finding) { o.out.findings = append(o.out.findings, f) }

// stamp names kept files by time.
func (o *opener) stamp() string { return o.now.UTC().Format("20060102T150405.000000000Z") }

// keep moves a file of the data directory aside under a name with the time.
func (o *opener) keep(name string) (string, error) {
	kept := name + "." + o.stamp()
	if err := os.Rename(filepath.Join(o.dir, name), filepath.Join(o.dir, kept)); err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	return kept, nil
}

// openKey loads the key, or makes one. A key that cannot be used is kept and
// replaced, because no start may fail for it; the journal says so.
func (o *opener) openKey(have *key) error {
	if have != nil {
		o.out.key = have
		if _, err := os.Stat(filepath.Join(o.dir, keyFile)); errors.Is(err, fs.ErrNotExist) {
			return have.save(o.dir)
		}
		return nil
	}
	k, made, err := loadKey(o.dir, o.node)
	var pe *fs.PathError
	if err != nil && (made || errors.As(err, &pe) && !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	if err != nil {
		why := err
		if _, err := o.keep(keyFile); err != nil {
			return err
		}
		if _, err := o.keep(pubFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if k, _, err = loadKey(o.dir, o.node); err != nil {
			return err
		}
		o.find(finding{Journal: newKeyMade, Why: why.Error(), Key: k.id})
	}
	if _, err := os.Stat(filepath.Join(o.dir, databaseFile)); made && err == nil {
		o.find(finding{Journal: newKeyMade, Why: "there were records, but no key: a new one was made", Key: k.id})
	}
	o.out.key = k
	return nil
}

// openDatabase opens the database and reads where it ends.
func (o *opener) openDatabase() error {
	s, err := openSQLite(o.dir)
	if err != nil {
		return err
	}
	if err := o.readTail(s.conn); err != nil {
		_ = s.close()
		return fmt.Errorf("reading the end of %s: %w", s.path, err)
	}
	o.out.store = s
	return nil
}

func (o *opener) readTail(c *rawConn) error {
	o.recordSeq, o.recordHash, o.top, o.out.tree = 0, digest{}, head{}, tree{}
	row, err := c.row("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1")
	if err != nil {
		return err
	}
	if row != nil {
		seq, _ := row[0].(int64)
		hash, _ := row[1].([]byte)
		o.recordSeq = uint64(seq)
		copy(o.recordHash[:], hash)
	}
	state, err := c.row("SELECT head, edge FROM state WHERE id = 1")
	if err != nil {
		return err
	}
	if o.readState(state) {
		return nil
	}
	o.out.tree = tree{}
	return c.rows("SELECT hash FROM records ORDER BY seq", func(r []driver.Value) error {
		b, _ := r[0].([]byte)
		var h digest
		copy(h[:], b)
		o.out.tree.add(h)
		return nil
	})
}

// readState checks the head that was written with the last transaction, and
// takes the tree from it. It returns false if the tree has to be rebuilt.
func (o *opener) readState(state []driver.Value) bool {
	if state == nil {
		if o.recordSeq > 0 {
			o.find(finding{Journal: stateInvalid, Why: "the database has records but no signed head", TailSeq: o.recordSeq})
		}
		return o.recordSeq == 0
	}
	text, _ := state[0].(string)
	edge, _ := state[1].([]byte)
	var err error
	o.top, err = o.out.key.pub.open([]byte(text))
	if err != nil {
		o.find(finding{Journal: stateInvalid, Why: err.Error(), TailSeq: o.recordSeq})
		return false
	}
	if o.top.size > 0 && (o.top.seq != o.recordSeq || o.top.hash != o.recordHash) {
		f := finding{
			Journal: tailMissing, Why: "the last record is not the one the database's own head was signed for",
			HeadSeq: o.top.seq, HeadHash: o.top.hash.String(), TailSeq: o.recordSeq,
		}
		f.Evidence = headFile + "." + o.stamp() + ".db"
		_ = writeDurable(filepath.Join(o.dir, f.Evidence), padSlot([]byte(text)), 0o644)
		o.find(f)
		return false
	}
	if o.out.tree, err = unmarshalTree(o.top.size, edge, o.top.root); err != nil {
		o.find(finding{Journal: stateInvalid, Why: err.Error(), TailSeq: o.recordSeq})
		return false
	}
	return true
}

// moveAside keeps a database that SQLite cannot read and makes room for a new one.
func (o *opener) moveAside(why error) error {
	f := finding{Journal: dbCorrupt, Why: why.Error()}
	for _, suffix := range []string{"-shm", "-wal", ""} {
		kept, err := o.keep(databaseFile + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			f.Evidence = kept
		}
	}
	o.find(f)
	return nil
}

// openHead compares the database with the head beside it, and opens that for
// writing.
func (o *opener) openHead() error {
	h, err := readHead(filepath.Join(o.dir, headFile), o.out.key.pub)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if o.recordSeq > 0 {
			o.find(finding{Journal: headMissing, Why: "there were records, but no " + headFile, TailSeq: o.recordSeq})
		}
	case errors.Is(err, errHeadUnreadable):
		kept, kerr := o.keep(headFile)
		if kerr != nil {
			return kerr
		}
		o.find(finding{Journal: headInvalid, Why: err.Error(), TailSeq: o.recordSeq, Evidence: kept})
	case err != nil:
		return fmt.Errorf("reading the journal's head: %w", err)
	default:
		if err := o.compareHead(h); err != nil {
			return err
		}
	}
	first, err := o.out.key.sign(head{root: tlog.Hash{}, time: o.now.UnixNano()})
	if err != nil {
		return err
	}
	o.out.side, err = openSidecar(o.dir, first)
	return err
}

// compareHead keeps the head as evidence if the database does not reach it.
func (o *opener) compareHead(h head) error {
	if h.seq > o.top.seq {
		o.top = h
	}
	if h.size == 0 {
		return nil
	}
	found, err := o.hashAt(h.seq)
	if err != nil || found == h.hash {
		return err
	}
	f := finding{
		Journal: tailMissing, Why: "the database does not hold the record that the head beside it was signed for",
		HeadSeq: h.seq, HeadHash: h.hash.String(), TailSeq: o.recordSeq,
	}
	if f.Evidence, err = o.keep(headFile); err != nil {
		return err
	}
	o.find(f)
	return nil
}

func (o *opener) hashAt(seq uint64) (h digest, err error) {
	s, ok := o.out.store.(*sqliteStore)
	if !ok {
		return h, nil
	}
	row, err := s.conn.row("SELECT hash FROM records WHERE seq = ?", arg(1, int64(seq)))
	if err != nil || row == nil {
		return h, err
	}
	b, _ := row[0].([]byte)
	copy(h[:], b)
	return h, nil
}

// continueFrom decides the next number. Numbers that were signed for are never
// used again, so that a record that was taken away leaves a gap for ever.
func (o *opener) continueFrom() {
	o.out.seq, o.out.hash = o.recordSeq, o.recordHash
	if o.top.seq > o.recordSeq {
		o.out.seq = o.top.seq
		if o.recordSeq == 0 {
			o.out.hash = o.top.hash
		}
	}
}
