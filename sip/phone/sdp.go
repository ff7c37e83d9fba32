package phone

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/pion/sdp/v3"
)

// discardPort is what a phone without media puts into its SDP.
const discardPort = 9

// eventType is the RTP payload type the phone offers for DTMF (RFC 4733).
const eventType = 101

// Part is one part of a multipart body.
type Part struct {
	ContentType string
	ContentID   string // without angle brackets; "": none
	Disposition string // Content-Disposition; "": none
	Body        []byte
}

// Multipart makes a multipart/mixed body (RFC 5621) and its Content-Type.
func Multipart(parts ...Part) (contentType string, body []byte) {
	var b bytes.Buffer
	boundary := "part-" + rand.Text()
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\nContent-Type: %s\r\n", boundary, p.ContentType)
		if p.ContentID != "" {
			fmt.Fprintf(&b, "Content-ID: <%s>\r\n", p.ContentID)
		}
		if p.Disposition != "" {
			fmt.Fprintf(&b, "Content-Disposition: %s\r\n", p.Disposition)
		}
		fmt.Fprintf(&b, "\r\n%s\r\n", p.Body)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return "multipart/mixed;boundary=" + boundary, b.Bytes()
}

// Parts are the parts of a message's body: of a multipart body all that are
// not multipart themselves, in order; of any other body that one.
func Parts(msg gosip.Message) []Part {
	return partsOf(value(msg, "Content-Type", "c"), "", "", msg.Body(), 0)
}

// deepest is how many multipart bodies may lie in each other.
const deepest = 8

func partsOf(contentType, id, disposition string, body []byte, depth int) []Part {
	if len(body) == 0 {
		return nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	whole := []Part{{ContentType: contentType, ContentID: id, Disposition: disposition, Body: body}}
	if err != nil || !strings.HasPrefix(kind, "multipart/") || depth == deepest {
		return whole
	}
	var all []Part
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err != nil {
			return all
		}
		inner, err := io.ReadAll(p)
		if err != nil {
			return all
		}
		h := p.Header
		all = append(all, partsOf(h.Get("Content-Type"), strings.Trim(h.Get("Content-ID"), "<>"),
			h.Get("Content-Disposition"), inner, depth+1)...)
	}
}

// sdpOf is the session description in a message, nil if there is none.
func sdpOf(msg gosip.Message) []byte {
	for _, p := range Parts(msg) {
		if isSDP(p.ContentType, p.Body) {
			return p.Body
		}
	}
	return nil
}

func isSDP(contentType string, body []byte) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return len(body) > 0 && (kind == "" || strings.EqualFold(strings.TrimSpace(kind), "application/sdp"))
}

// offer writes the phone's own session description and opens its media.
func (c *Call) offer() ([]byte, error) {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	addr, err := c.openMedia()
	if err != nil {
		return nil, err
	}
	c.localSDP = describe(addr, []string{audioLine(addr.Port(), c.phone.opts.Codecs, eventType, "sendrecv")})
	return c.localSDP, nil
}

// describe writes the session part around media descriptions.
func describe(addr netip.AddrPort, media []string) []byte {
	family := "IP4"
	if addr.Addr().Is6() {
		family = "IP6"
	}
	return fmt.Appendf(nil, "v=0\r\no=phone 1 1 IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\n%s",
		family, addr.Addr(), family, addr.Addr(), strings.Join(media, ""))
}

var codecNames = map[uint8]string{0: "PCMU/8000", 8: "PCMA/8000"}

// audioLine writes one audio m-line with its attributes; event 0 is none.
func audioLine(port uint16, codecs []uint8, event uint8, direction string) string {
	formats, maps := "", ""
	for _, pt := range codecs {
		formats += fmt.Sprintf(" %d", pt)
		if name, known := codecNames[pt]; known {
			maps += fmt.Sprintf("a=rtpmap:%d %s\r\n", pt, name)
		}
	}
	if event != 0 {
		formats += fmt.Sprintf(" %d", event)
		maps += fmt.Sprintf("a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-16\r\n", event, event)
	}
	return fmt.Sprintf("m=audio %d RTP/AVP%s\r\n%sa=ptime:20\r\na=%s\r\n", port, formats, maps, direction)
}

var errNoCodec = errors.New("no codec in common")

// answerTo writes the answer to an offer (RFC 3264): the first audio stream
// with our first common codec, everything else refused. Callers hold mu.
func (c *Call) answerTo(offer []byte) ([]byte, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(offer); err != nil {
		return nil, fmt.Errorf("reading the offer: %w", err)
	}
	addr, err := c.openMedia()
	if err != nil {
		return nil, err
	}
	var lines []string
	taken := false
	for _, m := range d.MediaDescriptions {
		pt, ok := c.choose(m)
		if taken || !ok || m.MediaName.Media != "audio" || m.MediaName.Port.Value == 0 {
			lines = append(lines, fmt.Sprintf("m=%s 0 %s %s\r\n", m.MediaName.Media,
				strings.Join(m.MediaName.Protos, "/"), strings.Join(m.MediaName.Formats, " ")))
			continue
		}
		taken = true
		lines = append(lines, audioLine(addr.Port(), []uint8{pt}, eventIn(m), mirrored(&d, m)))
	}
	if !taken {
		return nil, errNoCodec
	}
	c.localSDP = describe(addr, lines)
	if c.media != nil {
		c.media.setRemote(offer)
	}
	return c.localSDP, nil
}

// choose is the first format of the offer that the phone speaks.
func (c *Call) choose(m *sdp.MediaDescription) (uint8, bool) {
	for _, f := range m.MediaName.Formats {
		if pt, err := strconv.ParseUint(f, 10, 7); err == nil && slices.Contains(c.phone.opts.Codecs, uint8(pt)) {
			return uint8(pt), true
		}
	}
	return 0, false
}

// eventIn is the payload type of telephone-event, 0 if there is none.
func eventIn(m *sdp.MediaDescription) uint8 {
	for _, a := range m.Attributes {
		pt, name, _ := strings.Cut(a.Value, " ")
		if a.Key == "rtpmap" && strings.HasPrefix(strings.ToLower(name), "telephone-event/8000") {
			if n, err := strconv.ParseUint(pt, 10, 7); err == nil {
				return uint8(n)
			}
		}
	}
	return 0
}

// mirrored is the answer to the offer's direction.
func mirrored(d *sdp.SessionDescription, m *sdp.MediaDescription) string {
	for _, attributes := range [][]sdp.Attribute{m.Attributes, d.Attributes} {
		for _, a := range attributes {
			switch a.Key {
			case "sendonly":
				return "recvonly"
			case "recvonly":
				return "sendonly"
			case "inactive", "sendrecv":
				return a.Key
			}
		}
	}
	return "sendrecv"
}

// remoteAudio is where the first audio stream of a session description is
// received, and in which formats.
func remoteAudio(description []byte) (addr netip.AddrPort, pt, event uint8, ok bool) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(description); err != nil {
		return addr, 0, 0, false
	}
	for _, m := range d.MediaDescriptions {
		conn := m.ConnectionInformation
		if conn == nil {
			conn = d.ConnectionInformation
		}
		if m.MediaName.Media != "audio" || m.MediaName.Port.Value == 0 || conn == nil || conn.Address == nil {
			continue
		}
		host := net.JoinHostPort(conn.Address.Address, strconv.Itoa(m.MediaName.Port.Value))
		a, err := netip.ParseAddrPort(host)
		if err != nil {
			continue
		}
		first, err := strconv.ParseUint(m.MediaName.Formats[0], 10, 7)
		if err != nil {
			continue
		}
		return a, uint8(first), eventIn(m), true
	}
	return addr, 0, 0, false
}
