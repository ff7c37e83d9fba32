package sip

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/policy"
	"holdline/sip/phone"
)

// refers sends REFER and wants 202.
func (w *world) refers(c *phone.Call, to string, headers ...[2]string) {
	w.t.Helper()
	res, err := c.Request(w.ctx, phone.Request{Method: "REFER", Headers: append([][2]string{{"Refer-To", to}}, headers...)})
	if err != nil || res.StatusCode != 202 {
		w.t.Fatalf("REFER: %v, %v\n%s", res, err, w.ladder())
	}
	w.settle()
}

// fragments are the sipfrag statuses that name was notified of, in order.
func (w *world) fragments(name string) (out []string) {
	w.settle()
	for _, m := range w.phone(name).Trace() {
		if m.Sent || !m.Is("NOTIFY") {
			continue
		}
		msg, err := m.Parse()
		w.must(err)
		f := strings.Fields(string(msg.(*gosip.Request).Body()))
		state := "active"
		if strings.HasPrefix(get(msg, "subscription-state"), "terminated") {
			state = "over"
		}
		out = append(out, f[1]+" "+state)
	}
	return out
}

func TestTransferIsPerformedHere(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.refers(pos, "<"+uriFor("pos-2")+">")
		w.hears(caller, "leg 1") // until somebody has answered
		target := w.rings("pos-2")
		w.must(target.Ring())
		w.settle()
		if got := headerOf(target.Invite, "referred-by"); !strings.Contains(got, uriFor("pos-1")) {
			t.Errorf("Referred-By is %q", got)
		}
		w.must(target.Answer(sdp("pos-2")))
		w.must(target.WaitAck(w.ctx))
		w.hears(caller, "leg 2")
		if got, want := w.fragments("pos-1"), []string{"100 active", "180 active", "200 over"}; !slices.Equal(got, want) {
			t.Errorf("the transferor was told %v, want %v", got, want)
		}
		w.hangsUp(pos) // legitimate now, though intake is empty
		w.up(caller, "caller")
		w.hears(caller, "leg 2")
		if d := last[verdictData](w, caller.ID(), "release.allowed"); d.Rule != policy.RuleTransferred {
			t.Errorf("rule %s", d.Rule)
		}
		w.notKept(caller.ID(), "release.intercepted")
		w.hangsUp(target) // the new taker is guarded like any other
		w.up(caller, "caller")
		w.hears(caller, "prompt")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestFailedTransferLeavesTheCallWhereItWas(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.refers(pos, uriFor("pos-2"))
		w.must(w.rings("pos-2").Reject(486))
		w.hears(caller, "leg 1")
		if got, want := w.fragments("pos-1"), []string{"100 active", "486 over"}; !slices.Equal(got, want) {
			t.Errorf("the transferor was told %v, want %v", got, want)
		}
		w.hangsUp(pos) // a release like any other
		w.hears(caller, "prompt")
		w.answers("fallback")
		w.up(caller, "caller")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// REFER and BYE at once: the caller waits for whoever answers first.
func TestTransferorWhoHangsUpInMidTransfer(t *testing.T) {
	for _, answers := range []bool{true, false} {
		inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
			caller := w.calls("caller")
			pos := w.answers("pos-1")
			_, err := w.guard.MarkIntake(w.ctx, caller.ID(), map[policy.Field]string{policy.Incident: "7"}, "t")
			w.must(err)
			w.refers(pos, uriFor("pos-2"))
			w.hangsUp(pos)
			w.up(caller, "caller") // complete intake or not: nobody else has the caller yet
			w.hears(caller, "prompt")
			if d := last[verdictData](w, caller.ID(), "release.intercepted"); d.Rule != policy.RuleTransferPending {
				t.Errorf("rule %s", d.Rule)
			}
			target := w.rings("pos-2")
			if answers {
				w.must(target.Answer(sdp("pos-2")))
				w.must(target.WaitAck(w.ctx))
				w.hears(caller, "leg 2")
			} else {
				w.must(target.Reject(603))
				w.answers("fallback")
				w.hears(caller, "leg 3")
			}
			w.hangsUp(caller)
			w.nothingLeft()
		})
	}
}

func TestTransferToAnUnansweredTargetTimesOut(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.refers(pos, uriFor("pos-2"))
		target := w.rings("pos-2")
		w.must(target.Ring())
		w.pass(transferRing + time.Second)
		w.ended(target, "pos-2", "CANCEL", true)
		if got := w.fragments("pos-1"); got[len(got)-1] != "408 over" {
			t.Errorf("the transferor was told %v", got)
		}
		w.hears(caller, "leg 1")
		w.refers(pos, uriFor("pos-2")) // and may try again
		w.answers("pos-2")
		w.hears(caller, "leg 3")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// An attended transfer: the dialog that the transferor names is ours on one
// side, and is named to the target as the target knows it.
func TestAttendedTransfer(t *testing.T) {
	s := usualSettings()
	s.Routes = append(s.Routes, Route{Match: "sip:pos-*@*", To: []string{"{user}"}})
	inWorld(t, s, []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		consult := w.calls("pos-1", func(v *phone.Invite) {
			v.RequestURI, v.To = "sip:pos-2@10.0.0.9", "<sip:pos-2@10.0.0.9>"
			v.Headers = [][2]string{{"Contact", "<" + uriFor("pos-1") + ">"}}
		})
		third := w.answers("pos-2")
		if v, err := w.guard.Get(consult.ID()); err != nil || v.Kind != string(policy.Admin) {
			t.Errorf("a consultation is %s, %v", v.Kind, err)
		}
		answer, err := consult.WaitAnswer(w.ctx)
		w.must(err)
		asSeen := consult.ID() + ";to-tag=" + tag(get(answer, "to")) + ";from-tag=" + tag(get(answer, "from"))
		w.refers(pos, "<sip:pos-2@10.0.0.9?Replaces="+url.QueryEscape(asSeen)+">")
		replacing := w.rings("pos-2")
		n, ok := parseNamed(headerOf(replacing.Invite, "replaces"))
		if !ok || n.callID != consult.ID() || n.fromTag != tag(get(third.Invite, "from")) {
			t.Errorf("Replaces is %q, and %s was called with From %s", headerOf(replacing.Invite, "replaces"), "pos-2", get(third.Invite, "from"))
		}
		w.must(replacing.Answer(sdp("pos-2")))
		w.must(replacing.WaitAck(w.ctx))
		w.hangsUp(third) // its part of RFC 3891
		w.ended(consult, "pos-1 (consultation)", "BYE", true)
		w.hangsUp(pos)
		w.up(caller, "caller")
		w.up(replacing, "pos-2")
		w.hears(caller, "leg 2")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// An INVITE with Replaces takes a taker's place; the caller's leg is untouched.
func TestTakeOverWithReplaces(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		named := caller.ID() + ";to-tag=" + tag(get(pos.Invite, "from")) + ";from-tag=" + w.localTag("pos-1")
		taking := w.calls("pos-2", func(v *phone.Invite) { v.Headers = [][2]string{{"Replaces", named}, {"Require", "replaces"}} })
		res, err := taking.WaitAnswer(w.ctx)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("INVITE with Replaces: %v, %v\n%s", res, err, w.ladder())
		}
		w.ended(pos, "pos-1", "BYE", true)
		w.hears(caller, "leg 2")
		w.up(caller, "caller")
		if v, err := w.guard.Get(caller.ID()); err != nil || v.Taker != "pos-2" || v.Agent != "bob" {
			t.Errorf("the taker is %s (%s), %v", v.Taker, v.Agent, err)
		}
		w.hangsUp(taking) // the new taker is guarded too
		w.hears(caller, "prompt")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestReplacesOfAnUnknownDialogIsRefused(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		bad := caller.ID() + ";to-tag=" + tag(get(pos.Invite, "from")) + ";from-tag=somebody"
		c := w.calls("pos-2", func(v *phone.Invite) { v.Headers = [][2]string{{"Replaces", bad}} })
		if res, err := c.WaitAnswer(w.ctx); err != nil || res.StatusCode != 481 {
			t.Errorf("answered %v, %v", res, err)
		}
		w.hears(caller, "leg 1")
	})
}

// The caller goes on on another device.
func TestCallerMovesWithReplaces(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "caller2", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		answer, err := caller.WaitAnswer(w.ctx)
		w.must(err)
		named := caller.ID() + ";to-tag=" + tag(get(answer, "to")) + ";from-tag=" + tag(get(answer, "from"))
		moved := w.calls("caller2", func(v *phone.Invite) { v.Headers = [][2]string{{"Replaces", named}} })
		if res, err := moved.WaitAnswer(w.ctx); err != nil || res.StatusCode != 200 {
			t.Fatalf("INVITE with Replaces: %v, %v\n%s", res, err, w.ladder())
		}
		w.ended(caller, "caller", "BYE", true)
		w.up(pos, "pos-1")
		if s := w.media.of(caller.ID()); s.legs[0][0].RTP.String() != "10.0.0.2:4000" {
			t.Errorf("media goes to %v", s.legs[0][0].RTP)
		}
		w.hangsUp(pos)
		w.up(moved, "caller2")
		w.hears(caller, "prompt")
		w.hangsUp(moved)
		w.nothingLeft()
	})
}

// localTag is the tag that name gave its last answer.
func (w *world) localTag(name string) (out string) {
	for _, m := range w.phone(name).Trace() {
		if msg, err := m.Parse(); err == nil && m.Sent && m.Is("200 INVITE") {
			out = tag(get(msg, "to"))
		}
	}
	return out
}
