package media

import (
	"errors"
	"net/netip"
	"time"
)

// ErrAgain is returned by Socket.Recv when no datagram waits.
var ErrAgain = errors.New("no datagram waits")

// Receive buffers asked for, in bytes. Audio needs little, but a loop that is
// held up for a moment must not cost a packet, and a video frame arrives as a
// burst.
const (
	audioBuffer = 256 << 10
	videoBuffer = 1 << 20
)

// Network makes the sockets of an Engine. The kernel's network is used by
// default; tests inject a MemoryNetwork. Its methods may be called from any
// goroutine.
type Network interface {
	// Bind opens a UDP socket for a stream of the given kind at local; port 0
	// lets the system choose. A port that is in use is reported by an error
	// that matches syscall.EADDRINUSE.
	Bind(local netip.AddrPort, kind Kind) (Socket, error)
	// NewPoller makes what one packet loop waits on.
	NewPoller() (Poller, error)
	// ReceiveBuffer is the size in bytes that sockets were granted for
	// datagrams that wait, the smallest so far; 0 when it is not limited.
	ReceiveBuffer() int
	// FileLimit is how many sockets the process may have open, 0 if unlimited.
	FileLimit() int
}

// Socket is one non-blocking UDP socket. Recv, Send and Close are called by
// the loop that owns it and by no other goroutine.
type Socket interface {
	// ID is a small number, unique among the open sockets of the network.
	ID() int
	// LocalAddr is where the socket is bound.
	LocalAddr() netip.AddrPort
	// Recv takes the next datagram; ErrAgain when there is none. It allocates
	// nothing, IPv4 sources are plain IPv4.
	Recv(buf []byte) (int, netip.AddrPort, error)
	// Send sends one datagram or fails at once; it does not keep pkt and
	// allocates nothing.
	Send(pkt []byte, to netip.AddrPort) error
	// Close frees the port.
	Close() error
}

// Poller waits for sockets to become readable, for a deadline or a wake-up.
// A socket stays readable until its last datagram is taken.
type Poller interface {
	// Add lets the poller watch s until s is closed. Any goroutine.
	Add(s Socket) error
	// Wait fills ready with the IDs of readable sockets and returns their
	// number, or 0 after Wake or when deadline has passed. The zero deadline
	// is never.
	Wait(ready []int, deadline time.Time) (int, error)
	// Wake makes the present or else the next Wait return. Any goroutine.
	Wake()
	// Close frees the poller after the last Wait.
	Close() error
}
