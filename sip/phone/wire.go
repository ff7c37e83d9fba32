package phone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// wire is how messages enter and leave.
type wire interface {
	run() // reads until close
	send(dest string, raw []byte) error
	local() string
	reliable() bool // true: nothing is sent again
	close() error
}

// udp is a wire over one packet socket.
type udp struct {
	phone *Phone
	conn  net.PacketConn
}

func (u *udp) run() {
	buf := make([]byte, 65536)
	for {
		n, from, err := u.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case <-u.phone.done:
				return
			case <-time.After(10 * time.Millisecond): // such as an ICMP error: the socket lives on
			}
			continue
		}
		u.phone.received(append([]byte(nil), buf[:n]...), from.String())
	}
}

func (u *udp) send(dest string, raw []byte) error {
	to, err := netip.ParseAddrPort(dest)
	if err != nil {
		return fmt.Errorf("want an IP address and a port: %w", err)
	}
	_, err = u.conn.WriteTo(raw, net.UDPAddrFromAddrPort(to))
	return err
}

func (u *udp) local() string  { return u.conn.LocalAddr().String() }
func (u *udp) reliable() bool { return false }
func (u *udp) close() error   { return u.conn.Close() }

// tcp is a wire over the connections it accepted and dialled, by peer.
type tcp struct {
	phone    *Phone
	listener net.Listener

	mu     sync.Mutex
	conns  map[string]net.Conn
	closed bool
}

func (t *tcp) run() {
	for {
		c, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.serve(c)
	}
}

// serve reads messages from c until it ends.
func (t *tcp) serve(c net.Conn) {
	peer := c.RemoteAddr().String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close() // it came too late to be used
		return
	}
	t.conns[peer] = c
	t.phone.wg.Go(func() {
		r := bufio.NewReaderSize(c, 65536)
		for {
			raw, err := readMessage(r)
			if err != nil {
				break
			}
			if len(raw) > 0 {
				t.phone.received(raw, peer)
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.conns[peer] == c {
			delete(t.conns, peer)
		}
		_ = c.Close() // it ended already
	})
}

// readMessage frames one message by its Content-Length (RFC 3261 section
// 18.3); keep-alive line ends between messages come back empty.
func readMessage(r *bufio.Reader) ([]byte, error) {
	var raw []byte
	length := 0
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" && len(raw) == 0 {
			return nil, nil
		}
		raw = append(raw, line...)
		if text == "" {
			break
		}
		name, value, _ := strings.Cut(text, ":")
		if n := strings.ToLower(strings.TrimSpace(name)); n == "content-length" || n == "l" {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || length < 0 || length > 1<<20 {
				return nil, fmt.Errorf("content length %q", value)
			}
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return append(raw, body...), nil
}

func (t *tcp) send(dest string, raw []byte) error {
	t.mu.Lock()
	c := t.conns[dest]
	t.mu.Unlock()
	if c == nil {
		var err error
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if c, err = (&net.Dialer{}).DialContext(ctx, "tcp", dest); err != nil {
			return err
		}
		t.serve(c)
	}
	if err := c.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err := c.Write(raw)
	return err
}

func (t *tcp) local() string  { return t.listener.Addr().String() }
func (t *tcp) reliable() bool { return true }

func (t *tcp) close() error {
	t.mu.Lock()
	t.closed = true
	for _, c := range t.conns {
		_ = c.Close() // nothing is waiting to be written
	}
	t.mu.Unlock()
	return t.listener.Close()
}
