package recorder

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Query selects records. The zero Query selects all of them.
type Query struct {
	Call  string    // only records of this call
	Kind  string    // only records of this kind; "alert.*" is every kind that begins with alert.
	Since time.Time // only records from this time on
	After uint64    // only records with a higher number
	Limit int       // at most so many; 0: no limit
}

// page is how many records are read in one transaction: a long one would keep
// the write-ahead log from being folded in.
const page = 1000

// readers is the read-only side of a database, opened when it is needed.
type readers struct {
	dir string
	mu  sync.Mutex
	db  *sql.DB
}

// open returns a pool of read-only connections.
func (r *readers) open() (*sql.DB, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.db != nil {
		return r.db, nil
	}
	db, err := openReadOnly(r.dir)
	if err == nil {
		r.db = db
	}
	return db, err
}

// reset forgets the pool: the file may be another one now.
func (r *readers) reset() { r.close() }

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.db != nil {
		_ = r.db.Close()
		r.db = nil
	}
}

// hasJournal says what to do where a directory has no journal.
func hasJournal(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); err != nil {
		return fmt.Errorf("there is no journal in %s; name the data folder of the configuration: %w", dir, err)
	}
	return nil
}

// openReadOnly opens the database of a data directory, of a running node or of
// a stopped one, without writing to it.
func openReadOnly(dir string) (*sql.DB, error) {
	path := filepath.Join(dir, databaseFile)
	if err := hasJournal(dir); err != nil {
		return nil, err
	}
	pragmas := []string{"busy_timeout(2000)", "query_only(1)"}
	db, err := openPool(dsn(path, "ro", pragmas...))
	if err == nil {
		return db, nil
	}
	// A directory that cannot be written: SQLite cannot share its log there,
	// but if nothing is in the log the file alone is the whole journal.
	if wal, serr := os.Stat(path + "-wal"); serr != nil || wal.Size() == 0 {
		if db, ierr := openPool(dsn(path, "ro", pragmas...) + "&immutable=1"); ierr == nil {
			return db, nil
		}
	}
	return nil, fmt.Errorf("opening the journal in %s: %w", dir, err)
}

func openPool(name string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(10 * time.Second)
	var n int
	if err := db.QueryRowContext(context.Background(), "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// Read calls f with every record that q selects, in order: those on disk, and
// those that a degraded journal still has in memory. It stops with the first
// error, f's included.
func (j *Journal) Read(ctx context.Context, q Query, f func(Record) error) error {
	q.Call = cleanText(q.Call)
	last, n := q.After, 0
	count := func(r Record) error {
		last = r.Seq
		n++
		return f(r)
	}
	waiting := j.unwritten(last) // before the disk is read: they may get there meanwhile
	db, err := j.readers.open()
	if err == nil {
		err = readAll(ctx, db, q, count)
	}
	if err != nil && (!errors.Is(err, os.ErrNotExist) || j.Health().LastSeq > 0) {
		return err
	}
	for i := range waiting {
		if q.Limit > 0 && n >= q.Limit {
			break
		}
		if it := &waiting[i]; it.seq > last && q.matches(it) {
			if err := count(it.record(j.opts.Node)); err != nil {
				return err
			}
		}
	}
	return nil
}

// unwritten returns the chained records after seq that are not on disk.
func (j *Journal) unwritten(after uint64) (out []item) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, it := range j.pending {
		if it.seq > after {
			out = append(out, it)
		}
	}
	return out
}

func (q Query) matches(it *item) bool {
	kind := q.Kind == "" || q.Kind == it.kind
	if family, ok := strings.CutSuffix(q.Kind, ".*"); ok && isWord(family) {
		kind = strings.HasPrefix(it.kind, family+".")
	}
	return (q.Call == "" || q.Call == it.call) && kind &&
		(q.Since.IsZero() || it.time >= q.Since.UnixNano())
}

// readAll reads page by page.
func readAll(ctx context.Context, db *sql.DB, q Query, f func(Record) error) error {
	left := q.Limit
	for {
		n := page
		if q.Limit > 0 {
			n = min(n, left)
		}
		var got []Record
		err := readPage(ctx, db, q, n, func(r Record) { got = append(got, r) })
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		for _, r := range got {
			if err := f(r); err != nil {
				return err
			}
		}
		left -= len(got)
		if len(got) < n || q.Limit > 0 && left <= 0 {
			return nil
		}
		q.After = got[len(got)-1].Seq
	}
}

// statement builds the SQL of a query.
func (q Query) statement(n int) (string, []any) {
	where, args := []string{"seq > ?"}, []any{int64(q.After)}
	if q.Call != "" {
		// The index is partial: SQLite uses it only if told that call is not empty.
		where, args = append(where, "call = ? AND call <> ''"), append(args, q.Call)
	}
	if family, ok := strings.CutSuffix(q.Kind, ".*"); ok && isWord(family) {
		// In the words of the partial indexes, or SQLite would not use them.
		where = append(where, "kind >= '"+family+".' AND kind < '"+family+"/'")
	} else if q.Kind != "" {
		where, args = append(where, "kind = ?"), append(args, q.Kind)
	}
	if !q.Since.IsZero() {
		where, args = append(where, "time >= ?"), append(args, q.Since.UnixNano())
	}
	return "SELECT seq, time, node, call, kind, data, prev, hash FROM records WHERE " +
		strings.Join(where, " AND ") + " ORDER BY seq LIMIT ?", append(args, n)
}

// isWord tells whether s is lower-case letters alone: it goes into SQL.
func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

func readPage(ctx context.Context, db *sql.DB, q Query, n int, f func(Record)) error {
	text, args := q.statement(n)
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r Record
		var seq, at int64
		var prev, hash []byte
		var data string
		if err := rows.Scan(&seq, &at, &r.Node, &r.Call, &r.Kind, &data, &prev, &hash); err != nil {
			return err
		}
		r.Seq, r.Time, r.Data = uint64(seq), time.Unix(0, at).UTC(), []byte(data)
		r.Prev, r.Hash = fmt.Sprintf("%x", prev), fmt.Sprintf("%x", hash)
		f(r)
	}
	return rows.Err()
}

// ReadDir calls f with every record that q selects of the journal in a data
// directory, in order, of a running node or of a stopped one.
func ReadDir(ctx context.Context, dir string, q Query, f func(Record) error) error {
	db, err := openReadOnly(dir)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	q.Call = cleanText(q.Call)
	end, err := newest(ctx, db, dir)
	if err != nil {
		return err
	}
	last, n := q.After, 0
	count := func(r Record) error {
		last = r.Seq
		n++
		return f(r)
	}
	if err := readAll(ctx, db, q, count); err != nil {
		return err
	}
	for i := range end {
		r := &end[i]
		if r.seq <= last || !q.matches(&r.item) {
			continue
		}
		if q.Limit > 0 && n >= q.Limit {
			break
		}
		if err := count(r.record(r.node)); err != nil {
			return err
		}
	}
	return nil
}

// Export writes the records that q selects as one JSON object a line, with the
// keys seq, time, node, call, kind, data, prev, hash in this order. It works
// beside a running node as well as on a stopped one's directory.
func Export(dir string, q Query, w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	err := ReadDir(context.Background(), dir, q, func(r Record) error {
		line = append(r.AppendJSON(line[:0]), '\n')
		_, err := out.Write(line)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("exporting the journal: %w", err)
	}
	return nil
}
