package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"holdline/recorder"
)

const (
	batch  = 2000        // records that one transaction takes at most
	linger = time.Second // how long a record waits for company
)

// The statements of a writer.
const (
	putCall = `INSERT OR REPLACE INTO calls (call, seq, started, answered, ended, kind, caller, number, emergency, incident,
		position, agent, takers, by, reason, class, verdicts, rescues, complete) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	getCall = `SELECT seq, started, answered, ended, kind, caller, number, emergency, incident,
		position, agent, takers, by, reason, class, verdicts, rescues, complete FROM calls WHERE call = ?`
	putRelease = "INSERT OR IGNORE INTO releases (seq, call, at, position, agent, how, class, talk, decision, rule) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	putVerdict = "UPDATE releases SET decision = ?, rule = ? WHERE seq = (SELECT max(seq) FROM releases WHERE call = ? AND decision = '' AND seq < ?)"
	putRescue  = "INSERT OR IGNORE INTO rescues VALUES (?, ?, ?, ?)"
	putCursor  = "UPDATE cursor SET seq = ?"
	putMark    = "INSERT OR REPLACE INTO mark VALUES (1, ?)"
)

// writer brings the index up to date. Nobody looks for a call while it rings,
// so records are gathered for a moment, and what they come to is written in
// one transaction; who asks does not wait for that moment.
type writer struct {
	x          *Index
	statements map[string]*sql.Stmt
	rows       map[string]*row // calls in progress, and what is to be written
	releases   []*release
	verdicts   []verdict
	rescues    []rescue
	seen       uint64 // the last record that was applied
	hash       string // its hash
	written    uint64 // the last one that is in the index
}

func newWriter(x *Index, after uint64) (*writer, error) {
	w := &writer{x: x, statements: map[string]*sql.Stmt{}}
	w.begin(after)
	for _, text := range []string{putCall, getCall, putRelease, putVerdict, putRescue, putCursor, putMark} {
		s, err := x.db.PrepareContext(context.Background(), text) //nolint:sqlclosecheck // it lives as long as the database
		if err != nil {
			return nil, err
		}
		w.statements[text] = s
	}
	return w, nil
}

// begin goes on after a record with nothing in memory.
func (w *writer) begin(after uint64) {
	w.rows, w.releases, w.verdicts, w.rescues = map[string]*row{}, nil, nil, nil
	w.seen, w.written = after, after
}

func (w *writer) run(ctx context.Context, follow func(after uint64) Stream) {
	defer close(w.x.ended)
	s, err := w.start(ctx, follow)
	defer func() { s.Close() }()
	if err == nil {
		err = w.follow(ctx, s.C())
	}
	if err != nil {
		w.x.log.Error("the index of calls cannot be written; it is built anew at the next start", zap.Error(err))
		_, _ = w.x.db.ExecContext(context.Background(), "PRAGMA user_version = 0")
	}
}

// start begins to follow the journal where the index ends. It builds the index
// anew if the journal has another record there: records that were in memory
// alone when a node ended are lost, and their numbers are given to others.
func (w *writer) start(ctx context.Context, follow func(after uint64) Stream) (Stream, error) {
	var hash string
	err := w.x.db.QueryRowContext(context.Background(), "SELECT hash FROM mark").Scan(&hash)
	if w.written == 0 || errors.Is(err, sql.ErrNoRows) {
		return follow(w.written), nil
	}
	s := follow(w.written - 1)
	if err != nil {
		return s, err
	}
	select {
	case r, open := <-s.C():
		if !open || r.Seq == w.written && r.Hash == hash {
			w.hash = hash
			return s, nil
		}
	case <-ctx.Done():
		return s, nil
	}
	s.Close()
	w.x.log.Warn("the index of calls is of another journal, and built anew", zap.Uint64("record", w.written))
	if err := afresh(w.x.db); err != nil {
		return follow(0), err
	}
	w.begin(0)
	w.x.mu.Lock()
	w.x.applied = 0
	w.x.mu.Unlock()
	return follow(0), nil
}

// follow takes records until ctx or the journal is over.
func (w *writer) follow(ctx context.Context, records <-chan recorder.Record) error {
	timer := time.NewTimer(linger)
	timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return w.flush()
		case r, open := <-records:
			if !open {
				return w.flush()
			}
			if w.seen == w.written {
				timer.Reset(linger)
			}
			if err := w.apply(r); err != nil {
				return fmt.Errorf("record %d: %w", r.Seq, err)
			}
			w.seen, w.hash = r.Seq, r.Hash
			if w.seen-w.written < batch && !w.awaited() {
				continue
			}
		case <-w.x.ask:
			if !w.awaited() {
				continue // it is on its way here
			}
		case <-timer.C:
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
}

// awaited tells whether somebody waits for what has been applied and is not
// written.
func (w *writer) awaited() bool {
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	return w.x.wanted > w.written && w.seen >= w.x.wanted
}

// row returns a call, from memory or from the index; nil if it is not known.
func (w *writer) row(call string) (*row, error) {
	if c := w.rows[call]; c != nil {
		return c, nil
	}
	c := &row{call: call}
	err := w.statements[getCall].QueryRowContext(context.Background(), call).Scan(&c.seq, &c.started, &c.answered, &c.ended, &c.kind, &c.caller, &c.number, &c.emergency, &c.incident,
		&c.position, &c.agent, &c.takers, &c.by, &c.reason, &c.class, &c.verdicts, &c.rescues, &c.complete)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is no such call, which is no error
	}
	if err != nil {
		return nil, err
	}
	w.rows[call] = c
	return c, nil
}

// flush writes what the records since the last time came to.
func (w *writer) flush() error {
	if w.seen == w.written {
		return nil
	}
	tx, err := w.x.db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	do := func(text string, args ...any) {
		if err == nil {
			_, err = tx.StmtContext(context.Background(), w.statements[text]).ExecContext(context.Background(), args...) //nolint:sqlclosecheck // the transaction closes it
		}
	}
	for call, c := range w.rows {
		if c.dirty {
			do(putCall, c.call, c.seq, c.started, c.answered, c.ended, c.kind, c.caller, c.number, c.emergency, c.incident,
				c.position, c.agent, c.takers, c.by, c.reason, c.class, c.verdicts, c.rescues, c.complete)
		}
		c.dirty, c.released = false, nil
		if c.ended != 0 {
			delete(w.rows, call)
		}
	}
	for _, r := range w.releases {
		do(putRelease, r.seq, r.call, r.at, r.position, r.agent, r.how, r.class, r.talk, r.decision, r.rule)
	}
	for _, v := range w.verdicts {
		do(putVerdict, v.decision, v.rule, v.call, v.seq)
	}
	for _, r := range w.rescues {
		do(putRescue, r.seq, r.call, r.at, r.waited)
	}
	do(putCursor, int64(w.seen))
	do(putMark, w.hash)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	w.releases, w.verdicts, w.rescues = nil, nil, nil
	w.written = w.seen
	w.x.mu.Lock()
	w.x.applied = w.written
	close(w.x.more)
	w.x.more = make(chan struct{})
	w.x.mu.Unlock()
	return nil
}
