package recorder

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strings"
)

// What a crash has left in the front of the journal alone: the next start takes
// it over, and until then everybody who reads the journal finds it there.

// after returns those records that follow a record of the journal; all of them
// for the empty journal. ok is false if there are newer ones that do not.
func after(list []fronted, seq uint64, hash digest) (fresh []fronted, ok bool) {
	for len(list) > 0 && list[0].seq <= seq {
		list = list[1:]
	}
	if len(list) == 0 || list[0].prev != hash {
		return nil, len(list) == 0
	}
	return list, true
}

// newest returns the records that a crash has left in the front of the journal
// in dir, and not in its database.
func newest(ctx context.Context, db *sql.DB, dir string) ([]fronted, error) {
	var seq int64
	var hash []byte
	err := db.QueryRowContext(ctx, "SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1").Scan(&seq, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("reading the end of the journal: %w", err)
	}
	list, err := readFront(dir, nil)
	if err != nil {
		return nil, err
	}
	var last digest
	copy(last[:], hash)
	fresh, _ := after(list, uint64(seq), last) // those of a running node may have moved on
	return fresh, nil
}

// front goes on with the records that a crash has left in the front of the
// journal alone. They are chained to those before; the next start signs them. Who
// may read the key sees whether this node has written them.
func (v *verifier) front(db *sql.DB) error {
	var seal hash.Hash
	if skey, err := os.ReadFile(filepath.Join(v.dir, keyFile)); err == nil {
		seal = frontSeal(strings.TrimSpace(string(skey)))
	}
	list, err := readFront(v.dir, seal)
	if errors.Is(err, errForged) {
		defer func() { v.problem(v.report.Last+1, err.Error()) }()
	} else if err != nil {
		return err
	}
	fresh, ok := after(list, v.report.Last, v.prev)
	if !ok {
		return v.detached(db, &list[0])
	}
	for i := range fresh {
		r := fresh[i].record(fresh[i].node)
		v.record(&r)
		v.report.Unsigned++
	}
	return nil
}

// detached reports records of the front that follow nothing. Those of a running
// node have only moved on: the database has what they follow by now.
func (v *verifier) detached(db *sql.DB, first *fronted) error {
	var hash []byte
	err := db.QueryRowContext(context.Background(), "SELECT hash FROM records WHERE seq < ? ORDER BY seq DESC LIMIT 1", int64(first.seq)).Scan(&hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading the journal: %w", err)
	}
	var before digest
	if copy(before[:], hash); before != first.prev {
		v.problem(v.report.Last+1, fmt.Sprintf("the journal's front holds records from number %d on, which do not follow those of the database", first.seq))
	}
	return nil
}

// takeFront brings into the database what a crash has left in the journal's
// front alone. Records that do not follow those of the database are kept aside.
func (o *opener) takeFront() error {
	list, err := readFront(o.dir, frontSeal(o.out.key.skey))
	forged := errors.Is(err, errForged)
	if err != nil && !forged {
		return o.keepFront(finding{Journal: frontLoose, Why: err.Error()})
	}
	fresh, ok := after(list, o.recordSeq, o.recordHash)
	if !ok {
		last := &list[len(list)-1]
		return o.keepFront(finding{
			Journal: frontLoose, Why: "the records that were written last do not follow the last one of the database",
			HeadSeq: last.seq, HeadHash: last.hash.String(),
		})
	}
	for len(fresh) > 0 {
		n := 1
		for n < len(fresh) && fresh[n].node == fresh[0].node {
			n++
		}
		if err := o.insert(fresh[:n]); err != nil {
			return fmt.Errorf("taking over the journal's front: %w", err)
		}
		fresh = fresh[n:]
	}
	if forged {
		return o.keepFront(finding{Journal: frontForged, Why: err.Error()})
	}
	return nil
}

// keepFront moves a front aside that cannot be used.
func (o *opener) keepFront(f finding) (err error) {
	f.TailSeq = o.recordSeq
	if f.Evidence, err = o.keep(frontFile); err != nil {
		return err
	}
	o.find(f)
	return nil
}

// insert writes records of one node with a new head.
func (o *opener) insert(list []fronted) error {
	t, c := o.out.tree.clone(), &commit{node: list[0].node, checkpoint: true}
	for i := range list {
		t.add(list[i].hash)
		c.items = append(c.items, list[i].item)
	}
	last := &list[len(list)-1]
	c.head = head{size: t.size, root: t.root(), seq: last.seq, hash: last.hash, time: o.now.UnixNano()}
	c.edge = t.marshal()
	var err error
	if c.signed, err = o.out.key.sign(c.head); err != nil {
		return err
	}
	if err := o.out.store.write(c); err != nil {
		return err
	}
	o.out.tree, o.recordSeq, o.recordHash, o.top = t, last.seq, last.hash, c.head
	return nil
}

// openFront opens the front for writing: what it holds is in the database by
// now, durably. Without room for it everything is as durable, and slower.
func (o *opener) openFront() error {
	if err := o.out.store.sync(); err != nil {
		return errors.Join(err, o.out.store.close(), o.out.side.close())
	}
	f, err := openFront(o.dir, o.node, frontSeal(o.out.key.skey))
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	if err := o.out.store.relax(true); err != nil {
		return errors.Join(err, f.close(), o.out.store.close(), o.out.side.close())
	}
	o.out.front = f
	return nil
}
