package phone

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"
)

// FrameTime is the time that one RTP packet of a phone lasts.
const FrameTime = 20 * time.Millisecond

// frameSize is FrameTime of G.711 in bytes.
const frameSize = 160

// heardLimit is how many packets a call remembers: about half an hour.
const heardLimit = 100000

// RTPPacket is one packet that was received.
type RTPPacket struct {
	At   time.Time
	From netip.AddrPort
	rtp.Packet
}

// media is the RTP of one call.
type media struct {
	conn net.PacketConn

	mu     sync.Mutex
	remote netip.AddrPort
	pt     uint8
	event  uint8
	ssrc   uint32
	seq    uint16
	stamp  uint32
	spoke  time.Time // when audio was sent last
	heard  []RTPPacket
	wake   chan struct{} // closed and renewed when a packet arrives
}

// openMedia opens the call's socket the first time and returns its address.
// Callers hold the phone's mu.
func (c *Call) openMedia() (netip.AddrPort, error) {
	p := c.phone
	if p.opts.Media == nil {
		host, err := netip.ParseAddr(p.host())
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%s: own address: %w", p.opts.User, err)
		}
		return netip.AddrPortFrom(host, discardPort), nil
	}
	if c.media == nil {
		if p.closed {
			return netip.AddrPort{}, ErrClosed
		}
		conn, err := p.opts.Media()
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%s: opening media: %w", p.opts.User, err)
		}
		c.media = &media{
			conn: conn, wake: make(chan struct{}), event: eventType,
			ssrc: rand.Uint32(), seq: uint16(rand.Uint32()), stamp: rand.Uint32(),
		}
		p.medias[c.media] = struct{}{}
		p.wg.Go(c.media.read)
	}
	return netip.ParseAddrPort(c.media.conn.LocalAddr().String())
}

func (m *media) close() { _ = m.conn.Close() } // closing twice does no harm

func (m *media) setRemote(description []byte) {
	addr, pt, event, ok := remoteAudio(description)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remote = addr // the zero address when the other side wants nothing
	if ok {
		m.pt = pt
		if event != 0 {
			m.event = event
		}
	}
}

// read keeps what arrives until the socket is closed.
func (m *media) read() {
	buf := make([]byte, 65536)
	for {
		n, from, err := m.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(FrameTime) // such as an ICMP error: the socket lives on
			continue
		}
		p := RTPPacket{At: time.Now()}
		if p.Unmarshal(append([]byte(nil), buf[:n]...)) != nil {
			continue
		}
		if u, ok := from.(*net.UDPAddr); ok {
			p.From = u.AddrPort()
		}
		m.mu.Lock()
		if len(m.heard) < heardLimit {
			m.heard = append(m.heard, p)
		}
		close(m.wake)
		m.wake = make(chan struct{})
		m.mu.Unlock()
	}
}

// Heard returns every RTP packet received so far, in order of arrival.
func (c *Call) Heard() []RTPPacket {
	m := c.openedMedia()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]RTPPacket(nil), m.heard...)
}

// WaitRTP returns the first packet received, now or later, for which match
// says true; a nil match takes any.
func (c *Call) WaitRTP(ctx context.Context, match func(RTPPacket) bool) (RTPPacket, error) {
	m := c.openedMedia()
	if m == nil {
		return RTPPacket{}, errNoMedia
	}
	for seen := 0; ; {
		m.mu.Lock()
		fresh, wake := m.heard[seen:], m.wake
		m.mu.Unlock()
		for _, p := range fresh {
			if match == nil || match(p) {
				return p, nil
			}
		}
		seen += len(fresh)
		select {
		case <-wake:
		case <-ctx.Done():
			return RTPPacket{}, fmt.Errorf("%s: waiting for RTP: %w", c.phone.opts.User, ctx.Err())
		case <-c.phone.done:
			return RTPPacket{}, ErrClosed
		}
	}
}

var errNoMedia = errors.New("phone: the call has no media yet")

func (c *Call) openedMedia() *media {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	return c.media
}

// RemoteRTP is where the call's RTP is sent to; the zero address when the
// other side has not said, or does not want any.
func (c *Call) RemoteRTP() netip.AddrPort {
	m := c.openedMedia()
	if m == nil {
		return netip.AddrPort{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remote
}

// Play sends u-law audio, 20 ms a packet in real time, until it has been said
// or the call or ctx ends. The last packet is filled up with silence.
func (c *Call) Play(ctx context.Context, ulaw []byte) error {
	m := c.openedMedia()
	if m == nil {
		return errNoMedia
	}
	ticker := time.NewTicker(FrameTime)
	defer ticker.Stop()
	for len(ulaw) > 0 {
		frame := make([]byte, frameSize)
		for i := copy(frame, ulaw); i < frameSize; i++ {
			frame[i] = 0xff // silence
		}
		ulaw = ulaw[min(frameSize, len(ulaw)):]
		if err := m.speak(frame); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-c.ended:
			return nil
		case <-c.phone.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// speak sends one frame of u-law in the codec of the call. After a pause the
// timestamp has moved on and the marker says that a talkspurt begins (RFC 3551
// section 4.1).
func (m *media) speak(ulaw []byte) error {
	m.mu.Lock()
	now := time.Now()
	pause := now.Sub(m.spoke)
	marker := pause > 3*FrameTime
	if marker && !m.spoke.IsZero() {
		m.stamp += uint32(pause/FrameTime-1) * frameSize
	}
	m.spoke = now
	payload := ulaw
	if m.pt == 8 {
		payload = g711.Ulaw2Alaw(ulaw)
	}
	p := m.next(m.pt, payload, marker)
	m.stamp += frameSize
	m.mu.Unlock()
	return m.send(p)
}

// next is the next packet of the stream. Callers hold m.mu.
func (m *media) next(pt uint8, payload []byte, marker bool) *rtp.Packet {
	m.seq++
	return &rtp.Packet{
		Header: rtp.Header{
			Version: 2, Marker: marker, PayloadType: pt,
			SequenceNumber: m.seq, Timestamp: m.stamp, SSRC: m.ssrc,
		},
		Payload: payload,
	}
}

func (m *media) send(p *rtp.Packet) error {
	m.mu.Lock()
	remote := m.remote
	m.mu.Unlock()
	if !remote.IsValid() || remote.Addr().IsUnspecified() {
		return nil // on hold
	}
	raw, err := p.Marshal()
	if err != nil {
		return fmt.Errorf("phone: writing RTP: %w", err)
	}
	if _, err := m.conn.WriteTo(raw, net.UDPAddrFromAddrPort(remote)); errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("phone: sending RTP: %w", err)
	}
	return nil // anything else is what a network does
}

// SendRTP sends one packet as it is to where the call's RTP goes.
func (c *Call) SendRTP(p *rtp.Packet) error {
	m := c.openedMedia()
	if m == nil {
		return errNoMedia
	}
	return m.send(p)
}

const keys = "0123456789*#ABCD"

// Dial sends digits as telephone events (RFC 4733): each lasts 100 ms, with
// its end sent three times, and 60 ms of nothing after it.
func (c *Call) Dial(ctx context.Context, digits string) error {
	m := c.openedMedia()
	if m == nil {
		return errNoMedia
	}
	for _, d := range strings.ToUpper(digits) {
		code := strings.IndexRune(keys, d)
		if code < 0 {
			return fmt.Errorf("phone: dialling %q: %q is no DTMF key", digits, d)
		}
		if err := c.press(ctx, m, byte(code)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Call) press(ctx context.Context, m *media, code byte) error {
	const volume = 10
	const events = 5 // of 20 ms
	for i := range events + 3 {
		duration, flags := uint16(frameSize*min(i+1, events)), byte(volume)
		if i >= events {
			flags |= 0x80 // the end
		}
		m.mu.Lock()
		p := m.next(m.event, []byte{code, flags, byte(duration >> 8), byte(duration)}, i == 0)
		m.mu.Unlock()
		if err := m.send(p); err != nil {
			return err
		}
		if err := c.pause(ctx, FrameTime); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.stamp += (events + 3) * frameSize
	m.mu.Unlock()
	return nil
}

func (c *Call) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.phone.done:
		return ErrClosed
	}
}

// Tone is u-law audio of one frequency in Hz: something that a test can tell
// apart from other tones.
func Tone(frequency float64, d time.Duration) []byte {
	samples := make([]byte, int(d.Seconds()*8000))
	for i := range samples {
		samples[i] = g711.EncodeUlawFrame(int16(8000 * math.Sin(2*math.Pi*frequency*float64(i)/8000)))
	}
	return samples
}
