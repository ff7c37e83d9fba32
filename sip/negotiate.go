package sip

import (
	"slices"
	"strings"

	"holdline/media"
)

// negotiated is what the author of an offer will be sent after the answer:
// the answer's formats, in its order, under the numbers of the offer
// (RFC 3264 section 6.1).
func negotiated(offer, answer []media.Codec) []media.Codec {
	var out []media.Codec
	for _, a := range answer {
		for _, o := range offer {
			if same(a, o) {
				out = append(out, o)
				break
			}
		}
	}
	return out
}

func same(a, b media.Codec) bool {
	if a.Name == "" || b.Name == "" {
		return a.PT == b.PT
	}
	return a.Name == b.Name && a.Rate == b.Rate && max(a.Channels, 1) == max(b.Channels, 1)
}

// prefer returns the offer with the formats the caller already uses first in
// each m-line, so that a new taker most likely picks them and the caller need
// not renegotiate.
func (s *session) prefer(inUse [][]media.Codec) *session {
	out := &session{lines: slices.Clone(s.lines), head: s.head, media: slices.Clone(s.media)}
	for n := range out.media {
		if n >= len(inUse) || len(inUse[n]) == 0 {
			continue
		}
		m := &out.media[n]
		var first, rest []string
		codecs := s.codecs(*m)
		for _, u := range inUse[n] {
			for _, c := range codecs {
				if f := ptText(c.PT); same(c, u) && slices.Contains(m.formats, f) && !slices.Contains(first, f) {
					first = append(first, f)
				}
			}
		}
		for _, f := range m.formats {
			if !slices.Contains(first, f) {
				rest = append(rest, f)
			}
		}
		m.formats = append(first, rest...)
		f := strings.SplitN(out.lines[m.from], " ", 4)
		out.lines[m.from] = strings.Join(append(f[:3], m.formats...), " ")
	}
	return out
}

func ptText(pt uint8) string {
	const digits = "0123456789"
	switch {
	case pt >= 100:
		return "1" + string(digits[pt/10%10]) + string(digits[pt%10])
	case pt >= 10:
		return string(digits[pt/10]) + string(digits[pt%10])
	}
	return string(digits[pt])
}

// active returns the body with every direction set to sendrecv: what a caller
// who was put on hold is offered when the one who held them is gone.
func (s *session) active() *session {
	out := &session{lines: slices.Clone(s.lines), head: s.head, media: slices.Clone(s.media)}
	for i, l := range out.lines {
		switch l {
		case "a=sendonly", "a=recvonly", "a=inactive":
			out.lines[i] = "a=sendrecv"
		case "c=IN IP4 0.0.0.0":
			out.lines[i] = "c=IN IP4 192.0.2.1" // rewrite puts ours in its place
		}
	}
	if !slices.ContainsFunc(s.media, func(m mline) bool { return m.talk() && m.port != 0 }) {
		for i := range out.media { // port 0: the stream is wanted again
			if m := &out.media[i]; m.talk() {
				m.port = 9
				out.lines[m.from] = strings.Replace(out.lines[m.from], " 0 ", " 9 ", 1)
			}
		}
	}
	return out
}

// offering is what somebody who is to take the call is offered: the caller's
// session, without what a taker who has them on hold made of it.
func (c *Call) offering() (*session, error) {
	offer, err := parseSDP([]byte(c.Offer))
	if err == nil && c.Held {
		offer = offer.active()
	}
	return offer, err
}

// endHold forgets that a taker has the caller on hold.
func (c *Call) endHold() {
	if offer, err := c.offering(); err == nil {
		c.Offer = strings.Join(offer.lines, "\r\n") + "\r\n"
	}
	c.Held = false
}

// answer makes our own answer to an offer of the caller's while nobody else is
// on the line: every stream is taken with the formats in use (or, for a stream
// that is new, the offered ones), directions mirrored (RFC 3264 section 6.1).
func (s *session) answer(inUse [][]media.Codec) *session {
	out := &session{lines: slices.Clone(s.lines), head: s.head, media: slices.Clone(s.media)}
	mirror := map[string]string{"a=sendonly": "a=recvonly", "a=recvonly": "a=sendonly"}
	for i, l := range out.lines {
		if m, ok := mirror[l]; ok {
			out.lines[i] = m
		}
	}
	for n := range out.media {
		m := &out.media[n]
		if n >= len(inUse) || m.port == 0 {
			continue
		}
		var keep []string
		for _, c := range s.codecs(*m) {
			if slices.ContainsFunc(inUse[n], func(u media.Codec) bool { return same(u, c) }) {
				keep = append(keep, ptText(c.PT))
			}
		}
		if len(keep) == 0 {
			continue // another codec from now on: as offered
		}
		m.formats = keep
		f := strings.SplitN(out.lines[m.from], " ", 4)
		out.lines[m.from] = strings.Join(append(f[:3], keep...), " ")
	}
	return out
}

func g711(codecs []media.Codec) bool {
	return slices.ContainsFunc(codecs, func(c media.Codec) bool { return c.Name == "PCMU" || c.Name == "PCMA" })
}
