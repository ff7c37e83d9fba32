// Package history finds past calls: an index of them beside the journal, kept
// up to date by following it. It is derived from the journal alone: when the
// file is gone it is built anew, and nothing is lost with it.
package history

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	_ "modernc.org/sqlite" // the driver of the index

	"holdline/recorder"
)

// version is that of the schema: an index of another one is built anew.
const version = 2

const schema = `
CREATE TABLE calls (
	call TEXT PRIMARY KEY, seq INTEGER NOT NULL, started INTEGER NOT NULL, answered INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,
	kind TEXT NOT NULL DEFAULT '', caller TEXT NOT NULL DEFAULT '', number TEXT NOT NULL DEFAULT '',
	emergency TEXT NOT NULL DEFAULT '', incident TEXT NOT NULL DEFAULT '',
	position TEXT NOT NULL DEFAULT '', agent TEXT NOT NULL DEFAULT '', takers TEXT NOT NULL DEFAULT '',
	by TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', class TEXT NOT NULL DEFAULT '',
	verdicts TEXT NOT NULL DEFAULT '', rescues INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_started ON calls(started);
CREATE INDEX calls_number ON calls(number);
CREATE INDEX calls_seq ON calls(seq);
CREATE TABLE releases (
	seq INTEGER PRIMARY KEY, call TEXT NOT NULL, at INTEGER NOT NULL, position TEXT NOT NULL, agent TEXT NOT NULL,
	how TEXT NOT NULL, class TEXT NOT NULL, talk INTEGER NOT NULL, decision TEXT NOT NULL DEFAULT '', rule TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX releases_at ON releases(at);
CREATE INDEX releases_call ON releases(call);
CREATE TABLE rescues (seq INTEGER PRIMARY KEY, call TEXT NOT NULL, at INTEGER NOT NULL, waited INTEGER NOT NULL) STRICT;
CREATE INDEX rescues_at ON rescues(at);
CREATE TABLE cursor (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL) STRICT;
INSERT INTO cursor VALUES (1, 0);`

// mark holds the hash of the record at the cursor: a journal that has another one
// there is not the one that the index was built from.
const mark = "CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY CHECK (id = 1), hash TEXT NOT NULL) STRICT;"

// Stream delivers the records after a number, in order and without gaps.
type Stream interface {
	C() <-chan recorder.Record
	Close()
}

// Index is the index of a node's calls. Its methods may be called from any
// goroutine.
type Index struct {
	db     *sql.DB
	log    *zap.Logger
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	applied uint64
	wanted  uint64        // somebody waits for this record
	ask     chan struct{} // wanted has grown
	more    chan struct{} // closed and replaced when applied grows
}

// Open opens the index in a data directory, or makes a new one, and begins to
// follow the journal.
func Open(dir string, follow func(after uint64) Stream, log *zap.Logger) (*Index, error) {
	if log == nil {
		log = zap.NewNop()
	}
	// It can be built anew, so that it needs no fsync of its own.
	q := url.Values{"_pragma": {"busy_timeout(2000)", "journal_mode(wal)", "synchronous(off)"}}
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "index.db"))+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("opening the index of calls: %w", err)
	}
	db.SetMaxOpenConns(4)
	if err := prepare(db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("opening the index of calls: %w", err)
	}
	var after int64
	if err := db.QueryRowContext(context.Background(), "SELECT seq FROM cursor").Scan(&after); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("reading the index of calls: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &Index{
		db: db, log: log, cancel: cancel, ended: make(chan struct{}), applied: uint64(after),
		ask: make(chan struct{}, 1), more: make(chan struct{}),
	}
	w, err := newWriter(x, uint64(after))
	if err != nil {
		cancel()
		_ = db.Close()
		return nil, fmt.Errorf("opening the index of calls: %w", err)
	}
	go w.run(ctx, follow)
	return x, nil
}

// prepare makes the tables, afresh when they are of another version.
func prepare(db *sql.DB) error {
	var have int
	if err := db.QueryRowContext(context.Background(), "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have == version {
		_, err := db.ExecContext(context.Background(), mark)
		return err
	}
	return afresh(db)
}

func afresh(db *sql.DB) error {
	_, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS calls; DROP TABLE IF EXISTS releases; DROP TABLE IF EXISTS rescues; DROP TABLE IF EXISTS cursor; DROP TABLE IF EXISTS mark;"+
		schema+mark+fmt.Sprintf("PRAGMA user_version = %d;", version))
	return err
}

// Close ends the index.
func (x *Index) Close() error {
	x.cancel()
	<-x.ended
	return x.db.Close()
}

// Reached has a record written into the index and waits for it, as long as
// ctx: who asks is told of what has just happened.
func (x *Index) Reached(ctx context.Context, seq uint64) bool {
	for {
		x.mu.Lock()
		applied, more := x.applied, x.more
		x.wanted = max(x.wanted, seq)
		x.mu.Unlock()
		if applied >= seq {
			return true
		}
		select {
		case x.ask <- struct{}{}:
		default: // it is being asked for
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		case <-x.ended:
			return false
		}
	}
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
