package media

import (
	"time"
	"unicode/utf8"
)

const (
	typingTime   = 300 * time.Millisecond // between packets, RFC 4103 section 5.1
	pieceRunes   = 9                      // 30 characters a second, RFC 4103 section 6
	generations  = 2                      // of redundancy, RFC 4103 section 4
	textRate     = 1000                   // RTP clock of T.140
	newTextLine  = "\u2028"               // T.140 section 8
	textInterval = 20 * time.Second       // between the beginnings of two repetitions, at least
)

// DefaultPromptText is what a caller who writes instead of speaking reads.
const DefaultPromptText = "Help is still coming. Please stay on the line. Do not hang up. Another call taker will be with you."

// textPieces cuts the prompt into what is typed in one packet each, on a line
// of its own.
func textPieces(text string) (pieces []string) {
	text = newTextLine + text + newTextLine
	for text != "" {
		n := 0
		for range pieceRunes {
			_, size := utf8.DecodeRuneInString(text[n:])
			n += size
		}
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	return pieces
}

// typist writes the prompt as real-time text (RFC 4103): as T140 packets, or
// with redundancy (RFC 2198) where the caller prefers that.
type typist struct {
	pt     uint8 // of the packets
	inner  uint8 // of T140 within RED
	red    bool
	pieces []string
	turn   int // of this repetition: which piece is next, or how far behind the last one
	past   [generations]typed
}

type typed struct {
	text string
	ts   uint32
}

// newTypist chooses the format. RED carries T140 under T140's own number, so
// both have to be in the list.
func newTypist(list []Codec, pieces []string) (*typist, string) {
	plain, ok := named(list, nameT140, textRate)
	if !ok {
		return nil, "the caller's text stream has no T140 format"
	}
	t := &typist{pt: plain.PT, inner: plain.PT, pieces: pieces}
	for _, c := range list {
		if c.Name == nameT140 {
			break
		}
		if c.Name == nameRED && c.Rate == textRate {
			t.pt, t.red = c.PT, true
			break
		}
	}
	return t, ""
}

// next writes the packet of this turn into b, nil if there is nothing to say.
func (t *typist) next(b []byte, h *header, e *ear, now time.Duration) []byte {
	turn := t.turn
	t.turn++
	last := len(t.pieces)
	if t.red {
		last += generations // what was said last is repeated as well
	}
	if turn >= last {
		t.turn = 0
		return nil
	}
	e.begin(now)
	h.marker = turn == 0 || e.restarted // after a pause, RFC 4103 section 3
	e.restarted = false
	e.produce(h, e.following(textRate, now), textRate, 0, now)
	h.pt = t.pt
	say := ""
	if turn < len(t.pieces) {
		say = t.pieces[turn]
	}
	if turn == 0 {
		t.past = [generations]typed{}
	}
	b[0] = 2 << 6
	n := rtpHeaderSize
	if t.red {
		n = t.redundancy(b, n, h.ts)
	}
	n += copy(b[n:], say)
	copy(t.past[:], t.past[1:])
	t.past[generations-1] = typed{say, h.ts}
	h.off, h.end = rtpHeaderSize, n
	h.write(b)
	return b[:n]
}

// redundancy writes the block headers and the older texts before the new one.
func (t *typist) redundancy(b []byte, n int, ts uint32) int {
	for _, p := range t.past {
		offset := uint32(0)
		if p.text != "" {
			offset = ts - p.ts
		}
		head := redHeader(t.inner, offset, len(p.text))
		n += copy(b[n:], head[:])
	}
	b[n] = t.inner
	n++
	for _, p := range t.past {
		n += copy(b[n:], p.text)
	}
	return n
}

// pause is the time until the next turn.
func (t *typist) pause() time.Duration {
	if t.turn != 0 {
		return typingTime
	}
	spent := time.Duration(len(t.pieces)+generations) * typingTime
	return max(typingTime, textInterval-spent)
}
