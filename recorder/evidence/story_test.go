package evidence

import (
	"strings"
	"testing"
	"time"

	"holdline/recorder"
)

// TestSummaryBeginsInShort: the whole call in a few sentences, which blame nobody
// where it is not known whose doing something was.
func TestSummaryBeginsInShort(t *testing.T) {
	at := time.Date(2026, 8, 14, 18, 3, 0, 0, time.UTC)
	var records []recorder.Record
	add := func(after time.Duration, call, kind, data string) {
		records = append(records, recorder.Record{Time: at.Add(after), Call: call, Kind: kind, Data: []byte(data)})
	}
	add(-time.Minute, "", "node.started", `{}`)
	add(0, "c", "call.offered", `{"position":"pos-1","agent":"ann","from":"sip:5045550100@x"}`)
	add(4*time.Second, "c", "call.answered", `{"position":"pos-1","agent":"ann"}`)
	add(5*time.Second, "c", "intake.marked", `{"field":"location","value":"12 Canal Street"}`)
	add(7*time.Second, "c", "release.requested", `{"position":"pos-1","agent":"ann","how":"bye","class":"operator","talkMs":3000}`)
	add(7*time.Second, "c", "release.intercepted", `{}`)
	add(9*time.Second, "c", "rescue.answered", `{"position":"pos-2","waitingMs":2000}`)
	add(20*time.Second, "c", "release.requested", `{"position":"pos-2","how":"no-media","class":"unknown","talkMs":11000}`)
	add(79*time.Second, "c", "release.requested", `{"position":"pos-3","how":"bye","talkMs":9000}`)
	add(79*time.Second, "c", "release.allowed", `{"decision":"review","why":"a prank, said the call taker"}`)
	add(80*time.Second, "c", "call.ended", `{"by":"caller","reason":"bye"}`)
	want := "The call came in on 14 August 2026 at 18:03:00 UTC. pos-1 (ann) answered 4.0 seconds later. " +
		"pos-1 (ann) hung up, 3.0 seconds after taking the call; by then this had been established: location. " +
		"Holdline kept the caller on the line. pos-2 took the caller, who had been waiting for 2.0 seconds. " +
		"pos-2 sent no sound (it is not known whose doing), 11.0 seconds after taking the call; by then this had been established: location. " +
		"pos-3 hung up, 9.0 seconds after taking the call; by then this had been established: location. " +
		"That was allowed, for a supervisor to look at: a prank, said the call taker. " +
		"The call ended, by the caller, 1 min 20 s after it came in."
	if got := strings.Join(inShort("c", records), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
