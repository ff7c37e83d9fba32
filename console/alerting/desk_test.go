package alerting

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdline/policy"
	"holdline/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEscalation: one channel after the other is told until somebody
// acknowledges, and none after it.
func TestEscalation(t *testing.T) {
	inWorld(t, func(w *world) {
		pager, ring, mail := w.add("pager", true), w.add("ring", false), w.add("mail", false)
		w.steps = []Step{{Channels: []string{"pager"}}, {Channels: []string{"ring"}, After: 30 * time.Second}, {Channels: []string{"mail"}, After: time.Minute}}
		w.start()
		w.raise("one", "a1", "intercept")
		w.want(pager, "firing a1")
		w.pass(29 * time.Second)
		w.want(ring)
		if a := w.alert("a1"); a.State != Open || a.Severity != Critical || a.Escalated != nil {
			t.Errorf("before the second step: %+v", a)
		}
		w.pass(time.Second)
		w.want(ring, "firing a1")
		if a := w.alert("a1"); a.State != Escalated || a.Escalated.Step != 2 || len(a.Deliveries) != 2 {
			t.Errorf("after the second step: %+v", a)
		}
		w.ack("a1", "s-2")
		w.pass(time.Hour)
		w.want(mail)
		w.want(pager, "firing a1", "resolved a1")
		if n := w.count(KindEscalated); n != 1 {
			t.Errorf("%d records of an escalation", n)
		}
	})
}

// TestStepsChoose: a step may be for severe alerts, for some causes, or for as
// long as the cause is there.
func TestStepsChoose(t *testing.T) {
	inWorld(t, func(w *world) {
		critical, patterns, alone := w.add("critical", false), w.add("patterns", false), w.add("alone", false)
		w.steps = []Step{
			{Channels: []string{"critical"}, Severity: Critical},
			{Channels: []string{"patterns"}, Causes: []string{"pattern"}},
			{Channels: []string{"alone"}, After: time.Minute, Severity: Critical, Unresolved: true},
		}
		w.start()
		w.board.set(sip.CallView{ID: "one", State: "waiting"})
		w.raise("one", "a1", "intercept")
		w.raise("two", "a2", "intercept")
		w.raise("", "p1", "pattern")
		w.pass(time.Second)
		w.note("one", "rescue.answered", `{"position":"pos-2","agent":"bob"}`)
		w.pass(2 * time.Minute)
		w.want(critical, "firing a1", "firing a2")
		w.want(patterns, "firing p1")
		w.want(alone, "firing a2")
	})
}

// TestUnresolvedStepEndsWithItsCause: nobody is rung for a caller who has
// somebody by now, because the phone was busy at first; and what was never told
// is not journaled as told.
func TestUnresolvedStepEndsWithItsCause(t *testing.T) {
	inWorld(t, func(w *world) {
		ring := w.add("ring", false)
		w.steps = []Step{{Channels: []string{"ring"}, Unresolved: true}}
		w.start()
		ring.broken(errDown)
		w.board.set(sip.CallView{ID: "one", State: "waiting"})
		w.raise("one", "a1", "intercept")
		w.raise("one", "a2", "escalation")
		w.raise("two", "a3", "intercept")
		w.pass(500 * time.Millisecond)
		w.note("one", "rescue.answered", `{"position":"pos-2","agent":"bob"}`)
		ring.broken(nil)
		w.pass(time.Minute)
		w.want(ring, "firing a3")
		for _, id := range []string{"a1", "a2"} {
			if a := w.alert(id); len(a.Deliveries) != 0 {
				t.Errorf("%s was never told, and has %+v", id, a.Deliveries)
			}
		}
		if w.count(KindDelivered) != 1 || len(w.alert("a3").Deliveries) != 1 {
			t.Errorf("%d deliveries are journaled", w.count(KindDelivered))
		}
		w.raise("one", "a4", "escalation") // it is back
		w.pass(time.Second)
		w.want(ring, "firing a3", "firing a2")
	})
}

// TestRescueResolves: who waited and is served now is marked so, and is still
// to be acknowledged.
func TestRescueResolves(t *testing.T) {
	inWorld(t, func(w *world) {
		pager := w.add("pager", true)
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.start()
		w.board.set(sip.CallView{
			ID: "one", State: "waiting", Waiting: time.Now(), From: "<sip:+15045550123@x>",
			Intake: policy.Intake{policy.Location: {Value: "12 Canal St"}},
		})
		w.raise("one", "a1", "intercept")
		w.pass(12 * time.Second)
		waiting, _ := w.board.Get("one")
		w.board.set(sip.CallView{ID: "one", State: "releasing", Taker: "pos-1"})
		if s := w.alert("a1").Situation; s.With != "" || s.WaitingMS != 12000 {
			t.Errorf("while the call is about to act on the verdict: %+v", s)
		}
		w.board.set(waiting)
		a := w.alert("a1")
		if s := a.Situation; s == nil || s.WaitingMS != 12000 || s.From == "" || strings.Join(s.Missing, " ") != "callback nature" {
			t.Errorf("situation: %+v", s)
		}
		var do []string
		for _, x := range a.Actions {
			do = append(do, x.Do)
		}
		if got := strings.Join(do, " "); got != "barge listen whisper intake release acknowledge" {
			t.Errorf("actions: %s", got)
		}
		w.board.set(sip.CallView{ID: "one", State: "bridged", Taker: "pos-2", Agent: "bob"})
		w.note("one", "rescue.answered", `{"position":"pos-2","agent":"bob"}`)
		a = w.alert("a1")
		if a.State != Resolved || a.Resolved.Why != "the caller is with pos-2 (bob)" || a.Acknowledged != nil {
			t.Errorf("after the rescue: %+v %+v", a, a.Resolved)
		}
		w.note("one", "call.ended", `{"by":"caller"}`)
		if n := w.count(KindResolved); n != 1 {
			t.Errorf("%d records of the end of one alert", n)
		}
		w.want(pager, "firing a1", "resolved a1")
		if open, _ := w.desk.List(w.t.Context(), true); len(open) != 1 {
			t.Errorf("%d alerts are open, want the one that nobody acknowledged", len(open))
		}
	})
}

// TestTakerWhoWasNotThere: the alert about a caller on hold is over when somebody
// else has the caller, and when the call taker is back.
func TestTakerWhoWasNotThere(t *testing.T) {
	for kind, x := range map[string]struct{ data, why string }{
		"rescue.answered":  {`{"position":"pos-2","agent":"bob"}`, "the caller is with pos-2 (bob)"},
		"rescue.calledoff": {`{"position":"pos-1","why":"the taker is back"}`, "the taker is back"},
	} {
		inWorld(t, func(w *world) {
			w.start()
			w.board.set(sip.CallView{ID: "one", State: "bridged", Taker: "pos-1"})
			for _, cause := range []string{"held", "intercept", "unrelayed"} {
				w.raise("one", cause, cause)
			}
			w.note("one", kind, x.data)
			for _, id := range []string{"held", "intercept"} {
				if a := w.alert(id); a.State != Resolved || a.Resolved.Why != x.why {
					t.Errorf("%s: %s is %s, %+v", kind, id, a.State, a.Resolved)
				}
			}
			if a := w.alert("unrelayed"); a.State != Open {
				t.Errorf("%s: what is owed is %s", kind, a.State)
			}
		})
	}
}

// TestCallerWhoHungUp: the alert says that nobody had answered, and that the
// caller should be called back.
func TestCallerWhoHungUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.board.set(sip.CallView{ID: "one", State: "waiting", From: `"<Ann>" <sip:+15045550123@x;user=phone>;tag=7`})
		w.raise("one", "a1", "intercept")
		w.alert("a1") // seen while the caller waits
		w.pass(70 * time.Second)
		delete(w.board.calls, "one")
		w.note("one", "call.ended", `{"by":"caller"}`)
		a := w.alert("a1")
		if a.State != Resolved || !strings.Contains(a.Resolved.Why, "hung up 1:10 after the alert, and nobody had answered") {
			t.Errorf("%s %+v", a.State, a.Resolved)
		}
		if len(a.Actions) == 0 || a.Actions[0].What != "call +15045550123 back" {
			t.Errorf("actions: %+v", a.Actions)
		}
	})
}

// TestOneAlertPerCause: the same id, a caller who escalates again and again, and
// a target that comes and goes are one alert each.
func TestOneAlertPerCause(t *testing.T) {
	inWorld(t, func(w *world) {
		pager := w.add("pager", true)
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.start()
		for i := range 10 {
			w.raise("one", fmt.Sprintf("e%d", i), "escalation")
			w.pass(30 * time.Second)
		}
		w.raise("", "p", "pattern")
		w.raise("", "p", "pattern")
		w.raise("", "d1", "target dead")
		w.raise("", "d2", "target alive")
		list, _ := w.desk.List(w.t.Context(), false)
		if len(list) != 3 {
			t.Fatalf("%d alerts, want 3", len(list))
		}
		e := w.alert("e0")
		if e.Repeats != 9 || e.Repeated.Sub(e.Raised) != 9*30*time.Second {
			t.Errorf("the escalation: %d repeats, the last %s after the first", e.Repeats, e.Repeated.Sub(e.Raised))
		}
		if d := w.alert("d1"); d.State != Resolved {
			t.Errorf("the target that answers again: %s", d.State)
		}
		w.want(pager, "firing e0", "firing p", "firing d1", "resolved d1")
		if a := w.ack("e7", "s-2"); a.ID != "e0" { // by any of its ids
			t.Errorf("acknowledging e7: %s", a.ID)
		}
		w.raise("one", "e10", "escalation") // at once: known
		w.pass(calmAfter + time.Second)
		w.raise("one", "e11", "escalation") // the caller still waits
		if open, _ := w.desk.List(w.t.Context(), true); len(open) != 3 || open[0].ID != "e11" {
			t.Errorf("open: %+v", open)
		}
	})
}

// TestAcknowledgmentsRace: the first of many stands, for everybody.
func TestAcknowledgmentsRace(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.raise("one", "a1", "intercept")
		var wg sync.WaitGroup
		got := make(chan string, 50)
		for i := range 50 {
			wg.Go(func() {
				a, err := w.desk.Acknowledge(w.t.Context(), "a1", fmt.Sprint("s-", i), "")
				if err != nil {
					t.Error(err)
					return
				}
				got <- a.Acknowledged.By
			})
		}
		wg.Wait()
		close(got)
		first := <-got
		for by := range got {
			if by != first {
				t.Errorf("%s and %s both acknowledged first", first, by)
			}
		}
		synctest.Wait()
		if n := w.count(KindAcknowledged); n != 1 {
			t.Errorf("%d records", n)
		}
		if _, err := w.desk.Acknowledge(w.t.Context(), "nothing", "x", ""); !errors.Is(err, ErrNoAlert) {
			t.Errorf("unknown alert: %v", err)
		}
	})
}

// TestRestartInTheMiddleOfRetries: what a channel had not taken when the process
// ended is delivered by the next one, once, with the next number.
func TestRestartInTheMiddleOfRetries(t *testing.T) {
	inWorld(t, func(w *world) {
		pager, desk := w.add("pager", true), w.add("desk", false)
		w.steps = []Step{{Channels: []string{"pager", "desk"}}}
		w.start()
		w.raise("one", "a1", "intercept")
		pager.broken(errDown)
		w.raise("two", "a2", "intercept")
		w.raise("three", "a3", "intercept")
		w.pass(5 * time.Second) // some attempts
		w.ack("a2", "s-2")
		w.start()
		w.pass(5 * time.Second)
		pager.broken(nil)
		w.start()
		w.pass(time.Minute)
		texts := strings.Join(pager.texts(), ", ")
		for _, want := range []string{"firing a1", "firing a2", "resolved a2", "firing a3"} {
			if strings.Count(texts, want) != 1 {
				t.Errorf("%q is not once in %s", want, texts)
			}
		}
		if strings.Index(texts, "firing a2") > strings.Index(texts, "resolved a2") {
			t.Errorf("the end came before the beginning: %s", texts)
		}
		for i, m := range pager.messages() {
			if m.Seq != uint64(i+1) {
				t.Errorf("message %d has the number %d", i+1, m.Seq)
			}
		}
		if n := strings.Count(strings.Join(desk.texts(), ", "), "firing a3"); n != 1 {
			t.Errorf("a channel that had it was told %d times", n)
		}
	})
}

// TestEscalationSurvivesARestart: time goes on while the node is down.
func TestEscalationSurvivesARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		mail := w.add("mail", false)
		w.steps = []Step{{Channels: []string{"mail"}, After: time.Minute}}
		w.start()
		w.raise("", "a1", "pattern")
		w.raise("", "a2", "pattern")
		w.pass(10 * time.Second)
		w.ack("a2", "s-2")
		w.desk.Stop()
		w.pass(40 * time.Second)
		w.start()
		w.want(mail)
		w.pass(10 * time.Second)
		w.want(mail, "firing a1")
		w.start()
		w.pass(time.Hour)
		w.want(mail, "firing a1")
	})
}

// TestNewChannelGetsNoPast: a channel that is added is told of what comes, and
// not of years of alerts; one that comes back begins anew as well.
func TestNewChannelGetsNoPast(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.raise("", "old", "pattern")
		pager := w.add("pager", true)
		w.steps = []Step{{Channels: []string{"pager"}}}
		w.desk.Configure(w.channels, w.steps)
		w.raise("", "new", "pattern")
		w.start()
		w.pass(time.Minute)
		w.want(pager, "firing new")
		w.desk.Configure(nil, nil)
		synctest.Wait()
		w.raise("", "between", "pattern")
		w.desk.Configure(w.channels, w.steps)
		w.pass(time.Minute)
		w.want(pager, "firing new")
	})
}

// TestStorm: a thousand alerts in a second are all delivered, in few messages,
// and none holds up the others.
func TestStorm(t *testing.T) {
	inWorld(t, func(w *world) {
		pager, phone, dead := w.add("pager", true), w.add("phone", false), w.add("dead", false)
		w.channels[1].Batch, w.channels[1].Every, w.channels[1].Burst = 1000, 10*time.Second, 6
		dead.hang = true
		w.steps = []Step{{Channels: []string{"pager", "phone", "dead"}}}
		w.start()
		begin := time.Now()
		for i := range 1000 {
			w.raise(fmt.Sprint("call", i), fmt.Sprint("a", i), "intercept")
			time.Sleep(time.Millisecond)
		}
		w.pass(time.Second)
		seen := map[string]int{}
		for _, text := range pager.texts() {
			seen[text]++
		}
		for i := range 1000 {
			if seen[fmt.Sprint("firing a", i)] != 1 {
				t.Fatalf("alert %d was told %d times", i, seen[fmt.Sprint("firing a", i)])
			}
		}
		pager.mu.Lock()
		times := slices.Clone(pager.at)
		pager.mu.Unlock()
		for _, at := range times {
			if at.Sub(begin) > 2*time.Second {
				t.Errorf("a message %s after the beginning", at.Sub(begin))
			}
		}
		w.pass(10 * time.Second) // six at once, and then one in ten seconds
		if n := len(phone.messages()); n < 7 || n > 8 {
			t.Errorf("the phone got %d messages", n)
		}
		told := 0
		for _, m := range phone.messages() {
			told += len(m.Notices)
			if text := m.Text(messageText); len(text) > messageText || !strings.HasSuffix(text, "\nhttp://console/") {
				t.Errorf("a text of %d bytes: %s", len(text), text)
			}
		}
		if told < 1000 {
			t.Errorf("the phone was told of %d alerts", told)
		}
		for i := range 60 { // in the long run there is one in ten seconds
			w.raise("", fmt.Sprint("later", i), "pattern")
			w.pass(time.Second)
		}
		if n := len(phone.messages()); n < 12 || n > 15 {
			t.Errorf("the phone got %d messages", n)
		}
	})
}

// TestEndsOfOtherCauses: help that came and a supervisor who serves a caller
// end what they are about, and nothing else.
func TestEndsOfOtherCauses(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start()
		w.board.set(sip.CallView{ID: "one", State: "bridged"})
		for _, cause := range []string{"assist", "escalation", "review"} {
			w.raise("one", cause[:2], cause)
		}
		w.note("one", "supervisor.joined", `{"mode":"listen","target":"chief"}`)
		w.note("one", "supervisor.joined", `{"mode":"barge","target":"chief","taker":"pos-1"}`)
		w.note("one", "assist.ended", `{"alert":"as","how":"no supervisor answered"}`)
		if n := w.count(KindResolved); n != 0 {
			t.Fatalf("%d alerts ended by what ends none", n)
		}
		w.note("one", "supervisor.mode", `{"mode":"barge","target":"chief"}`)
		w.note("one", "assist.ended", `{"alert":"as","how":"a supervisor came","with":"chief"}`)
		for id, want := range map[string]string{
			"es": "the caller is with the supervisor chief", "as": "a supervisor came: chief",
		} {
			if a := w.alert(id); a.State != Resolved || a.Resolved.Why != want {
				t.Errorf("%s: %s %+v", a.Cause, a.State, a.Resolved)
			}
		}
		w.raise("", "su", "surge")
		w.note("", "surge.ended", `{"by":"chief"}`)
		if a := w.alert("su"); a.State != Resolved {
			t.Errorf("surge mode: %+v", a)
		}
		w.note("one", "call.ended", `{"by":"position"}`)
		if a := w.alert("re"); a.State != Open {
			t.Errorf("the review: %+v", a.Resolved)
		}
	})
}
