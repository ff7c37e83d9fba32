package sip

import (
	"testing"
	"time"
)

func TestQueueOrder(t *testing.T) {
	q := newQueue()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	late, early, urgent := &Call{}, &Call{}, &Call{}
	for i, c := range []*Call{late, early, urgent} {
		c.g, c.inbox.owned = &Guard{}, true // nobody works it off
		q.enter(c, []int{0, 0, rank("esnet.3, q735.0")}[i], at.Add(time.Duration([]int{2, 1, 3}[i])*time.Second))
	}
	for i, c := range []*Call{urgent, early, late} {
		if got := q.place(c); got != i+1 {
			t.Errorf("place %d, want %d", got, i+1)
		}
	}
	q.want(early, "x")
	if !q.may(urgent, "x") || !q.may(early, "x") || q.may(late, "x") || q.may(&Call{}, "x") || !q.may(late, "y") {
		t.Error("a target that somebody waits for must go to them, or to whoever is before them, first")
	}
	q.got(early)
	if !q.may(late, "x") {
		t.Error("a caller who is being offered to somebody must not hold up the others")
	}
	q.want(early, "x")
	q.freed("x")
	if len(early.inbox.take(nil)) != 1 || len(late.inbox.take(nil)) != 0 {
		t.Error("a freed target must wake whoever wants it, and nobody else")
	}
	q.leave(early)
	if !q.may(late, "x") || q.place(late) != 2 {
		t.Error("who left must not hold up the others")
	}
}

func TestRank(t *testing.T) {
	for _, c := range []struct {
		header string
		rank   int
	}{{"", 0}, {"esnet.0", 1}, {"esnet.4", 5}, {"wps.1, ESNET.2", 3}, {"esnet.x", 0}, {"dsn.flash", 0}} {
		if got := rank(c.header); got != c.rank {
			t.Errorf("%q ranks %d, want %d", c.header, got, c.rank)
		}
	}
}
