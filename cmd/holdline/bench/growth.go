package main

import (
	"fmt"
	"os"
	"time"
)

// grown is what one number of concurrent calls was measured to cost.
type grown struct {
	calls             int
	call, memory      float64 // CPU seconds per 1,000 calls, kB per call
	packet            float64 // CPU seconds per million packets
	answer, p99, late time.Duration
	media             bool
}

// growth measures how the cost of one call depends on how many others there are.
func (b *bench) growth() error {
	fmt.Println("Recording on. \"CPU per call\" is of 100 calls/s that come and go beside those that are held; \"BYE to 200\" of releases among them.")
	fmt.Println("Packets flow for all held calls where they fit onto this machine with the generator, which they do up to 1,000.")
	fmt.Println()
	fmt.Println("| held calls | CPU s per 1,000 calls | memory kB per call | CPU s per million packets | packet delay p99 ms | BYE to 200 p50 / p99 ms |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	var rows []grown
	for _, n := range []int{100, 500, 1000, 2000, 3500, heldAim} {
		if n > mostHeld() {
			fmt.Printf("\nNot %d calls: this process and its children may open too few files.\n", n)
			break
		}
		g, err := b.grow(n)
		if err != nil {
			return fmt.Errorf("%d calls: %w", n, err)
		}
		packet, late := "-", "-"
		if g.media {
			packet, late = fmt.Sprintf("%.2f", g.packet), ms(g.late)
		}
		fmt.Printf("| %d | %.2f | %.1f | %s | %s | %s / %s |\n", n, g.call, g.memory, packet, late, ms(g.answer), ms(g.p99))
		rows = append(rows, g)
	}
	if b.plot == "" {
		return nil
	}
	if err := os.WriteFile(b.plot, plotGrowth(rows), 0o600); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return nil
}

func (b *bench) grow(n int) (grown, error) {
	g := grown{calls: n, media: n <= 1000}
	if g.media {
		m, err := b.relay(relayer{open: func(n int, h *hub) (*element, func(), error) { return b.throughHoldline(n, h, true) }}, n, b.seconds(3))
		if err != nil {
			return g, err
		}
		g.packet, g.late = m.perMillion, m.p99
	}
	e, err := b.startHoldline(shape{recording: true})
	if err != nil {
		return g, err
	}
	defer e.stop()
	idle := e.memory()
	extra, rel := int(100*b.seconds(3).Seconds()), 50
	h, err := b.hold(e, n, n+extra+rel, 300, false)
	if err != nil {
		return g, err
	}
	defer h.close()
	time.Sleep(time.Second)
	g.memory = float64(e.memory()-idle) / float64(n) / 1000
	before := e.cpu()
	pace(extra, 100, func(k int) {
		h.start(n + k)
		h.after(200*time.Millisecond, func() { h.hangUp(n + k) })
	})
	wait(3*time.Second, func() bool { return int(h.ended.Load()) >= extra })
	g.call = (e.cpu() - before).Seconds() / float64(extra) * 1000
	h.talk = 200 * time.Millisecond
	pace(rel, 25, func(k int) {
		i := n + extra + k
		h.start(i)
		h.after(200*time.Millisecond, func() { h.release(i) })
	})
	wait(3*time.Second, func() bool { return int(h.rescued.Load()) >= rel })
	r := h.collect(n+extra, n+extra+rel)
	g.answer, g.p99 = r.answer.quantile(0.5), r.answer.quantile(0.99)
	return g, nil
}
