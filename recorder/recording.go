package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// window is how much of a recording is kept in memory, in frames of two
	// bytes: a second, less what jitter needs.
	window = 8192
	// margin is how much of it stays when the rest is written, so that what
	// comes a little late, or on the other channel, still finds its place.
	margin = 1024
	// maxPayload is the longest G.711 packet that is believed.
	maxPayload = 4096
	// maxGap is the longest silence that is written as such, in frames. More
	// is a clock that was set.
	maxGap = 4 * 3600 * sampleRate
)

// recording is one call's audio. It belongs to the recorder's goroutine until
// it is closed, and then to the closer's.
type recording struct {
	id    uint32
	call  string
	path  string
	began time.Time

	f     *os.File
	law   law
	zero  int64 // Unix ns of the first frame; 0 before the first packet
	buf   []byte
	base  int64 // frame of buf[0]
	top   int64 // frames so far
	disk  int64 // frames on disk, without a hole
	fresh bool  // buf holds what is not on disk
	side  [2]stream
	dump  *dump
	marks []pendingMark

	tracks []*recording // of supervisors
	number uint8        // of the supervisor, if this is a track

	packets  uint64
	late     uint64 // that could not be written, or found their place gone
	failed   error  // how the last write went
	failures uint64
	told     bool // that it failed
	slid     bool // the window was moved, and with that written, since the last beat
	flushed  time.Time
	looked   time.Time

	stopping  bool
	complete  bool   // all of it was written
	lostAtEnd uint64 // packets, before what was left was written
	deadline  time.Time
	awaited   []awaited // what has to arrive before it is closed
	done      func(Closed)
}

// awaited is what a tap had on its way when a recording was stopped.
type awaited struct {
	tap    *Tap
	turn   uint32 // asked for, because the tap held a block
	handed uint32 // blocks that were in the channel
}

// arrived tells that all of it has been dealt with.
func (w *awaited) arrived() bool {
	return int32(w.tap.done-w.turn) >= 0 && int32(w.tap.got-w.handed) >= 0
}

type pendingMark struct {
	at    int64
	label string
}

// packet takes one packet.
func (r *recording) packet(side, codec, number uint8, at int64, pkt []byte, conv *[2][256]byte) {
	r.packets++
	if r.zero == 0 {
		r.zero = at
	}
	h, ok := parseRTP(pkt)
	if !ok {
		return
	}
	s := &r.side[side&1]
	if codec != uint8(muLaw) && codec != uint8(aLaw) || s.live && s.number != number {
		if s.number == number {
			s.pass(&h)
		}
		r.other(at, pkt)
		return
	}
	if len(h.payload) == 0 || len(h.payload) > maxPayload {
		return
	}
	arrival := (at - r.zero) / nsPerFrame
	if arrival-r.top > maxGap {
		r.zero += (arrival - r.top) * nsPerFrame
		arrival = r.top
	}
	s.number = number
	r.begin(law(codec))
	if law(codec) != r.law {
		convert(h.payload, &conv[r.law>>3])
	}
	pos, fill, ok := s.place(&h, max(0, arrival))
	if !ok { // a duplicate, or counted as lost
		return
	}
	if fill > 0 && pos > 0 {
		// One sample is filled in with the next, which nobody can hear.
		r.put(int(side&1), pos-1, h.payload[:1])
	}
	r.put(int(side&1), pos, h.payload)
}

// begin prepares for the first G.711 packet, which decides the encoding.
func (r *recording) begin(l law) {
	if r.buf != nil {
		return
	}
	r.law = l
	r.buf = make([]byte, 2*window)
	fillBytes(r.buf, l.silence())
	if r.f != nil && l != muLaw {
		_, err := r.f.WriteAt(wavHeader(l, r.call, r.began, -1, 0), 0)
		r.note(err)
	}
}

// convert changes a payload to the other law. The packet is the recorder's
// own copy.
func convert(payload []byte, table *[256]byte) {
	for i, c := range payload {
		payload[i] = table[c]
	}
}

func fillBytes(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// put places samples on one channel.
func (r *recording) put(channel int, pos int64, samples []byte) {
	if pos < 0 {
		samples, pos = samples[min(int64(len(samples)), -pos):], 0
	}
	if early := r.base - pos; early > 0 && len(samples) > 0 {
		n := min(early, int64(len(samples)))
		r.patch(channel, pos, samples[:n])
		samples, pos = samples[n:], pos+n
	}
	end := pos + int64(len(samples))
	if len(samples) == 0 || end > maxFrame {
		return
	}
	if end > r.base+window {
		r.slide(end - margin)
	}
	for i := 2*int(pos-r.base) + channel; len(samples) > 0; i, samples = i+2, samples[1:] {
		r.buf[i] = samples[0]
	}
	r.top = max(r.top, end)
	r.fresh = true
}

// slide writes what is before frame to and moves the window there.
func (r *recording) slide(to int64) {
	n := min(to-r.base, window)
	to = max(to, r.base)
	r.write(r.buf[:2*n])
	if r.slid = true; r.failed != nil {
		r.late += uint64(n / 160) // given up: about as many packets
	}
	kept := copy(r.buf, r.buf[2*n:])
	fillBytes(r.buf[kept:], r.law.silence())
	r.base = to
}

// flush writes what is in the window without moving it.
func (r *recording) flush() {
	if r.dump != nil {
		r.flushDump()
	}
	if r.fresh || r.f == nil || r.buf != nil && r.disk < r.top {
		if n := r.top - r.base; n > 0 {
			r.write(r.buf[:2*min(n, window)])
		} else {
			r.write(nil)
		}
		r.fresh = r.failed != nil
	}
}

// write puts frames at the window's place on the disk, after silence for what
// is missing before them. What cannot be written is given up: the next write
// leaves silence in its place.
func (r *recording) write(frames []byte) {
	if err := r.ensure(); err != nil {
		r.note(err)
		return
	}
	err := r.silence(r.base)
	if err == nil && len(frames) > 0 {
		_, err = r.f.WriteAt(frames, headerSize+2*r.base)
	}
	if err == nil {
		r.disk = max(r.disk, r.base+int64(len(frames))/2)
	}
	r.note(err)
}

// silence fills the file up to a frame.
func (r *recording) silence(to int64) error {
	if r.disk >= to {
		return nil
	}
	quiet := make([]byte, min(2*(to-r.disk), 64<<10))
	fillBytes(quiet, r.law.silence())
	for r.disk < to {
		n := min(int64(len(quiet)), 2*(to-r.disk))
		if _, err := r.f.WriteAt(quiet[:n], headerSize+2*r.disk); err != nil {
			return err
		}
		r.disk += n / 2
	}
	return nil
}

// patch overwrites samples that are on the disk already.
func (r *recording) patch(channel int, pos int64, samples []byte) {
	if r.f == nil || pos+int64(len(samples)) > r.disk {
		r.late++
		return
	}
	b := make([]byte, 2*len(samples))
	_, err := r.f.ReadAt(b, headerSize+2*pos)
	if err == nil {
		for i, c := range samples {
			b[2*i+channel] = c
		}
		_, err = r.f.WriteAt(b, headerSize+2*pos)
	}
	r.note(err)
}

// note remembers how the last write went.
func (r *recording) note(err error) {
	r.failed = err
	if err != nil {
		r.failures++
	}
}

// ensure opens the file if it is not, or not any more.
func (r *recording) ensure() error {
	if r.f != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o750); err != nil {
		return fmt.Errorf("creating a directory for recordings: %w", err)
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return fmt.Errorf("creating a recording: %w", err)
	}
	if _, err := f.WriteAt(wavHeader(r.law, r.call, r.began, -1, 0), 0); err != nil {
		_ = f.Close()
		return fmt.Errorf("writing a recording's header: %w", err)
	}
	r.f, r.disk = f, 0
	return nil
}

// look finds out whether the file is still where it was created: writing into
// a deleted one would succeed for ever.
func (r *recording) look() {
	if r.f == nil {
		return
	}
	have, err := r.f.Stat()
	var there os.FileInfo
	if err == nil {
		there, err = os.Stat(r.path)
	}
	if err == nil && os.SameFile(have, there) {
		return
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the file of a recording was taken away: %s", r.path)
	}
	_ = r.f.Close()
	r.f, r.disk = nil, 0
	r.note(err)
}

// other keeps a packet that has no place in a WAV file.
func (r *recording) other(at int64, pkt []byte) {
	if r.dump == nil {
		r.dump = newDump(strings.TrimSuffix(r.path, ".wav")+".rtpdump", at)
	}
	r.dump.packet(at, pkt)
	if len(r.dump.buf) >= dumpBuffer {
		r.flushDump()
	}
}

func (r *recording) flushDump() {
	lost, err := r.dump.flush()
	if lost {
		r.late++
	}
	if err != nil {
		r.note(err)
	}
}

// lost counts the packets of the call that are not in its recording.
func (r *recording) lost() uint64 { return r.side[0].lost + r.side[1].lost + r.late }

// cues turns the marks into places.
func (r *recording) cues() []cueMark {
	var out []cueMark
	for _, m := range r.marks {
		at := int64(0)
		if r.zero != 0 {
			at = max(0, min((m.at-r.zero)/nsPerFrame, r.top))
		}
		out = append(out, cueMark{frame: at, label: m.label})
	}
	return out
}
