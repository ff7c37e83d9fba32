package sip

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"holdline/policy"
	"holdline/sip/phone"
)

// The main job: a position hangs up early; the caller is kept, prompted,
// offered to the fallback queue, and bridged again.
func TestEarlyByeIsIntercepted(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.hears(caller, "leg 1")
		w.pass(3 * time.Second)
		w.hangsUp(pos)
		w.up(caller, "caller")
		w.hears(caller, "prompt")

		rescue := w.rings("fallback")
		w.must(rescue.Ring())
		w.pass(4 * time.Second)
		w.hears(caller, "prompt")
		for _, c := range []struct{ header, want string }{
			{"history-info", "<urn:service:sos>;index=1"},
			{"history-info", "<sip:pos-1@10.0.0.11:5060?Reason=SIP%3Bcause%3D480"},
			{"history-info", ";index=1.2;mp=1"},
			{"reason", `SIP;cause=480;text="rescued: released by pos-1 before intake was complete"`},
			{"from", `"RESCUED " <sip:caller@10.0.0.1:5060>`},
			{"to", "<urn:service:sos>"},
			{"call-id", caller.ID()},
		} {
			if got := headerOf(rescue.Invite, c.header); !strings.Contains(got, c.want) {
				t.Errorf("rescue INVITE: %s is %q, want %q in it", c.header, got, c.want)
			}
		}
		w.must(rescue.Answer(sdp("fallback")))
		w.must(rescue.WaitAck(w.ctx))
		w.hears(caller, "leg 2")
		if n := w.phone("caller").Count(false, "INVITE"); n != 0 {
			t.Errorf("the caller was re-invited %d times: its leg must not be touched", n)
		}
		w.hangsUp(caller)
		w.ended(rescue, "fallback", "BYE", true)
		w.kept(caller.ID(), "call.offered", "call.answered", "release.requested", "release.intercepted",
			"alert.raised", "rescue.offered", "rescue.answered", "call.ended")
		w.kept(caller.ID(), "release.intercepted", "rescue.prompted")
		d := last[releaseData](w, caller.ID(), "release.requested")
		if d.Bye == nil || !strings.HasPrefix(d.Bye.Raw, "BYE sip:") || d.Bye.Source != hosts["pos-1"] || d.Agent != "ann" || d.TalkMS != 3000 {
			t.Errorf("release.requested has %+v, bye %+v", d, d.Bye)
		}
		if e := last[endData](w, caller.ID(), "call.ended"); e.By != "caller" || e.Rescues != 1 {
			t.Errorf("call.ended has %+v", e)
		}
		w.nothingLeft()
	})
}

func TestCompleteIntakePasses(t *testing.T) {
	mark := func(fields ...policy.Field) func(*world, *phone.Call) [][2]string {
		return func(w *world, caller *phone.Call) [][2]string {
			marks := map[policy.Field]string{}
			for _, f := range fields {
				marks[f] = "x"
			}
			_, err := w.guard.MarkIntake(w.ctx, caller.ID(), marks, "tester")
			w.must(err)
			return nil
		}
	}
	header := func(value string) func(*world, *phone.Call) [][2]string {
		return func(*world, *phone.Call) [][2]string { return [][2]string{{"Holdline-Intake", value}} }
	}
	for name, c := range map[string]struct {
		intake func(*world, *phone.Call) [][2]string
		passes bool
	}{
		"three fields":       {mark(policy.Location, policy.Callback, policy.Nature), true},
		"two fields":         {mark(policy.Location, policy.Callback), false},
		"incident":           {mark(policy.Incident), true},
		"disposition":        {mark(policy.Disposition), true},
		"dispatched alone":   {mark(policy.Dispatched), false},
		"header":             {header(`location="12 Main St; rear", callback=5551; nature=fire`), true},
		"header, too little": {header("location=here"), false},
		"header, nonsense":   {header(`;;=,"`), false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				w.hangsUp(pos, c.intake(w, caller)...)
				if !c.passes {
					w.up(caller, "caller")
					w.hears(caller, "prompt")
					return
				}
				w.ended(caller, "caller", "BYE", true)
				w.kept(caller.ID(), "intake.marked", "release.requested", "release.allowed", "call.ended")
				w.notKept(caller.ID(), "rescue.offered")
				if e := last[endData](w, caller.ID(), "call.ended"); e.By != "position" || !e.Complete {
					t.Errorf("call.ended has %+v", e)
				}
				if got := w.phone("caller").Count(false, "BYE"); got != 1 {
					t.Errorf("the caller got %d BYEs", got)
				}
				w.nothingLeft()
			})
		})
	}
}

// A BYE right after the 200, before the caller's ACK has come.
func TestByeBeforeTheCallersAck(t *testing.T) {
	for _, complete := range []bool{false, true} {
		inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
			caller := w.calls("caller", func(v *phone.Invite) { v.NoAutoAck = true })
			pos := w.answers("pos-1")
			if complete {
				_, err := w.guard.MarkIntake(w.ctx, caller.ID(), map[policy.Field]string{policy.Incident: "1"}, "t")
				w.must(err)
			}
			w.hangsUp(pos)
			w.pass(time.Second)
			if got := w.phone("caller").Count(false, "BYE"); got != 0 {
				t.Fatalf("a BYE went to a caller who has not acknowledged (RFC 3261 section 15)\n%s", w.ladder())
			}
			w.must(caller.Ack(nil))
			w.settle()
			if complete {
				w.ended(caller, "caller", "BYE", true)
				w.nothingLeft()
				return
			}
			w.up(caller, "caller")
			w.hears(caller, "prompt")
			w.answers("fallback")
			w.hears(caller, "leg 2")
		})
	}
}

func TestByeFromBothSidesAtOnce(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		answered := make(chan int, 2)
		for _, c := range []*phone.Call{caller, pos} {
			go func() {
				res, err := c.Bye(w.ctx)
				if err != nil {
					answered <- 0
					return
				}
				answered <- res.StatusCode
			}()
		}
		for range 2 {
			// 481 says the same to a phone whose BYE crossed ours: it is over.
			if code := <-answered; code != 200 && code != 481 {
				t.Errorf("a BYE was answered %d\n%s", code, w.ladder())
			}
		}
		w.pass(time.Second)
		if e := last[endData](w, caller.ID(), "call.ended"); e.By != "caller" {
			t.Errorf("ended by %s", e.By)
		}
		if d := last[releaseData](w, caller.ID(), "release.requested"); d.Bye == nil || d.Bye.Source != hosts["pos-1"] {
			t.Errorf("the position's BYE is not in the journal: %+v", d)
		}
		if n := w.phone("fallback").Count(false, "INVITE"); n > 0 && w.phone("fallback").Count(false, "CANCEL") == 0 {
			t.Errorf("the fallback target still rings\n%s", w.ladder())
		}
		w.nothingLeft()
	})
}

func TestRescueTargetHangsUpAtOnce(t *testing.T) {
	s := usualSettings()
	s.Fallback = append(s.Fallback, Tier{To: []string{uriFor("fallback2")}, Strategy: InOrder, Ring: 10 * time.Second})
	inWorld(t, s, []string{"caller", "pos-1", "fallback", "fallback2"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		first := w.rings("fallback")
		w.must(first.Answer(sdp("fallback")))
		w.hangsUp(first)
		w.up(caller, "caller")
		w.hears(caller, "prompt")
		w.answers("fallback2")
		w.hears(caller, "leg 3")
		if n := w.phone("fallback").Count(false, "INVITE"); n != 1 {
			t.Errorf("the one who dropped the caller was offered the call %d times", n)
		}
		if d := last[verdictData](w, caller.ID(), "release.intercepted"); d.Position != uriFor("fallback") {
			t.Errorf("the second verdict is about %s", d.Position)
		}
	})
}

func TestTwoTargetsAnswerAtOnce(t *testing.T) {
	s := usualSettings()
	s.Fallback[0].To = []string{uriFor("fallback"), uriFor("fallback2")}
	inWorld(t, s, []string{"caller", "pos-1", "fallback", "fallback2"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		a, b := w.rings("fallback"), w.rings("fallback2")
		w.must(a.Answer(sdp("fallback")))
		w.must(b.Answer(sdp("fallback2")))
		w.pass(time.Second)
		w.must(a.WaitAck(w.ctx))
		w.must(b.WaitAck(w.ctx))
		if (a.End() == nil) == (b.End() == nil) {
			t.Fatalf("exactly one must win: %v, %v\n%s", a.End(), b.End(), w.ladder())
		}
		w.up(caller, "caller")
		if got := w.media.hears(caller.ID()); !strings.HasPrefix(got, "leg ") {
			t.Errorf("the caller hears %s", got)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestOneOfRingAllDropsBeforeTheOtherAnswers(t *testing.T) {
	s := usualSettings()
	s.Fallback[0].To = []string{uriFor("fallback"), uriFor("fallback2")}
	inWorld(t, s, []string{"caller", "pos-1", "fallback", "fallback2"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		a, b := w.rings("fallback"), w.rings("fallback2")
		w.must(a.Reject(486))
		w.pass(time.Second)
		w.up(b, "fallback2")
		w.must(b.Answer(sdp("fallback2")))
		w.must(b.WaitAck(w.ctx))
		w.hears(caller, "leg 3")
	})
}

func TestCallerLeavesWhileTargetsRing(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		ringing := w.rings("fallback")
		w.must(ringing.Ring())
		w.settle()
		w.hangsUp(caller)
		w.ended(ringing, "fallback", "CANCEL", true)
		w.kept(caller.ID(), "rescue.offered", "call.ended")
		w.nothingLeft()
	})
}

// The CANCEL and the target's 200 cross: the 200 gets its ACK and a BYE.
func TestCancelOfATargetCrossesItsAnswer(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		ringing := w.rings("fallback")
		w.must(ringing.Ring())
		w.settle()
		go caller.Bye(w.ctx)
		w.must(ringing.Answer(sdp("fallback")))
		w.must(ringing.WaitAck(w.ctx))
		w.ended(ringing, "fallback", "BYE", true)
		w.nothingLeft()
	})
}

// Tiers overflow, then begin again; a supervisor is told each time.
func TestTiersOverflowAndBeginAgain(t *testing.T) {
	s := usualSettings()
	s.Fallback = []Tier{
		{To: []string{uriFor("fallback")}, Strategy: RingAll, Ring: 10 * time.Second},
		{To: []string{uriFor("fallback2")}, Strategy: InOrder, Ring: 5 * time.Second},
	}
	inWorld(t, s, []string{"caller", "pos-1", "fallback", "fallback2"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		for range 3 {
			a := w.rings("fallback")
			w.must(a.Ring())
			w.pass(10*time.Second + time.Millisecond)
			w.ended(a, "fallback", "CANCEL", true)
			b := w.rings("fallback2")
			w.must(b.Ring())
			w.pass(5*time.Second + time.Millisecond)
			w.ended(b, "fallback2", "CANCEL", true)
			w.up(caller, "caller")
			w.hears(caller, "prompt")
		}
		w.kept(caller.ID(), "rescue.offered", "rescue.failed", "alert.raised", "rescue.offered", "rescue.failed", "rescue.offered")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestNeverTheAgentWhoDroppedTheCaller(t *testing.T) {
	s := usualSettings()
	s.Fallback = []Tier{{To: []string{"pos-1", "pos-3", "pos-2"}, Strategy: InOrder, Ring: 10 * time.Second}}
	inWorld(t, s, []string{"caller", "pos-1", "pos-2", "pos-3"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1")) // ann, who also has pos-3
		w.answers("pos-2")
		w.hears(caller, "leg 2")
		for _, n := range []string{"pos-1", "pos-3"} {
			want := 0
			if n == "pos-1" {
				want = 1
			}
			if got := w.phone(n).Count(false, "INVITE"); got != want {
				t.Errorf("%s was offered the call %d times, want %d", n, got, want)
			}
		}
	})
}

// Who waited longest, or ranks higher, is served first when one desk serves all.
func TestFirstInFirstOutWithinPriority(t *testing.T) {
	s := usualSettings()
	s.Routes[0].To = nil
	s.Fallback = []Tier{{To: []string{"pos-1"}, Strategy: InOrder, Ring: time.Minute}}
	inWorld(t, s, []string{"caller", "caller2", "caller3", "pos-1"}, func(w *world) {
		blocker := w.calls("caller")
		first := w.answers("pos-1")
		w.pass(time.Second)
		low := w.calls("caller2")
		w.pass(time.Second)
		high := w.calls("caller3", func(v *phone.Invite) { v.Headers = append(v.Headers, [2]string{"Resource-Priority", "esnet.4"}) })
		w.pass(3 * time.Second)
		w.hangsUp(blocker)
		w.ended(first, "pos-1", "BYE", true)
		second := w.answers("pos-1")
		if got, want := headerOf(second.Invite, "call-id"), high.ID(); got != want {
			t.Fatalf("second is %s, want the higher priority %s\n%s", got, want, w.ladder())
		}
		w.hangsUp(high)
		third := w.answers("pos-1")
		if got, want := headerOf(third.Invite, "call-id"), low.ID(); got != want {
			t.Fatalf("third is %s, want %s", got, want)
		}
	})
}

// A slow disk is not the caller's problem: after its patience the call goes on.
func TestSlowJournalDoesNotHoldTheCall(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		w.journal.slow = true
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		began := time.Now()
		w.hangsUp(pos)
		if took := time.Since(began); took > 60*time.Millisecond {
			t.Errorf("the position waited %v", took)
		}
		w.hears(caller, "prompt")
		w.answers("fallback")
		w.hears(caller, "leg 2")
	})
}

// While the verdict waits for the disk, the caller may leave.
func TestCallerLeavesWhileTheVerdictIsWritten(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		w.journal.slow = true
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		done := make(chan int, 1)
		go func() {
			res, err := pos.Bye(w.ctx)
			if err != nil {
				done <- 0
				return
			}
			done <- res.StatusCode
		}()
		w.pass(10 * time.Millisecond)
		w.hangsUp(caller)
		if code := <-done; code != 200 {
			t.Errorf("the position's BYE was answered %d", code)
		}
		w.pass(time.Second)
		if n := w.phone("fallback").Count(false, "INVITE"); n != 0 {
			t.Error("a caller who left was offered to the queue")
		}
		w.nothingLeft()
	})
}

func TestPanickingPolicyKeepsTheCaller(t *testing.T) {
	s := usualSettings()
	s.Judge = func(policy.Facts) policy.Verdict { panic("bad rule") }
	inWorld(t, s, []string{"caller", "pos-1", "fallback"}, func(w *world) {
		w.mayDegrade = true
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		w.up(caller, "caller")
		w.answers("fallback")
		w.hears(caller, "leg 2")
	})
}

// A taker who put the caller on hold and left: the caller is taken off hold.
func TestHoldThenByeTakesTheCallerOffHold(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		res, err := pos.Reinvite(w.ctx, sdpWith("pos-1", "0", "sendonly"))
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("hold: %v, %v", res, err)
		}
		w.hangsUp(pos)
		w.up(caller, "caller")
		if !strings.Contains(string(caller.RemoteSDP()), "a=sendrecv") {
			t.Errorf("the caller is still on hold:\n%s\n%s", caller.RemoteSDP(), w.ladder())
		}
		w.hears(caller, "prompt")
	})
}

// A taker that no longer knows the dialog is gone: the caller is rescued.
func TestTakerThatForgotTheCallIsALostTaker(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		pos.OnRequest(func(r *gosipRequest) *phone.Reply {
			if r.Method == "INVITE" {
				return &phone.Reply{Code: 481}
			}
			return nil
		})
		if res, err := caller.Reinvite(w.ctx, sdp("caller")); err != nil || res.StatusCode != 200 { // 481 would end the call
			t.Fatalf("re-INVITE: %v, %v", res, err)
		}
		w.answers("fallback")
		w.up(caller, "caller")
		w.hears(caller, "leg 2")
	})
}

func TestForcedRelease(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.must(w.guard.Release(w.ctx, caller.ID(), "test of the exit", "sup"))
		w.ended(caller, "caller", "BYE", true)
		w.ended(pos, "pos-1", "BYE", true)
		if e := last[endData](w, caller.ID(), "call.ended"); e.By != "supervisor" || e.Who != "sup" || e.Reason != "test of the exit" {
			t.Errorf("call.ended has %+v", e)
		}
		w.nothingLeft()
	})
}

// Our tag with somebody else's beside it is no dialog of ours.
func TestByeWithTheWrongTagIsNobodys(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		bye := "BYE sip:x@10.0.0.9 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKwrong\nMax-Forwards: 70\nFrom: <urn:service:sos>;tag=forged\nTo: " +
			get(pos.Invite, "from") + "\nCall-ID: " + caller.ID() + "\nCSeq: 9 BYE\nContent-Length: 0\n\n"
		if got := w.raw(bye); got != 481 {
			t.Errorf("answered %d, want 481", got)
		}
		w.up(pos, "pos-1")
		w.hears(caller, "leg 1")
	})
}

// Nobody in the queue is there: the caller waits, and the supervisor is told
// of it, again and again but not in a storm.
func TestEscalationsAreTold(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.phone("fallback").SetDeaf(true)
		w.hangsUp(w.answers("pos-1"))
		w.pass(5 * time.Minute)
		alerts := 0
		for _, e := range w.journal.all() {
			if d, ok := e.Data.(alertData); ok && d.Cause == "escalation" {
				alerts++
			}
		}
		if alerts < 8 || alerts > 13 {
			t.Errorf("%d escalations in five minutes", alerts)
		}
		w.up(caller, "caller")
		w.hears(caller, "prompt")
	})
}

// The keys of an encrypted call are the next taker's: the caller is told them.
func TestRescueOfAnEncryptedCall(t *testing.T) {
	secure := func(name, key string) []byte {
		return []byte(strings.Replace(string(sdp(name)), "RTP/AVP", "RTP/SAVP", 1) + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key + "\r\n")
	}
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) { v.Body = secure("caller", "callerkey") })
		pos := w.rings("pos-1")
		w.must(pos.Answer(secure("pos-1", "firstkey")))
		w.must(pos.WaitAck(w.ctx))
		w.settle()
		w.hangsUp(pos)
		taker := w.rings("fallback")
		w.must(taker.Answer(secure("fallback", "secondkey")))
		w.must(taker.WaitAck(w.ctx))
		w.settle()
		if !strings.Contains(string(caller.RemoteSDP()), "inline:secondkey") {
			t.Errorf("the caller's keys are\n%s\n%s", caller.RemoteSDP(), w.ladder())
		}
	})
}

// A target that was silent and comes back is not rung for an old offer: only
// for the one that stands.
func TestSilentTargetThatComesBackGetsTheOfferThatStands(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.phone("fallback").SetDeaf(true)
		w.hangsUp(w.answers("pos-1"))
		w.pass(20 * time.Second)
		w.phone("fallback").SetDeaf(false)
		w.answers("fallback")
		w.pass(30 * time.Second)
		if got := w.media.hears(caller.ID()); !strings.HasPrefix(got, "leg ") {
			t.Fatalf("the caller hears %s\n%s", got, w.ladder())
		}
		w.up(caller, "caller")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A target answers in the moment it is given up, and nobody else has the
// caller: its answer is taken.
func TestAnswerThatCrossesItsCancelIsWelcome(t *testing.T) {
	s := usualSettings()
	s.Fallback = append(s.Fallback, Tier{To: []string{uriFor("fallback2")}, Strategy: InOrder, Ring: 20 * time.Second})
	inWorld(t, s, []string{"caller", "pos-1", "fallback", "fallback2"}, func(w *world) {
		caller := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		late := w.rings("fallback")
		w.must(late.Ring())
		w.net.SetLink(hosts["fallback"], guardAddr, simnetLink(300*time.Millisecond))
		w.net.SetLink(guardAddr, hosts["fallback"], simnetLink(300*time.Millisecond))
		w.pass(20*time.Second - 100*time.Millisecond)
		w.must(late.Answer(sdp("fallback")))
		other := w.rings("fallback2")
		w.must(other.Ring())
		w.pass(2 * time.Second)
		w.up(late, "fallback")
		w.hears(caller, "leg 2")
		w.ended(other, "fallback2", "CANCEL", true)
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A bug in the handling of one event is not the caller's problem.
func TestPanicLeavesTheCallBridged(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		w.mayDegrade = true
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.guard.lookup(caller.ID()).post(func() { panic("a bug") })
		w.up(caller, "caller")
		w.up(pos, "pos-1")
		w.hears(caller, "leg 1")
		w.hangsUp(pos)
		w.answers("fallback")
		w.hears(caller, "leg 2")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// TestNextTakerIsOfferedTheWholeSession: whatever a taker who holds the caller
// made of the session, the next one is offered it as the caller wants it.
func TestNextTakerIsOfferedTheWholeSession(t *testing.T) {
	port0 := bytes.Replace(sdp("pos-1"), []byte("m=audio 4000"), []byte("m=audio 0"), 1)
	for name, c := range map[string]struct{ offer, answer []byte }{
		"sendonly": {sdpWith("pos-1", "0", "sendonly"), sdpWith("caller", "0", "recvonly")},
		"inactive": {sdpWith("pos-1", "0", "inactive"), sdpWith("caller", "0", "inactive")},
		"port 0":   {port0, bytes.Replace(sdp("caller"), []byte("m=audio 4000"), []byte("m=audio 0"), 1)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				caller.OnRequest(func(r *gosipRequest) *phone.Reply {
					if r.Method == "INVITE" {
						return &phone.Reply{Code: 200, Body: c.answer}
					}
					return nil
				})
				_, err := pos.Reinvite(w.ctx, c.offer)
				w.must(err)
				caller.OnRequest(nil)
				w.hangsUp(pos)
				body := string(w.answers("fallback").Invite.Body())
				if strings.Contains(body, "m=audio 0") || strings.Contains(body, "a=recvonly") || strings.Contains(body, "a=inactive") {
					t.Errorf("the next taker is offered\n%s", body)
				}
			})
		})
	}
}
