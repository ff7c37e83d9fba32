package console

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	peakRate    = 8000 // frames a second of every recording
	peakLeast   = 160  // frames of the shortest stretch: 20 ms
	peakMost    = 2000 // stretches of one answer: more than a screen has columns
	formatALaw  = 6
	formatMuLaw = 7
)

// Peaks is what is drawn of a recording: of each stretch of time the lowest and
// the highest sample of either side, from -127 to 127, in turn.
type Peaks struct {
	Began   time.Time `json:"began,omitzero"` // as the file says
	Seconds float64   `json:"seconds"`
	Bucket  float64   `json:"bucket"` // seconds of a stretch
	Left    []int     `json:"left"`   // the caller
	Right   []int     `json:"right"`  // what the caller hears
}

// getPeaks answers with the outline of a call's audio. Nobody hears anything
// by it, so it is not journaled as played.
func (c *Console) getPeaks(w http.ResponseWriter, r *http.Request) {
	call := r.PathValue("call")
	f := c.openRecording(w, call)
	if f == nil {
		return
	}
	defer f.Close()
	p, err := readPeaks(f)
	if err != nil {
		c.log.Warn("recording cannot be drawn", zap.String("call", call), zap.Error(err))
		fail(w, http.StatusInternalServerError, "the recording cannot be drawn: "+err.Error(), "it may still be played")
		return
	}
	reply(w, http.StatusOK, p)
}

// readPeaks reads a WAV file of two channels of G.711. One that is still being
// written says that it is longer than it is: what is there counts.
func readPeaks(f io.ReadSeeker) (Peaks, error) {
	h, err := readWAV(f)
	if err != nil {
		return Peaks{}, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Peaks{}, fmt.Errorf("measuring the file: %w", err)
	}
	if _, err = f.Seek(h.data, io.SeekStart); err != nil {
		return Peaks{}, fmt.Errorf("finding the samples: %w", err)
	}
	frames := min(h.size, max(0, end-h.data)) / 2
	bucket := max(peakLeast, (frames+peakMost-1)/peakMost)
	p := Peaks{Began: h.began, Seconds: float64(frames) / peakRate, Bucket: float64(bucket) / peakRate, Left: []int{}, Right: []int{}}
	table := loudness(h.format)
	in, piece := bufio.NewReaderSize(io.LimitReader(f, 2*frames), 1<<16), make([]byte, 2*bucket)
	for {
		n, err := io.ReadFull(in, piece)
		if n >= 2 {
			p.Left = append(p.Left, extent(table, piece[:n], 0)...)
			p.Right = append(p.Right, extent(table, piece[:n], 1)...)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return p, nil
		case err != nil:
			return p, fmt.Errorf("reading the samples: %w", err)
		}
	}
}

// extent is the lowest and the highest sample of one channel.
func extent(table *[256]int8, frames []byte, channel int) []int {
	var lo, hi int8
	for i := channel; i < len(frames); i += 2 {
		s := table[frames[i]]
		lo, hi = min(lo, s), max(hi, s)
	}
	return []int{int(lo), int(hi)}
}

// wavHead is what a recording's header says.
type wavHead struct {
	format     uint16
	began      time.Time
	data, size int64 // where the samples are, and how many bytes
}

var errNotWAV = errors.New("it is not a WAV file of two channels of G.711")

// readWAV reads the chunks up to the samples.
func readWAV(f io.Reader) (h wavHead, err error) {
	var riff [12]byte
	if _, err := io.ReadFull(f, riff[:]); err != nil || string(riff[:4]) != "RIFF" || string(riff[8:]) != "WAVE" {
		return h, errNotWAV
	}
	le, at := binary.LittleEndian, int64(len(riff))
	for {
		var head [8]byte
		if _, err := io.ReadFull(f, head[:]); err != nil {
			return h, errNotWAV
		}
		size := int64(le.Uint32(head[4:]))
		at += int64(len(head))
		if string(head[:4]) == "data" {
			h.data, h.size = at, size
			if h.format != formatALaw && h.format != formatMuLaw {
				return h, errNotWAV
			}
			return h, nil
		}
		if size > 1<<16 { // nothing before the samples is as long
			return h, errNotWAV
		}
		body := make([]byte, size+size%2)
		if _, err := io.ReadFull(f, body); err != nil {
			return h, errNotWAV
		}
		at += int64(len(body))
		switch {
		case string(head[:4]) == "fmt " && size >= 4 && le.Uint16(body[2:]) == 2:
			h.format = le.Uint16(body)
		case string(head[:4]) == "LIST" && size >= 4 && string(body[:4]) == "INFO":
			h.began = beganIn(body[4:])
		}
	}
}

// beganIn finds when a recording began among what its INFO chunk says.
func beganIn(list []byte) time.Time {
	for len(list) >= 8 {
		size := int64(binary.LittleEndian.Uint32(list[4:]))
		if size > int64(len(list)-8) {
			break
		}
		if string(list[:4]) == "ICRD" && size > 1 {
			at, _ := time.Parse(time.RFC3339Nano, strings.TrimRight(string(list[8:8+size]), "\x00"))
			return at
		}
		list = list[min(int64(len(list)), 8+size+size%2):]
	}
	return time.Time{}
}

// loudness is the table of G.711 codes (ITU-T G.711, tables 1 and 2) as samples
// of eight bits.
func loudness(format uint16) *[256]int8 {
	var t [256]int8
	for code := range t {
		if format == formatALaw {
			t[code] = eight(fromALaw(byte(code)))
		} else {
			t[code] = eight(fromMuLaw(byte(code)))
		}
	}
	return &t
}

// eight takes the upper eight bits of a sample of sixteen, even to both sides
// of nothing.
func eight(sample int) int8 { return int8(sample / 256) } //nolint:gosec // -125 to 125

func fromMuLaw(code byte) int {
	code = ^code
	s := (int(code&0x0f)<<3+0x84)<<(code>>4&7) - 0x84
	if code&0x80 != 0 {
		return -s
	}
	return s
}

func fromALaw(code byte) int {
	code ^= 0x55
	s := int(code&0x0f)<<4 + 8
	if exp := code >> 4 & 7; exp > 0 {
		s = (s + 0x100) << (exp - 1)
	}
	if code&0x80 == 0 {
		return -s
	}
	return s
}
