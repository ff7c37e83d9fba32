package edge

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	gosip "github.com/emiago/sipgo/sip"
)

// Local returns the socket that reaches dest over network (udp or tcp), as
// the address to put into Via, Contact and SDP. Among several it prefers one
// bound to the address from which the system would send to dest.
func (e *Edge) Local(network string, dest netip.AddrPort) (netip.AddrPort, error) {
	e.mu.Lock()
	listeners := e.listeners
	e.mu.Unlock()
	best, score := netip.AddrPort{}, 0
	for _, l := range listeners {
		if s := fit(l, network, dest.Addr()); s > score {
			best, score = l.addr, s
		}
	}
	if score == 0 {
		return best, fmt.Errorf("no listener that reaches %s %s", network, dest)
	}
	if best.Addr().IsUnspecified() {
		if from, ok := sourceFor(dest); ok {
			best = netip.AddrPortFrom(from, best.Port())
		}
	}
	return best, nil
}

// fit says how well a listener serves a destination; 0 is not at all. A
// listener of the other transport still gives an address to be called back on.
func fit(l listener, network string, dest netip.Addr) int {
	if l.addr.Addr().Is4() != dest.Is4() {
		return 0
	}
	s := 1
	if l.network == network {
		s += 8
	}
	switch a := l.addr.Addr(); {
	case a == dest:
		s += 4
	case a.IsUnspecified():
		s += 2
	case a.IsLoopback() == dest.IsLoopback():
		s += 3
	}
	if network == "udp" && l.network != "udp" {
		return 0
	}
	return s
}

// sourceFor asks the system which address it would use towards dest. Nothing is sent.
func sourceFor(dest netip.AddrPort) (netip.Addr, bool) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(dest))
	if err != nil {
		return netip.Addr{}, false
	}
	defer func() { _ = c.Close() }()
	return addrPortOf(c.LocalAddr()).Addr(), true
}

// Response is what a client transaction reports: a response, or the reason
// why there will be none.
type Response struct {
	*gosip.Response
	Err error
}

// Send starts a client transaction for req, whose transport and destination
// are set, and reports to sink from other goroutines: every response, 2xx
// retransmissions included, or one error (a timeout of Timer B or F, a
// transport failure). It does not wait.
func (e *Edge) Send(req *gosip.Request, sink func(Response)) *Sent {
	sent := &Sent{acks: e.acks, sink: sink}
	if e.ready(req) {
		e.start(req, sent)
		return sent
	}
	go func() {
		defer e.recovered("dial")
		if err := e.dial(context.Background(), req.Destination()); err != nil {
			sent.report(Response{Err: err})
			return
		}
		e.start(req, sent)
	}()
	return sent
}

// Sent is a request under way.
type Sent struct {
	acks      *acks
	mu        sync.Mutex
	tx        *gosip.ClientTx
	sink      func(Response)
	abandoned bool
}

// report hands a response to the sink, unless the request was forgotten.
func (s *Sent) report(r Response) {
	s.mu.Lock()
	sink := s.sink
	s.mu.Unlock()
	if sink != nil {
		sink(r)
	}
}

// Abandon stops repeating a request that nobody has answered. Its sink gets an
// error; answers that come all the same are strays.
func (s *Sent) Abandon() {
	s.mu.Lock()
	s.abandoned = true
	tx := s.tx
	s.mu.Unlock()
	if tx != nil {
		s.acks.expect(tx.Origin())
		tx.Terminate()
	}
}

// Forget lets a transaction go that has had its final response. What of it is
// repeated is a stray from now on. Over a connection, which the transaction
// holds open, nothing changes. Nil was never sent.
func (s *Sent) Forget() {
	if s == nil {
		return
	}
	s.mu.Lock()
	tx := s.tx
	if tx != nil && !gosip.IsReliable(tx.Origin().Transport()) {
		s.sink = nil
	} else {
		tx = nil
	}
	s.mu.Unlock()
	if tx != nil {
		tx.Terminate()
		strip(tx.Origin())
	}
}

// strip empties a request whose transaction was terminated. The library's
// Timers L and M go on, and hold the transaction with its request for 32 s.
func strip(req *gosip.Request) { req.MessageData = gosip.MessageData{SipVersion: req.SipVersion} }

func (s *Sent) began(tx *gosip.ClientTx) (abandoned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = tx
	return s.abandoned
}

// ready tells whether req can be sent without waiting for a connection.
func (e *Edge) ready(req *gosip.Request) bool {
	if !gosip.IsReliable(req.Transport()) {
		return true
	}
	c, err := e.tpl.GetConnection(req.Transport(), req.Destination())
	if err != nil {
		return false
	}
	_, _ = c.TryClose()
	return true
}

func (e *Edge) start(req *gosip.Request, sent *Sent) {
	if e.isClosed() { // the library would open a socket of its own
		sent.report(Response{Err: net.ErrClosed})
		return
	}
	e.fromListener(req)
	tx, err := e.txl.NewClientTransaction(context.Background(), req)
	if err != nil {
		sent.report(Response{Err: err})
		return
	}
	if sent.began(tx) {
		tx.Terminate()
		sent.report(Response{Err: gosip.ErrTransactionCanceled})
		return
	}
	tx.OnRetransmission(func(res *gosip.Response) { sent.report(Response{Response: res}) })
	go e.pump(tx, sent)
	if err := tx.Init(); err != nil {
		tx.Terminate()
		sent.report(Response{Err: err})
	}
}

// pump reports a transaction's responses until its final one.
func (e *Edge) pump(tx *gosip.ClientTx, sent *Sent) {
	defer e.recovered("client transaction")
	invite := tx.Origin().IsInvite()
	for {
		select {
		case res := <-tx.Responses():
			e.acks.keep(tx.Origin(), res)
			sent.report(Response{Response: res})
			if res.StatusCode >= 200 {
				if !invite {
					// Timer K only swallows repetitions, and so does nobody. Err
					// waits until the library is through with the response: the
					// timer that it sets last would hold the transaction.
					_ = tx.Err()
					tx.Terminate()
				}
				return
			}
		case <-tx.Done():
			if err := tx.Err(); err != nil {
				sent.report(Response{Err: err})
			}
			return
		}
	}
}

// Write sends req without a transaction: the ACK of a 2xx (RFC 3261 section 13.2.2.4).
func (e *Edge) Write(req *gosip.Request) {
	write := func() {
		defer e.recovered("write")
		if e.isClosed() {
			return
		}
		e.fromListener(req)
		if err := e.tpl.WriteMsg(req); err != nil {
			e.log.Debug("request not sent")
		}
	}
	if e.ready(req) {
		write()
		return
	}
	go func() {
		if e.dial(context.Background(), req.Destination()) == nil {
			write()
		}
	}()
}

// fromListener makes a UDP request leave through the socket its Via names, so
// that the peer sees the port it is asked to answer to.
func (e *Edge) fromListener(req *gosip.Request) {
	via := req.Via()
	if via == nil || gosip.IsReliable(req.Transport()) {
		return
	}
	want := netip.AddrPort{}
	if ip, err := netip.ParseAddr(strings.Trim(via.Host, "[]")); err == nil {
		want = netip.AddrPortFrom(ip, uint16(via.Port))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.listeners {
		if l.network != "udp" || l.addr.Port() != want.Port() {
			continue
		}
		if l.addr.Addr() == want.Addr() || l.addr.Addr().IsUnspecified() && l.addr.Addr().Is4() == want.Addr().Is4() {
			req.Laddr = gosip.Addr{IP: l.addr.Addr().AsSlice(), Port: int(l.addr.Port())}
			return
		}
	}
}

// Connected tells whether a connection to addr stands; over UDP it always does.
func (e *Edge) Connected(network, addr string) bool {
	if network == "udp" {
		return true
	}
	c, err := e.tpl.GetConnection(network, addr)
	if err != nil {
		return false
	}
	_, _ = c.TryClose()
	return true
}
