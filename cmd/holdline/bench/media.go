package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// relayer is an element that relays media: open starts it with n two-way calls.
type relayer struct {
	name string
	open func(n int, h *hub) (*element, func(), error)
}

func (b *bench) relayers() []relayer {
	return []relayer{
		{"rtpengine, userspace", func(n int, h *hub) (*element, func(), error) { return b.throughRTPEngine(n, h, false) }},
		{"bare Go relay", b.throughRelay},
		{"Holdline", func(n int, h *hub) (*element, func(), error) { return b.throughHoldline(n, h, false) }},
		{"rtpengine, recording to pcap", func(n int, h *hub) (*element, func(), error) { return b.throughRTPEngine(n, h, true) }},
		{"Holdline, recording", func(n int, h *hub) (*element, func(), error) { return b.throughHoldline(n, h, true) }},
	}
}

func (b *bench) throughRTPEngine(n int, h *hub, record bool) (*element, func(), error) {
	for _, d := range []string{"pcap/pcaps", "pcap/metadata", "pcap/tmp"} {
		_ = os.MkdirAll(filepath.Join(b.dir, d), 0o750)
	}
	e, err := b.startRTPEngine(record)
	if err != nil {
		return nil, nil, err
	}
	g, err := dialNG()
	if err == nil {
		h.calls(n)
		err = g.pairs(n, h, record)
		_ = g.Close()
	}
	return e, func() {}, err
}

func (b *bench) throughRelay(n int, h *hub) (*element, func(), error) {
	const first = 12000
	e, err := launch("relay", b.dir, os.Args[0], "relay", strconv.Itoa(n), strconv.Itoa(first), strconv.Itoa(h.port(callers)), strconv.Itoa(h.port(takers)))
	if err != nil {
		return nil, nil, err
	}
	if !wait(5*time.Second, func() bool {
		out, _ := os.ReadFile(filepath.Join(b.dir, "relay.log"))
		return len(out) > 0
	}) {
		return e, nil, errors.New("the relay does not start")
	}
	h.calls(n)
	for i := range n {
		h.add(i, callers, first+2*i)
		h.add(i, takers, first+2*i+1)
	}
	return e, func() {}, nil
}

func (b *bench) throughHoldline(n int, h *hub, record bool) (*element, func(), error) {
	e, err := b.startHoldline(shape{recording: record})
	if err != nil {
		return nil, nil, err
	}
	l, err := newLoad(e.addr, n, h)
	if err != nil {
		return e, nil, err
	}
	l.positions = 100
	held := &held{load: l}
	return e, held.close, held.more(0, n, 300)
}

// relayed is what was measured of a relay.
type relayed struct {
	perMillion    float64
	p50, p99, top time.Duration
	lost          float64 // share of what was sent
	rate          float64 // packets a second
}

func (b *bench) relay(r relayer, n int, length time.Duration) (relayed, error) {
	h, err := newHub()
	if err != nil {
		return relayed{}, err
	}
	defer h.close()
	e, done, err := r.open(n, h)
	if e != nil {
		defer e.stop()
	}
	if err != nil {
		return relayed{}, err
	}
	defer done()
	time.Sleep(time.Second)
	return h.watch(e, length), nil
}

// watch measures what flows for a while.
func (h *hub) watch(e *element, length time.Duration) relayed {
	h.delay.reset()
	h.measure.Store(true)
	before, missing := e.cpu(), h.lost()
	in := h.heard[0].Load() + h.heard[1].Load()
	time.Sleep(length)
	used := e.cpu() - before
	in = h.heard[0].Load() + h.heard[1].Load() - in
	h.measure.Store(false)
	missing = h.lost() - missing // gaps in the numbers of what came: what is still under way does not count
	return relayed{
		perMillion: used.Seconds() / float64(max(in, 1)) * 1e6, rate: float64(in) / length.Seconds(), lost: float64(missing) / float64(max(in+missing, 1)),
		p50: h.delay.quantile(0.5), p99: h.delay.quantile(0.99), top: h.delay.quantile(0.999),
	}
}

func (b *bench) media() error {
	fmt.Println("Two-way calls of G.711, 20 ms; CPU seconds of the element per million packets relayed; delay from just before the generator's")
	fmt.Println("system call to the kernel's receipt at the far end, ms.")
	fmt.Println()
	fmt.Println("| relay | calls | packets/s | CPU s per million | p50 / p99 / p99.9 ms | lost |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for _, n := range []int{100, 500, 1000} {
		for _, r := range b.relayers() {
			if !strings.Contains(r.name, b.only) {
				continue
			}
			m, err := b.relay(r, n, b.seconds(4))
			if errors.Is(err, errMissing) {
				fmt.Printf("| %s | %d | not installed | | | |\n", r.name, n)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s with %d calls: %w", r.name, n, err)
			}
			fmt.Printf("| %s | %d | %.0f | %.2f | %s / %s / %s | %.4f %% |\n", r.name, n, m.rate, m.perMillion, ms(m.p50), ms(m.p99), ms(m.top), 100*m.lost)
		}
	}
	return nil
}
