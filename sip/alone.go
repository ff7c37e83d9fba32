package sip

import (
	"slices"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// answerWithin is how long a request of the caller's other than INVITE may wait
// for the other side. Whoever gets no answer for 32 s gives the session up
// (RFC 3261 section 12.2.1.2); a phone that is there needs a fraction of this.
const answerWithin = 8 * time.Second

// asks notes that the caller waits for the other side's answer to r.
func (c *Call) asks(r *relayed) {
	if r.from != c.caller {
		return
	}
	c.owed = append(c.owed, r)
	if r.req.Method != gosip.INVITE { // whose sender is told 100, and waits
		r.wait = c.after(answerWithin, func() {
			if slices.Contains(c.owed, r) {
				c.answerAlone(r)
			}
		})
	}
}

// told notes that the caller has the answer to r.
func (c *Call) told(r *relayed) {
	stop(&r.wait)
	c.owed = slices.DeleteFunc(c.owed, func(o *relayed) bool { return o == r })
}

// costsCaller tells whether an answer of the other side's would make the
// caller's phone, or what stands before it, end the whole call: 481 and 408
// always do (RFC 3261 section 12.2.1.2), others to what changes the session
// (RFC 5057 section 5.1). No taker ends a call in this way.
func (c *Call) costsCaller(r *relayed, code int) bool {
	if r.from != c.caller || c.State == Ended {
		return false
	}
	switch r.req.Method {
	case gosip.INVITE, gosip.UPDATE:
		switch code {
		case 404, 408, 410, 416, 480, 481, 482, 483, 484, 485, 502, 604:
			return true
		}
		return false
	case gosip.SUBSCRIBE, gosip.NOTIFY, gosip.REFER, gosip.PRACK: // 481 is about a subscription, or a response
		return false
	default:
		return code == 408 || code == 481
	}
}

// tellsGone tells whether an answer, or that there was none (408), says that
// its sender has no part in the call any more, and not just nothing to do with
// this request.
func tellsGone(method gosip.RequestMethod, code int) bool {
	switch method {
	case gosip.INVITE, gosip.UPDATE:
		return code == 481 || code == 408
	case gosip.INFO:
		return code == 481
	default:
		return false
	}
}

// answerAlone answers a request of the caller's whose answer the other side
// owes, as if nobody were there. What the other side says later is not passed.
func (c *Call) answerAlone(r *relayed) {
	c.told(r)
	r.done = true
	n, _, _ := cseq(r.req)
	delete(r.from.passing, n)
	switch {
	case c.State == Ended:
		c.relayFailed(r, 487) // RFC 3261 section 15.1.2
	case r.req.Method == gosip.INVITE || r.req.Method == gosip.UPDATE:
		c.answerSelf(r.req, r.tx)
	case r.req.Method == gosip.REFER || r.req.Method == gosip.SUBSCRIBE:
		c.g.refuse(r.req, r.tx, 480)
	default:
		c.ok(r.req, r.tx)
	}
}

// answersFor answers what the caller has asked a leg that is over.
func (c *Call) answersFor(gone *leg) {
	for _, r := range slices.Clone(c.owed) {
		if r.to == gone {
			c.answerAlone(r)
		}
	}
}
