package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// contender is an element that can take calls.
type contender struct {
	name  string
	media bool // calls are recorded and some packets flow
	start func() (*element, error)
}

func (b *bench) contenders() []contender {
	return []contender{
		{"Kamailio, stateful proxy with dialogs", false, b.startKamailio},
		{"minimal sipgo B2BUA", false, b.startB2BUA},
		{"Holdline, media anchored, journal on disk, no packets", false, func() (*element, error) {
			return b.startHoldline(shape{recording: false})
		}},
		{"Holdline, everything on: recording, 10 packets a second each way and call", true, func() (*element, error) {
			return b.startHoldline(shape{recording: true})
		}},
	}
}

// result is what became of the calls of one rate.
type result struct {
	calls, failed, resent int
	refused               int     // of failed, those with a final answer that was none of the taker's
	cpu                   float64 // seconds per 1,000 calls
	setup                 times   // INVITE to 180 at the caller
}

func (r result) clean() bool { return r.failed == 0 && r.resent == 0 }

func (r result) String() string {
	s := fmt.Sprintf("%.2f", r.cpu)
	if !r.clean() {
		s += fmt.Sprintf(" (%d failed, %d of them refused, %d resent)", r.failed, r.refused, r.resent)
	}
	return s
}

// calls runs calls at a rate through an element and waits for their end.
func (b *bench) calls(e *element, rate float64, length, hold time.Duration, media bool) (result, error) {
	n := max(1, int(rate*length.Seconds()))
	var h *hub
	if media {
		var err error
		if h, err = newHub(); err != nil {
			return result{}, err
		}
		defer h.close()
	}
	l, err := newLoad(e.addr, n, h)
	if err != nil {
		return result{}, err
	}
	defer l.close()
	l.positions, l.sdp = 100, true
	before := e.cpu()
	pace(n, rate, func(i int) {
		l.start(i)
		l.after(hold, func() { l.hangUp(i) })
	})
	wait(hold+3*time.Second, func() bool { return int(l.ended.Load()+l.failed.Load()) >= n })
	r := result{calls: n, resent: int(l.resent.Load()), failed: n - int(l.ended.Load()), refused: int(l.failed.Load())}
	r.cpu = (e.cpu() - before).Seconds() / float64(n) * 1000
	for i := range l.calls {
		c := &l.calls[i]
		c.mu.Lock()
		if c.ringing > c.began {
			r.setup = append(r.setup, time.Duration(c.ringing-c.began))
		}
		c.mu.Unlock()
	}
	return r, nil
}

func (b *bench) signalling() error {
	fmt.Println("CPU seconds (user and system, of the element alone) per 1,000 calls of INVITE, 180, 200, ACK, 0.2 s of talk, BYE;")
	fmt.Printf("set-up is INVITE to 180 at the caller at %.0f calls/s, with the generator's part in it, in ms.\n\n", b.middle())
	fmt.Print("| element |")
	for _, rate := range b.rates {
		fmt.Printf(" %.0f calls/s |", rate)
	}
	fmt.Printf(" set-up p50 / p99 |\n%s\n", strings.Repeat("| --- ", len(b.rates)+2)+"|")
	for _, c := range b.contenders() {
		if !strings.Contains(c.name, b.only) {
			continue
		}
		var row strings.Builder
		row.WriteString("| " + c.name)
		var setup times
		for _, rate := range b.rates {
			e, err := c.start()
			if errors.Is(err, errMissing) {
				row.WriteString(" | not installed")
				continue
			}
			if err != nil {
				return err
			}
			r, err := b.calls(e, rate, b.seconds(4), 200*time.Millisecond, c.media)
			e.stop()
			if err != nil {
				return err
			}
			row.WriteString(" | " + r.String())
			if rate == b.middle() {
				setup = r.setup
			}
		}
		fmt.Printf("%s | %s / %s |\n", row.String(), ms(setup.quantile(0.5)), ms(setup.quantile(0.99)))
	}
	return nil
}

// middle is the rate at which set-up is told.
func (b *bench) middle() float64 { return b.rates[len(b.rates)/2] }

// highestRate looks for the highest rate without a retransmission or a failed call.
func (b *bench) highestRate() error {
	fmt.Println("Highest rate (calls/s, steps of 500, 3 s each) without a retransmission or a failed call; generator on the same processors.")
	fmt.Println()
	fmt.Println("| element | highest clean rate | what came at the next step |")
	fmt.Println("| --- | --- | --- |")
	for _, c := range b.contenders() {
		if !strings.Contains(c.name, b.only) {
			continue
		}
		best, next := 0.0, ""
		misses := 0
		for rate := 500.0; rate <= 4000 && misses < 2; rate += 500 {
			e, err := c.start()
			if errors.Is(err, errMissing) {
				next = "not installed"
				break
			}
			if err != nil {
				return err
			}
			r, err := b.calls(e, rate, b.seconds(3), 200*time.Millisecond, c.media)
			e.stop()
			if err != nil {
				return err
			}
			if r.clean() {
				best, misses = rate, 0
				continue
			}
			if misses++; misses == 1 { // once more, at the next rate: other work on this machine must not decide
				next = fmt.Sprintf("%.0f/s: %d failed, %d resent of %d", rate, r.failed, r.resent, r.calls)
			}
		}
		fmt.Printf("| %s | %.0f | %s |\n", c.name, best, next)
	}
	return nil
}
