package recorder

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// frontFile holds the newest records until SQLite has them for good.
const frontFile = "journal.front"

// The front of the journal is a file of fixed length into which records are
// written first, and durably: one write that is forced to the disk makes a verdict safe.
// The transaction in SQLite follows at once, and need not be forced to the disk
// for each; after a crash what it lacks is taken from here. Frames begin at the
// start of the file again when SQLite holds everything durably. What is left
// behind the last frame then cannot be taken for one: records are numbered and
// chained, and a frame must go on where the one before ended.
const (
	frontRoom  = 4 << 20 // bytes
	frontMagic = "HLF1"
	frameHead  = 12 // magic, length of the rest, CRC-32C of the rest
	sealSize   = sha256.Size
	tidyFront  = time.Minute
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a table

// front is the open file.
type front struct {
	f      *os.File
	node   string
	seal   hash.Hash
	at     int64     // where the next frame goes
	end    digest    // of the last record of the frame before that
	full   bool      // nothing more is written before it turns
	failed bool      // it cannot be written: the database does without it from now on
	high   int64     // behind it there are zeros
	tidied time.Time // when it was last cleared of old frames
	buf    []byte
}

// openFront opens the front of a data directory for writing, from its start:
// what it holds must be in SQLite. It is given its full length, in zeros, so
// that a write never has to make it longer.
func openFront(dir, node string, seal hash.Hash) (*front, error) {
	f, err := os.OpenFile(filepath.Join(dir, frontFile), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the journal's front: %w", err)
	}
	if _, err = f.WriteAt(make([]byte, frontRoom), 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("reserving room for the journal's front: %w", errors.Join(err, f.Close(), os.Remove(f.Name())))
	}
	return &front{f: f, node: node, seal: seal, tidied: time.Now()}, nil
}

// write makes records durable. It reports false when there is no room for them,
// or when records that went into the database directly lie between them and the
// last frame: after such a gap nobody could tell a frame from an old one.
func (l *front) write(items []item) (bool, error) {
	l.full = l.full || l.at > 0 && items[0].prev != l.end || !l.fits(items)
	if l.full {
		return false, nil
	}
	b := appendFrame(l.buf[:0], l.seal, l.node, items)
	if l.buf = b; cap(b) > frontRoom/4 {
		l.buf = nil
	}
	if l.at+int64(len(b)) > frontRoom {
		l.full = true
		return false, nil
	}
	if err := writeSync(l.f, b, l.at); err != nil {
		return false, fmt.Errorf("writing the journal's front: %w", err)
	}
	l.at += int64(len(b))
	l.high, l.end = max(l.high, l.at), items[len(items)-1].hash
	return true, nil
}

// fits tells whether there may be room for records. After a failure of the disk
// they can be more than memory should hold twice.
func (l *front) fits(items []item) bool {
	left := frontRoom - l.at
	for i := 0; i < len(items) && left > 0; i++ {
		left -= int64(len(items[i].data))
	}
	return left > 0
}

// turn begins at the start again: SQLite holds everything durably.
func (l *front) turn() { l.at, l.full = 0, false }

// due tells whether the front must be tidied: records may have to be erased
// some day, and nobody looks for them here.
func (l *front) due(now time.Time) bool { return l.high > 0 && now.Sub(l.tidied) >= tidyFront }

// tidy begins at the start again and clears what has been there for longer
// than since the last time.
func (l *front) tidy(now time.Time) error {
	l.tidied = now
	if n := l.high - l.at; n > 0 {
		if _, err := l.f.WriteAt(make([]byte, n), l.at); err != nil {
			return fmt.Errorf("clearing the journal's front: %w", err)
		}
		_ = writeSoon(l.f)
	}
	l.high = l.at
	l.turn()
	return nil
}

// moved reports that the file is not in its place any more, or was cut: what is
// written into it then would be found by nobody.
func (l *front) moved() error {
	now, err := os.Stat(l.f.Name())
	if err != nil {
		return fmt.Errorf("the journal's front is gone: %w", err)
	}
	if mine, err := l.f.Stat(); err != nil || !os.SameFile(now, mine) || now.Size() != frontRoom {
		return errors.New("the journal's front was replaced or cut")
	}
	return nil
}

func (l *front) close() error { return l.f.Close() }

// remove takes the file away when the journal ends: SQLite has everything.
func (l *front) remove() error { return os.Remove(l.f.Name()) }

// frontSeal is what the frames of a node are sealed with, by a key that follows
// from its private one: the next start signs what it finds in the front, and
// must not sign what somebody without the key has put there.
func frontSeal(skey string) hash.Hash {
	k := sha256.Sum256([]byte("holdline.front.1\n" + skey))
	return hmac.New(sha256.New, k[:])
}

var errForged = errors.New("the journal's front holds records that this node's key has not sealed")

// appendFrame appends records as one frame: a frame is there whole or not at all.
func appendFrame(dst []byte, seal hash.Hash, node string, items []item) []byte {
	dst = append(dst, frontMagic...)
	dst = append(dst, make([]byte, frameHead+sealSize-len(frontMagic))...)
	dst = appendText(dst, node)
	dst = binary.AppendUvarint(dst, uint64(len(items)))
	for i := range items {
		it := &items[i]
		dst = binary.AppendUvarint(dst, it.seq)
		dst = binary.AppendVarint(dst, it.time)
		dst = appendText(dst, it.call)
		dst = appendText(dst, it.kind)
		dst = appendText(dst, it.data)
		dst = append(dst, it.prev[:]...)
		dst = append(dst, it.hash[:]...)
	}
	rest := dst[frameHead:]
	seal.Reset()
	seal.Write(rest[sealSize:])
	seal.Sum(rest[:0])
	binary.LittleEndian.PutUint32(dst[4:], uint32(len(rest)))
	binary.LittleEndian.PutUint32(dst[8:], crc32.Checksum(rest, castagnoli))
	return dst
}

func appendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// fronted is a record as the front holds it.
type fronted struct {
	node string
	item
}

// readFront returns the records of the front of a data directory, each chained
// to the one before; none if there is no front. With a seal it stops with
// errForged at a frame that does not have it.
func readFront(dir string, seal hash.Hash) ([]fronted, error) {
	raw, err := os.ReadFile(filepath.Join(dir, frontFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal's front: %w", err)
	}
	var out []fronted
	var canon []byte
	for {
		var frame []fronted
		begin := raw
		if frame, raw = cutFrame(raw); frame == nil {
			return out, nil
		}
		if seal != nil && !sealed(seal, begin[frameHead:len(begin)-len(raw)]) {
			return out, errForged
		}
		for i := range frame {
			r := &frame[i]
			canon = appendCanonical(canon[:0], r.node, &r.item)
			if n := len(out); sha256.Sum256(canon) != r.hash || n > 0 && (r.seq != out[n-1].seq+1 || r.prev != out[n-1].hash) {
				return out, nil // an older frame, left behind
			}
			out = append(out, *r)
		}
	}
}

func sealed(seal hash.Hash, rest []byte) bool {
	seal.Reset()
	seal.Write(rest[sealSize:])
	return hmac.Equal(seal.Sum(nil), rest[:sealSize])
}

// cutFrame reads the frame that b begins with; nil if there is none.
func cutFrame(b []byte) (records []fronted, rest []byte) {
	if len(b) < frameHead || !bytes.HasPrefix(b, []byte(frontMagic)) {
		return nil, nil
	}
	size, sum := int64(binary.LittleEndian.Uint32(b[4:])), binary.LittleEndian.Uint32(b[8:])
	if b = b[frameHead:]; size < sealSize || size > int64(len(b)) || crc32.Checksum(b[:size], castagnoli) != sum {
		return nil, nil
	}
	c := cutter{b: b[sealSize:size]}
	node := string(c.text())
	n := c.number()
	for range n {
		r := fronted{node: node}
		r.seq, r.time = c.number(), c.signed()
		r.call, r.kind, r.data = string(c.text()), string(c.text()), c.text()
		c.digest(&r.prev)
		c.digest(&r.hash)
		if c.bad {
			return nil, nil
		}
		records = append(records, r)
	}
	return records, b[size:]
}

// cutter takes the fields of a frame from its front.
type cutter struct {
	b   []byte
	bad bool // a field was cut off
}

func (c *cutter) number() uint64 {
	v, n := binary.Uvarint(c.b)
	c.skip(n)
	return v
}

func (c *cutter) signed() int64 {
	v, n := binary.Varint(c.b)
	c.skip(n)
	return v
}

func (c *cutter) skip(n int) {
	if n <= 0 {
		c.bad, n = true, 0
	}
	c.b = c.b[n:]
}

func (c *cutter) text() []byte {
	n := c.number()
	if n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	s := c.b[:n:n]
	c.b = c.b[n:]
	return s
}

func (c *cutter) digest(d *digest) {
	c.bad = c.bad || len(c.b) < len(d)
	if !c.bad {
		c.b = c.b[copy(d[:], c.b):]
	}
}
