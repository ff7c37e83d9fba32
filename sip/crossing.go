package sip

import (
	"slices"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// byes are the legs of a call whose BYE has come, by our tags, in the order of
// arrival. They are noted at the socket: a request's handler runs in a goroutine
// of its own, and may overtake another one's.
type byes struct {
	mu   sync.Mutex
	tags []string
}

func (b *byes) note(tag string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if tag != "" && !slices.Contains(b.tags, tag) {
		b.tags = append(b.tags, tag)
	}
}

// before tells whether one's BYE came before other's.
func (b *byes) before(one, other string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, j := slices.Index(b.tags, one), slices.Index(b.tags, other)
	return i >= 0 && j >= 0 && i < j
}

// byeCame notes a BYE; it is called in the order of arrival.
func (g *Guard) byeCame(req *gosip.Request) {
	t := tag(get(req, "to"))
	if c := g.find(get(req, "call-id"), t); c != nil {
		c.byes.note(t)
	}
}

// overtaking is how long the caller's BYE may take from the socket to the call.
const overtaking = 20 * time.Millisecond

// overtook puts a taker's BYE off for a moment when the caller's came before
// it and is still on its way here. Nobody is kept who has left, and no taker
// is blamed who hung up after the caller.
func (c *Call) overtook(l *leg, req *gosip.Request, tx *gosip.ServerTx) bool {
	if l.waited || !c.byes.before(c.caller.Dialog.LocalTag, l.Dialog.LocalTag) {
		return false // waited in vain: it was no BYE of the caller's after all, such as a forged one
	}
	l.waited = true
	c.after(overtaking, func() { c.onBye(l, req, tx) })
	return true
}
