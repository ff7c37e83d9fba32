package recorder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// The layout of a recording: a RIFF WAVE file whose samples are G.711 as they
// were on the wire, two channels, one byte each. The header has a fixed size,
// so that it can be written before anything is known, and holds the call and
// the time it began in a LIST INFO chunk.
const (
	headerSize  = 4096
	formatALaw  = 6
	formatMuLaw = 7
	// openSize stands in a file that is still being written for the size of
	// its samples: players read such a file to its end.
	openSize = 0x7ffff000
	maxFrame = (1<<32 - 1<<20) / 2 // RIFF sizes have 32 bits
	maxText  = 1024                // of a call identifier in the header
)

// law is a G.711 encoding by its static RTP payload type (RFC 3551 table 4).
type law uint8

const (
	muLaw    law = 0
	aLaw     law = 8
	otherLaw law = 255
)

// silence is the code for no signal.
func (l law) silence() byte {
	if l == aLaw {
		return 0xd5
	}
	return 0xff
}

// wavHeader builds the header of a recording. frames is the number of samples
// per channel, or negative while the recording goes on; tail is the size of
// the chunks after the samples.
func wavHeader(l law, call string, began time.Time, frames int64, tail int) []byte {
	format := uint16(formatMuLaw)
	if l == aLaw {
		format = formatALaw
	}
	data, count := uint32(openSize), uint32(openSize/2)
	riff := uint32(openSize + headerSize - 8)
	if frames >= 0 {
		data, count = uint32(2*frames), uint32(frames)
		riff = uint32(headerSize - 8 + 2*frames + int64(tail))
	}
	le := binary.LittleEndian
	b := make([]byte, 0, headerSize)
	b = append(b, "RIFF"...)
	b = le.AppendUint32(b, riff)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 18)
	b = le.AppendUint16(b, format)
	b = le.AppendUint16(b, 2)            // channels
	b = le.AppendUint32(b, sampleRate)   // frames a second
	b = le.AppendUint32(b, 2*sampleRate) // bytes a second
	b = le.AppendUint16(b, 2)            // bytes a frame
	b = le.AppendUint16(b, 8)            // bits a sample
	b = le.AppendUint16(b, 0)            // no extension
	b = append(b, "fact"...)
	b = le.AppendUint32(b, 4)
	b = le.AppendUint32(b, count)
	b = appendInfo(b, call, began)
	b = append(b, "JUNK"...)
	pad := headerSize - 8 - 4 - len(b)
	b = le.AppendUint32(b, uint32(pad))
	b = append(b, make([]byte, pad)...)
	b = append(b, "data"...)
	return le.AppendUint32(b, data)
}

// appendInfo appends what a person may want to know: INAM is the call, ICRD
// when the recording began, ISFT what wrote it.
func appendInfo(b []byte, call string, began time.Time) []byte {
	if len(call) > maxText {
		call = call[:maxText]
	}
	var list []byte
	list = append(list, "INFO"...)
	list = appendChunk(list, "INAM", append([]byte(call), 0))
	list = appendChunk(list, "ICRD", append([]byte(began.UTC().Format(time.RFC3339Nano)), 0))
	list = appendChunk(list, "ISFT", []byte("Holdline\x00"))
	return appendChunk(b, "LIST", list)
}

// appendChunk appends a RIFF chunk, padded to an even size.
func appendChunk(b []byte, id string, data []byte) []byte {
	b = append(b, id...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	if len(data)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// cueMark is set at a moment of a recording, such as a change of takers.
type cueMark struct {
	frame int64
	label string
}

// cueChunks builds the chunks that mark moments: "cue " with the places, and
// LIST adtl with their names. Editors show them, players skip them.
func cueChunks(marks []cueMark) []byte {
	if len(marks) == 0 {
		return nil
	}
	le := binary.LittleEndian
	cue := le.AppendUint32(nil, uint32(len(marks)))
	adtl := []byte("adtl")
	for i, m := range marks {
		id := uint32(i + 1)
		cue = le.AppendUint32(cue, id)
		cue = le.AppendUint32(cue, uint32(m.frame))
		cue = append(cue, "data"...)
		cue = le.AppendUint32(cue, 0)
		cue = le.AppendUint32(cue, 0)
		cue = le.AppendUint32(cue, uint32(m.frame))
		labl := le.AppendUint32(nil, id)
		labl = append(labl, m.label...)
		adtl = appendChunk(adtl, "labl", append(labl, 0))
	}
	return appendChunk(appendChunk(nil, "cue ", cue), "LIST", adtl)
}

// wavInfo is what a header of ours says.
type wavInfo struct {
	law    law
	call   string
	began  time.Time
	frames int64 // -1: never finished
}

var errNotOurs = errors.New("not a recording of Holdline")

// readWAV reads the header of a recording.
func readWAV(f *os.File) (info wavInfo, err error) {
	b := make([]byte, headerSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return info, fmt.Errorf("reading the header: %w", err)
	}
	le := binary.LittleEndian
	if string(b[:4]) != "RIFF" || string(b[8:16]) != "WAVEfmt " || string(b[headerSize-8:headerSize-4]) != "data" {
		return info, errNotOurs
	}
	switch le.Uint16(b[20:]) {
	case formatMuLaw:
		info.law = muLaw
	case formatALaw:
		info.law = aLaw
	default:
		return info, errNotOurs
	}
	info.frames = int64(le.Uint32(b[headerSize-4:])) / 2
	if info.frames == openSize/2 {
		info.frames = -1
	}
	for off := 38; off+8 <= headerSize-8; {
		n := int(le.Uint32(b[off+4:]))
		if n < 0 || off+8+n > headerSize {
			break
		}
		if string(b[off:off+4]) == "LIST" {
			info.readInfo(b[off+8 : off+8+n])
		}
		off += 8 + n + n%2
	}
	return info, nil
}

func (info *wavInfo) readInfo(b []byte) {
	for off := 4; off+8 <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[off+4:]))
		if n < 1 || off+8+n > len(b) {
			return
		}
		text := string(b[off+8 : off+8+n-1])
		switch string(b[off : off+4]) {
		case "INAM":
			info.call = text
		case "ICRD":
			info.began, _ = time.Parse(time.RFC3339Nano, text)
		}
		off += 8 + n + n%2
	}
}
