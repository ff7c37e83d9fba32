package sip

import (
	"fmt"
	"slices"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
)

// supervisorFrom is the From of a supervisor's INVITE: the caller's address
// under a display name that says what the call is, on any phone.
func (c *Call) supervisorFrom(l *leg) string {
	a := parseAddress(c.From)
	a.Display = `"` + quotable(strings.ToUpper(string(l.Join.Mode))+" "+c.whoHas()) + `"`
	return a.String()
}

// whoHas says in two words who has the caller.
func (c *Call) whoHas() string {
	switch {
	case c.taker != nil:
		return c.taker.Target
	case c.State == Waiting:
		return "waiting caller"
	}
	return "ringing call"
}

// inviteSupervisor builds the INVITE of a supervisor's leg: a call of its own,
// that names the call it is about.
func (c *Call) inviteSupervisor(l *leg) (*gosip.Request, error) {
	req, err := l.Dialog.request("INVITE", l.Dialog.nextSeq())
	if err != nil {
		return nil, err
	}
	l.Invite = l.Dialog.LocalSeq
	subject := map[Mode]string{
		ModeListen: "Listen to ", ModeWhisper: "Whisper to ", ModeBarge: "Barge in on ",
	}[l.Join.Mode] + c.whoHas()
	if l.Join.Via == ViaAssist {
		subject = c.whoHas() + " asks for help"
	}
	for _, h := range [][2]string{
		{"Subject", quotable(subject)},
		{"Alert-Info", "<urn:alert:source:internal>"}, // RFC 7462: not a call from outside
		{"Allow", allow},
		{"Content-Type", "application/sdp"},
	} {
		req.AppendHeader(gosip.NewHeader(h[0], h[1]))
	}
	if c.EmergencyID != "" {
		req.AppendHeader(gosip.NewHeader("Call-Info", "<"+c.EmergencyID+">;purpose=emergency-CallId"))
	}
	if c.IncidentID != "" {
		req.AppendHeader(gosip.NewHeader("Call-Info", "<"+c.IncidentID+">;purpose=emergency-IncidentId"))
	}
	req.SetBody(c.tell(l, c.supervisorOffer()))
	return req, nil
}

// The formats that a supervisor is offered where the call has G.711: media
// translates between the two laws.
var supervisorFormats = []string{
	"a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15",
}

// supervisorOffer is what a supervisor's phone is offered: the call's streams
// in their order, the first audio as G.711, text as it is, nothing else. A
// call in another codec than G.711 cannot be mixed, but can be taken over: its
// audio is offered as it is.
func (c *Call) supervisorOffer() *session {
	call, err := parseSDP([]byte(c.Offer))
	if err != nil || !slices.ContainsFunc(call.media, func(m mline) bool { return m.kind == media.Audio && m.port != 0 }) {
		return mustSession(supervisorHead, audioLines("0 8 101")...)
	}
	var lines []string
	audio := false
	for i, m := range call.media {
		own := call.lines[m.from:m.to]
		switch {
		case m.kind == media.Audio && m.port != 0 && !audio && c.inG711(call, i):
			formats := "0 8 101"
			if law := c.law(i); law == 8 {
				formats = "8 0 101" // as the call: nothing need be translated
			}
			lines = append(lines, audioLines(formats)...)
			audio = true
		case m.kind == media.Audio && m.port != 0 && !audio, m.kind == media.Text && m.port != 0:
			lines = append(lines, withoutDirection(own)...)
			audio = audio || m.kind == media.Audio
		default:
			f := strings.SplitN(own[0], " ", 3)
			lines = append(lines, f[0]+" 0 "+f[2])
		}
	}
	return mustSession(supervisorHead, lines...)
}

var supervisorHead = []string{"v=0", "o=holdline 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"}

func audioLines(formats string) []string {
	return append([]string{"m=audio 9 RTP/AVP " + formats}, append(slices.Clone(supervisorFormats), "a=ptime:20", "a=sendrecv")...)
}

// inG711 tells whether stream i of the call is, or may become, G.711.
func (c *Call) inG711(call *session, i int) bool {
	if i < len(c.InUse) && len(c.InUse[i]) > 0 {
		return g711(c.InUse[i])
	}
	return g711(call.codecs(call.media[i]))
}

// law is the payload type that the caller is sent on stream i: 0, or 8 for PCMA.
func (c *Call) law(i int) uint8 {
	if i < len(c.InUse) {
		for _, k := range c.InUse[i] {
			switch k.Name {
			case "PCMU":
				return 0
			case "PCMA":
				return 8
			}
		}
	}
	return 0
}

func withoutDirection(lines []string) []string {
	out := slices.Clone(lines)
	return slices.DeleteFunc(out, func(l string) bool {
		return l == "a=sendonly" || l == "a=recvonly" || l == "a=inactive" || strings.HasPrefix(l, "c=")
	})
}

// mustSession is a session of lines that we wrote ourselves.
func mustSession(head []string, lines ...string) *session {
	s, err := parseSDP([]byte(strings.Join(append(slices.Clone(head), lines...), "\n")))
	if err != nil {
		return &session0
	}
	return s
}

// supervisorAnswer answers the offer of a supervisor's phone: G.711 on its
// first audio, text as offered, everything else declined. nil when there is
// nothing that could be mixed.
func (c *Call) supervisorAnswer(offer *session) *session {
	use := make([][]media.Codec, len(offer.media))
	audio := -1
	for i, m := range offer.media {
		codecs := offer.codecs(m)
		if m.kind == media.Audio && m.port != 0 && audio < 0 && g711(codecs) {
			audio = i
			use[i] = slices.DeleteFunc(codecs, func(k media.Codec) bool {
				return k.Name != "PCMU" && k.Name != "PCMA" && k.Name != "TELEPHONE-EVENT"
			})
		}
	}
	if audio < 0 {
		return nil
	}
	answer := offer.answer(use)
	for i := range answer.media {
		if i != audio && answer.media[i].kind != media.Text {
			answer.decline(i)
		}
	}
	return answer
}

// decline refuses stream i (RFC 3264 section 6).
func (s *session) decline(i int) {
	m := &s.media[i]
	m.port = 0
	f := strings.SplitN(s.lines[m.from], " ", 3)
	s.lines[m.from] = f[0] + " 0 " + f[2]
}

// joinBrowser lets in a supervisor whose media comes from a gateway on this
// host. What a phone would say in SDP is known already.
func (c *Call) joinBrowser(l *leg, m *MediaEndpoint) {
	l.State, l.URI = Confirmed, "browser:"+l.Join.ID
	l.Dialog.Next = m.RTP.String()
	l.hungUp = m.Closed
	if l.hungUp == nil {
		l.hungUp = func(string) {}
	}
	c.hear(l, c.browserSession(l, m), nil)
	c.admit(l)
}

// browserSession describes a gateway's endpoint with its audio at the place
// where the call has it.
func (c *Call) browserSession(l *leg, m *MediaEndpoint) *session {
	addr := m.RTP.Addr().Unmap()
	head := slices.Clone(supervisorHead)
	head[3] = "c=IN " + family(addr) + " " + addr.String()
	audio := fmt.Sprintf("m=audio %d RTP/AVP %d", m.RTP.Port(), m.Codec)
	if call, err := parseSDP([]byte(c.Offer)); err == nil {
		if i := slices.IndexFunc(call.media, func(m mline) bool { return m.kind == media.Audio && m.port != 0 }); i > 0 {
			l.audio = i
		}
	}
	var lines []string
	for range l.audio {
		lines = append(lines, "m=audio 0 RTP/AVP 0")
	}
	return mustSession(head, append(lines, audio, "a=rtcp-mux", "a=sendrecv")...)
}

// valid tells whether media can be sent to a gateway.
func (m *MediaEndpoint) valid() bool {
	return m.RTP.IsValid() && m.RTP.Port() != 0 && !m.RTP.Addr().IsUnspecified() && (m.Codec == 0 || m.Codec == 8)
}
