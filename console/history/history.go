// Package history finds past calls: an index of them beside the journal, kept
// up to date by following it. It is derived from the journal alone: when the
// file is gone it is built anew, and nothing is lost with it.
package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	_ "modernc.org/sqlite" // the driver of the index

	"holdline/policy/ledger"
	"holdline/recorder"
)

// version is that of the schema: an index of another one is built anew.
const version = 1

const schema = `
CREATE TABLE calls (
	call TEXT PRIMARY KEY, started INTEGER NOT NULL, answered INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,
	kind TEXT NOT NULL DEFAULT '', caller TEXT NOT NULL DEFAULT '', number TEXT NOT NULL DEFAULT '',
	emergency TEXT NOT NULL DEFAULT '', incident TEXT NOT NULL DEFAULT '',
	position TEXT NOT NULL DEFAULT '', agent TEXT NOT NULL DEFAULT '', takers TEXT NOT NULL DEFAULT '',
	by TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', class TEXT NOT NULL DEFAULT '',
	verdicts TEXT NOT NULL DEFAULT '', rescues INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_started ON calls(started);
CREATE INDEX calls_number ON calls(number);
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
	if err := db.QueryRow("SELECT seq FROM cursor").Scan(&after); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("reading the index of calls: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &Index{db: db, log: log, cancel: cancel, ended: make(chan struct{}), applied: uint64(after), more: make(chan struct{})}
	go x.run(ctx, follow(uint64(after)))
	return x, nil
}

// prepare makes the tables, afresh when they are of another version.
func prepare(db *sql.DB) error {
	var have int
	if err := db.QueryRow("PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have == version {
		return nil
	}
	_, err := db.Exec("DROP TABLE IF EXISTS calls; DROP TABLE IF EXISTS releases; DROP TABLE IF EXISTS rescues; DROP TABLE IF EXISTS cursor;" +
		schema + fmt.Sprintf("PRAGMA user_version = %d;", version))
	return err
}

// Close ends the index.
func (x *Index) Close() error {
	x.cancel()
	<-x.ended
	return x.db.Close()
}

// batch is how many records one transaction takes at most.
const batch = 500

func (x *Index) run(ctx context.Context, s Stream) {
	defer close(x.ended)
	defer s.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case r, open := <-s.C():
			if !open {
				return
			}
			if err := x.take(r, s); err != nil {
				x.log.Error("the index of calls cannot be written; it is built anew at the next start", zap.Error(err))
				_, _ = x.db.Exec("PRAGMA user_version = 0")
				return
			}
		}
	}
}

// take applies a record, and those that wait behind it, in one transaction.
func (x *Index) take(r recorder.Record, s Stream) (err error) {
	tx, err := x.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	last := r.Seq
	for n := 0; ; n++ {
		if err := x.apply(tx, r); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		last = r.Seq
		if n >= batch {
			break
		}
		select {
		case next, open := <-s.C():
			if open {
				r = next
				continue
			}
		default:
		}
		break
	}
	if _, err := tx.Exec("UPDATE cursor SET seq = ?", int64(last)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	x.mu.Lock()
	x.applied = last
	close(x.more)
	x.more = make(chan struct{})
	x.mu.Unlock()
	return nil
}

// Reached waits until a record is in the index, as long as ctx.
func (x *Index) Reached(ctx context.Context, seq uint64) bool {
	for {
		x.mu.Lock()
		applied, more := x.applied, x.more
		x.mu.Unlock()
		if applied >= seq {
			return true
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

// data is what of a record's data the index keeps.
type data struct {
	Position    string
	Agent       string
	Kind        string
	From        string
	Asserted    string
	EmergencyID string `json:"emergencyId"`
	IncidentID  string `json:"incidentId"`
	How         string
	Class       string
	TalkMS      int64 `json:"talkMs"`
	WaitingMS   int64 `json:"waitingMs"`
	Decision    string
	Rule        string
	By          string
	Reason      string
	Rescues     int
	Complete    bool `json:"intakeComplete"`
}

// apply takes one record. What cannot be read of it is passed over.
func (x *Index) apply(tx *sql.Tx, r recorder.Record) error {
	if r.Kind == recorder.KindErased {
		return x.erased(tx, r)
	}
	if r.Call == "" {
		return nil
	}
	var d data
	_ = json.Unmarshal(r.Data, &d) // a record of another shape leaves what it has
	at := r.Time.UnixMilli()
	var err error
	do := func(query string, args ...any) {
		if err == nil {
			_, err = tx.Exec(query, args...)
		}
	}
	switch r.Kind {
	case "call.offered":
		if d.From == "" {
			return nil // to another position
		}
		do(`INSERT INTO calls (call, started, kind, caller, number, emergency, incident) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET caller = excluded.caller`, r.Call, at, d.Kind, d.From, ledger.NumberOf(d.Asserted, d.From), d.EmergencyID, d.IncidentID)
	case "call.answered", "rescue.answered":
		do(`UPDATE calls SET answered = iif(answered = 0, ?, answered), position = ?, agent = ?, takers = takers || ? WHERE call = ?`,
			at, d.Position, d.Agent, " "+d.Position+" "+d.Agent+" ", r.Call)
		if r.Kind == "rescue.answered" {
			do("INSERT OR IGNORE INTO rescues VALUES (?, ?, ?, ?)", int64(r.Seq), r.Call, at, d.WaitingMS)
		}
	case "release.requested":
		do("INSERT OR IGNORE INTO releases (seq, call, at, position, agent, how, class, talk) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			int64(r.Seq), r.Call, at, d.Position, d.Agent, d.How, d.Class, d.TalkMS)
	case "release.allowed", "release.intercepted":
		do(`UPDATE releases SET decision = ?, rule = ? WHERE seq = (SELECT max(seq) FROM releases WHERE call = ? AND decision = '')`, d.Decision, d.Rule, r.Call)
		do("UPDATE calls SET verdicts = verdicts || ? WHERE call = ?", d.Decision+" ", r.Call)
	case "call.ended":
		do("UPDATE calls SET ended = ?, by = ?, reason = ?, class = ?, rescues = ?, complete = ? WHERE call = ?",
			at, d.By, d.Reason, d.Class, d.Rescues, d.Complete, r.Call)
	}
	return err
}

// erased forgets who called in calls whose records were erased: their numbers
// stay for the reports, and nothing else.
func (x *Index) erased(tx *sql.Tx, r recorder.Record) error {
	var d recorder.ErasedData
	period, err := time.Duration(0), json.Unmarshal(r.Data, &d)
	if err == nil {
		period, err = time.ParseDuration(d.After)
	}
	if err != nil {
		return nil //nolint:nilerr // a record of another shape erased nothing here
	}
	_, err = tx.Exec("UPDATE calls SET caller = '', number = '', emergency = '', incident = '' WHERE started < ?", r.Time.Add(-period).UnixMilli())
	return err
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
