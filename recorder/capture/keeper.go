package capture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// keeper is the goroutine that owns the file.
type keeper struct {
	l      *Log
	file   *os.File
	until  time.Time // when the next file begins
	buf    bytes.Buffer
	pcap   *Writer
	room   []byte // a packet is made here
	sums   map[string]*sum
	ended  []ended // that are told of when they are on the disk
	flows  map[flow]uint32
	failed time.Time // the disk, the last time
	lost   uint64    // known to be lost
	bad    bool
}

type sum struct {
	hash.Hash
	n    int
	last time.Time
	lost bool
}

// ended are the messages of a Call-ID that is over.
type ended struct {
	*sum
	callID string
	done   func(Sum)
}

type flow struct{ from, to netip.AddrPort }

// work takes down what is queued.
func (k *keeper) work(done []entry) []entry {
	todo := k.l.taken(done)
	for _, e := range todo {
		k.guarded(func() { k.take(e) })
	}
	k.guarded(k.tellEnded)
	return todo
}

// guarded keeps a bug from ending the process: messages are evidence, calls
// come first.
func (k *keeper) guarded(f func()) {
	defer func() {
		if r := recover(); r != nil {
			k.l.opts.Log.Error("panic in the message log", zap.Any("panic", r), zap.Stack("stack"))
			k.l.lost.Add(1)
		}
	}()
	f()
}

func (k *keeper) finish() {
	k.guarded(k.flush)
	if k.file != nil {
		_ = k.file.Close()
	}
}

func (k *keeper) take(e entry) {
	if e.close != "" {
		k.over(e)
		return
	}
	callID := field(e.Raw, "call-id", "i")
	if callID == "" || !ofCall(e.Raw) {
		return
	}
	from, err1 := netip.ParseAddrPort(e.From)
	to, err2 := netip.ParseAddrPort(e.To)
	if err1 != nil || err2 != nil || len(e.Raw) > maxMessage {
		k.l.lost.Add(1)
		return
	}
	s := k.sums[callID]
	if s == nil {
		s = &sum{Hash: sha256.New()}
		k.sums[callID] = s
	}
	s.n++
	s.last = e.At
	var size [8]byte
	s.Write(append(strconv.AppendInt(size[:0], int64(len(e.Raw)), 10), ':'))
	s.Write(e.Raw)
	s.Write([]byte{','})
	if !k.ready(e.At) {
		s.lost = true
		k.l.lost.Add(1)
		return
	}
	if err := k.pcap.Write(Packet{At: e.At, Comment: callID, Data: k.frame(e, from, to)}); err != nil {
		s.lost = true // a buffer in memory does not fail
	}
	if k.buf.Len() >= flushAt {
		k.flush()
	}
}

// frame is the packet of a message, until the next one.
func (k *keeper) frame(e entry, from, to netip.AddrPort) []byte {
	if e.Network != "tcp" {
		k.room = appendDatagram(k.room[:0], from, to, e.Raw)
		return k.room
	}
	f := flow{from, to}
	seq := k.flows[f]
	if len(k.flows) > 10_000 {
		clear(k.flows) // numbers begin again: a tool then tells of a gap, and reads on
	}
	k.flows[f] = seq + uint32(len(e.Raw))
	k.room = appendSegment(k.room[:0], from, to, seq+1, e.Raw)
	return k.room
}

// over ends the sum of a Call-ID.
func (k *keeper) over(e entry) {
	s := k.sums[e.close]
	delete(k.sums, e.close)
	k.ended = append(k.ended, ended{sum: s, callID: e.close, done: e.done})
}

// tellEnded writes what is waiting, and tells of the Call-IDs that are over
// what was kept of them.
func (k *keeper) tellEnded() {
	if len(k.ended) == 0 {
		return
	}
	k.flush()
	list := k.ended
	k.ended = nil
	for _, e := range list {
		out := Sum{CallID: e.callID}
		if e.sum != nil {
			out.Messages, out.SHA256, out.Lost = e.n, hex.EncodeToString(e.Sum(nil)), e.lost
		}
		k.guarded(func() { e.done(out) })
	}
}

// ready makes sure that there is a file to write to.
func (k *keeper) ready(at time.Time) bool {
	if k.file != nil && at.Before(k.until) {
		return true
	}
	if time.Since(k.failed) < retry {
		return false
	}
	k.flush()
	if k.file != nil {
		_ = k.file.Close()
		k.file = nil
	}
	k.sweep(at)
	if err := k.open(at); err != nil {
		k.fail(err)
		return false
	}
	return true
}

func (k *keeper) open(at time.Time) error {
	path := Path(k.l.opts.Dir, at)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("creating the folder of messages: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("creating a capture of messages: %w", err)
	}
	k.buf.Reset()
	if k.pcap, err = NewWriter(&k.buf, "SIP messages of calls, as Holdline took and sent them; IP headers are made from their addresses"); err != nil {
		return errors.Join(err, f.Close())
	}
	clear(k.flows)
	k.file, k.until = f, at.UTC().Truncate(segments).Add(segments)
	return nil
}

// Path names the capture that begins at a moment: a folder for each day, and
// names that sort by time.
func Path(dir string, at time.Time) string {
	at = at.UTC()
	return filepath.Join(dir, at.Format(time.DateOnly), at.Format("20060102T150405.000000Z")+".pcapng")
}

func (k *keeper) flush() {
	if k.file == nil || k.buf.Len() == 0 {
		return
	}
	_, err := k.file.Write(k.buf.Bytes())
	k.buf.Reset()
	if err != nil {
		_ = k.file.Close()
		k.file = nil
		for _, s := range k.sums {
			s.lost = true
		}
		for _, e := range k.ended {
			if e.sum != nil {
				e.lost = true
			}
		}
		k.l.lost.Add(1)
		k.fail(fmt.Errorf("writing messages: %w", err))
	}
}

func (k *keeper) fail(err error) {
	k.failed = time.Now()
	k.l.opts.Log.Error("messages of calls cannot be kept", zap.Error(err))
	if !k.bad {
		k.bad = true
		k.l.opts.Failing(err.Error())
	}
}

// tell reports that messages were lost, or that all is well again.
func (k *keeper) tell() {
	switch lost := k.l.lost.Load(); {
	case lost != k.lost:
		k.lost = lost
		if !k.bad {
			k.bad = true
			k.l.opts.Failing("messages of calls come faster than they can be written")
		}
	case k.bad && k.file != nil:
		k.bad = false
		k.l.opts.Works()
	}
}

// sweep forgets dialogs whose call never told that it was over.
func (k *keeper) sweep(now time.Time) {
	for id, s := range k.sums {
		if now.Sub(s.last) > forget {
			delete(k.sums, id)
		}
	}
}

// ofCall tells whether a message belongs to a call: questions that positions
// are asked all day long, and registrations, do not.
func ofCall(raw []byte) bool {
	_, method, _ := strings.Cut(field(raw, "cseq", "cseq"), " ")
	switch strings.TrimSpace(method) {
	case "OPTIONS", "REGISTER", "PUBLISH":
		return false
	}
	return true
}

// field is a header's value; "" when there is none. Call-ID and CSeq are never
// folded by anybody.
func field(raw []byte, long, short string) string {
	for line := range bytes.Lines(raw) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		name = bytes.TrimSpace(name)
		if ok && (equalFold(name, long) || equalFold(name, short)) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

func equalFold(a []byte, b string) bool {
	return len(a) == len(b) && bytes.EqualFold(a, []byte(b))
}
