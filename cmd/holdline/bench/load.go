package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const sipT1 = 500 * time.Millisecond // RFC 3261 section 17.1.1.1

// Takers of a call.
const (
	firstTaker  = 0
	secondTaker = 1 // the fallback target
)

// call is what both ends of one call have seen. Times are Unix nanoseconds.
type call struct {
	mu                                  sync.Mutex
	began, ringing, answered, bye, over int64
	toTag, target, routes               []byte // from the 200
	side                                [2]taken
	again                               bool // something was sent twice
	leaving                             bool // hangs up as soon as it is answered
	failed                              bool
	position                            int
}

// taken is a call as one of its takers sees it.
type taken struct {
	invited, acked, byeSent, byeOK, byed int64
	invite                               []byte
}

// load plays callers, positions and the fallback target of a run: three UDP
// sockets and as many calls as wanted. Its messages are prebuilt text, so that
// it costs little beside the element it measures.
type load struct {
	element   netip.AddrPort
	caller    *net.UDPConn
	takers    [2]*net.UDPConn
	calls     []call
	positions int  // request URIs go to pos-0 ... in turn
	sdp       bool // calls have media
	hub       *hub // sends and receives it; nil: nobody does
	started   atomic.Int64

	ring time.Duration // before the fallback target answers, so that the caller hears the prompt
	talk time.Duration // between a rescue's answer and the caller's BYE; 0: the caller stays

	answered, ended, failed, resent, rescued atomic.Int64
	timers                                   wheel
	quit                                     chan struct{}
	running                                  sync.WaitGroup
}

func newLoad(element netip.AddrPort, calls int, h *hub) (*load, error) {
	l := &load{element: element, calls: make([]call, calls), positions: 1, sdp: h != nil, hub: h, quit: make(chan struct{})}
	var err error
	if l.caller, err = listen(callerPort); err != nil {
		return nil, err
	}
	for i, port := range []int{positionPort, fallbackPort} {
		if l.takers[i], err = listen(port); err != nil {
			return nil, err
		}
	}
	if h != nil {
		h.calls(calls)
	}
	l.running.Go(func() { l.serve(l.caller, l.toCaller) })
	for i, c := range l.takers {
		l.running.Go(func() { l.serve(c, func(b []byte, at int64) { l.toTaker(i, b, at) }) })
	}
	l.running.Go(l.tick)
	return l, nil
}

// Ports of the generator; the element is told where its positions are.
const (
	elementPort  = 7060
	callerPort   = 7070
	positionPort = 7071
	fallbackPort = 7073
)

func listen(port int) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, fmt.Errorf("opening the generator's socket: %w", err)
	}
	bigBuffers(c)
	return c, nil
}

func (l *load) close() {
	close(l.quit)
	_ = l.caller.Close()
	for _, c := range l.takers {
		_ = c.Close()
	}
	l.running.Wait()
	if l.hub != nil {
		l.hub.clear()
	}
}

func (l *load) serve(c *net.UDPConn, f func([]byte, int64)) {
	buf := make([]byte, 65536)
	for {
		n, _, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			select {
			case <-l.quit:
				return
			default:
				continue // an ICMP error of an earlier send
			}
		}
		f(buf[:n], time.Now().UnixNano())
	}
}

// tick drives the timers.
func (l *load) tick() {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-t.C:
			for _, f := range l.timers.due(time.Now()) {
				f()
			}
		}
	}
}

func (l *load) after(d time.Duration, f func()) { l.timers.add(time.Now().Add(d), f) }

func (l *load) send(c *net.UDPConn, b []byte) { _, _ = c.WriteToUDPAddrPort(b, l.element) }

// offer is the SDP of one side.
func (l *load) offer(side int) string {
	if !l.sdp {
		return ""
	}
	if l.hub == nil {
		return sdpBody(30000)
	}
	return sdpBody(l.hub.port(side))
}

// request builds a request of the caller.
func (l *load) request(i int, method string, seq int) []byte {
	c := &l.calls[i]
	uri := "sip:pos-" + strconv.Itoa(c.position) + "@" + l.element.String()
	to := "<" + uri + ">"
	if c.target != nil {
		uri = string(c.target)
		to += ";tag=" + string(c.toTag)
	}
	b := make([]byte, 0, 1024)
	b = fmt.Appendf(b, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK-%d-%d-%s;rport\r\n", method, uri, callerPort, i, seq, method)
	if c.target != nil {
		b = append(b, c.routes...)
	}
	b = fmt.Appendf(b, "Max-Forwards: 70\r\nFrom: <sip:+1504%07d@127.0.0.1:%d>;tag=caller%d\r\nTo: %s\r\nCall-ID: %d-%d@bench\r\nCSeq: %d %s\r\n",
		i, callerPort, i, to, i, callerPort, seq, method)
	if method == "INVITE" {
		b = fmt.Appendf(b, "Contact: <sip:caller@127.0.0.1:%d>\r\nGeolocation: <https://lis.invalid/%d>\r\nGeolocation-Routing: yes\r\n"+
			"Call-Info: <urn:emergency:uid:callid:%d:bench.invalid>;purpose=emergency-CallId\r\nP-Asserted-Identity: <sip:+1504%07d@bench.invalid>\r\n",
			callerPort, i, i, i)
		return withBody(b, l.offer(callers))
	}
	return withBody(b, "")
}

// start sends the INVITE of a call.
func (l *load) start(i int) {
	c := &l.calls[i]
	c.mu.Lock()
	c.position = i % l.positions
	msg := l.request(i, "INVITE", 1)
	c.began = time.Now().UnixNano()
	c.mu.Unlock()
	l.started.Add(1)
	l.send(l.caller, msg)
	l.repeat(c, func() bool { return c.ringing == 0 && c.answered == 0 }, func() { l.send(l.caller, msg) })
}

// repeat sends again what was not answered in time, and counts that it had to.
func (l *load) repeat(c *call, needed func() bool, again func()) {
	l.after(sipT1, func() {
		c.mu.Lock()
		need := needed() && !c.failed
		if need {
			c.again = true
		}
		c.mu.Unlock()
		if need {
			l.resent.Add(1)
			again()
		}
	})
}

// hangUp sends the caller's BYE.
func (l *load) hangUp(i int) {
	c := &l.calls[i]
	c.mu.Lock()
	if c.answered == 0 || c.bye != 0 || c.failed {
		c.leaving = true
		c.mu.Unlock()
		return
	}
	msg := l.request(i, "BYE", 2)
	c.bye = time.Now().UnixNano()
	c.mu.Unlock()
	l.send(l.caller, msg)
	l.repeat(c, func() bool { return c.over == 0 }, func() { l.send(l.caller, msg) })
}

// release sends the BYE of the position that has the call.
func (l *load) release(i int) {
	c := &l.calls[i]
	c.mu.Lock()
	s := &c.side[firstTaker]
	if s.invite == nil || s.byeSent != 0 || c.failed {
		c.mu.Unlock()
		return
	}
	b := make([]byte, 0, 600)
	b = fmt.Appendf(b, "BYE %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK-%d-rel;rport\r\n", uriOf(header(s.invite, "Contact")), positionPort, i)
	b = append(b, "From: "...)
	b = append(b, header(s.invite, "To")...)
	b = fmt.Appendf(b, ";tag=taker%d\r\nTo: ", firstTaker)
	b = append(b, header(s.invite, "From")...)
	b = fmt.Appendf(b, "\r\nMax-Forwards: 70\r\nCall-ID: %s\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n", header(s.invite, "Call-ID"))
	if l.hub != nil {
		l.hub.released(i)
	}
	s.byeSent = time.Now().UnixNano()
	c.mu.Unlock()
	l.send(l.takers[firstTaker], b)
	l.repeat(c, func() bool { return s.byeOK == 0 }, func() { l.send(l.takers[firstTaker], b) })
}

// toCaller takes what the element sends to the caller.
func (l *load) toCaller(msg []byte, at int64) {
	i, ok := callIndex(msg)
	if !ok || i >= len(l.calls) {
		return
	}
	c := &l.calls[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	if !bytes.HasPrefix(msg, []byte("SIP/2.0 ")) {
		if bytes.HasPrefix(msg, []byte("BYE ")) {
			l.send(l.caller, reply(msg, "200 OK", "", "", ""))
			if c.bye == 0 {
				c.bye = at
				l.finish(i, c, at)
			}
		}
		return
	}
	code, _ := strconv.Atoi(string(msg[8:11]))
	invite := bytes.HasSuffix(header(msg, "CSeq"), []byte("INVITE"))
	switch {
	case code < 200:
		if c.ringing == 0 {
			c.ringing = at
		}
	case code >= 300:
		if !c.failed {
			c.failed = true
			l.failed.Add(1)
		}
	case !invite:
		l.finish(i, c, at)
	case c.answered != 0:
		c.again = true
		l.resent.Add(1)
		l.send(l.caller, l.request(i, "ACK", 1))
	default:
		c.answered = at
		c.toTag = bytes.Clone(tagOf(header(msg, "To")))
		c.target = bytes.Clone(uriOf(header(msg, "Contact")))
		c.routes = bytes.ReplaceAll(headers(msg, "Record-Route"), []byte("Record-Route"), []byte("Route"))
		l.send(l.caller, l.request(i, "ACK", 1))
		if l.hub != nil {
			l.hub.add(i, callers, audioPort(msg))
		}
		l.answered.Add(1)
		if c.leaving {
			l.after(0, func() { l.hangUp(i) })
		}
	}
}

func tagOf(value []byte) []byte {
	i := bytes.Index(value, []byte(";tag="))
	if i < 0 {
		return nil
	}
	value = value[i+5:]
	if end := bytes.IndexByte(value, ';'); end >= 0 {
		value = value[:end]
	}
	return value
}

func (l *load) finish(i int, c *call, at int64) {
	if c.over != 0 {
		return
	}
	c.over = at
	if l.hub != nil {
		l.hub.drop(i)
	}
	l.ended.Add(1)
}

// toTaker takes what the element sends to a position (0) or the fallback (1).
func (l *load) toTaker(which int, msg []byte, at int64) {
	i, ok := callIndex(msg)
	if !ok || i >= len(l.calls) {
		if bytes.HasPrefix(msg, []byte("OPTIONS ")) {
			l.send(l.takers[which], reply(msg, "200 OK", "x", "", ""))
		}
		return
	}
	c := &l.calls[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.side[which]
	switch {
	case bytes.HasPrefix(msg, []byte("INVITE ")):
		l.invited(i, which, msg, at)
	case bytes.HasPrefix(msg, []byte("ACK ")):
		if s.acked == 0 {
			s.acked = at
		}
	case bytes.HasPrefix(msg, []byte("BYE ")):
		if s.byed != 0 {
			c.again = true
			l.resent.Add(1)
		}
		s.byed = at
		l.send(l.takers[which], reply(msg, "200 OK", "", "", ""))
	case bytes.HasPrefix(msg, []byte("SIP/2.0 200")):
		if s.byeOK == 0 {
			s.byeOK = at
		}
	}
}

// invited answers an INVITE: 180 and 200 at once.
func (l *load) invited(i, which int, msg []byte, at int64) {
	c := &l.calls[i]
	s := &c.side[which]
	if s.invite != nil {
		c.again = true
		l.resent.Add(1)
		return
	}
	s.invited, s.invite = at, bytes.Clone(msg)
	port := positionPort
	if which == secondTaker {
		port = fallbackPort
	}
	tag, contact := "taker"+strconv.Itoa(which), fmt.Sprintf("sip:taker@127.0.0.1:%d", port)
	conn := l.takers[which]
	l.send(conn, reply(msg, "180 Ringing", tag, contact, ""))
	ok := reply(msg, "200 OK", tag, contact, l.offer(takers))
	answer := func() {
		l.send(conn, ok)
		l.repeat(c, func() bool { return s.acked == 0 }, func() { l.send(conn, ok) })
	}
	if which == firstTaker {
		l.media(i, s.invite)
		answer()
		return
	}
	l.rescued.Add(1)
	l.after(l.ring, func() { l.media(i, s.invite); answer() })
	if l.talk > 0 {
		l.after(l.ring+l.talk, func() { l.hangUp(i) })
	}
}

// media starts what a taker says.
func (l *load) media(i int, invite []byte) {
	if l.hub != nil {
		l.hub.add(i, takers, audioPort(invite))
	}
}

// wait polls until a count is reached or the time is over.
func wait(limit time.Duration, reached func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if reached() {
			return true
		}
	}
	return reached()
}

// pace calls f for 0 to n-1 at a rate per second, spread evenly.
func pace(n int, rate float64, f func(i int)) {
	began := time.Now()
	for i := 0; i < n; {
		due := int(time.Since(began).Seconds()*rate) + 1
		for ; i < n && i < due; i++ {
			f(i)
		}
		time.Sleep(time.Millisecond)
	}
}

// wheel holds timers in buckets of a millisecond.
type wheel struct {
	mu      sync.Mutex
	buckets map[int64][]func()
	at      int64
}

func (w *wheel) add(at time.Time, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buckets == nil {
		w.buckets = map[int64][]func(){}
		w.at = time.Now().UnixMilli()
	}
	k := max(at.UnixMilli(), w.at+1)
	w.buckets[k] = append(w.buckets[k], f)
}

func (w *wheel) due(now time.Time) (out []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buckets == nil {
		return nil
	}
	for end := now.UnixMilli(); w.at < end; {
		w.at++
		out = append(out, w.buckets[w.at]...)
		delete(w.buckets, w.at)
	}
	return out
}
