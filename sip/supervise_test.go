package sip

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/phone"
)

// joins brings a supervisor's phone into a call; the phone is not answered yet.
func (w *world) joins(call *phone.Call, mode Mode, name string) JoinView {
	w.t.Helper()
	v, err := w.guard.Join(w.ctx, call.ID(), JoinRequest{Mode: mode, Target: uriFor(name), By: "chief"})
	w.must(err)
	return v
}

// supervises joins and answers.
func (w *world) supervises(call *phone.Call, mode Mode, name string) (JoinView, *phone.Call) {
	w.t.Helper()
	v := w.joins(call, mode, name)
	c := w.answers(name)
	w.settle()
	return v, c
}

// attending tells how a leg attends: "listen", "whisper", "barge" or "".
func (w *world) attending(call *phone.Call, leg media.LegID) string {
	w.t.Helper()
	w.settle()
	s := w.media.of(call.ID())
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.dropped, leg) {
		return "dropped"
	}
	m, ok := s.attends[leg]
	if !ok {
		return ""
	}
	return m.String()
}

// roles are the roles of a call's legs that are not over, sorted.
func (w *world) roles(call *phone.Call) string {
	w.t.Helper()
	w.settle()
	v, err := w.guard.Get(call.ID())
	w.must(err)
	var out []string
	for _, l := range v.Legs {
		out = append(out, l.Role)
	}
	return strings.Join(out, " ")
}

func (w *world) state(call *phone.Call) string {
	w.t.Helper()
	w.settle()
	v, err := w.guard.Get(call.ID())
	w.must(err)
	return v.State
}

// A supervisor listens, and nothing about the call changes: not a message goes
// to the parties, who goes on speaking hears nothing of it.
func TestSupervisorListens(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		before := len(w.phone("caller").Trace()) + len(w.phone("pos-1").Trace())
		v, sup := w.supervises(caller, ModeListen, "sup-1")
		if v.ID == "" || v.Mode != ModeListen || v.State != string(Calling) || v.Via != ViaPhone {
			t.Errorf("join is %+v", v)
		}
		for header, want := range map[string]string{
			"from":      `"LISTEN pos-1" <sip:caller@10.0.0.1:5060>`,
			"subject":   "Listen to pos-1",
			"call-info": "purpose=emergency-CallId",
			"to":        "<sip:sup-1@10.0.0.31:5060>",
		} {
			if got := headerOf(sup.Invite, header); !strings.Contains(got, want) {
				t.Errorf("INVITE to the supervisor: %s is %q, want %q in it", header, got, want)
			}
		}
		if body := string(sup.Invite.Body()); !strings.Contains(body, "RTP/AVP 0 8 101") || strings.Contains(body, "m=video") {
			t.Errorf("the supervisor was offered\n%s", body)
		}
		if got := w.attending(caller, 2); got != "listen" {
			t.Errorf("the supervisor attends as %q", got)
		}
		if got := w.roles(caller); got != "caller listener taker" {
			t.Errorf("roles are %s", got)
		}
		w.hears(caller, "leg 1")
		if after := len(w.phone("caller").Trace()) + len(w.phone("pos-1").Trace()); after != before {
			t.Errorf("the parties got %d messages because of a listener\n%s", after-before, w.ladder())
		}
		d := last[joinData](w, caller.ID(), "supervisor.joined")
		if d.Join != v.ID || d.CallType != "silentMonitoring" || d.By != "chief" || d.Taker != "pos-1" || d.Agent != "ann" || d.Mode != ModeListen {
			t.Errorf("supervisor.joined has %+v", d)
		}

		w.pass(3 * time.Second)
		w.hangsUp(sup)
		w.up(caller, "caller")
		w.up(pos, "pos-1")
		if got := w.roles(caller); got != "caller taker" {
			t.Errorf("roles are %s", got)
		}
		if d := last[leftData](w, caller.ID(), "supervisor.left"); d.Join != v.ID || d.How != "hung up" || d.DurationMS != 3000 {
			t.Errorf("supervisor.left has %+v", d)
		}
		w.notKept(caller.ID(), "release.requested")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// Supervisors may come in at every stage of a call; whose call it is does not
// change by listening.
func TestSupervisorJoinsAtEveryStage(t *testing.T) {
	stages := map[string]func(*world, *phone.Call){
		"offering": func(w *world, _ *phone.Call) { w.must(w.rings("pos-1").Ring()) },
		"bridged":  func(w *world, _ *phone.Call) { w.answers("pos-1") },
		"waiting": func(w *world, _ *phone.Call) {
			w.hangsUp(w.answers("pos-1"))
			w.must(w.rings("fallback").Ring())
		},
	}
	for stage, reach := range stages {
		for _, mode := range Modes() {
			t.Run(stage+" "+string(mode), func(t *testing.T) {
				inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2", "fallback", "sup-1"}, func(w *world) {
					caller := w.calls("caller")
					reach(w, caller)
					v, sup := w.supervises(caller, mode, "sup-1")
					switch {
					case mode == ModeBarge && stage != "bridged": // nobody has the caller: the supervisor serves them
						if got := w.state(caller); got != string(Bridged) {
							t.Fatalf("the call is %s\n%s", got, w.ladder())
						}
						if d := last[modeData](w, caller.ID(), "supervisor.mode"); d.Mode != ModeTaker || d.Was != ModeBarge || d.Join != v.ID {
							t.Errorf("supervisor.mode has %+v", d)
						}
						w.up(sup, "supervisor")
						if stage == "waiting" {
							w.kept(caller.ID(), "supervisor.joined", "rescue.answered")
						} else {
							w.kept(caller.ID(), "supervisor.joined", "call.answered")
						}
						w.pass(time.Second)
						if ringing := w.roles(caller); ringing != "caller taker" {
							t.Errorf("roles are %s\n%s", ringing, w.ladder())
						}
					default:
						if got := w.state(caller); got != stage {
							t.Fatalf("the call is %s\n%s", got, w.ladder())
						}
						w.kept(caller.ID(), "supervisor.joined")
						w.hangsUp(sup)
						if got := w.state(caller); got != stage {
							t.Fatalf("the call is %s\n%s", got, w.ladder())
						}
					}
					w.hangsUpOrCancels(caller)
					w.nothingLeft()
				})
			})
		}
	}
}

// hangsUpOrCancels ends the caller's own call in whatever state it is.
func (w *world) hangsUpOrCancels(c *phone.Call) {
	w.t.Helper()
	if v, err := w.guard.Get(c.ID()); err == nil && v.Answered.IsZero() {
		c.Cancel()
		w.settle()
		return
	}
	w.hangsUp(c)
}

// Whatever a supervisor's phone does, the caller and the taker do not notice.
func TestSupervisorsPhoneFails(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(*world, *phone.Call)
		code   int
		reason string
	}{
		"declines":      {func(w *world, s *phone.Call) { w.must(s.Reject(603)) }, 603, "Decline"},
		"is busy":       {func(w *world, s *phone.Call) { w.must(s.Reject(486)) }, 486, "Busy Here"},
		"redirects":     {func(w *world, s *phone.Call) { w.must(s.Redirect("sip:elsewhere@10.0.0.77")) }, 302, "Moved Temporarily"},
		"is signed out": {func(w *world, s *phone.Call) { w.must(s.Reject(480)) }, 480, "Temporarily Unavailable"},
		"rings out":     {func(w *world, s *phone.Call) { w.must(s.Ring()); w.pass(40 * time.Second) }, 0, "rang out"},
		"has no audio": {func(w *world, s *phone.Call) {
			w.must(s.Reply(phone.Reply{Code: 200, Body: edited(sdp("sup-1"), "m=audio 4000", "m=audio 0"), ContentType: "application/sdp"}))
		}, 0, "answered without audio"},
		"has no answer": {func(w *world, s *phone.Call) { w.must(s.Reply(phone.Reply{Code: 200})) }, 0, "answered without a session description"},
		"is silent":     {func(w *world, _ *phone.Call) { w.phone("sup-1").SetDeaf(true); w.pass(time.Minute) }, 0, "rang out"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				w.joins(caller, ModeBarge, "sup-1")
				c.do(w, w.rings("sup-1"))
				w.pass(time.Second)
				w.up(caller, "caller")
				w.up(pos, "pos-1")
				w.hears(caller, "leg 1")
				d := last[failedJoin](w, caller.ID(), "supervisor.failed")
				if d.Code != c.code || d.Reason != c.reason {
					t.Errorf("supervisor.failed has %d %q\n%s", d.Code, d.Reason, w.ladder())
				}
				if got := w.roles(caller); got != "caller taker" {
					t.Errorf("roles are %s", got)
				}
				w.notKept(caller.ID(), "supervisor.joined")
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// A phone that says nothing at all is given up after dead_after.
func TestSupervisorsPhoneIsUnplugged(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		w.phone("sup-1").SetDeaf(true)
		w.joins(caller, ModeListen, "sup-1")
		w.pass(3 * time.Second)
		if d := last[failedJoin](w, caller.ID(), "supervisor.failed"); d.Reason != "silent: no response at all" {
			t.Errorf("supervisor.failed has %+v", d)
		}
		w.phone("sup-1").SetDeaf(false)
		w.pass(2 * time.Minute)
		w.up(caller, "caller")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A taker may leave because a supervisor has barged in. When that one leaves as
// well before the verdict takes effect, the caller has nobody and is rescued;
// the taker is not blamed for it.
func TestSupervisorLeavesWhileTheTakersReleaseIsJudged(t *testing.T) {
	for name, leaves := range map[string]func(*world, *phone.Call, JoinView, *phone.Call){
		"hangs up": func(w *world, _ *phone.Call, _ JoinView, sup *phone.Call) { w.hangsUp(sup) },
		"is taken out": func(w *world, caller *phone.Call, v JoinView, _ *phone.Call) {
			_, err := w.guard.Leave(w.ctx, caller.ID(), v.ID, "chief")
			w.must(err)
		},
		"only listens": func(w *world, caller *phone.Call, v JoinView, _ *phone.Call) {
			_, err := w.guard.SetMode(w.ctx, caller.ID(), v.ID, ModeListen, "chief")
			w.must(err)
		},
	} {
		for _, complete := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", intake complete: ", complete), func(t *testing.T) {
				inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback", "sup-1"}, func(w *world) {
					caller := w.calls("caller")
					pos := w.answers("pos-1")
					v, sup := w.supervises(caller, ModeBarge, "sup-1")
					if complete {
						w.marks(caller.ID(), policy.Incident)
					}
					w.journal.slowly(true)
					go func() { _, _ = pos.Bye(w.ctx) }()
					w.pass(20 * time.Millisecond)
					if got := w.state(caller); got != string(Releasing) {
						t.Fatalf("the call is %s", got)
					}
					leaves(w, caller, v, sup)
					w.pass(200 * time.Millisecond)
					w.journal.slowly(false)
					if complete {
						w.ended(caller, "caller", "BYE", true)
						w.pass(time.Minute)
						w.nothingLeft()
						return
					}
					w.up(caller, "caller")
					w.hears(caller, "prompt")
					w.answers("fallback")
					w.up(caller, "caller")
					if d := last[releaseData](w, caller.ID(), "release.requested"); d.Position != "pos-1" || d.Class != Unclear {
						t.Errorf("release.requested has %+v", d)
					}
					w.kept(caller.ID(), "release.allowed", "release.intercepted")
					w.hangsUp(caller)
					w.nothingLeft()
				})
			})
		}
	}
}

// A supervisor who barged in and whose phone was unplugged since is nobody to
// leave a caller to.
func TestSupervisorWhosePhoneFellSilentIsNoSuccessor(t *testing.T) {
	for _, silent := range []bool{false, true} {
		inWorld(t, usualSettings(), []string{"caller", "pos-1", "fallback", "sup-1"}, func(w *world) {
			caller := w.calls("caller")
			pos := w.answers("pos-1")
			w.supervises(caller, ModeBarge, "sup-1")
			voice := w.talks(caller.ID(), 2)
			w.pass(5 * time.Second)
			if silent {
				voice.stops()
			}
			w.pass(3 * time.Second)
			w.hangsUp(pos)
			w.up(caller, "caller")
			if !silent {
				w.hears(caller, "leg 2")
				w.hangsUp(caller)
				return
			}
			w.hears(caller, "prompt")
			if d := last[releaseData](w, caller.ID(), "release.requested"); d.Class != Unclear {
				t.Errorf("the taker, who left the caller to a supervisor, is blamed: %+v", d)
			}
			w.answers("fallback")
			w.hangsUp(caller)
			w.nothingLeft()
		})
	}
}

// A phone that rings for a call, or is in it, is not called again for an alert
// about the same call; for somebody who asks for it, it is.
func TestSupervisorsPhoneIsCalledOnce(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		again := func(once bool) JoinView {
			v, err := w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeListen, Target: uriFor("sup-1"), By: "alert", Once: once})
			w.must(err)
			return v
		}
		v := w.joins(caller, ModeWhisper, "sup-1")
		sup := w.rings("sup-1")
		if got := again(true); got.ID != v.ID || got.By != "chief" || !got.Joined.IsZero() {
			t.Errorf("while it rings: %+v", got)
		}
		w.must(sup.Answer(sdp("sup-1")))
		w.settle()
		if got := again(true); got.ID != v.ID || got.Joined.IsZero() || got.Mode != ModeWhisper {
			t.Errorf("while it is in the call: %+v", got)
		}
		if got := again(false); got.ID == v.ID {
			t.Error("who asks for it is not called again")
		}
		w.must(w.rings("sup-1").Reject(486))
		w.hangsUp(sup)
		if got := again(true); got.ID == v.ID {
			t.Error("who has left is not called again")
		}
		w.answers("sup-1")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// The caller's BYE ends every supervisor's leg, those that ring too.
func TestCallersByeEndsSupervisors(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1", "sup-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		_, sup := w.supervises(caller, ModeWhisper, "sup-1")
		w.joins(caller, ModeListen, "sup-2")
		ringing := w.rings("sup-2")
		w.must(ringing.Ring())
		w.settle()
		w.hangsUp(caller)
		w.ended(pos, "pos-1", "BYE", true)
		w.ended(sup, "sup-1", "BYE", true)
		w.ended(ringing, "sup-2", "CANCEL", true)
		w.kept(caller.ID(), "supervisor.failed", "supervisor.left", "call.ended")
		if d := last[leftData](w, caller.ID(), "supervisor.left"); d.How != "the call ended" || d.CallType != "intervene" {
			t.Errorf("supervisor.left has %+v", d)
		}
		w.nothingLeft()
	})
}

// A caller who was put on hold hears and is heard by a supervisor who barges
// in, whichever was first; the taker's hold goes on being counted.
func TestBargingInTakesTheCallerOffHold(t *testing.T) {
	for _, direction := range []string{"sendonly", "inactive"} {
		for _, bargeFirst := range []bool{true, false} {
			t.Run(fmt.Sprint(direction, " barge first: ", bargeFirst), func(t *testing.T) {
				inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
					caller := w.calls("caller")
					pos := w.answers("pos-1")
					mode := ModeListen
					if bargeFirst {
						mode = ModeBarge
					}
					v, sup := w.supervises(caller, mode, "sup-1")
					w.reinvites(pos, sdpWith("pos-1", "0 8 101", direction))
					if !bargeFirst {
						if got := string(caller.RemoteSDP()); !strings.Contains(got, "a="+direction) {
							t.Errorf("the hold did not reach the caller while a supervisor listens:\n%s", got)
						}
						_, err := w.guard.SetMode(w.ctx, caller.ID(), v.ID, ModeBarge, "chief")
						w.must(err)
					}
					w.settle()
					if got := string(caller.RemoteSDP()); !strings.Contains(got, "a=sendrecv") {
						t.Errorf("the caller is on hold, and a supervisor has barged in:\n%s\n%s", got, w.ladder())
					}
					c := w.guard.lookup(caller.ID())
					held := make(chan time.Time, 1)
					c.post(func() { held <- c.HeldSince })
					if (<-held).IsZero() {
						t.Error("it is not counted any more that the taker has the caller on hold")
					}
					w.reinvites(pos, sdp("pos-1"))
					w.hangsUp(sup)
					w.up(caller, "caller")
					w.up(pos, "pos-1")
					w.hangsUp(caller)
					w.nothingLeft()
				})
			})
		}
	}
}

func TestSupervisorIsPutOnHold(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		_, sup := w.supervises(caller, ModeWhisper, "sup-1")
		before := len(w.phone("caller").Trace()) + len(w.phone("pos-1").Trace())
		for _, direction := range []string{"sendonly", "inactive", "sendrecv"} {
			res, err := sup.Reinvite(w.ctx, sdpWith("sup-1", "0 101", direction))
			want := map[string]string{"sendonly": "a=recvonly", "inactive": "a=inactive", "sendrecv": "a=sendrecv"}[direction]
			if err != nil || res.StatusCode != 200 || !strings.Contains(string(res.Body()), want) {
				t.Fatalf("%s: answered %v, %v", direction, res, err)
			}
			w.settle()
			s := w.media.of(caller.ID())
			s.mu.Lock()
			muted := s.legs[2][0].Muted
			s.mu.Unlock()
			if muted != (direction != "sendrecv") {
				t.Errorf("%s: muted is %v", direction, muted)
			}
		}
		res, err := sup.Reinvite(w.ctx, []byte("v=0\r\no=s 1 2 IN IP4 10.0.0.31\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 9\r\n"))
		if err != nil || res.StatusCode != 488 {
			t.Errorf("G.722 alone was answered %v, %v", res, err)
		}
		if after := len(w.phone("caller").Trace()) + len(w.phone("pos-1").Trace()); after != before {
			t.Errorf("the parties got %d messages because of it", after-before)
		}
		w.hangsUp(caller)
		w.ended(sup, "sup-1", "BYE", true)
		w.nothingLeft()
	})
}

// Glare: the supervisor's re-INVITE crosses our BYE; a CANCEL crosses its 200.
func TestSupervisorGlare(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		v := w.joins(caller, ModeListen, "sup-1")
		sup := w.rings("sup-1")
		w.must(sup.Ring())
		w.settle()
		w.net.SetLink("", "", simnetLink(10*time.Millisecond))
		w.must(sup.Answer(sdp("sup-1")))
		_, err := w.guard.Leave(w.ctx, caller.ID(), v.ID, "chief") // crosses the 200
		w.must(err)
		w.pass(time.Second)
		w.ended(sup, "sup-1", "BYE", true)
		w.notKept(caller.ID(), "supervisor.joined")
		w.net.SetLink("", "", simnetLink(0))

		v, sup = w.supervises(caller, ModeListen, "sup-1")
		w.net.SetLink("", "", simnetLink(10*time.Millisecond))
		answered := make(chan *gosip.Response, 1)
		go func() { res, _ := sup.Reinvite(w.ctx, sdp("sup-1")); answered <- res }()
		w.pass(5 * time.Millisecond)
		_, err = w.guard.Leave(w.ctx, caller.ID(), v.ID, "chief")
		w.must(err)
		w.pass(time.Second)
		if res := <-answered; res == nil || res.StatusCode != 481 {
			t.Errorf("the re-INVITE that crossed the BYE was answered %v", res)
		}
		w.up(caller, "caller")
		w.up(pos, "pos-1")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestSupervisorCommandsThatCannotBe(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		for name, c := range map[string]struct {
			err  error
			want error
		}{
			"no call":      {second(w.guard.Join(w.ctx, "nobody", JoinRequest{Mode: ModeListen, Target: uriFor("sup-1")})), ErrNoCall},
			"no mode":      {second(w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: "shout", Target: uriFor("sup-1")})), ErrMode},
			"taker":        {second(w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeTaker, Target: uriFor("sup-1")})), ErrMode},
			"no target":    {second(w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeListen})), ErrTarget},
			"mail":         {second(w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeListen, Target: "mailto:a@b"})), ErrTarget},
			"ourselves":    {second(w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeListen, Target: "sip:x@" + guardAddr})), ErrTarget},
			"no media":     {second(w.guard.Join(w.ctx, caller.ID(), JoinRequest{Mode: ModeListen, Media: &MediaEndpoint{}})), ErrTarget},
			"no join":      {second(w.guard.SetMode(w.ctx, caller.ID(), "x", ModeBarge, "")), ErrNoJoin},
			"nobody left":  {second(w.guard.Leave(w.ctx, caller.ID(), "x", "")), ErrNoJoin},
			"nobody takes": {second(w.guard.TakeOver(w.ctx, caller.ID(), "x", "")), ErrNoJoin},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: %v, want %v", name, c.err, c.want)
			}
		}
		v := w.joins(caller, ModeListen, "sup-1")
		if _, err := w.guard.TakeOver(w.ctx, caller.ID(), v.ID, "x"); !errors.Is(err, ErrNotNow) {
			t.Errorf("taking over before the answer: %v", err)
		}
		sup := w.rings("sup-1")
		if _, err := w.guard.SetMode(w.ctx, caller.ID(), v.ID, ModeWhisper, "x"); err != nil {
			t.Errorf("switching while it rings: %v", err)
		}
		w.must(sup.Answer(sdp("sup-1")))
		w.must(sup.WaitAck(w.ctx))
		if got := w.attending(caller, 2); got != "whisper" {
			t.Errorf("attends as %q", got)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func second[T any](_ T, err error) error { return err }
