package recorder

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows that records are in a journal without showing the others: for
// each the hashes that lead from it to the tree head that the node has signed
// (RFC 6962 section 2.1.1).
type Proof struct {
	Key        string      `json:"key"`        // public key in the encoding of signed notes
	KeyID      string      `json:"keyId"`      // its fingerprint
	Checkpoint string      `json:"checkpoint"` // the signed tree head
	Records    []Inclusion `json:"records"`
}

// Inclusion is the proof for one record.
type Inclusion struct {
	Seq   uint64      `json:"seq"`
	Index int64       `json:"index"` // of the record's leaf, from 0
	Path  []tlog.Hash `json:"path"`
}

// ErrNotSigned says that a record is too new to be proved: the next signed
// head covers it.
var ErrNotSigned = errors.New("the newest record is not covered by a signed head yet; try again in a moment")

// Prove makes the proofs for records of the journal in a data directory, of a
// running node or of a stopped one. It reads the hash of every record: about
// 100 bytes of memory for each.
func Prove(dir string, seqs []uint64) (Proof, error) {
	pub, text, err := publicKeyOf(dir)
	if err != nil {
		return Proof{}, err
	}
	db, err := openReadOnly(dir)
	if err != nil {
		return Proof{}, err
	}
	defer func() { _ = db.Close() }()
	var signed string
	if err := db.QueryRowContext(context.Background(), "SELECT head FROM state WHERE id = 1").Scan(&signed); err != nil {
		return Proof{}, fmt.Errorf("reading the journal's signed head: %w", err)
	}
	h, err := pub.open([]byte(signed))
	if err != nil {
		return Proof{}, fmt.Errorf("the journal's signed head: %w", err)
	}
	p := Proof{Key: text, KeyID: pub.id, Checkpoint: signed}
	want := make(map[uint64]int64, len(seqs))
	for _, seq := range seqs {
		want[seq] = -1
	}
	rows, err := db.QueryContext(context.Background(), "SELECT seq, hash FROM records WHERE seq <= ? ORDER BY seq", int64(h.seq))
	if err != nil {
		return p, fmt.Errorf("reading the journal: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = stored[at]
		}
		return out, nil
	})
	size := int64(0)
	for rows.Next() {
		var seq int64
		var hash []byte
		if err := rows.Scan(&seq, &hash); err != nil {
			return p, fmt.Errorf("reading the journal: %w", err)
		}
		if _, ok := want[uint64(seq)]; ok {
			want[uint64(seq)] = size
		}
		more, err := tlog.StoredHashesForRecordHash(size, tlog.RecordHash(hash), read)
		if err != nil {
			return p, fmt.Errorf("building the tree: %w", err)
		}
		stored = append(stored, more...)
		size++
	}
	if err := rows.Err(); err != nil {
		return p, fmt.Errorf("reading the journal: %w", err)
	}
	if uint64(size) != h.size {
		return p, fmt.Errorf("the journal has %d records where its signed head says %d: verify it", size, h.size)
	}
	for _, seq := range seqs {
		if want[seq] < 0 {
			return p, fmt.Errorf("record %d: %w", seq, ErrNotSigned)
		}
		path, err := tlog.ProveRecord(size, want[seq], read)
		if err != nil {
			return p, fmt.Errorf("proving record %d: %w", seq, err)
		}
		p.Records = append(p.Records, Inclusion{Seq: seq, Index: want[seq], Path: path})
	}
	return p, nil
}

// Check checks each record's contents against its hash, and the hash against
// the signed head. It needs nothing but the proof: who wants to know whose key
// it is compares KeyID with what was noted when the node was installed.
func (p Proof) Check(records []Record) error {
	pub, err := parsePublicKey(p.Key)
	if err != nil {
		return err
	}
	if pub.id != p.KeyID {
		return fmt.Errorf("the proof names key %s, but the key is %s", p.KeyID, pub.id)
	}
	h, err := pub.open([]byte(p.Checkpoint))
	if err != nil {
		return err
	}
	paths := make(map[uint64]Inclusion, len(p.Records))
	for _, in := range p.Records {
		paths[in.Seq] = in
	}
	for _, r := range records {
		it := item{seq: r.Seq, time: r.Time.UnixNano(), call: r.Call, kind: r.Kind, data: r.Data, prev: decodeDigest(r.Prev)}
		hash := sha256.Sum256(appendCanonical(nil, r.Node, &it))
		if string(r.Data) == erased { // it proves that there was a record, not what it said
			hash = decodeDigest(r.Hash)
		}
		if digest(hash) != decodeDigest(r.Hash) {
			return fmt.Errorf("record %d: its contents do not belong to its hash", r.Seq)
		}
		in, ok := paths[r.Seq]
		if !ok {
			return fmt.Errorf("record %d: there is no proof for it", r.Seq)
		}
		if err := tlog.CheckRecord(in.Path, int64(h.size), h.root, in.Index, tlog.RecordHash(hash[:])); err != nil {
			return fmt.Errorf("record %d is not in the signed journal: %w", r.Seq, err)
		}
	}
	return nil
}

// Sign signs a text with the key of a data directory, as a signed note.
func Sign(dir string, text []byte) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the journal's key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, fmt.Errorf("the journal's key: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, signer)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return signed, nil
}

// OpenSigned checks a signed text against a public key in the encoding of
// signed notes, and returns the text and the key's fingerprint.
func OpenSigned(signed []byte, key string) (text, keyID string, err error) {
	pub, err := parsePublicKey(strings.TrimSpace(key))
	if err != nil {
		return "", "", err
	}
	n, err := note.Open(signed, note.VerifierList(pub.verifier))
	if err != nil {
		return "", "", fmt.Errorf("signature: %w", err)
	}
	return n.Text, pub.id, nil
}

func publicKeyOf(dir string) (*publicKey, string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, pubFile))
	if err != nil {
		return nil, "", fmt.Errorf("reading the journal's public key: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	pub, err := parsePublicKey(text)
	return pub, text, err
}
