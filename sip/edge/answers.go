package edge

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// answers keeps what was finally answered to requests over UDP, for as long
// as they may be repeated (Timers J and L, RFC 3261 section 17.2.2 and RFC
// 6026 section 7.1). The library would keep the transaction for that, and with
// it the request, the answer, every header of both, and all that its user has
// hung on it: thirty times as much as the bytes of the answer. A repetition
// is answered, or swallowed, before it is parsed.
type answers struct {
	seeds [2]maphash.Seed

	mu          sync.Mutex
	now, before map[answerKey]answer // this generation's, and the one's before
	turned      time.Time
}

// answerKey names a transaction, by a hash of what identifies one (RFC 3261
// section 17.2.3). Zero is none.
type answerKey [2]uint64

// answer is what a repeated request gets.
type answer struct {
	raw []byte // nil: nothing, the request is only not to be taken twice
	to  netip.AddrPort
}

const answersFor = 32 * time.Second // 64*T1; at most twice that

func newAnswers() *answers {
	return &answers{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		now:   map[answerKey]answer{}, turned: time.Now(),
	}
}

// key is the key of a datagram that may be a request: its top Via, with the
// branch in it, its CSeq with the method, and its source. It is zero for
// responses, and for requests whose branch need not be unique (RFC 2543).
func (a *answers) key(data []byte, source netip.AddrPort) answerKey {
	if bytes.HasPrefix(data, []byte("SIP/")) {
		return answerKey{}
	}
	via, seq := line(data, "via", 'v'), line(data, "cseq", 0)
	if via == nil || seq == nil || !bytes.Contains(via, []byte("="+gosip.RFC3261BranchMagicCookie)) {
		return answerKey{}
	}
	var from [18]byte
	ip := source.Addr().As16()
	copy(from[:], ip[:])
	binary.BigEndian.PutUint16(from[16:], source.Port())
	var k answerKey
	for i, seed := range a.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_, _ = h.Write(from[:]) // a hash takes everything
		_, _ = h.Write(via)
		_, _ = h.Write([]byte{'\n'})
		_, _ = h.Write(seq)
		k[i] = h.Sum64()
	}
	return k
}

// line returns the value of a header's first line in a raw message, without a
// copy; nil if there is none.
func line(data []byte, long string, compact byte) []byte {
	for {
		_, rest, ok := bytes.Cut(data, []byte{'\n'}) // the start line is none
		if !ok || len(rest) == 0 || rest[0] == '\r' || rest[0] == '\n' {
			return nil
		}
		data = rest
		at := bytes.IndexByte(data, ':')
		if at < 0 {
			return nil
		}
		name := bytes.TrimRight(data[:at], " \t")
		if len(name) == 1 && compact != 0 && name[0]|0x20 == compact || len(name) == len(long) && bytes.EqualFold(name, []byte(long)) {
			value, _, _ := bytes.Cut(data[at+1:], []byte{'\n'})
			return bytes.TrimSpace(value)
		}
	}
}

// again tells whether the request with that key was answered, and how.
func (a *answers) again(k answerKey) (answer, bool) {
	if k == (answerKey{}) {
		return answer{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if got, ok := a.now[k]; ok {
		return got, true
	}
	got, ok := a.before[k]
	return got, ok
}

// keep notes an answer. What is two generations old is forgotten.
func (a *answers) keep(k answerKey, is answer) {
	if k == (answerKey{}) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.turned) > answersFor {
		a.before, a.now, a.turned = a.now, make(map[answerKey]answer, len(a.now)), now
	}
	a.now[k] = is
}

// repeated answers a request that was answered before.
func (c *packetConn) repeated(k answerKey) bool {
	is, ok := c.edge.answers.again(k)
	if ok && is.raw != nil {
		_, _ = c.WriteTo(is.raw, net.UDPAddrFromAddrPort(is.to)) // what gets lost is asked for again
	}
	return ok
}

// Final sends the final answer to a request other than INVITE, and lets its
// transaction go: repetitions get the same bytes again.
func (e *Edge) Final(tx *gosip.ServerTx, res *gosip.Response) error {
	if err := tx.Respond(res); err != nil {
		return err
	}
	a := ArrivalOf(tx.Origin())
	if tx.Origin().IsInvite() {
		return nil // its 2xx is repeated by us, and its refusal until the ACK
	}
	to, err := netip.ParseAddrPort(res.Destination())
	if err != nil || a.key == (answerKey{}) {
		return nil //nolint:nilerr // the library looks after it
	}
	e.answers.keep(a.key, answer{raw: []byte(res.String()), to: to})
	tx.Terminate()
	return nil
}

// Forget lets the transaction of an INVITE over UDP go whose call is over. The
// INVITE must have been answered with 2xx and that acknowledged; if it comes
// once more, it does not begin another call. Nobody may use the INVITE any more.
func (e *Edge) Forget(tx *gosip.ServerTx) {
	a := ArrivalOf(tx.Origin())
	select {
	case <-tx.Done():
		return
	default:
	}
	if a.key != (answerKey{}) { // else only the library knows it again
		e.answers.keep(a.key, answer{})
		tx.Terminate()
		strip(tx.Origin())
	}
}
