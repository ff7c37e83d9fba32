package recorder

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// KindErased is the record that tells which records were erased: a record
// without its contents is an attack unless a later one of this kind names it.
const KindErased = "retention.erased"

// erased stands for the contents of a record that was erased.
const erased = `{"erased":true}`

// ErasedData is the data of retention.erased.
type ErasedData struct {
	Ranges [][2]uint64 `json:"ranges"` // numbers of the first and the last record of each
	After  string      `json:"after"`  // the period that was over
}

// Erasable finds the records of calls that are older than before, have their
// contents, and whose call is not held. Records of the node itself, and those
// about holds and deletions, stay.
func Erasable(ctx context.Context, dir string, before time.Time, held map[string]bool) (ranges [][2]uint64, err error) {
	db, err := openReadOnly(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, `SELECT seq, call FROM records
		WHERE time < ? AND call <> '' AND data <> ? AND kind NOT LIKE 'hold.%' AND kind NOT LIKE 'retention.%' ORDER BY seq`,
		before.UnixNano(), erased)
	if err != nil {
		return nil, fmt.Errorf("looking for old records: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var seq int64
		var call string
		if err := rows.Scan(&seq, &call); err != nil {
			return nil, fmt.Errorf("looking for old records: %w", err)
		}
		n := uint64(seq)
		switch last := len(ranges) - 1; {
		case held[call]:
		case last >= 0 && ranges[last][1]+1 == n:
			ranges[last][1] = n
		default:
			ranges = append(ranges, [2]uint64{n, n})
		}
	}
	return ranges, rows.Err()
}

// Erase takes the contents out of records. Their numbers, times, kinds, calls
// and hashes stay, so that the chain and the signed heads still hold. It works
// in small steps: the journal of a running node never waits for it long.
func Erase(ctx context.Context, dir string, ranges [][2]uint64) error {
	db, err := openPool(dsn(filepath.Join(dir, databaseFile), "rw", "busy_timeout(2000)", "secure_delete(1)"))
	if err != nil {
		return fmt.Errorf("opening the journal to erase records: %w", err)
	}
	defer func() { _ = db.Close() }()
	const step = 100
	for _, r := range ranges {
		for from := r[0]; from <= r[1]; from += step {
			to := min(from+step-1, r[1])
			if _, err := db.ExecContext(ctx, "UPDATE records SET data = ? WHERE seq BETWEEN ? AND ?", erased, int64(from), int64(to)); err != nil {
				return fmt.Errorf("erasing records %d to %d: %w", from, to, err)
			}
		}
	}
	return nil
}
