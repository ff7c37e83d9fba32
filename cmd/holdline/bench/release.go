package main

import (
	"fmt"
	"time"
)

// rescues are the times of releases that were intercepted.
type rescues struct {
	answer, prompt, invite, gap times // BYE to 200, to the prompt at the caller, to the rescue INVITE; longest gap the caller heard
	kept, offered, prompted     int
	lost                        int64
}

// collect looks at calls from to to after they were released.
func (l *load) collect(from, to int) rescues {
	var r rescues
	for i := from; i < to; i++ {
		c := &l.calls[i]
		c.mu.Lock()
		s := &c.side[firstTaker]
		if s.byeSent == 0 {
			c.mu.Unlock()
			continue
		}
		if c.over == 0 || c.bye != 0 && c.side[secondTaker].invited != 0 {
			r.kept++
		}
		if s.byeOK != 0 {
			r.answer = append(r.answer, time.Duration(s.byeOK-s.byeSent))
		}
		if at := c.side[secondTaker].invited; at != 0 {
			r.offered++
			r.invite = append(r.invite, time.Duration(at-s.byeSent))
		}
		if l.hub != nil {
			e := &l.hub.ears[callers][i]
			if at := e.prompt.Load(); at != 0 {
				r.prompted++
				r.prompt = append(r.prompt, time.Duration(at-s.byeSent))
			}
			r.gap = append(r.gap, time.Duration(e.gap.Load()))
			r.lost += e.lost.Load()
		}
		c.mu.Unlock()
	}
	return r
}

func (r rescues) row(name string) {
	fmt.Printf("| %s | %s | %s | %s | %s |\n", name, r.answer.summary(), r.invite.summary(), r.prompt.summary(), r.gap.summary())
}

func (b *bench) release() error {
	fmt.Println("Times from the position's BYE, median / p99 / worst, ms. The verdict is on disk before anything of it is seen outside.")
	fmt.Println()
	fmt.Println("| beside | 200 to the position | rescue INVITE | first prompt packet | caller's longest gap |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	for _, beside := range []int{0, 500} {
		e, err := b.startHoldline(shape{recording: true})
		if err != nil {
			return err
		}
		r, err := b.releases(e, beside, max(20, int(200*b.factor)))
		e.stop()
		if err != nil {
			return err
		}
		name := "nothing"
		if beside > 0 {
			name = fmt.Sprintf("%d calls with media, recorded", beside)
		}
		r.row(name)
	}
	return nil
}

// releases measures n releases, one after the other, beside calls that go on.
func (b *bench) releases(e *element, beside, n int) (rescues, error) {
	h, err := b.hold(e, beside, beside+n, 200, true)
	if err != nil {
		return rescues{}, err
	}
	defer h.close()
	h.ring, h.talk = 200*time.Millisecond, 200*time.Millisecond
	pace(n, 20, func(k int) {
		i := beside + k
		h.start(i)
		h.after(300*time.Millisecond, func() { h.release(i) })
	})
	wait(3*time.Second, func() bool { return int(h.rescued.Load()) >= n })
	time.Sleep(700 * time.Millisecond)
	return h.collect(beside, beside+n), nil
}

func (b *bench) mass() error {
	const n = 500
	e, err := b.startHoldline(shape{recording: true})
	if err != nil {
		return err
	}
	defer e.stop()
	h, err := b.hold(e, n, n, 200, true)
	if err != nil {
		return err
	}
	defer h.close()
	h.ring = 500 * time.Millisecond
	time.Sleep(500 * time.Millisecond)
	pace(n, n/0.9, h.release)
	wait(5*time.Second, func() bool { return h.rescued.Load() >= n })
	time.Sleep(time.Second)
	r := h.collect(0, n)
	fmt.Printf("%d positions hang up within 0.9 s: %d callers kept, %d heard the prompt, %d were offered to the queue, %d packets lost on the way to them.\n\n",
		n, r.kept, r.prompted, r.offered, r.lost)
	fmt.Println("| | 200 to the position | rescue INVITE | first prompt packet | caller's longest gap |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	r.row("median / p99 / worst, ms")
	return nil
}
