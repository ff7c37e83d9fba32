// Package capture keeps the SIP messages of calls as they were on the wire: every
// message that was taken from a trusted peer or sent, with its addresses and
// the moment it passed. They go into files that Wireshark opens, an hour each,
// written off the signalling path; and what a call's messages were can be
// proved later, because their hash goes into the journal when the call ends.
package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The blocks and options of pcapng (draft-ietf-opsawg-pcapng) that are used.
const (
	blockSection   = 0x0A0D0D0A
	blockInterface = 1
	blockPacket    = 6
	byteOrder      = 0x1A2B3C4D

	optEnd     = 0
	optComment = 1
	optTSResol = 9

	linkRaw  = 101 // LINKTYPE_RAW: the packet begins with its IPv4 or IPv6 header
	maxBlock = 1 << 20
)

// Packet is one packet of a capture.
type Packet struct {
	At      time.Time
	Comment string // for messages: the Call-ID
	Data    []byte // from the IP header on
}

// Writer writes a capture in the pcapng format, with times in nanoseconds.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter writes the head of a capture. what is shown as its comment.
func NewWriter(w io.Writer, what string) (*Writer, error) {
	p := &Writer{w: w}
	b := binary.LittleEndian.AppendUint32(nil, byteOrder)
	b = append(b, 1, 0, 0, 0)                                                        // version 1.0
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)                    // length of the section is not known
	p.buf = appendBlock(p.buf[:0], blockSection, appendOptions(b, optComment, what)) // 4.1
	b = binary.LittleEndian.AppendUint16(nil, linkRaw)
	b = append(b, 0, 0, 0, 0, 0, 0) // reserved, no limit of a packet's length
	b = append(b, optTSResol, 0, 1, 0, 9, 0, 0, 0, optEnd, 0, 0, 0)
	p.buf = appendBlock(p.buf, blockInterface, b) // 4.2
	if _, err := w.Write(p.buf); err != nil {
		return nil, fmt.Errorf("writing the head of a capture: %w", err)
	}
	return p, nil
}

// Write appends a packet.
func (p *Writer) Write(k Packet) error {
	le := binary.LittleEndian
	ns := uint64(k.At.UnixNano())
	b := beginBlock(p.buf[:0], blockPacket)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(ns>>32))
	b = le.AppendUint32(b, uint32(ns))
	b = le.AppendUint32(b, uint32(len(k.Data)))
	b = le.AppendUint32(b, uint32(len(k.Data)))
	b = appendPadded(b, k.Data)
	b = appendOptions(b, optComment, k.Comment)
	p.buf = endBlock(b, 0)
	if _, err := p.w.Write(p.buf); err != nil {
		return fmt.Errorf("writing a packet: %w", err)
	}
	return nil
}

func appendBlock(b []byte, kind uint32, body []byte) []byte {
	at := len(b)
	return endBlock(append(beginBlock(b, kind), body...), at)
}

// beginBlock begins a block whose body follows; endBlock puts in its length.
func beginBlock(b []byte, kind uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(b, kind), 0, 0, 0, 0)
}

func endBlock(b []byte, at int) []byte {
	size := uint32(len(b) + 4 - at)
	binary.LittleEndian.PutUint32(b[at+4:], size)
	return binary.LittleEndian.AppendUint32(b, size)
}

func appendOptions(b []byte, code uint16, text string) []byte {
	le := binary.LittleEndian
	text = text[:min(len(text), 4096)]
	if text != "" {
		b = le.AppendUint16(b, code)
		b = le.AppendUint16(b, uint16(len(text)))
		b = appendPadded(b, text)
	}
	return append(b, optEnd, 0, 0, 0)
}

// appendPadded appends data, filled up to a multiple of four bytes.
func appendPadded[T ~string | ~[]byte](b []byte, data T) []byte {
	b = append(b, data...)
	for n := len(data); n%4 != 0; n++ {
		b = append(b, 0)
	}
	return b
}

var errTorn = errors.New("the capture ends in the middle of a block")

// Read calls each for every packet of a capture that a Writer wrote, until it
// returns an error. A capture that a crash cut off in the middle of a block
// ends before it.
func Read(r io.Reader, each func(Packet) error) error {
	in := bufio.NewReaderSize(r, 1<<16)
	for first := true; ; first = false {
		kind, body, err := readBlock(in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, errTorn):
			return nil
		case err != nil:
			return err
		case first && kind != blockSection:
			return errors.New("not a capture in the pcapng format")
		case kind != blockPacket:
			continue
		}
		k, err := parsePacket(body)
		if err != nil {
			return err
		}
		if err := each(k); err != nil {
			return err
		}
	}
}

func readBlock(in *bufio.Reader) (kind uint32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errTorn
		}
		return 0, nil, err
	}
	kind = binary.LittleEndian.Uint32(head[:])
	size := binary.LittleEndian.Uint32(head[4:])
	if size < 12 || size > maxBlock || size%4 != 0 {
		return 0, nil, fmt.Errorf("a block of %d bytes is none of a capture", size)
	}
	body = make([]byte, size-8)
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, nil, errTorn
	}
	return kind, body[:len(body)-4], nil
}

func parsePacket(b []byte) (k Packet, err error) {
	le := binary.LittleEndian
	if len(b) < 20 {
		return k, errors.New("a packet's block is too short")
	}
	k.At = time.Unix(0, int64(uint64(le.Uint32(b[4:]))<<32|uint64(le.Uint32(b[8:]))))
	n := int(le.Uint32(b[12:]))
	rest := b[20:]
	if n > len(rest) {
		return k, errors.New("a packet is longer than its block")
	}
	k.Data = rest[:n]
	opts := rest[min((n+3)/4*4, len(rest)):]
	for len(opts) >= 4 {
		code, size := le.Uint16(opts), int(le.Uint16(opts[2:]))
		opts = opts[4:]
		if code == optEnd || size > len(opts) {
			break
		}
		if code == optComment {
			k.Comment = string(opts[:size])
		}
		opts = opts[min((size+3)/4*4, len(opts)):]
	}
	return k, nil
}
