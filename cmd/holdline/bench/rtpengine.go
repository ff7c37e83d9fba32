package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// ngPort is where rtpengine takes commands.
const ngPort = 7222

// startRTPEngine runs rtpengine in userspace (no kernel module table).
func (b *bench) startRTPEngine(record bool) (*element, error) {
	program, err := exec.LookPath("rtpengine")
	if err != nil {
		return nil, fmt.Errorf("rtpengine: %w", errMissing)
	}
	args := []string{
		"--config-file=none", "--table=-1", "--interface=127.0.0.1", fmt.Sprintf("--listen-ng=127.0.0.1:%d", ngPort),
		"--port-min=12000", "--port-max=59999", "--foreground", "--log-stderr", "--log-level=2", "--num-threads=2",
	}
	if record {
		args = append(args, "--recording-method=pcap", "--recording-dir="+b.dir+"/pcap", "--recording-format=raw")
	}
	e, err := launch("rtpengine", b.dir, program, args...)
	if err != nil {
		return nil, err
	}
	ng, err := dialNG()
	if err != nil {
		return nil, err
	}
	defer func() { _ = ng.Close() }()
	for range 30 {
		if _, err = ng.command("7:command4:ping"); err == nil {
			return e, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	e.stop()
	return nil, errors.New("rtpengine does not answer")
}

// ng speaks rtpengine's control protocol: a cookie and a bencoded dictionary.
type ng struct{ *net.UDPConn }

func dialNG() (*ng, error) {
	c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: ngPort})
	if err != nil {
		return nil, fmt.Errorf("dialling rtpengine: %w", err)
	}
	return &ng{c}, nil
}

func bencode(fields ...string) string {
	var s strings.Builder
	for _, f := range fields {
		s.WriteString(strconv.Itoa(len(f)) + ":" + f)
	}
	return s.String()
}

func (g *ng) command(inner string) ([]byte, error) {
	// A cookie that was seen before gets the answer it had then.
	fmt.Fprintf(g, "%d d%se", time.Now().UnixNano(), inner)
	buf := make([]byte, 65536)
	_ = g.SetReadDeadline(time.Now().Add(3 * time.Second))
	n, err := g.Read(buf)
	if err != nil {
		return nil, fmt.Errorf("asking rtpengine: %w", err)
	}
	if bytes.Contains(buf[:n], []byte("6:result5:error")) {
		return nil, fmt.Errorf("rtpengine refuses: %s", buf[:n])
	}
	return buf[:n], nil
}

// pairs opens calls in rtpengine between the two sockets of a hub.
func (g *ng) pairs(n int, h *hub, record bool) error {
	rec := ""
	if record {
		rec = bencode("record call", "yes")
	}
	for i := range n {
		id := bencode("call-id", strconv.Itoa(i), "from-tag", "a")
		answer, err := g.command(bencode("command", "offer") + id + rec + bencode("sdp", sdpBody(h.port(callers))) + "7:replacel6:origine")
		if err != nil {
			return err
		}
		h.add(i, takers, audioPort(answer))
		answer, err = g.command(bencode("command", "answer") + id + rec + bencode("to-tag", "b", "sdp", sdpBody(h.port(takers))))
		if err != nil {
			return err
		}
		h.add(i, callers, audioPort(answer))
	}
	return nil
}
