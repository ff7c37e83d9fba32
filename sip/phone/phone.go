// Package phone is a small SIP user agent (RFC 3261) for tests and for the
// demo: a caller, a call-taking position or a fallback taker whose every step
// is written in the test, so that a test reads like a call ladder. It owns its
// transactions and timers, works over any net.PacketConn (real sockets, or
// simnet inside a testing/synctest bubble) and over TCP, and keeps every
// message it sent and received.
package phone

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"
)

// The timer values of RFC 3261 section 17 and table 4.
const (
	defaultT1 = 500 * time.Millisecond // round-trip time estimate
	t2        = 4 * time.Second        // longest interval of non-INVITE requests and of responses
)

// ErrTimeout says that a transaction got no final response in 64 times T1
// (timers B and F of RFC 3261).
var ErrTimeout = errors.New("no final response in time")

// ErrClosed says that the phone was closed.
var ErrClosed = errors.New("phone is closed")

// Options say what a Phone is. One of Conn and Listener is needed.
type Options struct {
	Conn     net.PacketConn // UDP; the phone closes it
	Listener net.Listener   // TCP; the phone closes it, and dials out itself
	User     string         // user part of its own URI; "" is "phone"
	// Media opens a socket for the RTP of one call. nil: calls have no media
	// and their SDP must be given.
	Media  func() (net.PacketConn, error)
	Codecs []uint8       // static payload types offered, in order; nil: PCMU (0), PCMA (8)
	T1     time.Duration // RFC 3261 timer T1; 0: 500 ms
	Deaf   bool          // starts as if unplugged, see SetDeaf
	// No100 leaves out the 100 Trying that answers every INVITE at once.
	No100 bool
	// OnRequest may answer any request but ACK, CANCEL and a first INVITE in
	// place of the default; nil leaves it to the default. call is nil for
	// requests outside a dialog. It runs on the goroutine that reads: it must
	// not wait for another message.
	OnRequest func(call *Call, req *gosip.Request) *Reply
	Log       *zap.Logger // nil: silent
}

// Phone is one user agent. All methods may be called from any goroutine.
type Phone struct {
	opts   Options
	log    *zap.Logger
	wire   wire
	parser *gosip.Parser
	wg     sync.WaitGroup
	done   chan struct{} // closed by Close

	incoming *queue[*Call]

	mu      sync.Mutex
	closed  bool
	deaf    bool
	clients map[string]*clientTx
	servers map[string]*serverTx
	calls   map[string]*Call // by Call-ID and local tag
	timers  map[*repeater]struct{}
	medias  map[*media]struct{} // open sockets
	trace   []Message
}

// New starts a phone on its socket.
func New(o Options) (*Phone, error) {
	if (o.Conn == nil) == (o.Listener == nil) {
		return nil, errors.New("phone: exactly one of Conn and Listener must be set")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.User == "" {
		o.User = "phone"
	}
	if o.T1 == 0 {
		o.T1 = defaultT1
	}
	if o.Codecs == nil {
		o.Codecs = []uint8{0, 8}
	}
	p := &Phone{
		opts: o, log: o.Log.With(zap.String("phone", o.User)), deaf: o.Deaf,
		parser:   newParser(),
		done:     make(chan struct{}),
		incoming: newQueue[*Call](),
		clients:  map[string]*clientTx{},
		servers:  map[string]*serverTx{},
		calls:    map[string]*Call{},
		timers:   map[*repeater]struct{}{},
		medias:   map[*media]struct{}{},
	}
	if o.Conn != nil {
		p.wire = &udp{phone: p, conn: o.Conn}
	} else {
		p.wire = &tcp{phone: p, listener: o.Listener, conns: map[string]net.Conn{}}
	}
	p.wg.Go(p.wire.run)
	return p, nil
}

// newParser reads headers as the text they are; sipgo's typed accessors parse
// on demand. A phone in a test must see what was really sent.
func newParser() *gosip.Parser {
	all := gosip.DefaultHeadersParser()
	return gosip.NewParser(gosip.WithHeadersParsers(gosip.HeadersParser{
		"content-length": all["content-length"], "l": all["l"],
	}))
}

// Close ends the phone at once: it sends nothing, closes its sockets and
// those of its calls, and waits for its goroutines.
func (p *Phone) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.done)
	for r := range p.timers {
		r.timer.Stop()
	}
	for m := range p.medias {
		m.close()
	}
	p.mu.Unlock()
	err := p.wire.close()
	p.wg.Wait()
	return err
}

// Addr is where the phone listens, as host:port.
func (p *Phone) Addr() string { return p.wire.local() }

// URI is the phone's own address, as in its Contact.
func (p *Phone) URI() string {
	uri := "sip:" + p.opts.User + "@" + p.Addr()
	if p.wire.reliable() {
		uri += ";transport=tcp"
	}
	return uri
}

// SetDeaf unplugs the phone: it goes on receiving into its trace, but answers
// nothing and acts on nothing until it is plugged in again.
func (p *Phone) SetDeaf(deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = deaf
}

// Accept waits for the next incoming call. The INVITE was answered 100.
func (p *Phone) Accept(ctx context.Context) (*Call, error) {
	c, err := p.incoming.get(ctx, p.done, ErrClosed)
	if err != nil {
		return nil, fmt.Errorf("%s: waiting for a call: %w", p.opts.User, err)
	}
	return c, nil
}

// SendRaw sends bytes as they are to host:port: for messages that no phone
// would send.
func (p *Phone) SendRaw(dest string, raw []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.send(dest, raw)
}

// Request sends a request outside any dialog, to host:port, and waits for its
// final response.
func (p *Phone) Request(ctx context.Context, dest, uri string, r Request) (*gosip.Response, error) {
	to := r.To
	if to == "" {
		to = "<" + uri + ">"
	}
	from := r.From
	if from == "" {
		from = "<sip:" + p.opts.User + "@" + p.Addr() + ">"
	}
	raw, branch := p.build(outgoing{
		method: r.Method, uri: uri, from: from + ";tag=" + newTag(), to: to, callID: newTag(), cseq: 1,
		headers: r.Headers, contentType: r.ContentType, body: r.Body,
	})
	p.mu.Lock()
	tx := p.startClient(r.Method, branch, dest, raw, nil)
	p.mu.Unlock()
	return tx.wait(ctx)
}

// send writes to the wire and the trace. Callers hold mu.
func (p *Phone) send(dest string, raw []byte) error {
	if p.closed {
		return ErrClosed
	}
	p.note(Message{At: time.Now(), Sent: true, Peer: dest, Raw: raw})
	if err := p.wire.send(dest, raw); err != nil {
		p.log.Debug("sending failed", zap.String("to", dest), zap.Error(err))
		return fmt.Errorf("%s: sending to %s: %w", p.opts.User, dest, err)
	}
	return nil
}

// received is called by the wire with every message.
func (p *Phone) received(raw []byte, source string) {
	p.mu.Lock()
	p.note(Message{At: time.Now(), Peer: source, Raw: raw})
	deaf := p.deaf || p.closed
	p.mu.Unlock()
	if deaf {
		return
	}
	msg, err := p.parser.ParseSIP(raw)
	if err != nil {
		p.log.Debug("message not parsed", zap.String("from", source), zap.Error(err))
		return
	}
	switch m := msg.(type) {
	case *gosip.Response:
		p.response(m)
	case *gosip.Request:
		p.request(m, source)
	}
}

// newTag is a new tag, branch suffix or Call-ID.
func newTag() string { return rand.Text()[:12] }
