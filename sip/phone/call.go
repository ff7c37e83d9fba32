package phone

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Call is one call of a phone, made or received: its INVITE, its dialog and
// its media. All methods may be called from any goroutine.
type Call struct {
	phone *Phone
	// Incoming tells whether the phone was called.
	Incoming bool
	// Invite is the INVITE that began the call, as received or as sent.
	Invite *gosip.Request

	provisionals *queue[*gosip.Response]
	requests     chan *gosip.Request
	ended        chan struct{}
	acked        chan struct{} // the INVITE we answered with 2xx was acknowledged

	// Under phone.mu.
	dialog     dialog
	client     *clientTx // of the INVITE we sent
	server     *serverTx // of the INVITE we received
	inviteVia  string
	noAutoAck  bool
	answer     *gosip.Response // the 2xx we got
	acks       map[uint32][]byte
	isAcked    bool
	cancelled  bool
	cancelSent bool
	leaving    bool // our BYE is under way
	end        *End
	hook       func(*gosip.Request) *Reply
	localSDP   []byte
	remoteSDP  []byte
	media      *media
}

// dialog is RFC 3261 section 12 in the form that requests are written from.
type dialog struct {
	callID        string
	localTag      string
	local, remote string // From and To values of our requests, tags included
	target        string // remote target URI
	routes        []string
	cseq          uint32
	peer          string // host:port that messages came from or went to
}

// End says how a call ended.
type End struct {
	At     time.Time
	Remote bool           // by the other side
	Cause  string         // "BYE", "CANCEL", "rejected", "timeout"
	By     *gosip.Request // the BYE or CANCEL of the other side, nil otherwise
}

// Request is a request that a test wants sent.
type Request struct {
	Method      string
	From, To    string // outside a dialog, without tag; "": the phone's own URI and the request URI
	Headers     [][2]string
	ContentType string // "" with a body: application/sdp
	Body        []byte
}

// Reply is a response that a test wants sent. The zero Reply sends nothing.
type Reply struct {
	Code        int
	Reason      string // "": the usual phrase
	Headers     [][2]string
	ContentType string // "" with a body: application/sdp
	Body        []byte
}

func (p *Phone) newCall(incoming bool) *Call {
	return &Call{
		phone: p, Incoming: incoming,
		provisionals: newQueue[*gosip.Response](),
		requests:     make(chan *gosip.Request, 256),
		ended:        make(chan struct{}),
		acked:        make(chan struct{}),
		acks:         map[uint32][]byte{},
	}
}

// ID is the Call-ID.
func (c *Call) ID() string { return c.dialog.callID }

func callKey(callID, localTag string) string { return callID + " " + localTag }

// Ended is closed when the call is over: BYE of either side, CANCEL,
// rejection or timeout.
func (c *Call) Ended() <-chan struct{} { return c.ended }

// End says how the call ended; nil while it has not.
func (c *Call) End() *End {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	return c.end
}

// WaitEnd waits until the call is over.
func (c *Call) WaitEnd(ctx context.Context) (*End, error) {
	select {
	case <-c.ended:
		return c.End(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: waiting for the end: %w", c.phone.opts.User, ctx.Err())
	case <-c.phone.done:
		return nil, ErrClosed
	}
}

// finish ends the call, once. Callers hold mu.
func (c *Call) finish(remote bool, cause string, by *gosip.Request) {
	if c.end == nil {
		c.end = &End{At: time.Now(), Remote: remote, Cause: cause, By: by}
		close(c.ended)
	}
}

// Close forgets the call and closes its media socket. It sends nothing.
func (c *Call) Close() {
	c.phone.mu.Lock()
	delete(c.phone.calls, callKey(c.dialog.callID, c.dialog.localTag))
	c.phone.mu.Unlock()
	c.closeMedia()
}

// Requests are the requests received inside the dialog, ACK excepted, after
// they were answered. A request that finds 256 unread is not added; the trace
// has them all.
func (c *Call) Requests() <-chan *gosip.Request { return c.requests }

// OnRequest lets f answer requests inside the dialog, as Options.OnRequest
// does for the whole phone, and before it. f may be nil.
func (c *Call) OnRequest(f func(*gosip.Request) *Reply) {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	c.hook = f
}

// Acked is closed when the other side acknowledged our 2xx.
func (c *Call) Acked() <-chan struct{} { return c.acked }

// LocalSDP is the session description sent last.
func (c *Call) LocalSDP() []byte {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	return c.localSDP
}

// RemoteSDP is the session description received last, taken out of a
// multipart body if need be.
func (c *Call) RemoteSDP() []byte {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	return c.remoteSDP
}

// learn takes the remote target, and from a dialog-creating response the tag
// and route set (RFC 3261 section 12.1.2). Callers hold mu.
func (c *Call) learn(res *gosip.Response) {
	if tag := toTagOf(res); tag != "" && param(c.dialog.remote, "tag") == "" {
		c.dialog.remote = value(res, "To", "t")
		routes := list(res, "Record-Route")
		for _, r := range slices.Backward(routes) {
			c.dialog.routes = append(c.dialog.routes, r)
		}
	}
	if contact := list(res, "Contact", "m"); len(contact) > 0 {
		c.dialog.target = uriOf(contact[0])
	}
	c.heed(res)
}

// heed takes a session description out of a message. Callers hold mu.
func (c *Call) heed(msg gosip.Message) {
	sdp := sdpOf(msg)
	if sdp == nil {
		return
	}
	c.remoteSDP = sdp
	if c.media != nil {
		c.media.setRemote(sdp)
	}
}

// destination is where requests of the dialog go: the first route, else the
// remote target, else where the other side was met. Callers hold mu.
func (d *dialog) destination() string {
	next := d.target
	if len(d.routes) > 0 {
		next = uriOf(d.routes[0])
	}
	if a, ok := hostPort(next); ok {
		return a
	}
	return d.peer
}

// write builds a request of the dialog. Callers hold mu.
func (c *Call) write(r Request, cseq uint32) (raw []byte, branch string) {
	uri := c.dialog.target
	if uri == "" {
		uri = uriOf(c.dialog.remote)
	}
	return c.phone.build(outgoing{
		method: r.Method, uri: uri, from: c.dialog.local, to: c.dialog.remote, callID: c.dialog.callID,
		cseq: cseq, routes: c.dialog.routes, headers: r.Headers, contentType: r.ContentType, body: r.Body,
	})
}

// Request sends a request inside the dialog and waits for its final response.
// The 2xx of a re-INVITE is acknowledged, also when it comes again.
func (c *Call) Request(ctx context.Context, r Request) (*gosip.Response, error) {
	p := c.phone
	p.mu.Lock()
	tx := c.start(r)
	p.mu.Unlock()
	return tx.wait(ctx)
}

// start sends a request inside the dialog. Callers hold mu.
func (c *Call) start(r Request) *clientTx {
	c.dialog.cseq++
	number := c.dialog.cseq
	raw, branch := c.write(r, number)
	if isSDP(r.ContentType, r.Body) {
		c.localSDP = r.Body
	}
	return c.phone.startClient(r.Method, branch, c.dialog.destination(), raw, func(res *gosip.Response) {
		if res.StatusCode < 200 || res.StatusCode > 299 || r.Method != "INVITE" && r.Method != "UPDATE" {
			return
		}
		c.learn(res)
		if r.Method == "INVITE" {
			c.acknowledge(number, nil)
		}
	})
}

// acknowledge sends the ACK of a 2xx, the same one each time. Callers hold mu.
func (c *Call) acknowledge(number uint32, sdp []byte) {
	raw := c.acks[number]
	if raw == nil {
		raw, _ = c.write(Request{Method: "ACK", Body: sdp}, number)
		c.acks[number] = raw
	}
	_ = c.phone.send(c.dialog.destination(), raw) // should it be lost, the 2xx comes again
}

// Reinvite sends a re-INVITE with that session description, or with the
// phone's own when sdp is nil, and waits for the final response.
func (c *Call) Reinvite(ctx context.Context, sdp []byte) (*gosip.Response, error) {
	if sdp == nil {
		var err error
		if sdp, err = c.offer(); err != nil {
			return nil, err
		}
	}
	return c.Request(ctx, Request{Method: "INVITE", Body: sdp})
}

// Bye ends the call and waits for the final response to the BYE. The call has
// ended whatever that is (RFC 3261 section 15.1.1).
func (c *Call) Bye(ctx context.Context, headers ...[2]string) (*gosip.Response, error) {
	p := c.phone
	p.mu.Lock()
	c.leaving = true
	tx := c.start(Request{Method: "BYE", Headers: headers})
	p.mu.Unlock()
	res, err := tx.wait(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	c.finish(false, "BYE", nil)
	return res, err
}

// closeMedia closes the media socket, if there is one.
func (c *Call) closeMedia() {
	c.phone.mu.Lock()
	defer c.phone.mu.Unlock()
	if c.media != nil {
		c.media.close()
		delete(c.phone.medias, c.media)
	}
}

// host is the address that the phone puts into session descriptions when it
// has no media socket.
func (p *Phone) host() string {
	host, _, err := net.SplitHostPort(p.Addr())
	if err != nil {
		return strings.Trim(p.Addr(), "[]")
	}
	return host
}
