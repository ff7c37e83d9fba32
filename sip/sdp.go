package sip

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"holdline/media"
)

// session is an SDP body (RFC 8866) as lines. Only what anchoring media must
// own is ever changed; every other line passes as it is.
type session struct {
	lines []string // without line ends
	head  int      // lines before the first m-line
	media []mline
}

// mline is one media description: lines[from:to].
type mline struct {
	from, to int
	kind     media.Kind
	port     int
	proto    string
	formats  []string
}

// origin is how a session is named towards one peer (RFC 8866 section 5.2):
// takers come and go behind it, the version only grows (RFC 3264 section 8).
type origin struct {
	User    string `json:"user,omitempty"`
	ID      string `json:"id,omitempty"`
	Version uint64 `json:"version,omitempty"`
	Last    string `json:"last,omitempty"` // what was sent under Version
}

func parseSDP(body []byte) (*session, error) {
	s := &session{lines: make([]string, 0, 1+bytes.Count(body, []byte{'\n'}))}
	for l := range strings.SplitSeq(string(body), "\n") {
		if l = strings.TrimRight(l, "\r"); l != "" {
			s.lines = append(s.lines, l)
		}
	}
	if len(s.lines) == 0 || !strings.HasPrefix(s.lines[0], "v=") {
		return nil, fmt.Errorf("SDP does not begin with v=")
	}
	s.head = len(s.lines)
	for i, l := range s.lines {
		if !strings.HasPrefix(l, "m=") {
			continue
		}
		if len(s.media) == 0 {
			s.head = i
		} else {
			s.media[len(s.media)-1].to = i
		}
		m, err := parseMLine(l)
		if err != nil {
			return nil, err
		}
		m.from, m.to = i, len(s.lines)
		s.media = append(s.media, m)
	}
	return s, nil
}

func parseMLine(l string) (mline, error) {
	f := strings.Fields(l[2:])
	if len(f) < 3 {
		return mline{}, fmt.Errorf("SDP line %q: want media, port, protocol and formats", l)
	}
	portText, _, _ := strings.Cut(f[1], "/")
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return mline{}, fmt.Errorf("SDP line %q: port: %w", l, err)
	}
	m := mline{port: int(port), proto: strings.ToUpper(f[2]), formats: f[3:], kind: media.Other}
	switch strings.ToLower(f[0]) {
	case "audio":
		m.kind = media.Audio
	case "video":
		m.kind = media.Video
	case "text":
		m.kind = media.Text
	}
	return m, nil
}

func (s *session) kinds() []media.Kind {
	out := make([]media.Kind, len(s.media))
	for i, m := range s.media {
		out[i] = m.kind
	}
	return out
}

// attr returns the value of the first a=name line of m, or of the session.
func (s *session) attr(m mline, name string) (string, bool) {
	for _, part := range [][]string{s.lines[m.from:m.to], s.lines[:s.head]} {
		for _, l := range part {
			if !strings.HasPrefix(l, "a=") {
				continue
			}
			if v, ok := strings.CutPrefix(l[2:], name); ok {
				if v == "" {
					return "", true
				}
				if v[0] == ':' {
					return v[1:], true
				}
			}
		}
	}
	return "", false
}

// connection is the address of m's c= line, or of the session's.
func (s *session) connection(m mline) netip.Addr {
	for _, part := range [][]string{s.lines[m.from:m.to], s.lines[:s.head]} {
		for _, l := range part {
			if !strings.HasPrefix(l, "c=") {
				continue
			}
			if f := strings.Fields(l[2:]); len(f) == 3 {
				text, _, _ := strings.Cut(f[2], "/")
				if a, err := netip.ParseAddr(text); err == nil {
					return a.Unmap()
				}
			}
		}
	}
	return netip.Addr{}
}

// direction of m: sendrecv unless said otherwise (RFC 8866 section 6.7).
func (s *session) direction(m mline) string {
	for _, part := range [][]string{s.lines[m.from:m.to], s.lines[:s.head]} {
		for _, l := range part {
			switch l {
			case "a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive":
				return l[2:]
			}
		}
	}
	return "sendrecv"
}

// static are the payload types that need no rtpmap (RFC 3551 section 6).
var static = map[string]media.Codec{
	"0": {PT: 0, Name: "PCMU", Rate: 8000, Channels: 1}, "3": {PT: 3, Name: "GSM", Rate: 8000, Channels: 1},
	"4": {PT: 4, Name: "G723", Rate: 8000, Channels: 1}, "8": {PT: 8, Name: "PCMA", Rate: 8000, Channels: 1},
	"9": {PT: 9, Name: "G722", Rate: 8000, Channels: 1}, "13": {PT: 13, Name: "CN", Rate: 8000, Channels: 1},
	"15": {PT: 15, Name: "G728", Rate: 8000, Channels: 1}, "18": {PT: 18, Name: "G729", Rate: 8000, Channels: 1},
	"31": {PT: 31, Name: "H261", Rate: 90000, Channels: 1}, "34": {PT: 34, Name: "H263", Rate: 90000, Channels: 1},
}

func (s *session) codecs(m mline) []media.Codec {
	var out []media.Codec
	for _, f := range m.formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		c, known := static[f]
		if !known {
			c = media.Codec{PT: uint8(pt), Channels: 1}
		}
		for _, l := range s.lines[m.from:m.to] {
			if v, ok := strings.CutPrefix(l, "a=rtpmap:"); ok {
				if v, ok = strings.CutPrefix(v, f); ok && strings.HasPrefix(v, " ") {
					c = parseRTPMap(uint8(pt), v[1:])
					break
				}
			}
		}
		out = append(out, c)
	}
	return out
}

func parseRTPMap(pt uint8, v string) media.Codec {
	c := media.Codec{PT: pt, Channels: 1}
	parts := strings.Split(strings.TrimSpace(v), "/")
	c.Name = strings.ToUpper(parts[0])
	if len(parts) > 1 {
		if r, err := strconv.ParseUint(parts[1], 10, 32); err == nil {
			c.Rate = uint32(r)
		}
	}
	if len(parts) > 2 {
		if n, err := strconv.ParseUint(parts[2], 10, 8); err == nil {
			c.Channels = uint8(n)
		}
	}
	return c
}

// remotes is what the body's author told about each of its streams.
func (s *session) remotes() []media.Remote {
	out := make([]media.Remote, len(s.media))
	for i, m := range s.media {
		r := media.Remote{Codecs: s.codecs(m)}
		addr := s.connection(m)
		_, r.Mux = s.attr(m, "rtcp-mux")
		if p, ok := s.attr(m, "ptime"); ok {
			if ms, err := strconv.Atoi(p); err == nil && ms > 0 && ms <= 200 {
				r.Ptime = time.Duration(ms) * time.Millisecond
			}
		}
		r.Secure = strings.Contains(m.proto, "SAVP")
		d := s.direction(m)
		r.Muted = m.port == 0 || !addr.IsValid() || addr.IsUnspecified() || d == "sendonly" || d == "inactive"
		if addr.IsValid() && !addr.IsUnspecified() && m.port != 0 {
			r.RTP = netip.AddrPortFrom(addr, uint16(m.port))
			r.RTCP = s.rtcpOf(m, addr, r.Mux)
		}
		out[i] = r
	}
	return out
}

// named fills in a remote whose connection line has a host name that nobody
// has time to look up now: the address its signalling comes from.
func (s *session) named(r *media.Remote, m mline, peer string) {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return
	}
	addr := at.Addr().Unmap()
	d := s.direction(m)
	r.RTP, r.RTCP = netip.AddrPortFrom(addr, uint16(m.port)), s.rtcpOf(m, addr, r.Mux)
	r.Muted = d == "sendonly" || d == "inactive"
}

// rtcpOf is where RTCP goes: the RTP port with mux, a=rtcp (RFC 3605), or the next port.
func (s *session) rtcpOf(m mline, addr netip.Addr, mux bool) netip.AddrPort {
	if mux {
		return netip.AddrPortFrom(addr, uint16(m.port))
	}
	if v, ok := s.attr(m, "rtcp"); ok {
		f := strings.Fields(v)
		if len(f) > 0 {
			if p, err := strconv.ParseUint(f[0], 10, 16); err == nil && p > 0 {
				if len(f) == 4 {
					if a, err := netip.ParseAddr(f[3]); err == nil {
						addr = a.Unmap()
					}
				}
				return netip.AddrPortFrom(addr, uint16(p))
			}
		}
	}
	return netip.AddrPortFrom(addr, uint16(m.port+1))
}

// rewrite returns the body with our ports in place of its author's, named
// towards its reader by o. ICE lines are left out: media is anchored here, and
// candidates would lead past us (RFC 8839 section 4.2.5 lets a peer go without).
func (s *session) rewrite(ports []media.Ports, o *origin) []byte {
	out := make([]string, 0, len(s.lines))
	for i, l := range s.lines[:s.head] {
		if i == 0 || !ownedAttribute(l) {
			out = append(out, s.addressed(l, firstPort(ports)))
		}
	}
	for n, m := range s.media {
		var p media.Ports
		if n < len(ports) {
			p = ports[n]
		}
		for i, l := range s.lines[m.from:m.to] {
			switch {
			case i == 0:
				out = append(out, withPort(l, m.port, p))
			case ownedAttribute(l):
			case strings.HasPrefix(l, "a=rtcp:"):
				if m.port != 0 {
					out = append(out, fmt.Sprintf("a=rtcp:%d IN %s %s", p.RTCP.Port(), family(p.RTCP.Addr()), p.RTCP.Addr()))
				}
			default:
				out = append(out, s.addressed(l, p.RTP.Addr()))
			}
		}
	}
	name(out, firstPort(ports), o)
	return []byte(strings.Join(out, "\r\n") + "\r\n")
}

func ownedAttribute(l string) bool {
	for _, p := range []string{"a=candidate:", "a=ice-", "a=remote-candidates", "a=end-of-candidates"} {
		if strings.HasPrefix(l, p) {
			return true
		}
	}
	return false
}

func firstPort(ports []media.Ports) netip.Addr {
	if len(ports) == 0 {
		return netip.Addr{}
	}
	return ports[0].RTP.Addr()
}

// addressed replaces the address of a c= line; 0.0.0.0 is a hold and stays one.
func (s *session) addressed(l string, a netip.Addr) string {
	if !strings.HasPrefix(l, "c=") || !a.IsValid() {
		return l
	}
	if f := strings.Fields(l); len(f) != 3 || f[2] == "0.0.0.0" {
		return l
	}
	return "c=IN " + family(a) + " " + a.String()
}

func withPort(l string, port int, p media.Ports) string {
	f := strings.SplitN(l, " ", 3)
	if port == 0 || len(f) != 3 || !p.RTP.IsValid() {
		return l
	}
	return f[0] + " " + strconv.Itoa(int(p.RTP.Port())) + " " + f[2]
}

func family(a netip.Addr) string {
	if a.Is6() {
		return "IP6"
	}
	return "IP4"
}

// name writes the o= line: the author's own on the first body, then the same
// session in a new version whenever the body differs.
func name(lines []string, a netip.Addr, o *origin) {
	for i, l := range lines {
		if !strings.HasPrefix(l, "o=") {
			continue
		}
		f := strings.Fields(l[2:])
		if len(f) != 6 {
			continue
		}
		if o.ID == "" {
			o.User, o.ID = f[0], f[1]
			o.Version, _ = strconv.ParseUint(f[2], 10, 64)
		} else {
			lines[i] = ""
			if strings.Join(lines, "\n") != o.Last {
				o.Version++
			}
		}
		lines[i] = ""
		o.Last = strings.Join(lines, "\n")
		host := f[5]
		if a.IsValid() {
			host = a.String()
		}
		fam := f[4]
		if a.IsValid() {
			fam = family(a)
		}
		lines[i] = fmt.Sprintf("o=%s %s %d IN %s %s", o.User, o.ID, o.Version, fam, host)
		return
	}
}
