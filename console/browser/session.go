package browser

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"

	"holdline/sip"
)

// codec is one of the laws of G.711.
type codec struct {
	payload uint8 // static RTP payload type
	mime    string
}

// codecOf chooses from a browser's offer: PCMU, or PCMA if that is all there is.
func codecOf(offer string) (codec, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		return codec{}, fmt.Errorf("%w: %w", ErrOffer, err)
	}
	for _, c := range []codec{{0, webrtc.MimeTypePCMU}, {8, webrtc.MimeTypePCMA}} {
		for _, m := range d.MediaDescriptions {
			if m.MediaName.Media == "audio" && slices.Contains(m.MediaName.Formats, fmt.Sprint(c.payload)) {
				return c, nil
			}
		}
	}
	return codec{}, fmt.Errorf("%w: it has no audio in G.711 (PCMU or PCMA)", ErrOffer)
}

// session is one browser in one call.
type session struct {
	g     *Gateway
	log   *zap.Logger
	codec codec
	pc    *webrtc.PeerConnection
	conn  *net.UDPConn   // towards media
	rtp   netip.AddrPort // where conn is
	left  func(sip.JoinView, string)

	mu      sync.Mutex
	ended   bool
	view    sip.JoinView
	media   net.Addr       // where the call's media is; nil until joined
	from    netip.AddrPort // the same, to compare with
	connect *time.Timer
}

// answer answers the offer: one track of G.711 in both directions, over the
// gateway's one socket, with all that the browser needs to connect in it.
func (s *session) answer(ctx context.Context, offer string) (string, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: s.codec.mime, ClockRate: 8000}, "call", "holdline")
	if err != nil {
		return "", fmt.Errorf("preparing a track for a browser: %w", err)
	}
	sender, err := s.pc.AddTrack(track)
	if err != nil {
		return "", fmt.Errorf("preparing a track for a browser: %w", err)
	}
	s.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { s.g.run(func() { s.speak(t) }) })
	s.pc.OnConnectionStateChange(s.changed)
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", fmt.Errorf("answering a browser: %w", ctx.Err())
	}
	s.g.run(func() { s.listen(track) })
	s.g.run(func() { drain(sender) })
	return s.pc.LocalDescription().SDP, nil
}

// joined lets audio flow, and waits for the browser to connect.
func (s *session) joined(v sip.JoinView) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view, s.media, s.from = v, net.UDPAddrFromAddrPort(v.Media), v.Media
	if s.ended { // the call let it go at once
		return
	}
	s.connect = time.AfterFunc(connectTime, func() {
		if s.pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
			s.end("the browser did not connect")
		}
	})
}

// target is where the call's media is; nil before the call took the browser in.
func (s *session) target() (net.Addr, netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.media, s.from
}

// speak passes what the supervisor says on to the call.
func (s *session) speak(t *webrtc.TrackRemote) {
	buf := make([]byte, 1500)
	var to net.Addr
	for {
		n, _, err := t.Read(buf)
		if err != nil {
			return // the connection is closed
		}
		if to == nil {
			if to, _ = s.target(); to == nil {
				continue
			}
		}
		if n < 12 || buf[1]&0x7f != s.codec.payload {
			continue // comfort noise and the like
		}
		_, _ = s.conn.WriteTo(buf[:n], to) // what is lost is lost: it is UDP
	}
}

// listen passes what the call sends on to the browser.
func (s *session) listen(track *webrtc.TrackLocalStaticRTP) {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // closed: nothing else ends an unconnected socket
		}
		if _, media := s.target(); from.Port() != media.Port() || from.Addr().Unmap() != media.Addr().Unmap() {
			continue
		}
		if n < 12 || buf[1] >= 192 && buf[1] <= 223 { // RTCP (RFC 5761 section 4)
			continue
		}
		_, _ = track.Write(buf[:n])
	}
}

// drain reads the RTCP of the browser, which keeps the interceptors going.
func drain(sender *webrtc.RTPSender) {
	buf := make([]byte, 1500)
	for {
		if _, _, err := sender.Read(buf); err != nil {
			return
		}
	}
}

// changed ends the session when the browser is gone.
func (s *session) changed(state webrtc.PeerConnectionState) {
	s.log.Debug("browser's connection changes", zap.Stringer("state", state))
	switch state {
	case webrtc.PeerConnectionStateFailed:
		s.end("the browser is gone")
	case webrtc.PeerConnectionStateClosed:
		s.end("the browser closed the connection")
	default: // on its way, or back after a while
	}
}

// end ends the session, once. why is for the call, when it is not the call that
// ended it; it does not block.
func (s *session) end(why string) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	if s.connect != nil {
		s.connect.Stop()
	}
	s.mu.Unlock()
	s.g.run(func() {
		if err := s.conn.Close(); err != nil {
			s.log.Debug("closing a browser's audio", zap.Error(err))
		}
		if err := s.pc.GracefulClose(); err != nil && !strings.Contains(err.Error(), "closed") {
			s.log.Debug("closing a browser's connection", zap.Error(err))
		}
		s.g.mu.Lock()
		delete(s.g.open, s)
		s.g.mu.Unlock()
		s.mu.Lock()
		view := s.view
		s.mu.Unlock()
		if why != "" && view.ID != "" && s.left != nil {
			s.left(view, why)
		}
	})
}
