package recorder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// canonicalPrefix opens the canonical encoding of every record, so that a
// record's hash can never be mistaken for the hash of anything else.
const canonicalPrefix = "holdline.record.1\n"

// maxData bounds the JSON of one record. SIP messages over UDP end at 64 kB;
// what is larger than this is a mistake, and must not fill the memory.
const maxData = 1 << 20

// digest is a SHA-256 value.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// item is a record on its way to the disk: marshalled, and chained as soon as
// the record before it is known.
type item struct {
	seq  uint64
	pos  uint64 // place in the order of acceptance, from 1
	time int64  // Unix nanoseconds
	at   time.Time
	call string
	kind string
	data []byte
	prev digest
	hash digest
}

// record turns an item into the exported form.
func (it *item) record(node string) Record {
	return Record{
		Seq: it.seq, Time: time.Unix(0, it.time).UTC(), Node: node, Call: it.call, Kind: it.kind,
		Data: it.data, Prev: it.prev.String(), Hash: it.hash.String(),
	}
}

// appendNet appends one field of the canonical encoding: its length in bytes
// in decimal, a colon, the bytes, a comma (a netstring).
func appendNet[T ~string | ~[]byte](dst []byte, field T) []byte {
	dst = strconv.AppendInt(dst, int64(len(field)), 10)
	dst = append(dst, ':')
	dst = append(dst, field...)
	return append(dst, ',')
}

// appendCanonical appends the canonical encoding of a record, over which its
// hash is taken: every field but the hash, in the order and the exact text of
// an export, each as a netstring. docs/journal.md shows how to compute it.
func appendCanonical(dst []byte, node string, it *item) []byte {
	var small [64]byte
	dst = append(dst, canonicalPrefix...)
	dst = appendNet(dst, strconv.AppendUint(small[:0], it.seq, 10))
	dst = appendNet(dst, appendTime(small[:0], it.time))
	dst = appendNet(dst, node)
	dst = appendNet(dst, it.call)
	dst = appendNet(dst, it.kind)
	dst = appendNet(dst, it.data)
	return appendNet(dst, hex.AppendEncode(small[:0], it.prev[:]))
}

// appendTime appends a time as it is exported and hashed: RFC 3339 in UTC
// with as many decimals as it needs, up to nanoseconds.
func appendTime(dst []byte, unixNano int64) []byte {
	return time.Unix(0, unixNano).UTC().AppendFormat(dst, time.RFC3339Nano)
}

// AppendJSON appends the record as one JSON object without a line end, with
// the keys of the contract in their order. Data is passed through byte for
// byte, so that the hash can be recomputed from the text: encoding/json would
// compact and escape it.
func (r Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, r.Seq, 10)
	dst = append(dst, `,"time":"`...)
	dst = appendTime(dst, r.Time.UnixNano())
	dst = append(dst, `","node":`...)
	dst = appendQuoted(dst, r.Node)
	dst = append(dst, `,"call":`...)
	dst = appendQuoted(dst, r.Call)
	dst = append(dst, `,"kind":`...)
	dst = appendQuoted(dst, r.Kind)
	dst = append(dst, `,"data":`...)
	dst = append(dst, r.Data...)
	dst = append(dst, `,"prev":"`...)
	dst = append(dst, r.Prev...)
	dst = append(dst, `","hash":"`...)
	dst = append(dst, r.Hash...)
	return append(dst, `"}`...)
}

// appendQuoted appends s as a JSON string without escaping for HTML.
func appendQuoted(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return appendMarshalled(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendMarshalled(dst []byte, v any) []byte {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return append(dst, `""`...)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// marshaller turns the data of entries into JSON, many into one buffer.
type marshaller struct {
	buf bytes.Buffer
	enc *json.Encoder
}

func newMarshaller() *marshaller {
	m := &marshaller{}
	m.enc = json.NewEncoder(&m.buf)
	m.enc.SetEscapeHTML(false)
	return m
}

// append marshals v into the buffer and returns where its text ends. What
// cannot be marshalled is replaced by an object that says so: the record of
// the event matters more than its details.
func (m *marshaller) append(v any) (end int) {
	start := m.buf.Len()
	if err := m.encode(v); err != nil || m.buf.Len()-start > maxData {
		if err == nil {
			err = fmt.Errorf("data of %d bytes is over the limit of %d", m.buf.Len()-start, maxData)
		}
		m.buf.Truncate(start)
		_ = m.enc.Encode(map[string]string{"unreadable": err.Error()})
	}
	if n := m.buf.Len(); n > start && m.buf.Bytes()[n-1] == '\n' {
		m.buf.Truncate(n - 1)
	}
	return m.buf.Len()
}

func (m *marshaller) encode(v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("marshalling panicked: %v", p)
		}
	}()
	if v == nil {
		_, err = m.buf.WriteString("{}")
		return err
	}
	return m.enc.Encode(v)
}

// cleanText makes a string safe to be stored and exported: a Call-ID is
// chosen by whoever calls, and JSON cannot carry bytes that are not UTF-8.
func cleanText(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
