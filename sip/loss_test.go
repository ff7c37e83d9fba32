package sip

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdline/sip/phone"
)

const (
	lossWorlds = 10
	lossCalls  = 100 // in each, at the same time
)

// A thousand calls whose positions hang up early while every hop loses one
// packet in ten: everybody is served, by exactly one taker, and nothing is
// left when they have gone. That no goroutine is left is seen by synctest.
func TestThousandCallsOverALossyNetwork(t *testing.T) {
	s := usualSettings()
	s.Positions = []Position{{ID: "pos-1", URI: uriFor("pos-1"), Calls: 200}, {ID: "pos-2", URI: uriFor("pos-2"), Calls: 200}}
	s.Fallback = []Tier{{To: []string{uriFor("fallback"), uriFor("fallback2")}, Strategy: RingAll, Ring: 20 * time.Second}}
	intercepted := 0
	for seed := range uint64(lossWorlds) {
		inSeededWorld(t, seed+1, s, []string{"caller", "pos-1", "pos-2", "fallback", "fallback2"}, func(w *world) {
			w.lossy(0.1)
			takers := &lossTakers{w: w, dice: rand.New(rand.NewPCG(seed, 1)), calls: map[string][]*phone.Call{}}
			for _, name := range []string{"pos-1", "pos-2"} {
				go takers.work(name, true)
			}
			for _, name := range []string{"fallback", "fallback2"} {
				go takers.work(name, false)
			}
			var callers []*phone.Call
			for range lossCalls {
				callers = append(callers, w.calls("caller"))
				w.pass(20 * time.Millisecond)
			}
			w.pass(5 * time.Minute) // every timer of RFC 3261 and several rounds of the queue
			for _, c := range callers {
				takers.serve(c)
			}
			for _, c := range callers {
				go func() { _, _ = c.Bye(w.ctx) }() // what it leaves is looked at below
			}
			w.pass(time.Minute)
			for _, c := range callers {
				if live := takers.live(c.ID()); len(live) > 0 {
					t.Errorf("%s has left, and %d takers have not noticed", c.ID(), len(live))
				}
			}
			w.nothingLeft()
			for _, kind := range w.journal.kinds() {
				if strings.HasPrefix(kind, "release.intercepted ") {
					intercepted++
				}
			}
		})
	}
	if least := lossWorlds * lossCalls * 9 / 10; intercepted < least {
		t.Errorf("only %d of %d calls had an early BYE; this tests too little", intercepted, lossWorlds*lossCalls)
	}
}

// lossTakers are the positions and the fallback takers of one world.
type lossTakers struct {
	w     *world
	mu    sync.Mutex
	dice  *rand.Rand
	calls map[string][]*phone.Call // of the fallback takers, by Call-ID
}

// work takes every call of one phone; an early one leaves within seconds.
func (l *lossTakers) work(name string, early bool) {
	for {
		c, err := l.w.phone(name).Accept(l.w.ctx)
		if err != nil {
			return // the world is over
		}
		go l.take(c, name, early)
	}
}

func (l *lossTakers) take(c *phone.Call, name string, early bool) {
	l.mu.Lock()
	if !early {
		l.calls[c.ID()] = append(l.calls[c.ID()], c)
	}
	ringing, talking := time.Duration(l.dice.IntN(1500))*time.Millisecond, time.Duration(l.dice.IntN(4000))*time.Millisecond
	l.mu.Unlock()
	_ = c.Ring() // it may be over already
	time.Sleep(ringing)
	if c.End() != nil || c.Answer(sdp(name)) != nil || !early {
		return
	}
	select {
	case <-c.Acked():
	case <-c.Ended():
		return
	}
	time.Sleep(talking)
	_, _ = c.Bye(l.w.ctx) // what the guard makes of it is looked at from the caller's side
}

// live are the fallback takers who believe to be in a call.
func (l *lossTakers) live(id string) []*phone.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.calls[id]), func(c *phone.Call) bool { return c.End() != nil })
}

// serve checks that a caller is with one fallback taker, everybody agreeing.
func (l *lossTakers) serve(c *phone.Call) {
	w := l.w
	w.t.Helper()
	if e := c.End(); e != nil {
		w.t.Fatalf("caller %s was let go: %s\n%v", c.ID(), e.Cause, w.journal.of(c.ID()))
	}
	if res, err := c.WaitAnswer(w.ctx); err != nil || res.StatusCode != 200 {
		w.t.Fatalf("caller %s was answered %v, %v", c.ID(), res, err)
	}
	v, err := w.guard.Get(c.ID())
	w.must(err)
	if v.State != string(Bridged) || !strings.Contains(v.Taker, "fallback") || !strings.HasPrefix(w.media.hears(c.ID()), "leg ") {
		w.t.Errorf("caller %s is %s with %q and hears %s\n%v", c.ID(), v.State, v.Taker, w.media.hears(c.ID()), w.journal.of(c.ID()))
	}
	if live := l.live(c.ID()); len(live) != 1 {
		w.t.Errorf("%d takers believe to have caller %s\n%v", len(live), c.ID(), w.journal.of(c.ID()))
	}
}
