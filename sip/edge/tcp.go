package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"
)

const (
	messageTime = 30 * time.Second // from a message's first byte to its last
	writeTime   = 5 * time.Second  // a peer that does not read for so long is given up
	writeQueue  = 256              // messages that may wait for a slow peer
	dialTime    = 2 * time.Second
)

var errTooLarge = errors.New("message is larger than 65535 bytes")

func (e *Edge) serveTCP(l net.Listener) netip.AddrPort {
	addr := addrPortOf(l.Addr())
	e.add(listener{network: "tcp", addr: addr, close: l.Close})
	e.goServe(func() error { return e.tpl.ServeTCP(&tcpListener{Listener: l, edge: e}) })
	return addr
}

// tcpListener hands out only connections from trusted networks.
type tcpListener struct {
	net.Listener
	edge *Edge
}

// acceptPause is how long a listener waits when a connection could not be taken:
// while there are no files left it would be told so without end.
const acceptPause = 50 * time.Millisecond

// Accept returns the next trusted connection.
func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			l.edge.log.Warn("connection not taken", zap.Error(err))
			time.Sleep(acceptPause)
			continue
		}
		if l.edge.opts.Trusted(addrPortOf(c.RemoteAddr()).Addr()) {
			return l.edge.wrap(c), nil
		}
		_ = c.Close()
	}
}

// wrap frames conn and gives it a writer of its own.
func (e *Edge) wrap(conn net.Conn) *tcpConn {
	c := &tcpConn{
		Conn: conn, edge: e, r: bufio.NewReaderSize(conn, 4096),
		out: make(chan []byte, writeQueue), reading: make(chan struct{}), done: make(chan struct{}),
		source: conn.RemoteAddr().String(), local: conn.LocalAddr().String(),
	}
	e.mu.Lock()
	closed := e.closed
	if !closed {
		e.tcp[c] = struct{}{}
	}
	e.mu.Unlock()
	if closed {
		conn.Close()
	}
	go c.write()
	return c
}

// tcpConn is a connection as sipgo's reader sees it: each Read returns one
// whole message, and Write never waits for the peer.
type tcpConn struct {
	net.Conn
	edge          *Edge
	r             *bufio.Reader
	rest          []byte   // of a message that did not fit the reader's buffer
	pending       *Arrival // handed to the parser, the reader's alone
	out           chan []byte
	started       sync.Once
	reading       chan struct{} // closed when sipgo's reader runs, and so its pool knows us
	once          sync.Once
	failure       atomic.Pointer[error] // why it ended
	done          chan struct{}
	source, local string
}

// Read returns the next message that parses. What does not is answered and
// passed over, so that one bad message costs a peer nothing else.
func (c *tcpConn) Read(b []byte) (int, error) {
	c.started.Do(func() { close(c.reading) })
	if len(c.rest) > 0 {
		n := copy(b, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	c.settle()
	for {
		raw, err := c.next()
		if err != nil {
			c.failure.CompareAndSwap(nil, &err)
			if errors.Is(err, errTooLarge) {
				// Past the queue: the connection ends with this answer.
				_ = c.SetWriteDeadline(time.Now().Add(writeTime))
				_, _ = c.Conn.Write(reject(raw, 513, "Message Too Large"))
			}
			return 0, err
		}
		at := time.Now()
		c.edge.opts.Seen(Passed{At: at, Network: "tcp", From: c.source, To: c.local, Raw: raw})
		whole := mended(raw)
		if !parses(whole) {
			c.enqueue(reject(raw, 400, "Bad Request"))
			continue
		}
		a := &Arrival{Raw: raw, At: at, Transport: "TCP", Source: c.source, Local: c.local}
		c.pending = a
		c.edge.streamed.Store(c.source, a)
		n := copy(b, whole)
		c.rest = whole[n:]
		return n, nil
	}
}

// settle ends the parsing of the message that was handed over. The next Read
// calls it, so that it runs where the parser did.
func (c *tcpConn) settle() {
	if a := c.pending; a != nil {
		c.pending = nil
		c.edge.streamed.CompareAndDelete(c.source, a)
		c.edge.refuse(a, c.enqueue)
	}
}

// parses tries the message first, as the library is going to: it reads TCP in
// goroutines of its own, where a parser's panic could not be recovered from,
// and closes the connection on a message it does not like. Its stream parser
// is stricter than the one for datagrams: without a Content-Length there is no
// message (RFC 3261 section 18.3).
func parses(raw []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	messages := 0
	stream := gosip.NewParser(gosip.WithHeadersParsers(lenientHeaders())).NewSIPStream()
	err := stream.ParseSIPStream(raw, func(gosip.Message) { messages++ })
	return err == nil && messages == 1
}

// next reads one message by its Content-Length (RFC 3261 section 18.3). A
// double CRLF between messages is a ping and gets its pong (RFC 5626 section 4.4.1).
func (c *tcpConn) next() ([]byte, error) {
	_ = c.SetReadDeadline(time.Time{})
	crlfs := 0
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			return nil, err
		}
		if b == '\r' || b == '\n' {
			if crlfs++; crlfs == 4 {
				c.enqueue([]byte("\r\n"))
				crlfs = 0
			}
			continue
		}
		_ = c.r.UnreadByte() // cannot fail after ReadByte
		break
	}
	_ = c.SetReadDeadline(time.Now().Add(messageTime))
	var msg []byte
	for {
		line, err := c.r.ReadSlice('\n')
		msg = append(msg, line...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return msg, err
		}
		if len(msg) > MaxMessage {
			return msg, errTooLarge
		}
		if bytes.HasSuffix(msg, []byte("\r\n\r\n")) {
			break
		}
	}
	size, err := contentLength(msg)
	if err != nil {
		return msg, nil //nolint:nilerr // does not parse either, and is answered for that
	}
	if len(msg)+size > MaxMessage {
		return msg, errTooLarge
	}
	head := len(msg)
	msg = append(msg, make([]byte, size)...)
	_, err = io.ReadFull(c.r, msg[head:])
	return msg, err
}

func contentLength(head []byte) (int, error) {
	value := header(head, "content-length", "l")
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("Content-Length %q: %w", value, err)
	}
	return int(n), nil
}

// Write hands b to the connection's writer. The error says that the peer does
// not read: the connection is then closed.
func (c *tcpConn) Write(b []byte) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	b = bytes.Clone(b)
	select {
	case c.out <- b:
		c.edge.opts.Seen(Passed{At: time.Now(), Network: "tcp", From: c.local, To: c.source, Raw: b})
		return len(b), nil
	default:
		_ = c.end()
		return 0, fmt.Errorf("peer %s does not read: %w", c.source, net.ErrClosed)
	}
}

func (c *tcpConn) enqueue(b []byte) {
	if len(b) > 0 {
		_, _ = c.Write(b) // a peer that is gone needs no answer
	}
}

func (c *tcpConn) write() {
	defer func() { _ = c.end() }()
	for {
		select {
		case <-c.done:
			return
		case b := <-c.out:
			_ = c.SetWriteDeadline(time.Now().Add(writeTime))
			if _, err := c.Conn.Write(b); err != nil {
				return
			}
		}
	}
}

// Close is the library's end of the connection. Its reader calls it when it
// leaves, perhaps without another Read, but others do too.
func (c *tcpConn) Close() error {
	defer c.edge.streamed.Delete(c.source)
	return c.end()
}

// end ends the connection; a second end does nothing.
func (c *tcpConn) end() error {
	var err error
	c.once.Do(func() {
		close(c.done)
		err = c.Conn.Close()
		c.edge.mu.Lock()
		delete(c.edge.tcp, c)
		over := c.edge.closed
		c.edge.mu.Unlock()
		if !over {
			why := net.ErrClosed
			if p := c.failure.Load(); p != nil {
				why = *p
			}
			c.edge.opts.Gone(c.source, why)
		}
	})
	return err
}

// dialled is the listener through which connections that we opened ourselves
// reach sipgo, so that they are framed like all others.
type dialled struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newDialled() *dialled {
	return &dialled{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept returns the next connection that was dialled.
func (d *dialled) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (d *dialled) Close() error { d.once.Do(func() { close(d.done) }); return nil }

// Addr is a port nobody listens on.
func (d *dialled) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// dial opens a connection to dest and waits until sipgo's pool knows it.
func (e *Edge) dial(ctx context.Context, dest string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", dest)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", dest, err)
	}
	c := e.wrap(conn)
	select {
	case e.outbound.conns <- c:
	case <-e.outbound.done:
		_ = c.Close()
		return net.ErrClosed
	}
	select {
	case <-c.reading:
		return nil
	case <-ctx.Done():
		_ = c.Close()
		return ctx.Err()
	}
}
