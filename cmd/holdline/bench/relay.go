package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// runRelay is the least that a relay in Go can be: a goroutine for each
// socket, which sends whatever comes on through the call's other socket.
func runRelay(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: bench relay CALLS FIRST-PORT CALLER-PORT TAKER-PORT")
	}
	var n [4]int
	for i, a := range args {
		var err error
		if n[i], err = strconv.Atoi(a); err != nil {
			return fmt.Errorf("relay: %w", err)
		}
	}
	local := netip.MustParseAddr("127.0.0.1")
	for i := range n[0] {
		var socks [2]*net.UDPConn
		for side := range socks {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n[1] + 2*i + side})
			if err != nil {
				return fmt.Errorf("relay: %w", err)
			}
			bigBuffers(c)
			socks[side] = c
		}
		for side, c := range socks {
			out, to := socks[1-side], netip.AddrPortFrom(local, uint16(n[2+1-side]))
			go func() {
				buf := make([]byte, 2048)
				for {
					m, _, err := c.ReadFromUDPAddrPort(buf)
					if err == nil {
						_, _ = out.WriteToUDPAddrPort(buf[:m], to)
					}
				}
			}()
		}
	}
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return nil
}
