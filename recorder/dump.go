package recorder

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// dumpBuffer is how much of an rtpdump file gathers in memory.
const dumpBuffer = 16 << 10

// dump keeps the packets that have no place in a WAV file, such as video,
// T.140 text, DTMF events and other codecs, in the rtpdump format of rtptools.
// Both directions are in one file: they are told apart by SSRC.
type dump struct {
	path  string
	f     *os.File
	began int64
	buf   []byte
	size  int64 // on disk
}

// newDump starts an rtpdump file. The file is created with the first flush.
func newDump(path string, began int64) *dump {
	d := &dump{path: path, began: began}
	at := time.Unix(0, began)
	d.buf = append(d.buf, "#!rtpplay1.0 127.0.0.1/0\n"...)
	be := binary.BigEndian
	d.buf = be.AppendUint32(d.buf, uint32(at.Unix()))
	d.buf = be.AppendUint32(d.buf, uint32(at.Nanosecond()/1000))
	d.buf = be.AppendUint32(d.buf, 0x7f000001)
	d.buf = be.AppendUint16(d.buf, 0)
	d.buf = be.AppendUint16(d.buf, 0)
	return d
}

// packet appends a packet: length of the entry, length of the packet, and
// milliseconds since the beginning, all big-endian, then the packet.
func (d *dump) packet(at int64, pkt []byte) {
	be := binary.BigEndian
	d.buf = be.AppendUint16(d.buf, uint16(8+len(pkt)))
	d.buf = be.AppendUint16(d.buf, uint16(len(pkt)))
	d.buf = be.AppendUint32(d.buf, uint32(max(0, at-d.began)/1_000_000))
	d.buf = append(d.buf, pkt...)
}

// flush writes what has gathered. What cannot be written is kept until there
// is too much of it; lost tells that it was given up.
func (d *dump) flush() (lost bool, err error) {
	if len(d.buf) == 0 {
		return false, nil
	}
	if d.f == nil {
		if d.f, err = os.OpenFile(d.path, os.O_CREATE|os.O_RDWR, 0o640); err != nil {
			d.f = nil
			return d.overflow(), fmt.Errorf("creating an rtpdump file: %w", err)
		}
	}
	n, err := d.f.WriteAt(d.buf, d.size)
	if err != nil {
		// Whole entries only: the same bytes are written again later.
		return d.overflow(), fmt.Errorf("writing an rtpdump file: %w", err)
	}
	d.size += int64(n)
	d.buf = d.buf[:0]
	return false, nil
}

// overflow gives up packets that cannot be written, but never the header.
func (d *dump) overflow() bool {
	if len(d.buf) < 4*dumpBuffer {
		return false
	}
	if d.size == 0 {
		d.buf = newDump(d.path, d.began).buf
	} else {
		d.buf = d.buf[:0]
	}
	return true
}

// repairDump cuts off an entry that a crash left incomplete.
func repairDump(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 64)
	n, _ := f.ReadAt(head, 0)
	off := int64(16)
	for i, c := range head[:n] {
		if c == '\n' {
			off += int64(i + 1)
			break
		}
	}
	var entry [2]byte
	for off+8 <= st.Size() {
		if _, err := f.ReadAt(entry[:], off); err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint16(entry[:]))
		if size < 8 || off+size > st.Size() {
			break
		}
		off += size
	}
	return f.Truncate(min(off, st.Size()))
}
