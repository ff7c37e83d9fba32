package browser

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"holdline/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGateway(t *testing.T) *Gateway {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	g, err := New(Options{Listen: netip.AddrPortFrom(loopback, 0), Media: loopback})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return g
}

// client is a browser: another WebRTC stack of its own.
type client struct {
	t     *testing.T
	pc    *webrtc.PeerConnection
	track *webrtc.TrackLocalStaticRTP
	heard chan *rtp.Packet
}

func newClient(t *testing.T, mime string) *client {
	t.Helper()
	c := &client{t: t, heard: make(chan *rtp.Packet, 100)}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	var err error
	if c.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(codecs(t, mime))).NewPeerConnection(webrtc.Configuration{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.pc.GracefulClose() })
	if c.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.pc.AddTrack(c.track); err != nil {
		t.Fatal(err)
	}
	c.pc.OnTrack(func(r *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := r.ReadRTP()
			if err != nil {
				return
			}
			c.heard <- p
		}
	})
	return c
}

func codecs(t *testing.T, mime string) *webrtc.MediaEngine {
	t.Helper()
	m := &webrtc.MediaEngine{}
	pt := map[string]webrtc.PayloadType{webrtc.MimeTypePCMU: 0, webrtc.MimeTypePCMA: 8, webrtc.MimeTypeG722: 9}[mime]
	err := m.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 8000}, PayloadType: pt,
	}, webrtc.RTPCodecTypeAudio)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (c *client) offer() string {
	c.t.Helper()
	o, err := c.pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(o); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	return c.pc.LocalDescription().SDP
}

// leg is a media leg: a socket.
func leg(t *testing.T) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Audio passes in both directions under the numbers it came with; who closes
// the connection is told to the other side.
func TestAudioPassesBothWays(t *testing.T) {
	for mime, pt := range map[string]uint8{webrtc.MimeTypePCMU: 0, webrtc.MimeTypePCMA: 8} {
		t.Run(mime, func(t *testing.T) {
			g, c := newGateway(t), newClient(t, mime)
			conn, at := leg(t)
			var endpoint sip.MediaEndpoint
			left := make(chan string, 2)
			v, answer, err := g.Join(t.Context(), c.offer(), func(m sip.MediaEndpoint) (sip.JoinView, error) {
				endpoint = m
				return sip.JoinView{ID: "j1", Call: "call", Media: at}, nil
			}, func(v sip.JoinView, why string) { left <- v.ID + " " + why })
			if err != nil || v.ID != "j1" || endpoint.Codec != pt {
				t.Fatalf("joined %+v with %+v: %v", v, endpoint, err)
			}
			connected := make(chan struct{})
			c.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
				if s == webrtc.PeerConnectionStateConnected {
					close(connected)
				}
			})
			if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-connected:
			case <-time.After(20 * time.Second):
				t.Fatal("not connected")
			}
			stranger, _ := leg(t)
			in := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: 7, Timestamp: 70, SSRC: 1}, Payload: []byte("from the call")}
			raw, _ := in.Marshal()
			other := in
			other.Payload = []byte("from a stranger")
			foreign, _ := other.Marshal()
			to := net.UDPAddrFromAddrPort(endpoint.RTP)
			ticker := time.NewTicker(20 * time.Millisecond) // the first packets may come before DTLS is up on both sides
			defer ticker.Stop()
			buf := make([]byte, 1500)
			var got *rtp.Packet
			for got == nil {
				_, _ = stranger.WriteTo(foreign, to)
				_, _ = conn.WriteTo(raw, to)
				_ = c.track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 9, Timestamp: 90}, Payload: []byte("from the browser")})
				select {
				case got = <-c.heard:
				case <-ticker.C:
				}
			}
			if string(got.Payload) != "from the call" || got.SequenceNumber != 7 || got.Timestamp != 70 || got.PayloadType != pt {
				t.Errorf("the browser got %v %q", got.Header, got.Payload)
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			var out rtp.Packet
			if err != nil || out.Unmarshal(buf[:n]) != nil || string(out.Payload) != "from the browser" || out.PayloadType != pt || from != endpoint.RTP {
				t.Errorf("the call got %v %q from %v: %v", out.Header, out.Payload, from, err)
			}
			if err := c.pc.GracefulClose(); err != nil {
				t.Fatal(err)
			}
			select {
			case why := <-left:
				if !strings.HasPrefix(why, "j1 the browser") {
					t.Errorf("left: %q", why)
				}
			case <-time.After(20 * time.Second):
				t.Error("nobody was told that the browser is gone")
			}
			endpoint.Closed("twice does no harm")
		})
	}
}

func TestOffersThatCannotBeAnswered(t *testing.T) {
	g := newGateway(t)
	admit := func(sip.MediaEndpoint) (sip.JoinView, error) { t.Error("joined"); return sip.JoinView{}, nil }
	for name, offer := range map[string]string{
		"empty": "", "nonsense": "hello", "no audio": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
		"another codec": newClient(t, webrtc.MimeTypeG722).offer(),
		"no ICE":        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n",
	} {
		if _, _, err := g.Join(t.Context(), offer, admit, nil); !errors.Is(err, ErrOffer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A call that does not take the browser in leaves nothing behind, and neither
// does a gateway that is closed with browsers in it.
func TestNothingStaysOpen(t *testing.T) {
	g := newGateway(t)
	gone := errors.New("the call is over")
	_, _, err := g.Join(t.Context(), newClient(t, webrtc.MimeTypePCMU).offer(), func(sip.MediaEndpoint) (sip.JoinView, error) { return sip.JoinView{}, gone }, nil)
	if !errors.Is(err, gone) {
		t.Errorf("joining a call that is over: %v", err)
	}
	_, _, err = g.Join(t.Context(), newClient(t, webrtc.MimeTypePCMU).offer(), func(sip.MediaEndpoint) (sip.JoinView, error) { return sip.JoinView{ID: "j"}, nil }, nil)
	if err == nil {
		t.Error("joined a call without media")
	}
	_, at := leg(t)
	v, _, err := g.Join(t.Context(), newClient(t, webrtc.MimeTypePCMU).offer(), func(sip.MediaEndpoint) (sip.JoinView, error) {
		return sip.JoinView{ID: "j", Media: at}, nil
	}, nil)
	if err != nil || v.ID != "j" {
		t.Fatal(v, err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := g.Join(ctx, newClient(t, webrtc.MimeTypePCMU).offer(), nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("joining a closed gateway: %v", err)
	}
}
