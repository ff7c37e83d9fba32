package sip

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/phone"
	"holdline/sip/simnet"
)

// watchful are the usual settings with a vigil.
func watchful(change ...func(*Settings)) Settings {
	s := usualSettings()
	s.Vigil = Vigil{
		Held: Patience{60 * time.Second, 120 * time.Second}, Parked: Patience{30 * time.Second, 60 * time.Second},
		DeadAir: Patience{30 * time.Second, 90 * time.Second}, NoMedia: Patience{10 * time.Second, 20 * time.Second},
		Vanished: Patience{2 * time.Second, 5 * time.Second}, ForeignMedia: Patience{10 * time.Second, 30 * time.Second},
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

// mouth is what comes from one leg: media from the moment it was made, speech
// until hush, everything until stop.
type mouth struct {
	mu               sync.Mutex
	from, hush, stop time.Time
	activity         media.Activity
	noisy, pauses    bool
	unreachable      string
}

// now changes what comes.
func (m *mouth) now(change func(m *mouth)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *mouth) hushes() { m.now(func(m *mouth) { m.hush = time.Now() }) }
func (m *mouth) speaks() { m.now(func(m *mouth) { m.hush = time.Time{} }) }
func (m *mouth) stops()  { m.now(func(m *mouth) { m.hush, m.stop = time.Now(), time.Now() }) }

func (m *mouth) stats() media.StreamStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	until := func(t time.Time) time.Time {
		if t.IsZero() || now.Before(t) {
			return now
		}
		return t
	}
	s := media.StreamStats{
		FirstRecv: m.from, LastRecv: until(m.stop), LastSpeech: until(m.hush), Activity: m.activity, Pauses: m.pauses,
	}
	s.Received = uint64(s.LastRecv.Sub(m.from)/(20*time.Millisecond)) + 1
	s.Speech = s.LastSpeech.Sub(m.from) / 2
	if m.noisy {
		s.Noise = s.LastRecv.Sub(s.LastSpeech)
	}
	if m.unreachable != "" && now.After(s.LastRecv.Add(time.Second)) {
		s.Unreached, s.LastUnreached, s.Unreachable = 10, now, m.unreachable
	}
	return s
}

// talks lets a leg of a call speak; the caller is leg 0.
func (w *world) talks(call string, leg media.LegID) *mouth {
	m := &mouth{from: time.Now(), activity: media.BySamples}
	s := w.media.of(call)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.says == nil {
		s.says = map[media.LegID]func() media.StreamStats{}
	}
	s.says[leg] = m.stats
	return m
}

// alerts are the causes of the alerts of a call, in order.
func (w *world) alerts(call string) (out []string) {
	w.settle()
	for _, e := range w.journal.all() {
		if d, ok := e.Data.(alertData); ok && e.Call == call {
			out = append(out, d.Cause)
		}
	}
	return out
}

func (w *world) isIn(call, want string) {
	w.t.Helper()
	w.settle()
	v, err := w.guard.Get(call)
	w.must(err)
	if v.State != want {
		w.t.Fatalf("the call is %s, want %s\n%s", v.State, want, w.ladder())
	}
}

// holds sends a re-INVITE that puts the caller on hold, or off.
func (w *world) reinvites(c *phone.Call, body []byte) {
	w.t.Helper()
	res, err := c.Request(w.ctx, phone.Request{Method: "INVITE", Body: body, ContentType: "application/sdp"})
	if err != nil || res.StatusCode != 200 {
		w.t.Fatalf("re-INVITE: %v, %v\n%s", res, err, w.ladder())
	}
	w.settle()
}

func edited(body []byte, old, replacement string) []byte {
	return []byte(strings.Replace(string(body), old, replacement, 1))
}

// The evasions of a taker who stays on the line: a supervisor is told, the
// queue is offered the call while the taker keeps it, whoever answers has the
// caller, and the taker is let go and not asked again.
func TestTakersWhoAreNotThere(t *testing.T) {
	tests := map[string]struct {
		how         policy.Release
		class       Class
		alert, rest time.Duration // until the alert, and from there to the rescue
		leave       func(w *world, pos *phone.Call, taker *mouth)
	}{
		"7 hold, sendonly": {policy.ReleaseHeld, Operator, 60 * time.Second, 60 * time.Second, func(w *world, pos *phone.Call, _ *mouth) {
			w.reinvites(pos, sdpWith("pos-1", "0 8 101", "sendonly"))
		}},
		"7 hold, inactive": {policy.ReleaseHeld, Operator, 60 * time.Second, 60 * time.Second, func(w *world, pos *phone.Call, _ *mouth) {
			w.reinvites(pos, sdpWith("pos-1", "0 8 101", "inactive"))
		}},
		"7 hold, 0.0.0.0": {policy.ReleaseHeld, Operator, 60 * time.Second, 60 * time.Second, func(w *world, pos *phone.Call, _ *mouth) {
			w.reinvites(pos, edited(sdp("pos-1"), "c=IN IP4 10.0.0.11", "c=IN IP4 0.0.0.0"))
		}},
		"11 port 0": {policy.ReleaseHeld, Operator, 60 * time.Second, 60 * time.Second, func(w *world, pos *phone.Call, _ *mouth) {
			w.reinvites(pos, edited(sdp("pos-1"), "m=audio 4000", "m=audio 0"))
		}},
		"8 asleep": {policy.ReleaseDeadAir, Unclear, 30 * time.Second, 60 * time.Second, func(_ *world, _ *phone.Call, taker *mouth) {
			taker.hushes()
		}},
		"8 asleep, by a phone that suppresses silence": {policy.ReleaseDeadAir, Unclear, 30 * time.Second, 60 * time.Second, func(_ *world, _ *phone.Call, taker *mouth) {
			taker.stops()
			taker.now(func(m *mouth) { m.pauses = true })
		}},
		"8 muted, in the session description": {policy.ReleaseDeadAir, Unclear, 30 * time.Second, 60 * time.Second, func(w *world, pos *phone.Call, taker *mouth) {
			w.reinvites(pos, sdpWith("pos-1", "0 8 101", "recvonly"))
			taker.stops()
		}},
		"18 garbage to look alive": {policy.ReleaseNoise, Unclear, 30 * time.Second, 60 * time.Second, func(_ *world, _ *phone.Call, taker *mouth) {
			taker.hushes()
			taker.now(func(m *mouth) { m.noisy = true })
		}},
		"9 unplugged: nothing comes any more": {policy.ReleaseNoMedia, Technical, 10 * time.Second, 14 * time.Second, func(w *world, _ *phone.Call, taker *mouth) {
			taker.stops()
			w.net.SetBoth(hosts["pos-1"], guardAddr, simnet.Link{Loss: 1})
		}},
		"9 unplugged, but the phone is there": {policy.ReleaseNoMedia, Unclear, 10 * time.Second, 10 * time.Second, func(_ *world, _ *phone.Call, taker *mouth) {
			taker.stops()
		}},
		"9 vanished: its port is closed": {policy.ReleaseVanished, Technical, 13 * time.Second, 3 * time.Second, func(_ *world, _ *phone.Call, taker *mouth) {
			taker.stops()
			taker.now(func(m *mouth) { m.unreachable = "ICMP port unreachable at 10.0.0.11:4000, reported by 10.0.0.11" })
		}},
		"11 a foreign address": {policy.ReleaseForeignMedia, Operator, 10 * time.Second, 20 * time.Second, func(w *world, pos *phone.Call, taker *mouth) {
			w.reinvites(pos, edited(sdp("pos-1"), "c=IN IP4 10.0.0.11", "c=IN IP4 203.0.113.5"))
			taker.hushes()
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, watchful(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				w.talks(caller.ID(), 0)
				taker := w.talks(caller.ID(), 1)
				w.pass(7 * time.Second)
				tc.leave(w, pos, taker)
				w.pass(tc.alert - time.Second)
				if got := w.alerts(caller.ID()); tc.how != policy.ReleaseVanished && len(got) > 0 {
					t.Fatalf("alerts %v too early", got)
				}
				w.pass(2 * time.Second)
				if got := w.alerts(caller.ID()); len(got) == 0 || got[0] != string(tc.how) && tc.how != policy.ReleaseVanished {
					t.Fatalf("alerts %v, want %s\n%s", got, tc.how, w.ladder())
				}
				w.pass(tc.rest)
				d := last[releaseData](w, caller.ID(), "release.requested")
				if d.How != string(tc.how) || d.Class != tc.class || len(d.Evidence) == 0 || d.Facts == nil {
					t.Errorf("release.requested: %s, class %s, evidence %q", d.How, d.Class, d.Evidence)
				}
				w.kept(caller.ID(), "call.answered", "alert.raised", "release.requested", "release.intercepted", "rescue.offered")
				w.isIn(caller.ID(), "relieving")
				w.hears(caller, "leg 1") // the taker keeps the caller
				w.up(pos, "the taker")
				next := w.answers("fallback")
				if got := headerOf(next.Invite, "reason"); !strings.Contains(got, "left alone by pos-1 ("+string(tc.how)) {
					t.Errorf("Reason: %s", got)
				}
				w.isIn(caller.ID(), "bridged")
				w.hears(caller, "leg 2")
				w.up(caller, "the caller")
				if !strings.Contains(name, "unplugged: nothing") {
					w.ended(pos, "the taker", "BYE", true)
				}
				w.kept(caller.ID(), "rescue.offered", "rescue.answered")
				w.hangsUp(caller)
				w.ended(next, "the next taker", "BYE", true)
				w.nothingLeft()
			})
		})
	}
}

// What honest takers do must not set anything off.
func TestTakersWhoAreThere(t *testing.T) {
	tests := map[string]func(w *world, caller, pos *phone.Call){
		"a talk": func(w *world, caller, _ *phone.Call) {
			w.talks(caller.ID(), 0)
			w.talks(caller.ID(), 1)
			w.pass(time.Hour)
		},
		"a call without any media": func(w *world, _, _ *phone.Call) { w.pass(time.Hour) },
		"media of the caller that stops like the taker's": func(w *world, caller, _ *phone.Call) {
			w.talks(caller.ID(), 0).now(func(m *mouth) { m.stop = time.Now().Add(6 * time.Second) })
			w.talks(caller.ID(), 1).now(func(m *mouth) { m.stop = time.Now().Add(6 * time.Second) })
			w.pass(time.Hour)
		},
		"a caller who hardly sends": func(w *world, caller, _ *phone.Call) {
			w.talks(caller.ID(), 0).now(func(m *mouth) { m.stop = time.Now().Add(100 * time.Millisecond) })
			w.pass(time.Hour)
		},
		"a format that nobody can judge": func(w *world, caller, _ *phone.Call) {
			w.talks(caller.ID(), 0)
			m := w.talks(caller.ID(), 1)
			m.now(func(m *mouth) { m.activity, m.hush = media.NoActivity, m.from })
			w.pass(time.Hour)
		},
		"text": func(w *world, caller, _ *phone.Call) {
			w.talks(caller.ID(), 0).now(func(m *mouth) { m.activity = media.ByText })
			w.talks(caller.ID(), 1).hushes()
			w.pass(time.Hour)
		},
		"listening for a while": func(w *world, caller, _ *phone.Call) {
			w.talks(caller.ID(), 0)
			m := w.talks(caller.ID(), 1)
			for range 20 {
				m.hushes()
				w.pass(29 * time.Second)
				m.speaks()
				w.pass(time.Second)
			}
		},
		"a short hold": func(w *world, caller, pos *phone.Call) {
			w.talks(caller.ID(), 0)
			w.talks(caller.ID(), 1)
			for range 5 {
				w.reinvites(pos, sdpWith("pos-1", "0 8 101", "sendonly"))
				w.pass(50 * time.Second)
				w.reinvites(pos, sdp("pos-1"))
				w.pass(time.Second)
			}
		},
		"the caller's own hold": func(w *world, caller, _ *phone.Call) {
			w.talks(caller.ID(), 0)
			m := w.talks(caller.ID(), 1)
			w.reinvites(caller, sdpWith("caller", "0 8 101", "inactive"))
			m.stops()
			w.pass(time.Hour)
		},
		"media moved to a server we trust": func(w *world, caller, pos *phone.Call) {
			w.talks(caller.ID(), 0)
			w.talks(caller.ID(), 1)
			w.reinvites(pos, edited(sdp("pos-1"), "c=IN IP4 10.0.0.11", "c=IN IP4 10.9.9.9"))
			w.pass(time.Hour)
		},
		"media moved elsewhere, and the talk goes on": func(w *world, caller, pos *phone.Call) {
			w.talks(caller.ID(), 0)
			w.talks(caller.ID(), 1)
			w.reinvites(pos, edited(sdp("pos-1"), "c=IN IP4 10.0.0.11", "c=IN IP4 203.0.113.5"))
			w.pass(time.Hour)
		},
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, watchful(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				act(w, caller, pos)
				w.isIn(caller.ID(), "bridged")
				if got := w.alerts(caller.ID()); len(got) > 0 {
					t.Errorf("alerts %v\n%s", got, w.ladder())
				}
				w.notKept(caller.ID(), "release.requested")
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// A taker who comes back before anybody answers keeps the caller.
func TestARescueIsCalledOff(t *testing.T) {
	tests := map[string]func(w *world, caller, pos *phone.Call, m *mouth){
		"the taker speaks":    func(_ *world, _, _ *phone.Call, m *mouth) { m.speaks() },
		"intake is completed": func(w *world, caller, _ *phone.Call, _ *mouth) { w.marks(caller.ID(), policy.Incident) },
		"a transfer": func(w *world, _, pos *phone.Call, _ *mouth) {
			w.refers(pos, "<"+uriFor("pos-2")+">")
			w.rings("pos-2")
		},
	}
	for name, back := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, watchful(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				w.talks(caller.ID(), 0)
				m := w.talks(caller.ID(), 1)
				m.hushes()
				w.pass(92 * time.Second)
				w.isIn(caller.ID(), "relieving")
				offered := w.rings("fallback")
				w.must(offered.Ring())
				back(w, caller, pos, m)
				w.pass(1500 * time.Millisecond)
				w.kept(caller.ID(), "rescue.offered", "rescue.calledoff")
				w.isIn(caller.ID(), "bridged")
				w.hears(caller, "leg 1")
				w.ended(offered, "the fallback's call", "CANCEL", true)
				w.up(pos, "the taker")
				if v, _ := w.guard.Get(caller.ID()); v.Rescues != 0 || !v.Waiting.IsZero() {
					t.Errorf("%d rescues, waiting since %v", v.Rescues, v.Waiting)
				}
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// marks sets intake fields as a CAD system does.
func (w *world) marks(call string, fields ...policy.Field) {
	w.t.Helper()
	m := map[policy.Field]string{}
	for _, f := range fields {
		m[f] = "x"
	}
	_, err := w.guard.MarkIntake(w.ctx, call, m, "cad")
	w.must(err)
	w.settle()
}

func TestALapseAfterIntakeIsLeftAlone(t *testing.T) {
	inWorld(t, watchful(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		w.talks(caller.ID(), 0)
		m := w.talks(caller.ID(), 1)
		w.marks(caller.ID(), policy.Incident)
		m.hushes()
		w.pass(time.Hour)
		w.isIn(caller.ID(), "bridged")
		w.kept(caller.ID(), "alert.raised", "release.requested", "release.allowed")
		if got := w.alerts(caller.ID()); fmt.Sprint(got) != "[dead-air]" {
			t.Errorf("alerts %v", got)
		}
		m.stops() // now the line itself is dead
		w.pass(25 * time.Second)
		w.isIn(caller.ID(), "relieving")
		w.answers("fallback")
		w.isIn(caller.ID(), "bridged")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestTheTakerHangsUpWhileRelieved(t *testing.T) {
	inWorld(t, watchful(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.talks(caller.ID(), 0)
		w.talks(caller.ID(), 1).hushes()
		w.pass(92 * time.Second)
		offered := w.rings("fallback")
		w.must(offered.Ring())
		w.hangsUp(pos)
		w.isIn(caller.ID(), "waiting")
		w.hears(caller, "prompt")
		w.must(offered.Answer(sdp("fallback")))
		w.must(offered.WaitAck(w.ctx))
		w.isIn(caller.ID(), "bridged")
		if got := headerOf(offered.Invite, "history-info"); strings.Count(got, "left%20alone") != 1 {
			t.Errorf("History-Info: %s", got)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

func TestTheCallerHangsUpWhileRelieved(t *testing.T) {
	inWorld(t, watchful(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.talks(caller.ID(), 0)
		w.talks(caller.ID(), 1).hushes()
		w.pass(92 * time.Second)
		offered := w.rings("fallback")
		w.must(offered.Ring())
		w.hangsUp(caller)
		w.ended(pos, "the taker", "BYE", true)
		w.ended(offered, "the fallback's call", "CANCEL", true)
		if d := last[endData](w, caller.ID(), "call.ended"); d.Class != ByCaller {
			t.Errorf("class %s", d.Class)
		}
		w.nothingLeft()
	})
}

// Nobody of the queue answers: the queue goes round, the taker keeps the caller.
func TestNobodyRelievesTheTaker(t *testing.T) {
	inWorld(t, watchful(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.talks(caller.ID(), 0)
		w.talks(caller.ID(), 1).hushes()
		w.pass(92 * time.Second)
		w.must(w.rings("fallback").Ring())
		w.pass(10 * time.Minute)
		w.isIn(caller.ID(), "relieving")
		w.hears(caller, "leg 1")
		w.up(pos, "the taker")
		if !slices.Contains(w.alerts(caller.ID()), "escalation") {
			t.Error("no supervisor was told that nobody answers")
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// 12. Two calls at once: the first is parked.
func TestParkingTheFirstOfTwoCalls(t *testing.T) {
	s := watchful(func(s *Settings) { s.Positions[0].Calls = 2 })
	inWorld(t, s, []string{"caller", "caller2", "pos-1", "fallback"}, func(w *world) {
		first := w.calls("caller")
		pos := w.answers("pos-1")
		second := w.calls("caller2")
		other := w.answers("pos-1")
		w.reinvites(pos, sdpWith("pos-1", "0 8 101", "sendonly"))
		w.pass(31 * time.Second)
		if got := w.alerts(first.ID()); fmt.Sprint(got) != "[parked]" {
			t.Fatalf("alerts %v", got)
		}
		w.pass(30 * time.Second)
		w.answers("fallback")
		w.ended(pos, "the parked call's taker", "BYE", true)
		w.up(other, "the second call")
		if d := last[releaseData](w, first.ID(), "release.requested"); d.How != "parked" || d.Class != Operator {
			t.Errorf("%+v", d)
		}
		w.hangsUp(first)
		w.hangsUp(second)
		w.nothingLeft()
	})
}

// A caller who was on hold is taken off hold for the next taker.
func TestHoldEndsWithItsHolder(t *testing.T) {
	for name, body := range map[string][]byte{
		"sendonly": sdpWith("pos-1", "0 8 101", "sendonly"),
		"0.0.0.0":  edited(sdp("pos-1"), "c=IN IP4 10.0.0.11", "c=IN IP4 0.0.0.0"),
		"port 0":   edited(sdp("pos-1"), "m=audio 4000", "m=audio 0"),
	} {
		for _, way := range []string{"relieved", "hangs up"} {
			t.Run(name+", "+way, func(t *testing.T) {
				inWorld(t, watchful(), []string{"caller", "pos-1", "fallback"}, func(w *world) {
					caller := w.calls("caller")
					pos := w.answers("pos-1")
					w.reinvites(pos, body)
					if way == "relieved" {
						w.pass(121 * time.Second)
					} else {
						w.pass(5 * time.Second)
						w.hangsUp(pos)
						f := last[releaseData](w, caller.ID(), "release.requested").Facts
						if !f.Holding || f.Hold.Round(time.Second) != 5*time.Second {
							t.Errorf("on hold for %v, %v", f.Hold, f.Holding)
						}
					}
					w.answers("fallback")
					var offer string
					for _, m := range w.phone("caller").Trace() {
						if !m.Sent && m.Is("INVITE") {
							offer = string(m.Raw)
						}
					}
					if !strings.Contains(offer, "a=sendrecv") || strings.Contains(offer, "0.0.0.0") || strings.Contains(offer, "m=audio 0 ") {
						t.Errorf("the caller was offered last:\n%s", offer)
					}
					w.hangsUp(caller)
					w.nothingLeft()
				})
			})
		}
	}
}
