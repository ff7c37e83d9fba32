package sip

import (
	"errors"
	"fmt"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip/edge"
)

// CallbackRequest asks Holdline to call somebody back who was lost: first a
// call taker in the fallback queue, then the caller (RFC 3725: a controller
// that anchors media needs no re-INVITE to bring both together).
type CallbackRequest struct {
	Item        string // what is called back for, in the records
	Number      string // of the caller, as the call taker sees it
	To          string // SIP URI at which the caller is reached
	From        string // SIP URI that the caller sees: the centre's own number
	EmergencyID string // of the call that was lost, for the call taker's system
	IncidentID  string
	Note        string        // one line for the call taker
	Ring        time.Duration // how long the caller's phone may ring; 0: 40 s
	// Done is told once how it ended: whether the caller answered, and who
	// talks to them. It must not block. May be nil.
	Done func(CallbackResult)
}

// CallbackResult is how a callback went.
type CallbackResult struct {
	Call            string // Call-ID
	Reached         bool
	Position, Agent string // who has the caller
	Why             string // why the caller was not reached
}

// callback is what a call that Holdline makes has beside others. Its caller's
// leg is one that we call.
type callback struct {
	CallbackRequest
	dialled, told bool
	ring          *time.Timer
}

const callbackRing = 40 * time.Second

// ErrDraining says that the node begins no calls any more.
var ErrDraining = errors.New("the node is draining")

// CallBack begins a callback and returns its Call-ID. It is an administrative
// call: nobody is kept in it who does not want to be.
func (g *Guard) CallBack(r CallbackRequest) (string, error) {
	if g.Draining() {
		return "", ErrDraining
	}
	for _, uri := range []string{r.To, r.From} {
		var u gosip.Uri
		if err := gosip.ParseUri(uri, &u); err != nil {
			return "", fmt.Errorf("callback URI %q: %w", uri, err)
		}
	}
	if r.Ring <= 0 {
		r.Ring = callbackRing
	}
	c, err := g.newCallback(r)
	if err != nil {
		return "", err
	}
	g.resolve(r.To, func(hops []hopAddr, err error) {
		if err == nil {
			err = c.place(c.caller, hops[0].network, hops[0].addr)
		}
		g.add(c)
		c.post(func() { c.startCallback(err) })
	})
	return c.ID, nil
}

// newCallback makes the call with an INVITE as the caller would have sent it,
// from which those of the call takers are made.
func (g *Guard) newCallback(r CallbackRequest) (*Call, error) {
	id, number := newToken()+"@"+g.domain(), "sip:"+r.Number+"@"+g.domain()
	d := Dialog{
		CallID: id, LocalTag: newToken(), Local: `"CALLBACK ` + quotable(r.Number) + `" <` + number + ">", Remote: "<" + r.From + ">",
		Target: r.To, Network: "udp", Next: "127.0.0.1:5060", Socket: "127.0.0.1:5060",
	}
	req, err := d.request("INVITE", 1)
	if err != nil {
		return nil, err
	}
	req.AppendHeader(gosip.NewHeader("Priority", "psap-callback")) // RFC 7090
	for value, purpose := range map[string]string{r.EmergencyID: "emergency-CallId", r.IncidentID: "emergency-IncidentId"} {
		if value != "" {
			req.AppendHeader(gosip.NewHeader("Call-Info", "<"+value+">;purpose="+purpose))
		}
	}
	now := time.Now()
	c := &Call{
		g: g, invite: req, inviteSeq: 1, legs: map[string]*leg{},
		back: &callback{CallbackRequest: r},
		CallState: CallState{
			ID: id, Kind: policy.Admin, Route: Route{Match: "callback", Kind: policy.Admin}, Started: now, From: d.Local, To: d.Remote,
			RequestURI: r.To, Note: r.Note, Intake: policy.Intake{}, State: Offering, Offer: callbackSDP,
		},
	}
	c.log = g.log.With(zap.String("call", id))
	c.caller = &leg{Leg: Leg{
		Role: RoleCaller, Target: d.Local, URI: r.To, State: Calling, Since: now,
		Dialog: Dialog{CallID: id, LocalTag: newToken(), Local: "<" + r.From + ">", Remote: "<" + r.To + ">", Target: r.To, User: userOf(r.From)},
	}}
	c.legs[c.caller.Dialog.LocalTag] = c.caller
	g.count(c.Kind, "", Offering)
	g.stats.admin.Add(1)
	return c, nil
}

// callbackSDP is what both sides are offered, with our own addresses in it:
// G.711 in both laws, which media translates, and digits.
const callbackSDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8 101\r\n" +
	"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"

// startCallback is a callback's first event.
func (c *Call) startCallback(err error) {
	session, problem := c.g.opts.Media.Open(c.ID, c.onMedia)
	if problem != nil {
		err, session = errors.Join(err, problem), noMedia{}
	}
	c.media = session
	if offer, bad := parseSDP([]byte(callbackSDP)); bad == nil {
		c.streams(c.caller, offer) // media's first leg is the caller's
	}
	if err != nil {
		c.missed("the caller cannot be called: " + err.Error())
		return
	}
	c.Place.Tier = -1
	c.offerOn()
}

// taken dials the caller: a call taker has answered, and waits.
func (b *callback) taken(c *Call) {
	if b.dialled {
		return
	}
	b.dialled = true
	l := c.caller
	offer, err := parseSDP([]byte(callbackSDP))
	var req *gosip.Request
	if err == nil {
		req, err = l.Dialog.request("INVITE", l.Dialog.nextSeq())
	}
	if err != nil {
		c.missed("the caller cannot be called: " + err.Error())
		return
	}
	l.Invite = l.Dialog.LocalSeq
	req.AppendHeader(gosip.NewHeader("Priority", "psap-callback")) // RFC 7090 section 5: phones let it through
	req.AppendHeader(gosip.NewHeader("Allow", allow))
	req.AppendHeader(gosip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(c.tell(l, offer))
	l.request, l.open = req, true
	c.record("callback.dialled", dialledData{Item: b.Item, Leg: l.Dialog.LocalTag, URI: b.To, Position: c.takerName()})
	b.ring = c.after(b.Ring, func() { c.missed("the caller did not answer") })
	l.sent = c.send(l, req, c.onCalleeResponse)
}

// dialledData is callback.dialled.
type dialledData struct {
	Item     string `json:"item"`
	Leg      string `json:"leg"`
	URI      string `json:"uri"`
	Position string `json:"position"`
}

// onCalleeResponse takes every answer of the one who is called back.
func (c *Call) onCalleeResponse(r edge.Response) {
	l := c.caller
	switch {
	case r.Err != nil:
		l.open = false
		c.missed("the caller cannot be called: " + r.Err.Error())
	case r.StatusCode < 200:
		c.calleeRings(r.Response)
		return
	case r.StatusCode < 300:
		c.calleeAnswers(r.Response)
		return
	default:
		l.open = false
		c.missed(fmt.Sprintf("the caller's side answered %d %s", r.StatusCode, r.Reason))
	}
	c.settled()
}

// calleeRings lets the call taker hear what the network says of the ringing.
func (c *Call) calleeRings(res *gosip.Response) {
	l := c.caller
	l.alive = true
	if l.cancel {
		c.sendCancel(l)
		return
	}
	if res.StatusCode == 100 || c.State == Ended {
		return
	}
	l.State = Early
	l.Dialog.learn(res, tag(get(res, "to")), true)
	if s := sdpOf(res); s != nil {
		c.hear(l, s, nil)
	}
}

// calleeAnswers brings both together. The item is closed: somebody is in touch.
func (c *Call) calleeAnswers(res *gosip.Response) {
	l := c.caller
	l.Peer = res.Source()
	again := !l.open
	l.open = false
	l.Dialog.learn(res, tag(get(res, "to")), true)
	if again { // our ACK was lost
		if l.ack != nil {
			c.g.edge.Write(l.ack)
		}
		return
	}
	l.State, l.Since, l.Acked = Confirmed, time.Now(), true
	l.allows(res)
	c.acknowledge(l, nil)
	if c.State != Bridged || c.taker == nil || l.cancel { // CANCEL crossed the answer
		c.bye(l, nil)
		c.settled()
		return
	}
	stop(&c.back.ring)
	c.up.Store(true)
	c.Answered = l.Since
	if s := sdpOf(res); s != nil {
		c.hear(l, s, nil)
		c.Offer, c.InUse = l.Remote, nil
		for _, m := range s.media {
			c.InUse = append(c.InUse, s.codecs(m))
		}
	}
	c.media.Bridge(c.taker.ID)
	c.back.tell(CallbackResult{Call: c.ID, Reached: true, Position: c.taker.Target, Agent: c.taker.Agent})
}

// missed ends a callback that did not reach the caller.
func (c *Call) missed(why string) {
	if c.State == Ended || c.answered() {
		return
	}
	c.ended.By, c.ended.Reason = "error", why
	if c.State == Offering {
		c.fire(offersRefused)
		return
	}
	c.fire(callerLost)
}

// end lets the one who is called go, in whatever state the call to them is.
func (b *callback) end(c *Call) {
	stop(&b.ring)
	l := c.caller
	switch {
	case c.ended.By == "caller": // who has hung up
	case l.State == Confirmed:
		c.bye(l, c.ended.Bye)
	case l.open:
		l.cancel = true
		if l.alive {
			c.sendCancel(l)
		}
	}
	l.State = Over
	b.tell(CallbackResult{Call: c.ID, Why: c.ended.Reason})
}

func (b *callback) tell(r CallbackResult) {
	if !b.told && b.Done != nil {
		b.Done(r)
	}
	b.told = true
}

// kindOf is the kind of a record of an offer: what happened to it, in which sort
// of call.
func (c *Call) kindOf(l *leg, what string) string {
	switch {
	case c.back != nil:
		return "callback." + what
	case l.Rescue:
		return "rescue." + what
	default:
		return "call." + what
	}
}
