package recorder

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// headFile is the sidecar that holds the newest signed head outside SQLite.
const headFile = "journal.head"

// headSlot is the size of one of the two slots of the head file. They are
// written in turn, so that a torn write leaves the one before.
const headSlot = 1024

// head is a checkpoint: what the journal held at one moment. The newest one
// is renewed with every commit, and one a second is kept.
type head struct {
	size uint64    // records in the tree
	root tlog.Hash // Merkle tree head over them (RFC 6962)
	seq  uint64    // of the last record
	hash digest    // of the last record
	time int64     // Unix nanoseconds
}

// sign writes a checkpoint in the format of transparency logs: origin, size,
// root, extension lines, signature (C2SP tlog-checkpoint).
func (k *key) sign(h head) ([]byte, error) {
	text := make([]byte, 0, 512)
	text = append(text, k.signer.Name()...)
	text = append(text, '\n')
	text = strconv.AppendUint(text, h.size, 10)
	text = append(text, '\n')
	text = base64.StdEncoding.AppendEncode(text, h.root[:])
	text = append(text, "\nseq "...)
	text = strconv.AppendUint(text, h.seq, 10)
	text = append(text, "\nhash "...)
	text = hex.AppendEncode(text, h.hash[:])
	text = append(text, "\ntime "...)
	text = appendTime(text, h.time)
	text = append(text, "\nkey "...)
	text = append(text, k.id...)
	text = append(text, '\n')
	signed, err := note.Sign(&note.Note{Text: string(text)}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return signed, nil
}

// open checks a signed checkpoint and returns what it says.
func (p *publicKey) open(signed []byte) (head, error) {
	n, err := note.Open(signed, note.VerifierList(p.verifier))
	if err != nil {
		return head{}, fmt.Errorf("checkpoint signature: %w", err)
	}
	return parseHead(n.Text, p.id)
}

// parseHead reads the text of a checkpoint.
func parseHead(text, keyID string) (h head, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 7 {
		return head{}, errors.New("checkpoint: too few lines")
	}
	ext := make(map[string]string, 4)
	for _, l := range lines[3:] {
		name, value, _ := strings.Cut(l, " ")
		ext[name] = value
	}
	var errs [5]error
	h.size, errs[0] = strconv.ParseUint(lines[1], 10, 64)
	h.root, errs[1] = tlog.ParseHash(lines[2])
	h.seq, errs[2] = strconv.ParseUint(ext["seq"], 10, 64)
	raw, err := hex.DecodeString(ext["hash"])
	if err != nil || copy(h.hash[:], raw) != len(h.hash) {
		errs[3] = errors.New("bad hash")
	}
	at, err := time.Parse(time.RFC3339Nano, ext["time"])
	h.time, errs[4] = at.UnixNano(), err
	if err := errors.Join(errs[:]...); err != nil {
		return head{}, fmt.Errorf("checkpoint: %w", err)
	}
	if ext["key"] != keyID {
		return head{}, fmt.Errorf("checkpoint: it names key %s, but the key is %s", ext["key"], keyID)
	}
	return h, nil
}

// sidecar is the open head file.
type sidecar struct {
	f    *os.File
	slot int64
	buf  [headSlot]byte
}

// openSidecar opens the head file for writing. A new one is made durable with
// first in it, so that a power failure cannot take away the file itself.
func openSidecar(dir string, first []byte) (*sidecar, error) {
	path := filepath.Join(dir, headFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := writeDurable(path, bytes.Repeat(padSlot(first), 2), 0o644); err != nil {
			return nil, fmt.Errorf("creating %s: %w", path, err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the journal's head: %w", err)
	}
	return &sidecar{f: f}, nil
}

func padSlot(text []byte) []byte {
	out := bytes.Repeat([]byte{'\n'}, headSlot)
	copy(out, text)
	return out
}

// write replaces the older of the two slots. It is called after the commit,
// never before: the head must not promise what the disk may not hold.
func (s *sidecar) write(signed []byte) error {
	if len(signed) > headSlot {
		return fmt.Errorf("head of %d bytes does not fit its slot of %d", len(signed), headSlot)
	}
	n := copy(s.buf[:], signed)
	for i := n; i < headSlot; i++ {
		s.buf[i] = '\n'
	}
	s.slot = headSlot - s.slot
	if _, err := s.f.WriteAt(s.buf[:], s.slot); err != nil {
		return fmt.Errorf("writing the journal's head: %w", err)
	}
	return nil
}

func (s *sidecar) close() error { return s.f.Close() }

var errHeadUnreadable = errors.New("no slot holds a head signed by this key")

// readHead returns the newest head of a head file that the key has signed.
// The error is os.ErrNotExist when there is no such file.
func readHead(path string, pub *publicKey) (best head, err error) {
	err = errHeadUnreadable
	for range 20 { // a running node may be writing: a torn read heals itself
		raw, rerr := os.ReadFile(path)
		if rerr != nil {
			return head{}, rerr
		}
		var why error
		for off := 0; off < len(raw); off += headSlot {
			text := bytes.TrimRight(raw[off:min(off+headSlot, len(raw))], "\n\x00")
			if len(text) == 0 {
				continue
			}
			text = append(text, '\n')
			h, oerr := pub.open(text)
			if oerr != nil {
				why = oerr
				continue
			}
			if err != nil || h.seq > best.seq || h.seq == best.seq && h.size >= best.size {
				best, err = h, nil
			}
		}
		if err == nil {
			return best, nil
		}
		if why != nil {
			err = fmt.Errorf("%w: %w", errHeadUnreadable, why)
		}
		time.Sleep(time.Millisecond)
	}
	return head{}, err
}
