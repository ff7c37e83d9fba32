package sip

import (
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
	"holdline/sip/phone"
)

// timed makes a call whose position agrees to a session timer.
func (w *world) timed(refresher string, allow string) (caller, pos *phone.Call) {
	w.t.Helper()
	caller = w.calls("caller", func(v *phone.Invite) {
		v.Headers = [][2]string{{"Supported", "timer"}, {"Session-Expires", "1800"}, {"Allow", allow}}
	})
	pos = w.rings("pos-1")
	w.must(pos.Reply(phone.Reply{Code: 200, Body: sdp("pos-1"), Headers: [][2]string{
		{"Session-Expires", "1800;refresher=" + refresher}, {"Require", "timer"}, {"Allow", allow},
	}}))
	w.must(pos.WaitAck(w.ctx))
	w.settle()
	return caller, pos
}

// A caller that refreshes keeps the call up on both legs.
func TestRefreshesPassAndCountOnBothLegs(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller, pos := w.timed("uac", "INVITE, UPDATE")
		for range 4 {
			w.pass(15 * time.Minute)
			res, err := caller.Request(w.ctx, phone.Request{Method: "UPDATE", Headers: [][2]string{{"Supported", "timer"}, {"Session-Expires", "1800;refresher=uac"}}})
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("refresh: %v, %v", res, err)
			}
			// The phone's plain 200 agrees to no timer; one that does, does.
			pos.OnRequest(func(r *gosip.Request) *phone.Reply {
				return &phone.Reply{Code: 200, Headers: [][2]string{{"Session-Expires", "1800;refresher=uac"}}}
			})
		}
		w.up(caller, "caller")
		w.up(pos, "pos-1")
	})
}

// The position was to refresh and is silent: it is gone, and the caller is rescued.
func TestExpiredTimerOfATakerIsARelease(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller, _ := w.timed("uas", "INVITE, UPDATE")
		w.phone("pos-1").SetDeaf(true)
		w.pass(30 * time.Minute)
		w.kept(caller.ID(), "release.requested", "release.intercepted", "rescue.offered")
		if d := last[releaseData](w, caller.ID(), "release.requested"); d.How != "session timer expired" {
			t.Errorf("how: %s", d.How)
		}
		w.up(caller, "caller")
	})
}

// After a rescue nobody on the other side refreshes the caller's session any
// more: we do, and the caller stays.
func TestCallersSessionIsRefreshedAfterARescue(t *testing.T) {
	for _, allow := range []string{"INVITE, UPDATE", "INVITE"} {
		inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
			caller, pos := w.timed("uas", allow)
			refreshes := 0
			caller.OnRequest(func(r *gosip.Request) *phone.Reply {
				if se := get(r, "session-expires"); se != "" {
					refreshes++
					return &phone.Reply{Code: 200, Body: r.Body(), Headers: [][2]string{{"Session-Expires", se}, {"Require", "timer"}}}
				}
				return nil
			})
			w.hangsUp(pos)
			w.answers("fallback")
			w.pass(2 * time.Hour)
			if refreshes < 4 || refreshes > 9 {
				t.Errorf("%d refreshes in two hours with %s\n%s", refreshes, allow, w.ladder())
			}
			w.up(caller, "caller")
			w.hears(caller, "leg 2")
			w.hangsUp(caller)
			w.nothingLeft()
		})
	}
}

// A caller who does not answer a refresh is gone, unless they are heard.
func TestFailedRefreshOfTheCaller(t *testing.T) {
	for _, heard := range []bool{false, true} {
		inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
			caller, pos := w.timed("uas", "INVITE, UPDATE")
			w.hangsUp(pos)
			w.answers("fallback")
			w.phone("caller").SetDeaf(true)
			s := w.media.of(caller.ID())
			if heard {
				s.mu.Lock()
				s.stats = []media.StreamStats{{LastRecv: time.Now().Add(24 * time.Hour)}}
				s.mu.Unlock()
			}
			w.pass(time.Hour)
			_, err := w.guard.Get(caller.ID())
			if gone := err != nil; gone == heard {
				t.Errorf("heard %v, gone %v", heard, gone)
			}
		})
	}
}

func TestTargetThatWantsALongerInterval(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) {
			v.Headers = [][2]string{{"Supported", "timer"}, {"Session-Expires", "100"}, {"Min-SE", "90"}}
		})
		w.must(w.rings("pos-1").Reject(422, [2]string{"Min-SE", "600"}))
		again := w.rings("pos-1")
		if se, least := headerOf(again.Invite, "session-expires"), headerOf(again.Invite, "min-se"); se != "600" || least != "600" {
			t.Errorf("Session-Expires %q, Min-SE %q", se, least)
		}
		w.must(again.Answer(sdp("pos-1")))
		w.hears(caller, "leg 1")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A reliable provisional response and its PRACK pass end to end, also from a
// second target after a first one (RFC 3262).
func TestReliableProvisionals(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.Headers = [][2]string{{"Supported", "100rel"}} })
		early := func(name, rseq string) *phone.Call {
			pos := w.rings(name)
			w.must(pos.Reply(phone.Reply{Code: 183, Body: sdp(name), Headers: [][2]string{{"Require", "100rel"}, {"RSeq", rseq}}}))
			var res *gosip.Response
			for res == nil || res.StatusCode != 183 {
				var err error
				res, err = caller.WaitProvisional(w.ctx)
				w.must(err)
			}
			var got *gosip.Request
			pos.OnRequest(func(r *gosip.Request) *phone.Reply {
				if r.Method == "PRACK" {
					got = r
				}
				return nil
			})
			ack, err := caller.Request(w.ctx, phone.Request{Method: "PRACK", Headers: [][2]string{{"RAck", get(res, "rseq") + " 1 INVITE"}}})
			if err != nil || ack.StatusCode != 200 || got == nil {
				t.Fatalf("PRACK to %s: %v, %v\n%s", name, ack, err, w.ladder())
			}
			inviteSeq, _, _ := strings.Cut(headerOf(pos.Invite, "cseq"), " ")
			if want := rseq + " " + inviteSeq + " INVITE"; get(got, "rack") != want {
				t.Errorf("%s got RAck %q, want %q", name, get(got, "rack"), want)
			}
			return pos
		}
		w.must(early("pos-1", "7").Reject(486))
		second := early("pos-2", "7")
		w.must(second.Answer(sdp("pos-2")))
		w.must(second.WaitAck(w.ctx))
		w.hears(caller, "leg 2")
	})
}

// A rescue target that insists on PRACK gets it from us: the caller was
// answered long ago.
func TestReliableProvisionalOfARescueTarget(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.Headers = [][2]string{{"Supported", "100rel"}} })
		w.hangsUp(w.answers("pos-1"))
		target := w.rings("fallback")
		w.must(target.Reply(phone.Reply{Code: 180, Headers: [][2]string{{"Require", "100rel"}, {"RSeq", "3"}}}))
		w.settle()
		if n := w.phone("fallback").Count(false, "PRACK"); n != 1 {
			t.Errorf("%d PRACKs\n%s", n, w.ladder())
		}
		w.must(target.Answer(sdp("fallback")))
		w.hears(caller, "leg 2")
	})
}

func TestRedirectIsFollowedToConfiguredTargetsOnly(t *testing.T) {
	s := usualSettings()
	s.Routes[0].To = []string{"pos-1"}
	inWorld(t, s, []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		w.must(w.rings("pos-1").Redirect("sip:elsewhere@192.0.2.1", uriFor("pos-2")))
		w.answers("pos-2")
		w.hears(caller, "leg 2")
	})
}

// A proxy behind a target forked the INVITE and two branches answered.
func TestSecondAnswerOfAFork(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		var raw string
		for _, m := range w.phone("pos-1").Trace() {
			if m.Sent && m.Is("200 INVITE") {
				raw = string(m.Raw)
			}
		}
		fork := strings.Replace(raw, ";tag="+w.localTag("pos-1"), ";tag=otherfork", 1)
		w.must(w.phone("pos-1").SendRaw(guardAddr, []byte(fork)))
		w.settle()
		acks, byes := 0, 0
		for _, m := range w.phone("pos-1").Trace() {
			if msg, err := m.Parse(); err == nil && !m.Sent && tag(get(msg, "to")) == "otherfork" {
				if m.Is("ACK") {
					acks++
				}
				if m.Is("BYE") {
					byes++
				}
			}
		}
		if acks != 1 || byes != 1 {
			t.Errorf("the other branch got %d ACKs and %d BYEs\n%s", acks, byes, w.ladder())
		}
		w.up(pos, "pos-1")
		w.hears(caller, "leg 1")
	})
}

// Both sides re-invite at once: each is told 491 by the other, nobody is lost.
func TestGlare(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		for _, c := range []*phone.Call{caller, pos} {
			c.OnRequest(func(r *gosip.Request) *phone.Reply {
				if r.Method == "INVITE" {
					return &phone.Reply{Code: 491}
				}
				return nil
			})
		}
		codes := make(chan int, 2)
		for _, c := range []struct {
			call *phone.Call
			name string
		}{{caller, "caller"}, {pos, "pos-1"}} {
			go func() {
				res, err := c.call.Reinvite(w.ctx, sdp(c.name))
				if err != nil {
					codes <- 0
					return
				}
				codes <- res.StatusCode
			}()
		}
		for range 2 {
			if code := <-codes; code != 491 {
				t.Errorf("answered %d, want 491", code)
			}
		}
		w.hears(caller, "leg 1")
		w.up(caller, "caller")
		w.up(pos, "pos-1")
	})
}
