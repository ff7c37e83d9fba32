package main

import (
	"fmt"
	"time"
)

// held is an element that holds calls.
type held struct {
	*load
	hub *hub
}

// hold brings calls up and keeps them; quiet calls have media but send none.
func (b *bench) hold(e *element, n, room int, rate float64, media bool) (*held, error) {
	h := &held{}
	if media {
		var err error
		if h.hub, err = newHub(); err != nil {
			return nil, err
		}
	}
	l, err := newLoad(e.addr, room, h.hub)
	if err != nil {
		if h.hub != nil {
			h.hub.close()
		}
		return nil, err
	}
	l.sdp, l.positions = true, 100
	h.load = l
	return h, h.more(0, n, rate)
}

// more brings up calls from to to.
func (h *held) more(from, to int, rate float64) error {
	pace(to-from, rate, func(i int) { h.start(from + i) })
	if !wait(5*time.Second, func() bool { return int(h.answered.Load()) >= to }) {
		return fmt.Errorf("only %d of %d calls came up, %d failed", h.answered.Load(), to, h.failed.Load())
	}
	return nil
}

func (h *held) close() {
	h.load.close()
	if h.hub != nil {
		h.hub.close()
	}
}

// rest is how long calls are held before memory is read: what bringing them up
// took is given back by then.
const rest = 8 * time.Second

func (b *bench) memory() error {
	fmt.Println("Resident memory of the element: the growth from idle, divided by the calls; kB. Calls are held without packets, and have been for eight seconds.")
	fmt.Println()
	fmt.Printf("| element | 1,000 calls | %d calls |\n", mostHeld())
	fmt.Println("| --- | --- | --- |")
	type row struct {
		name  string
		start func() (*element, error)
	}
	for _, c := range []row{
		{"minimal sipgo B2BUA", b.startB2BUA},
		{"Holdline, recording on", func() (*element, error) { return b.startHoldline(shape{recording: true}) }},
	} {
		e, err := c.start()
		if err != nil {
			return err
		}
		line, err := b.memoryOf(e)
		e.stop()
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %s |\n", c.name, line)
	}
	return nil
}

func (b *bench) memoryOf(e *element) (string, error) {
	idle := e.memory()
	most := mostHeld()
	h, err := b.hold(e, 1000, most, 200, false)
	if err != nil {
		return "", err
	}
	defer h.close()
	time.Sleep(rest)
	first := float64(e.memory()-idle) / 1000 / 1000
	if b.profile != "" {
		e.dumpHeap()
	}
	if err := h.more(1000, most, 300); err != nil {
		return "", err
	}
	time.Sleep(rest)
	return fmt.Sprintf("%.1f | %.1f", first, float64(e.memory()-idle)/float64(most)/1000), nil
}
