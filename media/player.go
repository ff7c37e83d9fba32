package media

import (
	"container/heap"
	"time"
)

const (
	frameTime    = 20 * time.Millisecond
	frameSamples = 160 // at 8 kHz
	maxLag       = 3 * frameTime
	// holdOver is how long the prompt goes on after somebody has answered, if
	// nothing is heard from them. A phone sends its first packet long before;
	// one that sends none is not helped by a caller who is told to wait.
	holdOver = time.Second
	// early is how much before its slot the first packet of a prompt is due, so
	// that it is in time although timers and queues add to it. A phone keeps
	// what comes early, and plays nothing in place of what comes late.
	early = 500 * time.Microsecond
)

// player plays the prompt on one stream of the caller, in the caller's slots.
type player struct {
	slot
	stream *stream
	marked bool          // the first packet was made
	told   bool          // the call knows that the caller hears the prompt
	quiet  bool          // the call knows that the caller is on hold
	until  time.Duration // 0, or when it ends: somebody has answered
	mute   bool          // silence is played: a supervisor who has spoken takes over

	pt     uint8
	cycle  []byte // G.711 of one repetition, whole frames
	offset int    // of the next frame

	text *typist // instead of audio
}

// replay begins to play on a stream, or goes on after what the caller can
// receive has changed.
func (l *loop) replay(c *stream) {
	old := c.player
	p, reason := l.newPlayer(c)
	if old != nil && p != nil && old.pt == p.pt && (old.text == nil) == (p.text == nil) {
		l.holdNews(old)
		return // nothing changed for it
	}
	l.quiet(c)
	if p == nil {
		if reason != "" && c.refused != reason {
			c.refused = reason
			l.tell(c, Event{Kind: EventPrompt, Reason: reason})
		}
		return
	}
	c.player, c.refused = p, ""
	heap.Push(&l.players, p)
	l.holdNews(p)
	if p.at <= l.now {
		l.slot(p)
	}
}

// holdNews tells once that the prompt waits for the caller to listen.
func (l *loop) holdNews(p *player) {
	if !p.quiet && !p.told && !p.stream.listens() {
		p.quiet = true
		l.tell(p.stream, Event{Kind: EventPrompt, Reason: "the caller is on hold"})
	}
}

// quiet ends what plays on a stream.
func (l *loop) quiet(c *stream) {
	c.refused = ""
	if c.player != nil {
		heap.Remove(&l.players, c.player.place)
		c.player = nil
	}
}

// newPlayer chooses how to speak to the caller; without a player the reason
// why it is impossible.
func (l *loop) newPlayer(c *stream) (*player, string) {
	p := &player{stream: c, slot: slot{at: l.now}}
	switch {
	case c.kind != Audio && c.kind != Text:
		return nil, ""
	case c.remote.Secure:
		return nil, "the stream is encrypted end to end (SRTP)"
	case len(c.remote.Codecs) == 0:
		return nil, "the caller's formats are not known"
	case c.kind == Text:
		t, reason := newTypist(c.remote.Codecs, l.engine.text)
		if t == nil {
			return nil, reason
		}
		p.text, p.pt = t, t.pt
	default:
		codec, ok := speakable(c.remote.Codecs)
		if !ok {
			return nil, "the caller has neither PCMU nor PCMA"
		}
		p.pt, p.cycle = codec.PT, l.engine.opts.Prompt.cycle(codec.Name)
	}
	if c.ear.started {
		p.at = max(p.at, c.ear.at+c.ear.packetTime()-early)
	}
	return p, ""
}

// speakable is the G.711 format the caller prefers.
func speakable(list []Codec) (Codec, bool) {
	for _, c := range list {
		if (c.Name == namePCMU || c.Name == namePCMA) && c.Rate == 8000 && c.Channels == 1 {
			return c, true
		}
	}
	return Codec{}, false
}

// play makes the packet of a slot. Slots lie on a grid, so that the beat does
// not drift; a loop that was held up leaves slots out instead of sending a
// burst, and the timestamps tell.
func (l *loop) play(p *player) {
	slot := p.at - frameTime // slot moved it on already
	c := p.stream
	if p.until != 0 && slot >= p.until {
		l.quiet(c)
		return
	}
	gap := time.Duration(0)
	if c.ear.started {
		gap = l.now - c.ear.at
	}
	if c.listens() {
		c.ear.resume()
	}
	var h header
	var b []byte
	if p.text != nil {
		b = p.text.next(l.out[:], &h, c.ear, l.now)
		p.at = slot + p.text.pause()
		if r := c.leg.sess.room; r != nil && b != nil {
			l.copyText(r, c, b, &h)
		}
	} else {
		b = l.frame(p, &h, slot)
	}
	heap.Fix(&l.players, p.place)
	if b == nil {
		return
	}
	if l.hear(c, &h, b) && !p.told {
		p.told = true
		l.tell(c, Event{Kind: EventPrompt, Played: true, Gap: gap})
	}
}

// frame makes one packet of speech, tone or silence.
func (l *loop) frame(p *player, h *header, slot time.Duration) []byte {
	e, skipped := p.stream.ear, 0
	if lag := l.now - slot; p.marked && lag >= maxLag {
		skipped = int(lag / frameTime)
	}
	e.slot(h, p.marked, skipped, l.now)
	p.marked = true
	p.at = slot + time.Duration(1+skipped)*frameTime
	p.offset = (p.offset + skipped*frameSamples) % len(p.cycle)
	h.pt = p.pt
	b := l.out[:rtpHeaderSize+frameSamples]
	h.off, h.end = rtpHeaderSize, len(b)
	b[0] = 2 << 6
	h.write(b)
	copy(b[rtpHeaderSize:], p.cycle[p.offset:p.offset+frameSamples])
	p.offset = (p.offset + frameSamples) % len(p.cycle)
	if p.mute {
		fillSilence(b[rtpHeaderSize:], p.stream.pcma.has(p.pt))
	}
	if r := p.stream.leg.sess.room; r != nil {
		l.overPrompt(r, p, b, h)
	}
	return b
}
