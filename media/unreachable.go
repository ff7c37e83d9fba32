package media

import (
	"errors"
	"fmt"
	"net/netip"
)

// Unreachable is an error of Socket.Recv: the network says that a datagram sent
// before did not arrive.
type Unreachable struct {
	By     netip.Addr     // who says so; not valid when it is this machine itself
	To     netip.AddrPort // where the datagram was to go
	Reason string         // as "port unreachable"
}

// Error says it in words.
func (u *Unreachable) Error() string { return u.text() }

func (u *Unreachable) text() string {
	switch {
	case u == nil:
		return ""
	case !u.By.IsValid():
		return fmt.Sprintf("%s at %v", u.Reason, u.To)
	default:
		return fmt.Sprintf("ICMP %s at %v, reported by %v", u.Reason, u.To, u.By)
	}
}

// unreachable notes such an error: evidence of a far end that has vanished.
func (l *loop) unreachable(s *stream, err error) {
	var u *Unreachable
	if s == nil || !errors.As(err, &u) {
		return
	}
	s.seen.unreached.Add(1)
	s.seen.lastUnreached.Store(l.wall)
	s.seen.complaint.Store(u)
}
