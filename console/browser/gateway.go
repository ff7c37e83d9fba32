// Package browser is the gateway between a supervisor's browser (WebRTC) and
// a media leg of a call (plain RTP on this host). It terminates ICE, DTLS and
// SRTP and passes G.711 on as it is: browsers speak it (RFC 7874 section 3),
// so nothing is transcoded. Media and sip know nothing of it: for them a
// browser is a leg whose far side is an address of this host.
package browser

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"

	"holdline/sip"
)

// What can be wrong with joining by browser, beside what sip says.
var (
	// ErrOffer says that a browser's offer cannot be answered.
	ErrOffer = errors.New("the browser's offer cannot be answered")
	// ErrFull says that as many browsers are connected as the gateway takes.
	ErrFull = errors.New("too many browsers are connected")
	// ErrClosed says that the gateway is closed.
	ErrClosed = errors.New("the gateway is closed")
)

// Admit joins a call with the media of a browser.
type Admit func(sip.MediaEndpoint) (sip.JoinView, error)

// Options is everything a Gateway is made of.
type Options struct {
	// Listen is the UDP socket for all browsers. An unspecified address stands
	// for all of this host's; port 0 for any.
	Listen netip.AddrPort
	// Media is the address of this host that media sends from: the gateway's
	// own RTP sockets are opened on it.
	Media netip.Addr
	Log   *zap.Logger // nil: silent
}

const (
	maxBrowsers  = 64               // connected at a time
	connectTime  = 15 * time.Second // for a browser to connect after its offer was answered
	disconnected = 5 * time.Second  // without a packet until a browser seems gone
	failed       = 10 * time.Second // more until it is
	keepAlive    = 2 * time.Second
)

// Gateway takes supervisors' browsers. Its methods may be called from any goroutine.
type Gateway struct {
	api   *webrtc.API
	mux   ice.UDPMux
	media netip.Addr
	log   *zap.Logger
	wg    sync.WaitGroup

	mu     sync.Mutex
	open   map[*session]struct{}
	closed bool
}

// New opens the gateway's socket.
func New(o Options) (*Gateway, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	mux, err := listen(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("opening the socket for browsers: %w", err)
	}
	engine := &webrtc.MediaEngine{}
	for _, c := range []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}, PayloadType: 0},
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000}, PayloadType: 8},
	} {
		if err := engine.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, errors.Join(fmt.Errorf("registering G.711: %w", err), mux.Close())
		}
	}
	var s webrtc.SettingEngine
	s.SetLite(true) // we are where the browser's packets go, and need not look for a way (RFC 8445 section 2.5)
	s.SetICEUDPMux(mux)
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(disconnected, failed, keepAlive)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	return &Gateway{
		api: webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(s)),
		mux: mux, media: o.Media, log: o.Log, open: map[*session]struct{}{},
	}, nil
}

// listen opens one UDP port for all browsers.
func listen(at netip.AddrPort) (ice.UDPMux, error) {
	if !at.Addr().IsUnspecified() {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return nil, err
		}
		return ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn}), nil
	}
	return ice.NewMultiUDPMuxFromPort(int(at.Port()), ice.UDPMuxFromPortWithLoopback())
}

// Addrs are the UDP addresses that browsers send to.
func (g *Gateway) Addrs() []net.Addr { return g.mux.GetListenAddresses() }

// Join answers a browser's offer and joins a call with it. left is called at
// most once, from a goroutine of the gateway, when the browser is gone before
// the call let it go.
func (g *Gateway) Join(ctx context.Context, offer string, admit Admit, left func(sip.JoinView, string)) (sip.JoinView, string, error) {
	codec, err := codecOf(offer)
	if err != nil {
		return sip.JoinView{}, "", err
	}
	s, err := g.session(codec, left)
	if err != nil {
		return sip.JoinView{}, "", err
	}
	answer, err := s.answer(ctx, offer)
	if err != nil {
		s.end("")
		return sip.JoinView{}, "", err
	}
	v, err := admit(sip.MediaEndpoint{RTP: s.rtp, Codec: codec.payload, Closed: func(string) { s.end("") }})
	if err == nil && !v.Media.IsValid() {
		err = errors.New("the call has no media for a browser")
	}
	if err != nil {
		s.end("")
		return sip.JoinView{}, "", err
	}
	s.joined(v)
	return v, answer, nil
}

// session makes a session, if there is a place for one.
func (g *Gateway) session(codec codec, left func(sip.JoinView, string)) (*session, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, ErrClosed
	case len(g.open) >= maxBrowsers:
		return nil, fmt.Errorf("%w: %d", ErrFull, maxBrowsers)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(g.media, 0)))
	if err != nil {
		return nil, fmt.Errorf("opening a socket for a browser's audio: %w", err)
	}
	s := &session{g: g, log: g.log, codec: codec, conn: conn, left: left}
	s.rtp = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if s.pc, err = g.api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing for a browser: %w", err), conn.Close())
	}
	g.open[s] = struct{}{}
	return s, nil
}

// Close ends all sessions and closes the socket.
func (g *Gateway) Close() error {
	g.mu.Lock()
	g.closed = true
	var open []*session
	for s := range g.open {
		open = append(open, s)
	}
	g.mu.Unlock()
	for _, s := range open {
		s.end("")
	}
	g.wg.Wait()
	return g.mux.Close()
}

// run starts a goroutine of the gateway's own. A bug in it is no caller's problem.
func (g *Gateway) run(f func()) {
	g.wg.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				g.log.Error("panic recovered, a browser may have lost its call", zap.Any("panic", r), zap.Stack("stack"))
			}
		}()
		f()
	})
}
