package media

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// digitTimeout is how long a code may pause between two digits.
const digitTimeout = 3 * time.Second

const digits = "0123456789*#ABCD" // event codes 0 to 15, RFC 4733 section 3.2

// dialler follows the DTMF events of one stream and finds codes among the
// digits. Whether an event belongs to a code is decided when it begins, so
// that no part of it is relayed.
type dialler struct {
	codes    []string
	progress string        // digits of a code so far
	at       time.Duration // when the last event was last heard

	present, before event
}

// event is one press of a key: several packets with one timestamp.
type event struct {
	known bool
	ssrc  uint32
	ts    uint32
	key   uint8
	long  bool // lasts longer than one event can say; a segment follows, RFC 4733 section 2.5.1.3
	held  bool // belongs to a code
}

// hear takes one packet of an event. held says that it must not be relayed;
// code is a code that has just been completed, or "".
func (d *dialler) hear(h *header, payload []byte, now time.Duration) (held bool, code string) {
	if len(payload) < 4 {
		return false, ""
	}
	key, duration := payload[0], binary.BigEndian.Uint16(payload[2:])
	switch {
	case d.present.is(h):
		d.at = now
		d.present.long = duration == 0xffff
		return d.present.held, ""
	case d.before.is(h):
		return d.before.held, "" // late, the next key is already down
	}
	e := event{known: true, ssrc: h.ssrc, ts: h.ts, key: key, long: duration == 0xffff}
	if d.present.known && d.present.long && d.present.ssrc == h.ssrc && d.present.key == key && h.ts-d.present.ts == 0xffff {
		e.held = d.present.held
	} else {
		e.held, code = d.press(key, now)
	}
	d.before, d.present, d.at = d.present, e, now
	return e.held, code
}

func (e *event) is(h *header) bool { return e.known && e.ts == h.ts && e.ssrc == h.ssrc }

// press decides about a new key. The longest tail of what was dialled that
// may become a code counts, so "**11" still finds "*11".
func (d *dialler) press(key uint8, now time.Duration) (held bool, code string) {
	if int(key) >= len(digits) {
		return false, "" // flash hook and the like
	}
	if now > d.at+digitTimeout {
		d.progress = ""
	}
	for dialled := d.progress + digits[key:key+1]; dialled != ""; dialled = dialled[1:] {
		if slices.Contains(d.codes, dialled) {
			d.progress = ""
			return true, dialled
		}
		for _, c := range d.codes {
			if strings.HasPrefix(c, dialled) {
				d.progress = dialled
				return true, ""
			}
		}
	}
	d.progress = ""
	return false, ""
}
