package recorder

import (
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of the Merkle tree over the records' hashes (RFC 6962
// section 2.1): the roots of the complete subtrees that make it up, largest
// first. It is all that is needed to append a leaf and to know the root.
type tree struct {
	size uint64
	edge []tlog.Hash
}

// add appends a record's hash as the next leaf.
func (t *tree) add(h digest) {
	node := tlog.RecordHash(h[:])
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.edge) - 1
		node = tlog.NodeHash(t.edge[last], node)
		t.edge = t.edge[:last]
	}
	t.edge = append(t.edge, node)
	t.size++
}

// root returns the tree head. The head of the empty tree is all zero here, as
// in package tlog.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		return tlog.Hash{}
	}
	h := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.edge[i], h)
	}
	return h
}

// clone returns a copy that can grow on its own.
func (t *tree) clone() tree {
	return tree{size: t.size, edge: append([]tlog.Hash(nil), t.edge...)}
}

// marshal returns the edge as bytes, to be stored beside the signed head.
func (t *tree) marshal() []byte {
	out := make([]byte, 0, len(t.edge)*tlog.HashSize)
	for _, h := range t.edge {
		out = append(out, h[:]...)
	}
	return out
}

var errEdge = errors.New("stored tree edge does not belong to the signed root")

// unmarshalTree rebuilds a tree from its edge and checks it against the root
// that was signed.
func unmarshalTree(size uint64, edge []byte, root tlog.Hash) (tree, error) {
	if len(edge) != bits.OnesCount64(size)*tlog.HashSize {
		return tree{}, fmt.Errorf("%w: %d bytes for %d records", errEdge, len(edge), size)
	}
	t := tree{size: size}
	for ; len(edge) > 0; edge = edge[tlog.HashSize:] {
		t.edge = append(t.edge, tlog.Hash(edge[:tlog.HashSize]))
	}
	if t.root() != root {
		return tree{}, errEdge
	}
	return t, nil
}
