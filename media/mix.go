package media

import "time"

// Whose ears a sound is for.
const (
	forCaller = iota
	forTaker
	bothSides
)

const (
	flowTime  = 100 * time.Millisecond // without packets to mix into before we make our own
	backlog   = 3 * frameTime          // of packets that come after we did
	backlogOf = time.Second
	speaking  = 300 // average level that counts as speech over the prompt, about -40 dBFS
)

// room is what a call becomes while supervisors attend it: every voice is kept
// for the others, who hear it mixed.
//
// What the caller and the taker hear is never delayed for it. Their packets
// are passed on as they come, and where a supervisor may be heard, the
// supervisor's voice is mixed into the very packet that passes: so the pace,
// the losses and the order stay those of the other party, and only the
// supervisor's voice goes through a jitter buffer. Only when no packets flow
// are some of our own made, every 20 ms.
type room struct {
	slot // of the supervisors' streams
	call *session

	caller     *stream // audio; nil if there is none
	taker      *stream
	callerText *stream
	guests     []*attendee
	said       [bothSides]party // by the caller and by the taker
	prompt     party
	side       [bothSides]side
	spoken     bool // a supervisor has spoken to a caller who heard the prompt
	reported   time.Duration
}

// party is a voice with the reader that plays it to the supervisors.
type party struct {
	voice   voice
	read    reader
	foreign string // the format in use, if it cannot be mixed
	odd     int    // how many packets more were of such a format than not, lately
}

// convinced is how many packets of another format make a change of formats.
const convinced = 10

// known notes a packet that can be mixed, and strange one that cannot; both
// report whether the format in use has changed with it. A packet of another
// format now and then is no change.
func (p *party) known() bool {
	p.odd = max(p.odd-1, 0)
	return p.odd == 0 && p.foreign != ""
}

func (p *party) strange() bool {
	p.odd = min(p.odd+1, convinced)
	return p.odd == convinced && p.foreign == ""
}

// side is what one party hears: where supervisors are mixed in.
type side struct {
	level  limiter
	passed time.Duration // when a packet of the other party last passed
	ts     uint32        // where it ended
	synced bool          // ts is known
	own    bool          // packets of our own follow one another
	filled time.Duration // when the last of them was made, 0 if never
	due    time.Duration // when the sound that was sent runs out
}

// heardBy tells whether a supervisor may be heard on a side.
func (a *attendee) heardBy(side int) bool {
	return a.mode == Barge || a.mode == Whisper && side == forTaker
}

// audible tells whether anybody may be heard on a side.
func (r *room) audible(side int) bool {
	for _, a := range r.guests {
		if a.heardBy(side) {
			return true
		}
	}
	return false
}

// speaks tells whether anybody who may be heard on a side sends audio.
func (r *room) speaks(side int, now time.Duration) bool {
	for _, a := range r.guests {
		if a.heardBy(side) && a.voice.alive(now) {
			return true
		}
	}
	return false
}

// linear is the table of the law of a packet of s, nil if it is not G.711.
func (l *loop) linear(s *stream, pt uint8) *[256]int16 {
	switch {
	case s.pcmu.has(pt):
		return &l.engine.samples.u
	case s.pcma.has(pt):
		return &l.engine.samples.a
	}
	return nil
}

// overhear lets the supervisors hear a packet of the caller or the taker.
func (l *loop) overhear(r *room, side int, s *stream, b []byte, h *header) {
	if s.kind == Text {
		l.copyText(r, s, b, h)
	}
	if s.kind != Audio || s != r.caller && s != r.taker || s.events.has(h.pt) || h.pt == ptCN {
		return
	}
	p := &r.said[side]
	table := l.linear(s, h.pt)
	if table == nil {
		if p.strange() {
			p.foreign = s.formatName(h.pt)
			r.judge(l)
		}
		return
	}
	if p.known() {
		p.foreign = ""
		r.judge(l)
	}
	p.voice.hear(h, b[h.off:h.end], table, l.now)
}

// late tells whether a packet to a party comes after we have filled its place
// with one of our own: passed on as well, it would put all that follows off.
// What comes after the late ones follows what was heard last without a hole.
func (r *room) late(side int, to *stream, now time.Duration) bool {
	s := &r.side[side]
	if to != r.caller && to != r.taker || s.filled == 0 || now >= s.filled+backlogOf || s.due <= now+backlog {
		return false
	}
	to.ear.leave()
	return true
}

// blend mixes the supervisors into a packet that passes to a party. h and b
// are as that party gets them.
func (l *loop) blend(r *room, side int, s *stream, b []byte, h *header) {
	out := &r.side[side]
	out.passed, out.own = l.now, false
	n := h.end - h.off
	table := l.linear(s, h.pt)
	if table == nil || n == 0 || n > longestVoice || !r.audible(side) {
		return
	}
	missing := int64(int32(h.ts - out.ts))
	switch {
	case !out.synced || missing > sourceJump || missing < -sourceJump:
		missing = 0
	case missing < 0:
		return // overtaken: its time is over for the supervisors
	}
	out.synced, out.ts = true, h.ts+uint32(n)
	out.due = max(out.due, l.now) + samplesTime(n)
	sum := l.desk.sum[:n]
	clear(sum)
	if l.addGuests(r, side, sum, missing) == 0 && out.level.open() {
		return // the packet stays as it was
	}
	payload := b[h.off:h.end]
	for i, c := range payload {
		sum[i] += int32(table[c])
	}
	out.level.apply(sum)
	encode(payload, sum, s.pcma.has(h.pt))
}

// addGuests adds up what the supervisors say on a side, and returns how many
// of them could be heard. missing samples are passed over first.
func (l *loop) addGuests(r *room, side int, sum []int32, missing int64) (n int) {
	one := l.desk.one[:len(sum)]
	for _, a := range r.guests {
		if !a.heardBy(side) {
			continue
		}
		p := &a.party[side]
		p.skip(missing)
		if !p.read(&a.voice, one, l.now) {
			continue
		}
		n++
		for i, s := range one {
			sum[i] += int32(s)
		}
	}
	return n
}

// overPrompt lets supervisors hear a packet of the prompt, and the caller hear
// supervisors in it. Once one has spoken to the caller, who waits alone, the
// prompt would talk into their conversation: it is silent until they leave.
func (l *loop) overPrompt(r *room, p *player, b []byte, h *header) {
	c := p.stream
	payload := b[h.off:h.end]
	if r.spoken {
		fillSilence(payload, c.pcma.has(h.pt))
	}
	if table := l.linear(c, h.pt); table != nil {
		r.prompt.voice.hear(h, payload, table, l.now)
	}
	if c != r.caller || !r.audible(forCaller) {
		return
	}
	sum := l.desk.sum[:len(payload)]
	clear(sum)
	heard := l.addGuests(r, forCaller, sum, 0)
	if heard > 0 && !r.spoken && averageLevel(sum) > speaking {
		r.spoken = true
		fillSilence(payload, c.pcma.has(h.pt))
	}
	out := &r.side[forCaller]
	if heard == 0 && out.level.open() {
		return
	}
	table := l.linear(c, h.pt)
	for i, v := range payload {
		sum[i] += int32(table[v])
	}
	out.level.apply(sum)
	encode(payload, sum, c.pcma.has(h.pt))
}

// promptAgain lets the prompt begin anew when nobody is there to speak to a
// caller who waits.
func (r *room) promptAgain(l *loop) {
	if !r.spoken {
		return
	}
	plays := r.caller != nil && r.caller.player != nil
	if plays && r.present(l.now) {
		return
	}
	r.spoken = false
	if plays {
		r.caller.player.offset = 0
	}
}

// absent is how long a supervisor's audio may stay away before the caller is
// told again that help is coming.
const absent = 3 * time.Second

func (r *room) present(now time.Duration) bool {
	for _, a := range r.guests {
		if a.mode == Barge && a.voice.live && now < a.voice.came+absent {
			return true
		}
	}
	return false
}

func averageLevel(sum []int32) (average int32) {
	for _, s := range sum {
		average += max(s, -s) / int32(len(sum))
	}
	return average
}

func fillSilence(payload []byte, alaw bool) {
	code := byte(silenceULaw)
	if alaw {
		code = silenceALaw
	}
	for i := range payload {
		payload[i] = code
	}
}
