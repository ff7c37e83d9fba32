// Package edge is where SIP messages enter and leave. It owns the sockets,
// drops what comes from outside the trusted networks before any state is
// made, frames messages, answers what cannot be parsed, keeps the raw bytes
// of every message beside its parsed form, and sends through sipgo's
// transaction layer (RFC 3261 sections 17 and 18).
package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// MaxMessage is the largest message accepted or sent, in bytes: what fits
// into one UDP datagram.
const MaxMessage = 65535

// Options say how an Edge treats what arrives.
type Options struct {
	Trusted func(netip.Addr) bool // false: dropped without an answer
	Log     *zap.Logger
	// Request is called, in a goroutine of its own, with every request that
	// starts a server transaction, with ACKs to 2xx, and with CANCELs that
	// match no transaction.
	Request func(*gosip.Request, *gosip.ServerTx)
	// Stray is called with responses that match no client transaction.
	Stray func(*gosip.Response)
	// Bye is told of every BYE in the order in which they came: their handlers
	// run in goroutines of their own and may overtake each other. It must not
	// wait. May be nil.
	Bye func(*gosip.Request)
	// Gone is told that a TCP connection with addr (host:port) has ended, and
	// why: io.EOF when the peer closed it. It must not wait. May be nil.
	Gone func(addr string, why error)
	// Seen is told of every message that a trusted peer sent or that was sent,
	// with its own bytes. It must not wait. May be nil.
	Seen func(Passed)
}

// Passed is a message on the wire.
type Passed struct {
	At       time.Time
	Network  string // udp or tcp
	From, To string // host:port
	Raw      []byte // not to be changed
}

// Arrival is how a message came in. Raw is the exact bytes of the wire.
type Arrival struct {
	Raw       []byte
	At        time.Time
	Transport string // UDP or TCP
	Source    string // host:port
	Local     string // host:port of our socket
	parsed    bool
	key       answerKey   // of a request over UDP
	conn      *packetConn // the socket it came in by, over UDP
}

// arrivalHeader carries an Arrival on its message. It is never serialised:
// outgoing messages are built header by header.
type arrivalHeader struct {
	gosip.Header
	arrival *Arrival
}

const arrivalName = "holdline-arrival"

// ArrivalOf returns how msg came in. For a message that did not come through
// an Edge it returns an empty Arrival.
func ArrivalOf(msg gosip.Message) *Arrival {
	// GetHeaders would make a lower-case copy of every name.
	if m, ok := msg.(interface{ Headers() []gosip.Header }); ok {
		for _, h := range slices.Backward(m.Headers()) { // it was put last
			if a, ok := h.(*arrivalHeader); ok {
				return a.arrival
			}
		}
	}
	return &Arrival{}
}

// IsInternal tells whether h is this package's own note on a message, which
// must not be copied to another message.
func IsInternal(h gosip.Header) bool { _, ok := h.(*arrivalHeader); return ok }

// Edge is the border between the sockets and the calls.
type Edge struct {
	opts     Options
	log      *zap.Logger
	tpl      *gosip.TransportLayer
	txl      *gosip.TransactionLayer
	outbound *dialled // connections that we opened
	acks     *acks
	answers  *answers

	// parse is held from the moment a datagram is handed to the parser until
	// it is parsed, so that current is known to be its bytes. Parsing is
	// quick and does not block.
	parse   sync.Mutex
	current *Arrival
	// streamed has what is being parsed of connections, by the peer's address.
	streamed sync.Map

	mu        sync.Mutex
	listeners []listener
	tcp       map[*tcpConn]struct{}
	closed    bool
	wg        sync.WaitGroup
}

type listener struct {
	network string // udp or tcp
	addr    netip.AddrPort
	close   func() error
}

// setLimits changes sipgo's package variables, once: datagrams of any size
// are sent as they are (a 911 INVITE is 2 to 10 kB and its peers listen on
// UDP), and read whole. What it logs without our logger says nothing of use.
var setLimits = sync.OnceFunc(func() {
	gosip.UDPMTUSize = MaxMessage + 200
	gosip.TransportBufferReadSize = MaxMessage
	gosip.SetDefaultLogger(slog.New(slog.DiscardHandler))
})

// New returns an Edge without sockets.
func New(o Options) (*Edge, error) {
	if o.Request == nil || o.Trusted == nil {
		return nil, errors.New("edge: Request and Trusted must be set")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Seen == nil {
		o.Seen = func(Passed) {}
	}
	if o.Gone == nil {
		o.Gone = func(string, error) {}
	}
	if o.Stray == nil {
		o.Stray = func(*gosip.Response) {}
	}
	setLimits()
	e := &Edge{opts: o, log: o.Log, tcp: map[*tcpConn]struct{}{}, acks: newAcks(), answers: newAnswers()}
	// sipgo logs whole messages when it cannot parse them, and each odd
	// transaction as an error: that is our debug level.
	slogger := slog.New(zapslog.NewHandler(demote{o.Log.Core()}))
	parser := gosip.NewParser(gosip.WithHeadersParsers(lenientHeaders()))
	e.tpl = gosip.NewTransportLayer(net.DefaultResolver, parser, nil,
		gosip.WithTransportLayerLogger(slogger))
	e.tpl.OnMessage(e.noteParsed) // before the transaction layer's own
	e.txl = gosip.NewTransactionLayer(e.tpl,
		gosip.WithTransactionLayerLogger(slogger),
		gosip.WithTransactionLayerUnhandledResponseHandler(e.stray))
	e.txl.OnRequest(e.request)
	e.outbound = newDialled()
	e.goServe(func() error { return e.tpl.ServeTCP(e.outbound) })
	return e, nil
}

// demote lets the library's records through at debug level only.
type demote struct{ zapcore.Core }

func (d demote) Enabled(zapcore.Level) bool { return d.Core.Enabled(zapcore.DebugLevel) }
func (d demote) With(f []zapcore.Field) zapcore.Core {
	return demote{d.Core.With(f)}
}

func (d demote) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	e.Level = zapcore.DebugLevel
	return d.Core.Check(e, c)
}

// lenientHeaders parses at once only what the transaction layer needs;
// everything else stays the text it was, so that it can be passed on
// unchanged. A Via that cannot be parsed does not lose the message: it
// arrives without one and is answered 400.
func lenientHeaders() gosip.HeadersParser {
	all := gosip.DefaultHeadersParser()
	via := func(name []byte, value string) (gosip.Header, error) {
		h, err := all["via"](name, value)
		if err == nil {
			return h, nil
		}
		if _, isHop := h.(*gosip.ViaHeader); isHop && err.Error() == "comma detected" {
			return h, err // several hops in one header
		}
		return gosip.NewHeader(string(name), value), nil
	}
	return gosip.HeadersParser{
		"via": via, "v": via,
		"content-length": all["content-length"], "l": all["l"],
	}
}

// noteParsed marks the message that is being parsed as parsed and ties its
// bytes to it.
func (e *Edge) noteParsed(msg gosip.Message) {
	// An RFC 2543 peer has neither branch nor tag; the transaction layer wants
	// one of the two to match by, and an empty tag is one.
	if from := msg.From(); from != nil && !from.Params.Has("tag") {
		from.Params.Add("tag", "")
	}
	if a := e.parsing(msg); a != nil {
		a.parsed = true
		msg.AppendHeader(&arrivalHeader{Header: gosip.NewHeader(arrivalName, ""), arrival: a})
	}
	if req, ok := msg.(*gosip.Request); ok && req.Method == gosip.BYE && e.opts.Bye != nil {
		defer e.recovered("bye")
		e.opts.Bye(req)
	}
}

// parsing returns the arrival that msg was parsed from, or nil.
func (e *Edge) parsing(msg gosip.Message) *Arrival {
	if msg.Transport() != "TCP" {
		return e.current
	}
	a, _ := e.streamed.Load(msg.Source())
	arrival, _ := a.(*Arrival)
	return arrival
}

// begin announces that a datagram is about to be parsed; settle must follow.
func (e *Edge) begin(a *Arrival) {
	e.parse.Lock()
	e.current = a
}

// settle is called when the parser is done with a datagram.
func (e *Edge) settle(a *Arrival, reply func([]byte)) {
	e.current = nil
	e.parse.Unlock()
	e.refuse(a, reply)
}

// refuse answers what the parser could not make a message of, as far as that
// is possible.
func (e *Edge) refuse(a *Arrival, reply func([]byte)) {
	if !a.parsed {
		e.log.Debug("message not parsed", zap.String("source", a.Source), zap.Int("bytes", len(a.Raw)))
		code, reason := 400, "Bad Request"
		if foreignScheme(a.Raw) {
			code, reason = 416, "Unsupported URI Scheme"
		}
		if answer := reject(a.Raw, code, reason); answer != nil {
			reply(answer)
		}
	}
}

// request is the transaction layer's handler: it runs in its own goroutine,
// where a panic would end the process.
func (e *Edge) request(req *gosip.Request, tx *gosip.ServerTx) {
	defer e.recovered("request")
	// Its transaction may have gone while it was being parsed.
	if a := ArrivalOf(req); a.conn != nil && a.conn.repeated(a.key) {
		tx.Terminate()
		return
	}
	e.opts.Request(req, tx)
}

func (e *Edge) stray(res *gosip.Response) {
	defer e.recovered("stray response")
	e.opts.Stray(res)
}

func (e *Edge) recovered(what string) {
	if r := recover(); r != nil {
		e.log.Error("panic recovered", zap.String("in", what), zap.Any("panic", r), zap.Stack("stack"))
	}
}

// Listen opens the socket of a URL such as udp://127.0.0.1:5060 or
// tcp://[::1]:5060 and serves it.
func (e *Edge) Listen(url string) (netip.AddrPort, error) {
	network, host, ok := cutScheme(url)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("listening on %q: want udp://HOST:PORT or tcp://HOST:PORT", url)
	}
	addr, err := netip.ParseAddrPort(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listening on %q: want an IP address and a port: %w", url, err)
	}
	family := "4"
	if addr.Addr().Is6() {
		family = "6"
	}
	if network == "udp" {
		pc, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("listening on %s: %w", url, err)
		}
		// The default of 208 kB drops a burst of INVITEs; what is granted is the system's choice.
		if err := pc.SetReadBuffer(8 << 20); err != nil {
			e.log.Warn("receive buffer not enlarged", zap.String("listen", url), zap.Error(err))
		}
		return e.ServeUDP(pc), nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp"+family, addr.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listening on %s: %w", url, err)
	}
	return e.serveTCP(l), nil
}

func cutScheme(url string) (network, host string, ok bool) {
	for _, n := range []string{"udp", "tcp"} {
		if rest, found := bytes.CutPrefix([]byte(url), []byte(n+"://")); found {
			return n, string(rest), true
		}
	}
	return "", "", false
}

// goServe runs one listener and starts it again should the library's reader
// end or panic while the socket is still ours: one bad message must not make
// the node deaf.
func (e *Edge) goServe(serve func() error) {
	e.wg.Go(func() {
		for !e.isClosed() {
			func() {
				defer e.recovered("listener")
				if err := serve(); err != nil && !e.isClosed() && !errors.Is(err, net.ErrClosed) {
					e.log.Error("listener ended, starting it again", zap.Error(err))
				}
			}()
		}
	})
}

func (e *Edge) isClosed() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.closed }

func (e *Edge) add(l listener) {
	e.mu.Lock()
	e.listeners = append(e.listeners, l)
	e.mu.Unlock()
}

// Close ends all sockets and transactions. It sends nothing.
func (e *Edge) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	listeners := e.listeners
	conns := make([]*tcpConn, 0, len(e.tcp))
	for c := range e.tcp {
		conns = append(conns, c)
	}
	e.mu.Unlock()
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.close())
	}
	for _, c := range conns {
		_ = c.Close() // whatever it answers, it is gone
	}
	_ = e.outbound.Close()
	e.wg.Wait() // the readers first: what they handed out still finds its socket
	e.txl.Close()
	errs = append(errs, e.tpl.Close())
	return errors.Join(errs...)
}
