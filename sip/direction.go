package sip

import (
	"net/netip"
	"slices"

	"holdline/media"
)

// deaf tells whether the author of a session does not want to hear anybody:
// hold in any of its forms (RFC 3264 section 8.4), and port 0. A session
// without a stream to talk on says nothing about that.
func deaf(s *session) bool {
	return s.talks() && !slices.ContainsFunc(s.media, func(m mline) bool {
		a, d := s.connection(m), s.direction(m)
		return m.talk() && m.port != 0 && (!a.IsValid() || !a.IsUnspecified()) && (d == "sendrecv" || d == "recvonly")
	})
}

// silent tells whether the author of a session says that nothing will be heard
// from it.
func silent(s *session) bool {
	return s.talks() && !slices.ContainsFunc(s.media, func(m mline) bool {
		d := s.direction(m)
		return m.talk() && m.port != 0 && (d == "sendrecv" || d == "sendonly")
	})
}

// talk tells whether a stream is there to talk on, by voice or text.
func (m mline) talk() bool { return m.kind == media.Audio || m.kind == media.Text }

func (s *session) talks() bool { return slices.ContainsFunc(s.media, mline.talk) }

// voice tells whether a session has a voice stream.
func voice(s *session) bool {
	return slices.ContainsFunc(s.media, func(m mline) bool { return m.kind == media.Audio && m.port != 0 })
}

// voiceAddr is where the author of a session wants to hear the voice.
func voiceAddr(s *session) netip.Addr {
	for _, m := range s.media {
		if m.kind == media.Audio && m.port != 0 {
			return s.connection(m).Unmap()
		}
	}
	return netip.Addr{}
}
