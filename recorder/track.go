package recorder

import (
	"fmt"
	"iter"
	"strings"
	"time"
)

// firstTrackSide is the first of the two sides of a supervisor's track.
const firstTrackSide = 2

// track returns the recording of one supervisor beside that of the call, which
// begins with the first packet: the supervisor on the left, what the
// supervisor hears on the right. It is a file of its own because the call's
// has only what the caller says and hears, and a whisper is neither.
func (l *recorderLoop) track(r *recording, number uint8, at int64) *recording {
	for _, t := range r.tracks {
		if t.number == number {
			return t
		}
	}
	base := strings.TrimSuffix(r.path, ".wav")
	t := &recording{
		id: r.id, call: r.call, began: time.Unix(0, at), number: number,
		path: fmt.Sprintf("%s-supervisor-%d.wav", base, number),
	}
	r.tracks = append(r.tracks, t)
	l.a.ledger.open(t.path)
	t.write(nil)
	l.check(t)
	return t
}

// files are all files that are being written: recordings and their tracks.
func (l *recorderLoop) files() iter.Seq[*recording] {
	return func(yield func(*recording) bool) {
		for _, r := range l.recs {
			if !yield(r) {
				return
			}
			for _, t := range r.tracks {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// finishTracks closes the tracks of a recording and lists them in its result.
func (r *recording) finishTracks(out *Closed, sync bool, room []byte) {
	for _, t := range r.tracks {
		c := t.finish(sync, room)
		out.Extra = append(append(out.Extra, c.Path), c.Extra...)
		out.ExtraSHA256 = append(append(out.ExtraSHA256, c.SHA256), c.ExtraSHA256...)
		out.Packets += c.Packets
		out.Lost += c.Lost
		out.Err = first(out.Err, c.Err)
	}
}
