package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdline/policy"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// book writes records and keeps the account of them, as the node does.
type book struct {
	t       *testing.T
	l       *Ledger
	at      time.Time
	records []policy.Record
	found   []policy.Finding
}

func usual() Options {
	return Options{Node: "a", Owed: time.Hour, Redial: 10 * time.Minute, Relay: Relay{Within: 3 * time.Minute, Talk: 30 * time.Second, Alerts: 3}}
}

func newBook(t *testing.T, o Options) *book { return &book{t: t, l: New(o), at: epoch} }

// write adds a record. data is pairs of key and value.
func (b *book) write(kind, call string, pairs ...any) {
	data := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i].(string)] = pairs[i+1]
	}
	text, err := json.Marshal(data)
	if err != nil {
		b.t.Fatal(err)
	}
	r := policy.Record{Seq: uint64(len(b.records) + 1), Time: b.at, Node: "a", Call: call, Kind: kind, Data: text}
	b.records = append(b.records, r)
	b.found = append(b.found, b.l.Apply(r)...)
}

// pass lets time go by and calls the follower when it wants to be.
func (b *book) pass(d time.Duration) {
	end := b.at.Add(d)
	for {
		due := b.l.Due()
		if due.IsZero() || due.After(end) {
			break
		}
		b.at = due
		b.found = append(b.found, b.l.Tick(due)...)
		if next := b.l.Due(); !next.IsZero() && !next.After(due) {
			b.t.Fatalf("after a tick at %s the next is due at %s", due, next)
		}
	}
	b.at = end
}

func (b *book) offered(call, number, position, agent string) {
	b.write("call.offered", call, "kind", "emergency", "from", "<sip:"+number+"@net>", "emergencyId", "urn:emergency:uid:callid:"+call,
		"requestUri", "urn:service:sos", "position", position, "agent", agent)
}

func (b *book) taken(call, number, position, agent string) {
	b.offered(call, number, position, agent)
	b.write("call.answered", call, "position", position, "agent", agent)
}

func (b *book) mark(call string, field policy.Field, value string) {
	b.write("intake.marked", call, "field", string(field), "value", value, "by", "cad", "source", "http")
}

func (b *book) asked(call string) {
	b.mark(call, policy.Location, "12 Canal Street")
	b.mark(call, policy.Callback, "5045550100")
	b.mark(call, policy.Nature, "fire")
}

func (b *book) left(call, position, agent string) {
	b.write("release.requested", call, "position", position, "agent", agent, "how", "bye")
	b.write("release.intercepted", call, "position", position, "agent", agent, "rule", "intake-incomplete")
}

func (b *book) ends(call, by string) { b.write("call.ended", call, "by", by, "reason", "bye") }

func (b *book) owes(want ...Cause) {
	b.t.Helper()
	got := []Cause{}
	for _, c := range b.l.Callbacks(b.at, false) {
		got = append(got, c.Cause)
	}
	if !slices.Equal(got, append([]Cause{}, want...)) {
		b.t.Errorf("callbacks owed: %v, want %v", got, want)
	}
}

// TestWhoIsOwedACallback: one row for each way in which a call may end.
func TestWhoIsOwedACallback(t *testing.T) {
	const number = "+15045550100"
	tests := map[string]struct {
		call func(b *book)
		want []Cause
	}{
		"hangs up before the answer": {func(b *book) { b.offered("c", number, "p", "ann"); b.ends("c", "caller") }, []Cause{Abandoned}},
		"hangs up on the taker":      {func(b *book) { b.taken("c", number, "p", "ann"); b.ends("c", "caller") }, []Cause{HungUp}},
		"left, and hangs up in the queue": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.left("c", "p", "ann")
			b.ends("c", "caller")
		}, []Cause{Gone}},
		"rescued, and hangs up then": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.left("c", "p", "ann")
			b.write("rescue.answered", "c", "position", "q")
			b.ends("c", "caller")
		}, []Cause{HungUp}},
		"lost by a fault":        {func(b *book) { b.taken("c", number, "p", "ann"); b.ends("c", "error") }, []Cause{Technical}},
		"let go without intake":  {func(b *book) { b.taken("c", number, "p", "ann"); b.ends("c", "position") }, []Cause{Released}},
		"ended by a supervisor":  {func(b *book) { b.taken("c", number, "p", "ann"); b.ends("c", "supervisor") }, nil},
		"intake complete":        {func(b *book) { b.taken("c", number, "p", "ann"); b.asked("c"); b.ends("c", "caller") }, nil},
		"complete after the end": {func(b *book) { b.taken("c", number, "p", "ann"); b.ends("c", "caller"); b.asked("c") }, nil},
		"disposition after the end": {func(b *book) {
			b.taken("c", number, "p", "a")
			b.ends("c", "caller")
			b.mark("c", policy.Disposition, "misdial")
		}, nil},
		"location only after the end": {func(b *book) {
			b.taken("c", number, "p", "a")
			b.ends("c", "caller")
			b.mark("c", policy.Location, "x")
		}, []Cause{HungUp}},
		"no number": {func(b *book) { b.taken("c", "anonymous", "p", "ann"); b.ends("c", "caller") }, []Cause{HungUp}},
		"calls again and is taken": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.taken("d", "5045550100", "q", "bob")
			b.mark("d", policy.Incident, "1")
		}, nil},
		"calls again and is lost again: one item": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.offered("d", "5045550100", "q", "bob")
			b.ends("d", "caller")
		}, []Cause{Abandoned}},
		"called back and answered": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("call.offered", "o", "kind", "admin", "from", "<sip:p@psap>", "requestUri", "sip:15045550100@trunk")
			b.write("call.answered", "o", "position", "trunk")
		}, nil},
		"called back, and the call taker hangs up at once": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("call.offered", "o", "kind", "admin", "from", "<sip:p@psap>", "requestUri", "sip:15045550100@trunk")
			b.write("call.answered", "o", "position", "trunk")
			b.pass(3 * time.Second)
			b.ends("o", "position")
		}, []Cause{HungUp}},
		"the same, by ourselves": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("callback.started", "c", "id", "c")
			b.write("callback.done", "c", "id", "c", "by", "ann", "call", "o")
			b.pass(3 * time.Second)
			b.ends("o", "position")
		}, []Cause{HungUp}},
		"called back, and the caller has nothing to say": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("callback.done", "c", "id", "c", "by", "ann", "call", "o")
			b.pass(3 * time.Second)
			b.ends("o", "caller")
		}, nil},
		"called back, and they talk": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("callback.done", "c", "id", "c", "by", "ann", "call", "o")
			b.pass(callbackTalk)
			b.ends("o", "position")
		}, nil},
		"cut short, and done in the end": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("callback.done", "c", "id", "c", "by", "ann", "call", "o")
			b.ends("o", "error")
			b.write("callback.done", "c", "id", "c", "by", "bob", "call", "o2")
			b.pass(time.Minute)
			b.ends("o2", "position")
		}, nil},
		"called back, nobody answers": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("call.offered", "o", "kind", "admin", "from", "<sip:p@psap>", "requestUri", "sip:15045550100@trunk")
			b.write("call.ended", "o", "by", "error")
		}, []Cause{HungUp}},
		"somebody says it is done": {func(b *book) {
			b.taken("c", number, "p", "ann")
			b.ends("c", "caller")
			b.write("callback.done", "c", "id", "c", "by", "sue", "note", "a neighbour confirmed")
		}, nil},
		"a test call": {func(b *book) {
			b.write("call.offered", "c", "kind", "test", "from", "<sip:5045550100@net>")
			b.ends("c", "caller")
		}, nil},
		"an administrative call": {func(b *book) {
			b.write("call.offered", "c", "kind", "admin", "from", "<sip:5045550100@net>")
			b.ends("c", "caller")
		}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, usual())
			b.t = t
			tc.call(b)
			b.owes(tc.want...)
			again := New(usual()) // a restart comes to the same
			for _, r := range b.records {
				again.Apply(r)
			}
			if d := cmp.Diff(b.l.Callbacks(b.at, true), again.Callbacks(b.at, true), cmp.AllowUnexported(Callback{})); d != "" {
				t.Errorf("after a restart -before +after:\n%s", d)
			}
		})
	}
}

// TestCallbackSaysWhatIsKnown: where to send somebody, if nobody answers.
func TestCallbackSaysWhatIsKnown(t *testing.T) {
	b := newBook(t, usual())
	b.taken("c", "+1-504-555-0100", "pos-1", "ann")
	b.mark("c", policy.Location, "12 Canal Street")
	b.pass(20 * time.Second)
	b.ends("c", "caller")
	lost := b.at
	b.pass(5 * time.Minute)
	b.write("call.offered", "o", "kind", "admin", "from", "<sip:p@psap>", "requestUri", "tel:+1-504-555-0100")
	want := Callback{
		ID: "c", Calls: []string{"c"}, EmergencyID: "urn:emergency:uid:callid:c", From: "<sip:+1-504-555-0100@net>", Number: "5045550100",
		Location: "12 Canal Street", Position: "pos-1", Agent: "ann", Cause: HungUp,
		Why:   "the caller hung up on pos-1 before intake was complete",
		Since: lost, Last: lost, Attempts: 1, Attempted: b.at, AgeMS: 300_000,
	}
	got, ok := b.l.Callback("c", b.at)
	got.number = ""
	if d := cmp.Diff(want, got, cmp.AllowUnexported(Callback{})); d != "" || !ok {
		t.Errorf("-want +got:\n%s", d)
	}
	b.offered("again", "5045550100", "pos-2", "bob")
	if got, _ := b.l.Callback("c", b.at); got.InTouch != "again" {
		t.Errorf("in touch by %q", got.InTouch)
	}
	b.write("callback.done", "c", "id", "c", "by", "sue", "note", "spoke to her")
	if all := b.l.Callbacks(b.at, true); len(all) != 1 || all[0].Closed == nil || all[0].Closed.By != "sue" || all[0].Closed.Note != "spoke to her" {
		t.Errorf("all: %+v", all)
	}
}

// TestUnrelayed: heard and not passed on, the second half of the New Orleans
// case, is brought up again until somebody does it.
func TestUnrelayed(t *testing.T) {
	alerts := func(b *book) (out []string) {
		for _, f := range b.found {
			if f.Cause != CauseUnrelayed {
				continue // a callback, or that one of these is over
			}
			out = append(out, fmt.Sprintf("%s %s", f.Call, f.Why))
		}
		return out
	}
	const complete = "intake is complete, and nobody has marked that help was sent"
	tests := map[string]struct {
		call func(b *book)
		open int
		want []string
	}{
		"complete and nothing more": {func(b *book) { b.asked("c") }, 1, []string{
			"c taken down 3m0s ago: " + complete, "c taken down 6m0s ago: " + complete, "c taken down 9m0s ago: " + complete,
		}},
		"an incident is no dispatch":    {func(b *book) { b.mark("c", policy.Incident, "77") }, 1, nil},
		"dispatched in time":            {func(b *book) { b.asked("c"); b.mark("c", policy.Dispatched, "true") }, 0, []string{}},
		"misdial":                       {func(b *book) { b.mark("c", policy.Disposition, "misdial") }, 0, []string{}},
		"disposition emergency":         {func(b *book) { b.mark("c", policy.Disposition, "Emergency") }, 1, nil},
		"answered, talked, no incident": {func(b *book) { b.pass(time.Minute) }, 1, []string{"c answered 3m0s ago: answered, and no incident since"}},
		"ended at once":                 {func(b *book) { b.pass(10 * time.Second); b.ends("c", "caller") }, 0, []string{}},
		"ended at once, marked after": {func(b *book) {
			b.pass(10 * time.Second)
			b.ends("c", "caller")
			b.mark("c", policy.Incident, "1")
		}, 1, nil},
		"dispatched after the first alert": {func(b *book) {
			b.asked("c")
			b.pass(4 * time.Minute)
			b.ends("c", "position")
			b.mark("c", policy.Dispatched, "true")
		}, 0, []string{"c taken down 3m0s ago: " + complete}},
		"done by hand after the second": {func(b *book) {
			b.asked("c")
			b.pass(7 * time.Minute)
			b.write("unrelayed.done", "c", "id", "c", "by", "sue", "note", "sent engine 7 by radio")
		}, 0, []string{"c taken down 3m0s ago: " + complete, "c taken down 6m0s ago: " + complete}},
		"no incident, but the caller calls again": {func(b *book) {
			b.pass(4 * time.Minute)
			b.ends("c", "caller")
			b.taken("d", "5045550100", "pos-2", "bob")
			b.asked("d")
			b.mark("d", policy.Dispatched, "true")
		}, 0, []string{"c answered 3m0s ago: answered, and no incident since"}},
		"complete after the alert for no incident": {func(b *book) {
			b.pass(4 * time.Minute)
			b.asked("c")
			b.pass(2 * time.Minute)
			b.mark("c", policy.Dispatched, "true")
		}, 0, []string{"c answered 3m0s ago: answered, and no incident since"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, usual())
			b.taken("c", "5045550100", "pos-1", "ann")
			tc.call(b)
			b.pass(time.Hour)
			if got := b.l.Unrelayed(b.at, false); len(got) != tc.open {
				t.Errorf("open: %+v", got)
			}
			if got := alerts(b); tc.want != nil && !slices.Equal(got, tc.want) {
				t.Errorf("alerts:\n%q\nwant\n%q", got, tc.want)
			}
		})
	}
}

// TestUnrelayedKnobs: what a centre may decide otherwise.
func TestUnrelayedKnobs(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Options)
		open   int
	}{
		"as it is":                {func(*Options) {}, 1},
		"an incident is enough":   {func(o *Options) { o.Relay.Incident = true }, 0},
		"nobody looks":            {func(o *Options) { o.Relay.Within = 0 }, 0},
		"the source only softens": {func(o *Options) { o.Complete = func(policy.Intake) bool { return false } }, 1},
		"and talking is no reason": {func(o *Options) {
			o.Complete, o.Relay.Talk = func(policy.Intake) bool { return false }, 0
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := usual()
			tc.change(&o)
			b := newBook(t, o)
			b.taken("c", "5045550100", "pos-1", "ann")
			b.mark("c", policy.Incident, "1")
			b.pass(time.Hour)
			if got := b.l.Unrelayed(b.at, false); len(got) != tc.open {
				t.Errorf("open: %+v", got)
			}
		})
	}
}

// TestRedials: whoever dropped a caller is named to who routes the next call.
func TestRedials(t *testing.T) {
	earlier := func(b *book, number string) Earlier { return b.l.Earlier("<sip:"+number+"@x>", "", "", "", b.at) }
	tests := map[string]struct {
		call func(b *book)
		want Earlier
	}{
		"nothing before": {func(*book) {}, Earlier{}},
		"dropped and rescued": {func(b *book) {
			b.taken("c", "5045550100", "pos-1", "ann")
			b.left("c", "pos-1", "ann")
			b.ends("c", "caller")
			b.pass(time.Minute)
		}, Earlier{1, []string{"target pos-1", "agent ann"}, "redial: call 2 of this caller; 1m0s ago pos-1 left before intake was complete"}},
		"silent, and back again": {func(b *book) {
			b.taken("c", "5045550100", "pos-1", "ann")
			b.write("release.requested", "c", "position", "pos-1", "agent", "ann", "how", "dead air", "class", "operator")
			b.write("release.intercepted", "c", "position", "pos-1", "agent", "ann")
			b.write("rescue.calledoff", "c", "position", "pos-1", "agent", "ann")
			b.asked("c")
			b.ends("c", "caller")
		}, Earlier{Redials: 1}},
		"nobody knows whose doing it was": {func(b *book) {
			b.taken("c", "5045550100", "pos-1", "ann")
			b.write("release.requested", "c", "position", "pos-1", "agent", "ann", "how", "bye", "class", "unknown")
			b.write("release.intercepted", "c", "position", "pos-1", "agent", "ann")
			b.ends("c", "caller")
		}, Earlier{1, []string{"target pos-1"}, "redial: call 2 of this caller; 0s ago pos-1 left before intake was complete"}},
		"dropped by a phone": {func(b *book) {
			b.taken("c", "5045550100", "pos-1", "ann")
			b.write("release.requested", "c", "position", "pos-1", "agent", "ann", "how", "session timer expired")
			b.write("release.intercepted", "c", "position", "pos-1", "agent", "ann")
			b.ends("c", "caller")
		}, Earlier{1, []string{"target pos-1"}, "redial: call 2 of this caller; 0s ago pos-1 left before intake was complete"}},
		"hung up": {func(b *book) {
			b.taken("c", "5045550100", "pos-1", "ann")
			b.ends("c", "caller")
		}, Earlier{1, nil, "redial: call 2 of this caller; 0s ago a call ended before intake was complete"}},
		"served well": {func(b *book) {
			b.taken("c", "5045550100", "pos-1", "ann")
			b.asked("c")
			b.ends("c", "caller")
		}, Earlier{1, nil, ""}},
		"too long ago": {func(b *book) {
			b.taken("c", "5045550100", "pos-1", "ann")
			b.left("c", "pos-1", "ann")
			b.ends("c", "caller")
			b.pass(11 * time.Minute)
		}, Earlier{}},
		"somebody else behind the same number": {func(b *book) { b.taken("c", "5045550100", "pos-1", "ann") }, Earlier{}},
		"another number": {func(b *book) {
			b.taken("c", "5045550199", "pos-1", "ann")
			b.left("c", "pos-1", "ann")
			b.ends("c", "caller")
		}, Earlier{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, usual())
			tc.call(b)
			if d := cmp.Diff(tc.want, earlier(b, "+15045550100")); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	b := newBook(t, usual())
	b.taken("c", "anonymous", "pos-1", "ann")
	b.left("c", "pos-1", "ann")
	b.ends("c", "error")
	if e := b.l.Earlier("<sip:anonymous@x>", "", "urn:emergency:uid:callid:c", "", b.at); e.Redials != 1 || len(e.Avoid) != 2 {
		t.Errorf("by emergency identifier: %+v", e)
	}
}

// TestSameIncident: who dropped a caller of an incident is avoided by the next
// call of it, which may be another caller's and is no redial.
func TestSameIncident(t *testing.T) {
	const incident = "urn:emergency:uid:incidentid:1"
	b := newBook(t, usual())
	b.write("call.offered", "c", "kind", "emergency", "from", "<sip:anonymous@x>", "incidentId", incident, "position", "pos-1", "agent", "ann")
	b.write("call.answered", "c", "position", "pos-1", "agent", "ann")
	b.left("c", "pos-1", "ann")
	b.ends("c", "caller")
	b.pass(time.Minute)
	earlier := func() Earlier { return b.l.Earlier("<sip:anonymous@x>", "", "", incident, b.at) }
	want := Earlier{0, []string{"target pos-1", "agent ann"}, "another call of this incident; 1m0s ago pos-1 left before intake was complete"}
	if d := cmp.Diff(want, earlier()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	b.pass(keepCalls + time.Minute)
	b.write("node.heartbeat", "")
	if e := earlier(); e.Note != "" || len(b.l.incidents) != 0 {
		t.Errorf("long after: %+v, %d incidents remembered", e, len(b.l.incidents))
	}
}

// TestAnotherCentre: whom another centre has taken over is not owed anything
// here, unless it hung up at once.
func TestAnotherCentre(t *testing.T) {
	transferred := func() *book {
		b := newBook(t, usual())
		b.taken("c", "5045550100", "pos-1", "ann")
		b.pass(20 * time.Second)
		b.write("call.answered", "c", "position", "sip:911@psap-b", "outside", true)
		return b
	}
	for _, by := range []string{"caller", "position"} {
		b := transferred()
		b.pass(5 * time.Minute)
		b.ends("c", by)
		b.pass(time.Hour)
		b.owes()
		if late := b.l.Unrelayed(b.at, true); len(late) != 0 || len(b.found) != 0 {
			t.Errorf("ended by %s: unrelayed %+v, found %+v", by, late, b.found)
		}
		if e := b.l.Earlier("<tel:5045550100>", "", "", "", b.at); len(e.Avoid) != 0 {
			t.Errorf("ended by %s: avoided %v", by, e.Avoid)
		}
	}
	b := transferred()
	b.write("release.requested", "c", "position", "sip:911@psap-b", "how", "bye")
	b.write("release.intercepted", "c", "position", "sip:911@psap-b")
	b.write("rescue.answered", "c", "position", "fallback")
	b.pass(10 * time.Minute)
	b.ends("c", "caller")
	b.owes(HungUp)
	if late := b.l.Unrelayed(b.at, false); len(late) != 1 {
		t.Errorf("taken back: unrelayed %+v", late)
	}
}

// TestNoteOfAClaim: the next taker is told that the one before only said that
// intake was complete.
func TestNoteOfAClaim(t *testing.T) {
	o := usual()
	o.Complete = func(policy.Intake) bool { return false }
	b := newBook(t, o)
	b.taken("c", "5045550100", "pos-1", "ann")
	b.asked("c")
	b.write("release.requested", "c", "position", "pos-1", "agent", "ann", "how", "bye")
	b.write("release.allowed", "c", "position", "pos-1", "agent", "ann")
	b.ends("c", "position")
	want := Earlier{1, []string{"target pos-1", "agent ann"}, "redial: call 2 of this caller; 0s ago pos-1 left, and only said that intake was complete"}
	if d := cmp.Diff(want, b.l.Earlier("<tel:5045550100>", "", "", "", b.at)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestNoteAfterARescue: that another taker completed intake is nothing that the
// one who left has said.
func TestNoteAfterARescue(t *testing.T) {
	b := newBook(t, usual())
	b.taken("c", "5045550100", "pos-1", "ann")
	b.left("c", "pos-1", "ann")
	b.write("rescue.answered", "c", "position", "fallback")
	b.asked("c")
	b.write("release.requested", "c", "position", "fallback", "how", "bye")
	b.write("release.allowed", "c", "position", "fallback")
	b.ends("c", "position")
	want := Earlier{1, []string{"target pos-1", "agent ann"}, "redial: call 2 of this caller; 0s ago pos-1 left before intake was complete"}
	if d := cmp.Diff(want, b.l.Earlier("<tel:5045550100>", "", "", "", b.at)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestOrphans: calls that were up when the node died are known as such.
func TestOrphans(t *testing.T) {
	b := newBook(t, usual())
	b.taken("ended", "5045550100", "pos-1", "ann")
	b.ends("ended", "caller")
	b.taken("up", "5045550101", "pos-1", "ann")
	b.offered("again", "5045550102", "pos-2", "bob")
	b.pass(time.Minute)
	b.write("node.started", "")
	b.pass(time.Second)
	b.offered("new", "5045550103", "pos-2", "bob")
	got := b.l.Orphans()
	if len(got) != 2 || got[0].Call != "up" && got[1].Call != "up" || got[0].Call == "new" || got[1].Call == "new" {
		t.Fatalf("orphans: %+v", got)
	}
	b.ends("up", "error")
	b.ends("again", "error")
	if left := b.l.Orphans(); len(left) != 0 {
		t.Errorf("still orphans: %+v", left)
	}
	b.owes(HungUp, Technical, Technical)
}

func TestNumberOf(t *testing.T) {
	for address, want := range map[string]string{
		`"Ann" <sip:+1-504-555-0100@gw.example;user=phone>;tag=1`: "5045550100",
		`"<sip:5045550199@a> \"<" <sip:5045550100@gw>`:            "5045550100", // a name that looks like an address
		"tel:5045550100;phone-context=+1":                         "5045550100",
		"sip:15045550100;npdi@gw":                                 "5045550100",
		"sip:%2B442071838750@gw":                                  "442071838750",
		"<sip:anonymous@anonymous.invalid>":                       "",
		"sip:911@psap":                                            "",
		"sip:5045550100":                                          "", // a host
		"urn:service:sos":                                         "",
		"":                                                        "",
	} {
		if got := NumberOf(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
	if got := NumberOf("<sip:anonymous@x>", "<tel:+15045550100>"); got != "5045550100" {
		t.Errorf("asserted: %q", got)
	}
}

func TestSeats(t *testing.T) {
	s := Seats{}
	rec := func(kind, position, agent string, at time.Duration) {
		data, _ := json.Marshal(Sitting{Position: position, Agent: agent, Source: "http"})
		s.Apply(policy.Record{Kind: kind, Time: epoch.Add(at), Data: data})
	}
	rec(SignedIn, "pos-1", "ann", 0)
	rec(SignedIn, "pos-2", "bob", 1)
	rec(SignedIn, "pos-3", "ann", 2) // ann moves
	rec(SignedOut, "pos-2", "bob", 3)
	want := Seats{
		"pos-1": {Since: epoch.Add(2), Source: "http"}, "pos-2": {Since: epoch.Add(3), Source: "http"},
		"pos-3": {Agent: "ann", Since: epoch.Add(2), Source: "http"},
	}
	if d := cmp.Diff(want, s); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
