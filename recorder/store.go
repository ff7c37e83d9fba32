package recorder

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"modernc.org/sqlite"
)

// databaseFile is the SQLite file of a node, under its data directory.
const databaseFile = "holdline.db"

// minSQLite is the first version without the WAL reset bug that could corrupt
// a database whose log was restarted while it was being checkpointed.
const minSQLite = "3.51.3"

// schema: records is append-only; state holds the one newest signed head, in
// the same transaction as the records it covers, with the right edge of the
// Merkle tree; checkpoints keeps a signed head per second.
const schema = `
CREATE TABLE IF NOT EXISTS records (
	seq  INTEGER PRIMARY KEY,
	time INTEGER NOT NULL,
	node TEXT NOT NULL,
	call TEXT NOT NULL,
	kind TEXT NOT NULL,
	data TEXT NOT NULL,
	prev BLOB NOT NULL,
	hash BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS records_call ON records(call) WHERE call <> '';
CREATE INDEX IF NOT EXISTS records_alert ON records(seq) WHERE kind >= 'alert.' AND kind < 'alert/';
CREATE INDEX IF NOT EXISTS records_node ON records(seq) WHERE kind >= 'node.' AND kind < 'node/';
CREATE TABLE IF NOT EXISTS state (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	head TEXT NOT NULL,
	edge BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS checkpoints (
	size INTEGER PRIMARY KEY,
	seq  INTEGER NOT NULL,
	note TEXT NOT NULL
) STRICT;`

// batchSizes are the row counts for which an INSERT is kept prepared.
func batchSizes() []int { return []int{32, 8, 2, 1} }

// commit is what one transaction writes.
type commit struct {
	node       string
	items      []item
	head       head
	signed     []byte // the head, signed
	edge       []byte // the tree edge that belongs to it
	checkpoint bool   // keep the head as a checkpoint as well
}

// store is where the journal's writer puts its batches; tests replace it.
type store interface {
	write(c *commit) error // durable when it returns nil, unless the store was relaxed
	relax(on bool) error   // on: from now on sync makes writes durable, and write does not
	sync() error
	tidy() error  // folds the write-ahead log into the database when it has grown
	moved() error // tells that the file is not where it was opened any more
	close() error
}

// sqliteStore is the real store. It uses the driver's connection directly:
// database/sql would add a lock, a context and copies to every statement.
type sqliteStore struct {
	path   string
	info   os.FileInfo
	conn   *rawConn
	log    *os.File // SQLite's write-ahead log
	sizes  []int
	insert []driver.StmtExecContext
	begin  driver.StmtExecContext
	commit driver.StmtExecContext
	head   driver.StmtExecContext
	keep   driver.StmtExecContext
	args   []driver.NamedValue
	logged int // bytes written to the log since it was last tidied, about
}

// openSQLite opens the database of a data directory for writing.
func openSQLite(dir string) (s *sqliteStore, err error) {
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, fmt.Errorf("choosing fdatasync: %w", err)
	}
	path := filepath.Join(dir, databaseFile)
	conn, err := openRaw(dsn(path, "rwc", "busy_timeout(2000)", "journal_mode(wal)", "synchronous(full)",
		"wal_autocheckpoint(0)", "journal_size_limit(67108864)"))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err = checkVersion(conn); err != nil {
		return nil, err
	}
	if err = conn.exec(schema); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", path, err)
	}
	s = &sqliteStore{path: path, conn: conn, sizes: batchSizes()}
	if err = s.prepare(); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", path, err)
	}
	if s.info, err = os.Stat(path); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err = syncDir(dir); err != nil {
		return nil, fmt.Errorf("making %s durable: %w", path, err)
	}
	_ = reserveLog(path + "-wal") // without it commits are slower, and that is all
	if s.log, err = os.OpenFile(path+"-wal", os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	return s, nil
}

// dsn builds the driver's name for a database: a path may hold any byte.
func dsn(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func checkVersion(c *rawConn) error {
	row, err := c.row("SELECT sqlite_version()")
	if err != nil {
		return fmt.Errorf("asking for the SQLite version: %w", err)
	}
	if got, _ := row[0].(string); !atLeast(got, minSQLite) {
		return fmt.Errorf("SQLite %s has a bug that can corrupt the journal: build with %s or later", got, minSQLite)
	}
	return nil
}

// atLeast compares dotted version numbers.
func atLeast(version, minimum string) bool {
	v, m := strings.Split(version, "."), strings.Split(minimum, ".")
	for i := range m {
		var a int
		if i < len(v) {
			a, _ = strconv.Atoi(v[i])
		}
		if b, _ := strconv.Atoi(m[i]); a != b {
			return a > b
		}
	}
	return true
}

func (s *sqliteStore) prepare() (err error) {
	for _, n := range s.sizes {
		q := "INSERT INTO records(seq,time,node,call,kind,data,prev,hash) VALUES " +
			strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?,?),", n), ",")
		st, err := s.conn.prepare(q)
		if err != nil {
			return err
		}
		s.insert = append(s.insert, st)
	}
	if s.begin, err = s.conn.prepare("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if s.commit, err = s.conn.prepare("COMMIT"); err != nil {
		return err
	}
	s.head, err = s.conn.prepare("INSERT INTO state(id,head,edge) VALUES (1,?,?) " +
		"ON CONFLICT(id) DO UPDATE SET head=excluded.head, edge=excluded.edge")
	if err != nil {
		return err
	}
	s.keep, err = s.conn.prepare("INSERT OR REPLACE INTO checkpoints(size,seq,note) VALUES (?,?,?)")
	return err
}

// write puts a batch, its signed head and perhaps a checkpoint on the disk in
// one transaction with one fsync.
func (s *sqliteStore) write(c *commit) (err error) {
	if _, err := s.begin.ExecContext(context.Background(), nil); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() {
		if err != nil {
			// After some errors SQLite has rolled back by itself.
			_ = s.conn.exec("ROLLBACK")
		}
	}()
	if err := s.insertAll(c); err != nil {
		return fmt.Errorf("inserting records: %w", err)
	}
	s.args = append(s.args[:0], arg(1, string(c.signed)), arg(2, c.edge))
	if _, err := s.head.ExecContext(context.Background(), s.args); err != nil {
		return fmt.Errorf("storing the head: %w", err)
	}
	if c.checkpoint {
		s.args = append(s.args[:0], arg(1, int64(c.head.size)), arg(2, int64(c.head.seq)), arg(3, string(c.signed)))
		if _, err := s.keep.ExecContext(context.Background(), s.args); err != nil {
			return fmt.Errorf("storing a checkpoint: %w", err)
		}
	}
	if _, err := s.commit.ExecContext(context.Background(), nil); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	s.logged += 3*4096 + 4096*len(c.items)/8
	return nil
}

// relax leaves it to the front of the journal to make records durable, or ends that.
func (s *sqliteStore) relax(on bool) error {
	if on {
		return s.conn.exec("PRAGMA synchronous=normal")
	}
	return s.conn.exec("PRAGMA synchronous=full")
}

// sync makes everything durable that was written. A checkpoint forces the log
// to the disk before it changes the database, and the database before the log
// begins again, so that only the log can lack something.
func (s *sqliteStore) sync() error {
	if err := s.log.Sync(); err != nil { // it was opened before files could become scarce
		return fmt.Errorf("forcing the write-ahead log to the disk: %w", err)
	}
	return nil
}

func arg(n int, v driver.Value) driver.NamedValue { return driver.NamedValue{Ordinal: n, Value: v} }

func (s *sqliteStore) insertAll(c *commit) error {
	items := c.items
	for i, n := range s.sizes {
		for len(items) >= n {
			s.args = s.args[:0]
			for j := range items[:n] {
				s.bind(c.node, &items[j])
			}
			if _, err := s.insert[i].ExecContext(context.Background(), s.args); err != nil {
				return err
			}
			items = items[n:]
		}
	}
	return nil
}

func (s *sqliteStore) bind(node string, it *item) {
	n := len(s.args)
	s.args = append(s.args,
		arg(n+1, int64(it.seq)), arg(n+2, it.time), arg(n+3, node), arg(n+4, it.call),
		arg(n+5, it.kind), arg(n+6, string(it.data)), arg(n+7, it.prev[:]), arg(n+8, it.hash[:]))
}

// tidy folds the write-ahead log into the database. It runs between commits
// and is bounded by tidyAfter, a few milliseconds of work.
func (s *sqliteStore) tidy() error {
	if s.logged < tidyAfter {
		return nil
	}
	s.logged = 0
	if _, err := s.conn.row("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		return fmt.Errorf("folding in the write-ahead log: %w", err)
	}
	return nil
}

// moved reports that the database is gone from its path: SQLite would go on
// writing into a file that nobody can find again.
func (s *sqliteStore) moved() error {
	now, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("the journal's database is gone: %w", err)
	}
	if !os.SameFile(now, s.info) {
		return fmt.Errorf("the journal's database %s was replaced by another file", s.path)
	}
	return nil
}

func (s *sqliteStore) close() error {
	for _, st := range append(s.insert, s.begin, s.commit, s.head, s.keep) {
		_ = st.(driver.Stmt).Close()
	}
	return errors.Join(s.conn.Close(), s.log.Close())
}

// rawConn is a driver connection with the few calls that are needed here.
type rawConn struct {
	driver.Conn
}

func openRaw(name string) (*rawConn, error) {
	c, err := new(sqlite.Driver).Open(name)
	if err != nil {
		return nil, err
	}
	return &rawConn{Conn: c}, nil
}

func (c *rawConn) exec(query string, args ...driver.NamedValue) error {
	e, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return errors.New("SQLite driver without ExecContext")
	}
	_, err := e.ExecContext(context.Background(), query, args)
	return err
}

func (c *rawConn) prepare(query string) (driver.StmtExecContext, error) {
	st, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	e, ok := st.(driver.StmtExecContext)
	if !ok {
		return nil, errors.New("SQLite driver without StmtExecContext")
	}
	return e, nil
}

// rows calls f with each row of a query; f must not keep the row.
func (c *rawConn) rows(query string, f func([]driver.Value) error, args ...driver.NamedValue) error {
	q, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return errors.New("SQLite driver without QueryContext")
	}
	rs, err := q.QueryContext(context.Background(), query, args)
	if err != nil {
		return err
	}
	defer func() { _ = rs.Close() }()
	row := make([]driver.Value, len(rs.Columns()))
	for {
		switch err := rs.Next(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// row returns the first row of a query, nil if there is none.
func (c *rawConn) row(query string, args ...driver.NamedValue) (first []driver.Value, err error) {
	err = c.rows(query, func(r []driver.Value) error {
		if first == nil {
			first = append(first, r...)
		}
		return nil
	}, args...)
	return first, err
}

// errorCode returns the primary SQLite result code of an error, 0 if it is not
// SQLite's.
func errorCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// corrupt tells that the file is not, or not any more, a database.
func corrupt(err error) bool {
	const sqliteCorrupt, sqliteNotADB = 11, 26
	code := errorCode(err)
	return code == sqliteCorrupt || code == sqliteNotADB
}
