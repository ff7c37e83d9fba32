package alerting

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdline/sip"
)

// TestFailingChannelIsSeen: an alert about it on the other channels, what waits
// for it goes to the next step at once, and its recovery is told too.
func TestFailingChannelIsSeen(t *testing.T) {
	inWorld(t, func(w *world) {
		pager, mail := w.add("pager", true), w.add("mail", false)
		w.steps = []Step{{Channels: []string{"pager"}}, {Channels: []string{"mail"}, After: time.Hour}}
		w.start()
		pager.broken(errDown)
		w.raise("one", "a1", "intercept")
		w.pass(10 * time.Second) // three attempts
		status := w.desk.Channels()[2]
		if status.Name != "pager" || status.State != Failing || status.Error != "connection refused" || status.Pending != 1 || status.Failures < 3 {
			t.Errorf("the channel that fails: %+v", status)
		}
		texts := mail.texts()
		if len(texts) != 2 || !strings.HasPrefix(texts[0]+texts[1], "firing ") || !strings.Contains(strings.Join(texts, " "), "firing a1") ||
			!strings.Contains(strings.Join(texts, " "), "firing channel/pager/") {
			t.Fatalf("the next step got %v", texts)
		}
		if a := w.alert("a1"); a.Escalated == nil || a.Escalated.Why != "the channels before do not work" {
			t.Errorf("escalated: %+v", a.Escalated)
		}
		w.raise("two", "a2", "intercept") // the next one does not wait for attempts
		w.want(mail, append(texts, "firing a2")...)
		w.pass(time.Hour)
		open, _ := w.desk.List(w.t.Context(), true)
		if len(open) != 3 {
			t.Errorf("%d alerts after an hour's outage, want 3", len(open))
		}
		if n := w.count(KindFailed); n < 5 || n > 10 {
			t.Errorf("%d records of failures in an hour", n)
		}
		pager.broken(nil)
		w.pass(2 * time.Minute)
		if s := w.desk.Channels()[2]; s.State != Works || s.Error != "" || s.Pending != 0 {
			t.Errorf("the channel works again: %+v", s)
		}
		w.want(pager, "firing a1", "firing a2")
		for _, a := range open {
			if a.Cause == causeChannel && w.alert(a.ID).State != Resolved {
				t.Errorf("the alert about the channel: %+v", w.alert(a.ID))
			}
		}
	})
}

// TestFailingChannelWorksAfterARestart: what was wrong before the restart is
// over all the same.
func TestFailingChannelWorksAfterARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		pager := w.add("pager", true)
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.start()
		pager.broken(errDown)
		w.raise("", "a1", "pattern")
		w.pass(10 * time.Second)
		open, _ := w.desk.List(w.t.Context(), true)
		if len(open) != 2 || open[0].Cause != causeChannel {
			t.Fatalf("open are %+v", open)
		}
		pager.broken(nil)
		w.start()
		w.pass(time.Second)
		w.want(pager, "firing a1")
		if a := w.alert(open[0].ID); a.State != Resolved || a.Resolved.Why != "the channel pager works again" {
			t.Errorf("the alert about the channel: %s %+v", a.State, a.Resolved)
		}
	})
}

// TestBackoffIsBounded: attempts become rarer, up to one a minute or so.
func TestBackoffIsBounded(t *testing.T) {
	for attempts, most := range map[int]time.Duration{1: 1250 * time.Millisecond, 2: 2500 * time.Millisecond, 6: 40 * time.Second, 7: 75 * time.Second, 1 << 30: 75 * time.Second} {
		for range 100 {
			if d := backoff(attempts); d > most || d < most*3/5 {
				t.Errorf("after %d attempts %s, want %s to %s", attempts, d, most*3/5, most)
			}
		}
	}
}

// TestPoison: an alert that the other side does not take is given up after some
// attempts, and those with it are delivered.
func TestPoison(t *testing.T) {
	inWorld(t, func(w *world) {
		p := &picky{bad: "a2"}
		w.channels = []Channel{{Name: "pager", Sender: p, Batch: 100, Program: true, Config: "x"}}
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.start()
		p.broken(errDown)
		for _, id := range []string{"a1", "a2", "a3"} {
			w.raise("", id, "pattern")
		}
		p.broken(nil)
		w.pass(5 * time.Minute)
		if got := strings.Join(p.texts(), " "); !strings.Contains(got, "firing a1") || !strings.Contains(got, "firing a3") || strings.Contains(got, "a2") {
			t.Errorf("delivered: %s", got)
		}
		if a := w.alert("a2"); len(a.Deliveries) != 0 {
			t.Errorf("an alert that was refused counts as delivered: %+v", a.Deliveries)
		}
		w.start() // and is not tried for ever
		refused := p.refused
		w.pass(time.Hour)
		if p.refused != refused {
			t.Errorf("it is tried again after a restart")
		}
	})
}

// TestPanicOfAChannel: it counts as a failure and ends nothing.
func TestPanicOfAChannel(t *testing.T) {
	inWorld(t, func(w *world) {
		w.channels = []Channel{{Name: "bad", Sender: nil, Config: "x"}}
		w.steps = []Step{{Channels: []string{"bad"}}}
		w.start()
		w.raise("", "a1", "pattern")
		w.pass(10 * time.Second)
		if s := w.desk.Channels()[1]; s.State != Failing || !strings.Contains(s.Error, "panicked") {
			t.Errorf("%+v", s)
		}
	})
}

// TestDegradedNode: one alert for each part that does not work, resolved when it
// works again or the node is started anew, and back when it is back.
func TestDegradedNode(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.note("", "node.degraded", `{"part":"recordings","reason":"the disk does not answer: recordings have stopped growing"}`)
		w.note("", "node.degraded", `{"part":"recordings","reason":"the disk is full"}`)
		w.note("", "node.degraded", `{"part":"calls","reason":"media cannot be opened"}`)
		w.note("", "node.degraded", `{"part":"calls","reason":"media cannot be opened"}`)
		list, _ := w.desk.List(w.t.Context(), true)
		if len(list) != 2 || list[1].Cause != causeRecording || list[0].Cause != causeDegraded || list[1].Severity != Warning {
			t.Fatalf("alerts: %+v", list)
		}
		w.note("", "node.degraded", `{"part":"recordings","recovered":true}`)
		if a := w.alert(list[1].ID); a.State != Resolved || a.Resolved.Why != "recordings: works again" {
			t.Errorf("after it recovered: %+v", a)
		}
		w.note("", "node.degraded", `{"part":"recordings","reason":"the disk is full"}`)
		if a := w.alert(list[1].ID); a.State != Open || a.Repeats != 1 {
			t.Errorf("when it is back: %+v", a)
		}
		w.note("", "node.started", `{}`)
		for _, a := range list {
			if got := w.alert(a.ID); got.State != Resolved {
				t.Errorf("after a start: %+v", got)
			}
		}
		if n := w.count(KindRaised); n != 3 {
			t.Errorf("%d records", n)
		}
	})
}

// TestSlowDisk: a moment is no alert, a while is one.
func TestSlowDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.note("", "node.degraded", `{"part":"journal","reason":"the disk is slow: records have waited 59ms"}`)
		w.pass(time.Second)
		w.note("", "node.degraded", `{"part":"journal","recovered":true}`)
		w.pass(time.Minute)
		if n := w.count(KindRaised); n != 0 {
			t.Errorf("%d alerts of a moment", n)
		}
		w.note("", "node.degraded", `{"part":"journal","reason":"the disk is slow: records have waited 59ms"}`)
		w.pass(slowFor)
		if n := w.count(KindRaised); n != 1 {
			t.Errorf("%d alerts of a slow disk", n)
		}
	})
}

// TestDegradedBeforeTheStart: what went wrong while the node was being started
// is told as well, what went wrong in its last life is not.
func TestDegradedBeforeTheStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.note("", "node.started", `{}`)
		w.note("", "node.degraded", `{"part":"recordings","reason":"old"}`)
		w.note("", "node.stopped", `{}`)
		w.note("", "node.degraded", `{"journal":"records_missing","why":"5 records are missing"}`)
		w.note("", "node.started", `{}`)
		w.start()
		list, _ := w.desk.List(w.t.Context(), true)
		if len(list) != 1 || !strings.Contains(list[0].Summary, "5 records are missing") {
			t.Errorf("alerts: %+v", list)
		}
	})
}

// TestPastCannotBeRead: new alerts are raised and told all the same, and the old
// ones come back with the disk.
func TestPastCannotBeRead(t *testing.T) {
	inWorld(t, func(w *world) {
		pager := w.add("pager", true)
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.start()
		w.raise("", "old", "pattern")
		w.journal.broken = errors.New("input/output error")
		w.start()
		w.raise("", "new", "pattern")
		list, err := w.desk.List(w.t.Context(), false)
		if err == nil || len(list) != 1 || list[0].ID != "new" {
			t.Errorf("without the disk: %+v, %v", list, err)
		}
		w.journal.mu.Lock()
		w.journal.broken = nil
		w.journal.mu.Unlock()
		w.pass(reloadEvery)
		if list, err := w.desk.List(w.t.Context(), false); err != nil || len(list) != 2 {
			t.Errorf("with it: %+v, %v", list, err)
		}
		w.pass(time.Minute)
		w.want(pager, "firing old", "firing new")
	})
}

// TestCallsThatWereLost: alerts about calls that ended with the last process do
// not claim that somebody waits.
func TestCallsThatWereLost(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.board.set(sip.CallView{ID: "one", State: "waiting"})
		w.raise("one", "a1", "intercept")
		w.raise("one", "r1", "review")
		delete(w.board.calls, "one")
		w.start()
		if a := w.alert("a1"); a.State != Resolved {
			t.Errorf("the caller who is gone: %+v", a)
		}
		if a := w.alert("r1"); a.State != Open {
			t.Errorf("what is to be reviewed: %+v", a)
		}
	})
}

// TestStuckCall: a call that does not answer holds up no alert.
func TestStuckCall(t *testing.T) {
	inWorld(t, func(w *world) {
		pager := w.add("pager", true)
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.start()
		w.board.stuck = make(chan struct{})
		w.raise("one", "a1", "intercept")
		w.pass(lookWait)
		w.want(pager, "firing a1")
		if s := pager.messages()[0].Notices[0].Alert.Situation; s == nil || s.State != callUnknown {
			t.Errorf("situation: %+v", s)
		}
		close(w.board.stuck)
		synctest.Wait()
	})
}

// TestTries: the test of a channel says how it went, and is no alert.
func TestTries(t *testing.T) {
	inWorld(t, func(w *world) {
		pager := w.add("pager", true)
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.start()
		if got, err := w.desk.Test(w.t.Context(), "pager", "s-2"); err != nil || !got.OK || got.Detail != "taken" {
			t.Errorf("%+v, %v", got, err)
		}
		if m := pager.messages(); len(m) != 1 || !m[0].Test || m[0].Seq != 0 {
			t.Errorf("messages: %+v", m)
		}
		pager.broken(errDown)
		if got, _ := w.desk.Test(w.t.Context(), "pager", "s-2"); got.OK || got.Error != "connection refused" {
			t.Errorf("%+v", got)
		}
		if _, err := w.desk.Test(w.t.Context(), "nobody", "s-2"); !errors.Is(err, ErrNoChannel) {
			t.Errorf("%v", err)
		}
		if list, _ := w.desk.List(w.t.Context(), false); len(list) != 0 || w.count(KindTested) != 2 {
			t.Errorf("%d alerts, %d records of tests", len(list), w.count(KindTested))
		}
	})
}
