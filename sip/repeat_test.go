package sip

import (
	"testing"
	"testing/synctest"
	"time"
)

// A call that is over is forgotten with its transactions; what of it comes
// once more is answered as before, and begins nothing.
func TestRequestsRepeatedAfterTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWireFake()
		w.keep = true
		g := benchGuard(t, w)
		w.call()
		time.Sleep(2 * crossing)
		synctest.Wait()
		if g.InProgress() != 0 || len(g.snapshot()) != 0 {
			t.Fatalf("%d calls in progress, %d known", g.InProgress(), len(g.snapshot()))
		}
		sent := w.wrote.Load()
		invite, bye := w.kept[0], w.kept[len(w.kept)-1]
		w.send(benchCaller, bye)
		<-w.over // the same 200 again
		for range 3 {
			w.send(benchCaller, invite)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.wrote.Load() - sent; got != 1 {
			t.Errorf("%d messages were sent for repeated ones, want the 200 alone", got)
		}
		if len(g.snapshot()) != 0 {
			t.Error("a repeated INVITE began another call")
		}
		time.Sleep(3 * time.Minute) // timers of the library
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// The 2xx of a taker whose transaction was let go is acknowledged again.
func TestRepeatedAnswerOfATakerIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWireFake()
		w.keep, w.stays = true, true
		g := benchGuard(t, w)
		w.call()
		synctest.Wait()
		acks := w.acks.Load()
		w.send(benchTaker, w.answer)
		synctest.Wait()
		if got := w.acks.Load() - acks; got != 1 {
			t.Errorf("%d ACKs for a repeated 200, want 1", got)
		}
		if g.InProgress() != 1 {
			t.Error("the call is gone")
		}
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Minute)
	})
}
