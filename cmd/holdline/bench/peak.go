package main

import (
	"fmt"
	"time"
)

// peak is New York's design peak: 14 new calls a second and 2,500 at once, all
// anchored and recorded, some of them released too early.
func (b *bench) peak() error {
	const concurrent, rate, every = 2500, 14.0, 10
	length := b.seconds(240) // two minutes in make bench
	fresh := int(rate * length.Seconds())
	e, err := b.startHoldline(shape{recording: true})
	if err != nil {
		return err
	}
	defer e.stop()
	h, err := b.hold(e, concurrent, concurrent+fresh, 150, true)
	if err != nil {
		return err
	}
	defer h.close()
	h.ring, h.talk = 2*time.Second, 5*time.Second
	time.Sleep(2 * time.Second)
	before := e.cpu()
	began := time.Now()
	done := make(chan relayed, 1)
	go func() { done <- h.hub.watch(e, length) }()
	pace(fresh, rate, func(k int) { // each new call takes the place of one that ends
		i := concurrent + k
		h.hangUp(k)
		h.start(i)
		if k%every == 0 {
			h.after(3*time.Second, func() { h.release(i) })
		}
	})
	m := <-done
	used := (e.cpu() - before).Seconds() / time.Since(began).Seconds()
	time.Sleep(6 * time.Second)
	r := h.collect(0, concurrent+fresh)
	fmt.Printf("%.0f s, %d calls at once with %.0f packets/s in all, %.0f new calls a second, every %dth released early.\n\n", length.Seconds(), concurrent, m.rate, rate, every)
	fmt.Printf("- processors used by Holdline: %.2f; memory %d MB\n", used, e.memory()>>20)
	fmt.Printf("- calls that failed: %d; messages sent twice: %d\n", h.failed.Load(), h.resent.Load())
	fmt.Printf("- packets: %.4f %% lost; delay p50 / p99 / p99.9 %s / %s / %s ms; %.2f CPU s per million\n", 100*m.lost, ms(m.p50), ms(m.p99), ms(m.top), m.perMillion)
	fmt.Printf("- releases: %d, callers kept %d, prompted %d, offered %d\n\n", len(r.answer), r.kept, r.prompted, r.offered)
	fmt.Println("| | 200 to the position | rescue INVITE | first prompt packet | caller's longest gap |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	r.row("median / p99 / worst, ms")
	return nil
}
