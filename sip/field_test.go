package sip

import (
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

// The rows of the field's table of endings that must not be intercepted: how
// each goes, and that nobody is asked to take the call over.
func TestLegitimateEndingsPass(t *testing.T) {
	tests := map[string]struct {
		settings func(*Settings)
		invite   func(*phone.Invite)
		end      func(w *world, caller, pos *phone.Call)
		by       string
		want     []string // records, among others
	}{
		"the caller hangs up": {
			end: func(w *world, caller, _ *phone.Call) { w.hangsUp(caller) }, by: "caller", want: []string{"call.answered", "call.ended"},
		},
		"a test call, which the position itself ends": {
			invite: func(v *phone.Invite) { v.RequestURI, v.To = "urn:service:test.sos", "<urn:service:test.sos>" },
			end:    func(w *world, _, pos *phone.Call) { w.hangsUp(pos) }, by: "position", want: []string{"call.answered", "call.ended"},
		},
		"after a successful REFER": {
			end: func(w *world, caller, pos *phone.Call) {
				w.refers(pos, "<"+uriFor("pos-2")+">")
				w.answers("pos-2")
				w.hangsUp(pos)
				if f := last[releaseData](w, caller.ID(), "release.requested").Facts; f.Transfer != "succeeded" || f.TransferTo != "pos-2" {
					w.t.Errorf("transfer %s to %q", f.Transfer, f.TransferTo)
				}
				w.up(caller, "the caller")
				w.hangsUp(caller)
			}, by: "caller", want: []string{"release.requested", "release.allowed", "call.ended"},
		},
		"an attended transfer by INVITE with Replaces": {
			end: func(w *world, caller, pos *phone.Call) {
				next, err := w.phone("pos-2").Call(w.ctx, phone.Invite{
					Dest: guardAddr, RequestURI: "urn:service:sos", To: "<urn:service:sos>", Body: sdp("pos-2"), ContentType: "application/sdp",
					Headers: [][2]string{{"Replaces", w.replacing(pos, "pos-1")}},
				})
				w.must(err)
				_, err = next.WaitAnswer(w.ctx)
				w.must(err)
				w.settle()
				w.ended(pos, "the first taker", "BYE", true)
				w.up(caller, "the caller")
				w.hangsUp(caller)
			}, by: "caller", want: []string{"call.answered", "call.answered", "call.ended"},
		},
		"an administrative call": {
			invite: func(v *phone.Invite) { v.RequestURI, v.To = "sip:5551000@psap.example", "<sip:5551000@psap.example>" },
			end:    func(w *world, _, pos *phone.Call) { w.hangsUp(pos) }, by: "position", want: []string{"call.answered", "call.ended"},
		},
		"a misdial, with the disposition dialled": {
			end: func(w *world, caller, pos *phone.Call) { w.takerDials(caller.ID(), "*19"); w.hangsUp(pos) }, by: "position",
			want: []string{"intake.marked", "release.requested", "release.allowed", "call.ended"},
		},
		"a prank, which is reviewed": {
			end: func(w *world, caller, pos *phone.Call) {
				w.hangsUp(pos, [2]string{"Holdline-Intake", "disposition=prank"})
				if got := w.alerts(caller.ID()); fmt.Sprint(got) != "[review]" {
					w.t.Errorf("alerts %v", got)
				}
			}, by: "position", want: []string{"intake.marked", "release.allowed", "alert.raised", "call.ended"},
		},
		"surge mode": {
			settings: func(s *Settings) {
				s.Judge = func(f policy.Facts) policy.Verdict { f.Surge = true; return policy.Builtin().Judge(f) }
			},
			end: func(w *world, _, pos *phone.Call) { w.hangsUp(pos) }, by: "position", want: []string{"release.requested", "release.allowed", "call.ended"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := watchful()
			if tc.settings != nil {
				tc.settings(&s)
			}
			inWorld(t, s, []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
				invite := tc.invite
				if invite == nil {
					invite = func(*phone.Invite) {}
				}
				caller := w.calls("caller", invite)
				taker := "pos-1"
				if name == "an administrative call" {
					taker = "pos-2"
				}
				pos := w.answers(taker)
				w.pass(12 * time.Second)
				tc.end(w, caller, pos)
				w.kept(caller.ID(), tc.want...)
				w.notKept(caller.ID(), "release.intercepted")
				w.notKept(caller.ID(), "rescue.offered")
				if d := last[endData](w, caller.ID(), "call.ended"); d.By != tc.by || d.Class == "" {
					t.Errorf("ended by %s, class %q", d.By, d.Class)
				}
				w.nothingLeft()
			})
		})
	}
}

// takerDials presses a code on the taker's phone, in the first leg after the caller's.
func (w *world) takerDials(call, code string) {
	w.media.of(call).notify(media.Event{Kind: media.EventCode, Leg: 1, Code: code, At: time.Now()})
	w.settle()
}

// replacing names the dialog of a taker's call as Replaces does.
func (w *world) replacing(c *phone.Call, name string) string {
	return c.ID() + ";to-tag=" + tag(get(c.Invite, "from")) + ";from-tag=" + w.localTag(name)
}

// The evasions of a taker who leaves: the caller is rescued, and it is written
// down how the taker left and whose doing that was. Those of a taker who stays
// on the line are in TestTakersWhoAreNotThere.
func TestTakersWhoLeave(t *testing.T) {
	tests := map[string]struct {
		how   string
		class Class
		leave func(w *world, caller *phone.Call)
	}{
		"1 BYE right after 200, before the caller's ACK": {"bye", Operator, func(w *world, _ *phone.Call) {
			pos := w.rings("pos-1")
			w.must(pos.Answer(sdp("pos-1")))
			w.hangsUp(pos)
		}},
		"5 REFER to nowhere, then BYE": {"bye", Operator, func(w *world, _ *phone.Call) {
			pos := w.answers("pos-1")
			w.refers(pos, "<sip:nobody@10.0.0.250>")
			w.pass(40 * time.Second)
			w.hangsUp(pos)
		}},
		"6 REFER and BYE at once": {"bye", Operator, func(w *world, _ *phone.Call) {
			pos := w.answers("pos-1")
			w.refers(pos, "<sip:nobody@10.0.0.250>")
			w.hangsUp(pos)
		}},
		"10 the session timer runs out": {"session timer expired", Technical, func(w *world, _ *phone.Call) {
			pos := w.rings("pos-1")
			w.must(pos.Reply(phone.Reply{Code: 200, Body: sdp("pos-1"), Headers: [][2]string{
				{"Session-Expires", "1800;refresher=uas"}, {"Require", "timer"},
			}}))
			w.must(pos.WaitAck(w.ctx))
			w.phone("pos-1").SetDeaf(true)
			w.pass((1800 - 32 + 1) * time.Second) // RFC 4028 section 10
		}},
		"10 481 to a re-INVITE": {"answered 481 to INVITE", Unclear, func(w *world, caller *phone.Call) {
			pos := w.answers("pos-1")
			pos.OnRequest(func(*gosip.Request) *phone.Reply { return &phone.Reply{Code: 481} })
			_, err := caller.Reinvite(w.ctx, sdp("caller"))
			w.must(err)
		}},
		"10 no answer to a re-INVITE": {"no answer to INVITE", Technical, func(w *world, caller *phone.Call) {
			w.answers("pos-1")
			w.phone("pos-1").SetDeaf(true)
			_, err := caller.Reinvite(w.ctx, sdp("caller")) // for 32 s
			w.must(err)
		}},
		"13 taking over with Replaces, then dropping": {"bye", Operator, func(w *world, _ *phone.Call) {
			pos := w.answers("pos-1")
			taking := w.calls("pos-2", func(v *phone.Invite) { v.Headers = [][2]string{{"Replaces", w.replacing(pos, "pos-1")}} })
			_, err := taking.WaitAnswer(w.ctx)
			w.must(err)
			w.settle()
			w.hangsUp(taking)
		}},
		"13 left with voicemail, which hangs up": {"bye", Operator, func(w *world, _ *phone.Call) {
			pos := w.answers("pos-1")
			w.refers(pos, "<"+uriFor("fallback2")+">")
			voicemail := w.answers("fallback2")
			w.hangsUp(pos) // the transfer succeeded
			w.pass(30 * time.Second)
			w.hangsUp(voicemail)
		}},
		"19 a BYE that blames the network": {"bye", Unclear, func(w *world, _ *phone.Call) {
			w.hangsUp(w.answers("pos-1"), [2]string{"Reason", `Q.850;cause=38;text="network out of order"`})
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			names := []string{"caller", "pos-1", "pos-2", "fallback", "fallback2"}
			inWorld(t, watchful(), names, func(w *world) {
				headers := func(v *phone.Invite) {
					v.Headers = [][2]string{{"Supported", "timer"}, {"Session-Expires", "1800"}}
				}
				caller := w.calls("caller", headers)
				tc.leave(w, caller)
				w.kept(caller.ID(), "call.answered", "release.requested", "release.intercepted", "rescue.offered")
				d := last[releaseData](w, caller.ID(), "release.requested")
				if d.How != tc.how || d.Class != tc.class || len(d.Evidence) == 0 {
					t.Errorf("how %q, class %s, evidence %q", d.How, d.Class, d.Evidence)
				}
				if !slices.Contains(w.alerts(caller.ID()), "intercept") {
					t.Errorf("alerts %v", w.alerts(caller.ID()))
				}
				w.answers("fallback")
				w.up(caller, "the caller")
				w.isIn(caller.ID(), "bridged")
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// 2, 3 and 4: whoever does not take a call is written down with the agent and
// whose doing it was, and the call goes on to the next.
func TestTakersWhoDecline(t *testing.T) {
	tests := map[string]struct {
		class   Class
		code    int
		decline func(w *world, pos *phone.Call)
	}{
		"2 486": {Operator, 486, func(w *world, pos *phone.Call) { w.must(pos.Reject(486)) }},
		"2 603": {Operator, 603, func(w *world, pos *phone.Call) { w.must(pos.Reject(603)) }},
		"2 480": {Unclear, 480, func(w *world, pos *phone.Call) { w.must(pos.Reject(480)) }},
		"3 letting it ring": {Operator, 0, func(w *world, pos *phone.Call) {
			w.must(pos.Ring())
			w.pass(16 * time.Second)
		}},
		"3 letting it ring, if it rang at all": {Unclear, 0, func(w *world, _ *phone.Call) { w.pass(16 * time.Second) }},
		"4 a redirect to a mobile phone": {Operator, 302, func(w *world, pos *phone.Call) {
			w.must(pos.Redirect("sip:+15045559999@mobile.example"))
		}},
		"a phone that is broken": {Technical, 500, func(w *world, pos *phone.Call) { w.must(pos.Reject(500)) }},
		"a phone that is gone":   {Technical, 0, func(w *world, _ *phone.Call) { w.pass(3 * time.Second) }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, watchful(), []string{"caller", "pos-1", "pos-2", "fallback"}, func(w *world) {
				gone := name == "a phone that is gone"
				w.phone("pos-1").SetDeaf(gone)
				caller := w.calls("caller")
				var pos *phone.Call
				if !gone {
					pos = w.rings("pos-1")
				}
				tc.decline(w, pos)
				next := w.answers("pos-2")
				d := last[failData](w, caller.ID(), "call.failed")
				if d.Agent != "ann" || d.Code != tc.code || d.Class != tc.class || len(d.Evidence) == 0 {
					t.Errorf("%+v", d)
				}
				w.up(next, "the next taker")
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
}

// 5: transfers that the list does not allow, that go in a circle, or that
// nobody answers leave the caller with the taker, and a supervisor is told.
func TestTransfersThatLeadNowhere(t *testing.T) {
	s := watchful(func(s *Settings) { s.TransferTo = []string{"pos-*", "sip:fallback@*"} })
	for name, target := range map[string]string{
		"a mobile phone": "<sip:+15045559999@mobile.example>", "voicemail": "<sip:voicemail@10.0.0.250>", "a telephone number": "<tel:+15045559999>",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, s, []string{"caller", "pos-1", "fallback"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				res, err := pos.Request(w.ctx, phone.Request{Method: "REFER", Headers: [][2]string{{"Refer-To", target}}})
				if err != nil || res.StatusCode != 403 {
					t.Fatalf("REFER: %v, %v", res, err)
				}
				if got := w.alerts(caller.ID()); fmt.Sprint(got) != "[transfer-refused]" {
					t.Errorf("alerts %v", got)
				}
				w.hangsUp(pos)
				if f := last[releaseData](w, caller.ID(), "release.requested").Facts; f.Transfer != "failed" || f.TransferTo == "" {
					t.Errorf("transfer %q to %q", f.Transfer, f.TransferTo)
				}
				w.answers("fallback")
				w.hangsUp(caller)
				w.nothingLeft()
			})
		})
	}
	t.Run("in a circle", func(t *testing.T) {
		inWorld(t, s, []string{"caller", "pos-1", "pos-2"}, func(w *world) {
			caller := w.calls("caller")
			has, other := "pos-1", "pos-2"
			leg := w.answers(has)
			pass := func() int {
				res, err := leg.Request(w.ctx, phone.Request{Method: "REFER", Headers: [][2]string{{"Refer-To", "<" + uriFor(other) + ">"}}})
				w.must(err)
				return res.StatusCode
			}
			for n, want := range [][]string{nil, {"transfer-circle"}, {"transfer-circle", "transfer-circle"}} {
				if code := pass(); code != 202 {
					t.Fatalf("transfer %d: %d\n%s", n+1, code, w.ladder())
				}
				next := w.answers(other)
				w.hangsUp(leg)
				if got := w.alerts(caller.ID()); !slices.Equal(got, want) {
					t.Errorf("after %d transfers: alerts %v, want %v", n+1, got, want)
				}
				leg, has, other = next, other, has
			}
			if code := pass(); code != 403 {
				t.Errorf("the fourth transfer: %d", code)
			}
			w.up(leg, "the taker")
			w.up(caller, "the caller")
			w.hangsUp(caller)
			w.nothingLeft()
		})
	})
	t.Run("unanswered", func(t *testing.T) {
		inWorld(t, s, []string{"caller", "pos-1", "pos-2"}, func(w *world) {
			caller := w.calls("caller")
			pos := w.answers("pos-1")
			w.refers(pos, "<"+uriFor("pos-2")+">")
			w.must(w.rings("pos-2").Ring())
			w.pass(31 * time.Second)
			w.hears(caller, "leg 1")
			w.up(pos, "the transferor")
			w.hangsUp(caller)
			w.nothingLeft()
		})
	})
}

// 14 and 15 within one call: the disposition lets the taker go, and stands in
// the journal with who sat there. What they add up to is seen by the detectors.
func TestDispositionsStandWithTheAgent(t *testing.T) {
	inWorld(t, watchful(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.hangsUp(pos, [2]string{"Holdline-Intake", `disposition="wrong number"`})
		d := last[releaseData](w, caller.ID(), "release.requested")
		if d.Agent != "ann" || d.Facts.Agent != "ann" || d.Intake[policy.Disposition].Value != "wrong number" {
			t.Errorf("%+v", d)
		}
		w.nothingLeft()
	})
}

// 17: a taker who waits until the caller gives up is seen by then.
func TestACallerWhoGivesUpOnSilence(t *testing.T) {
	inWorld(t, watchful(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		w.talks(caller.ID(), 0)
		w.talks(caller.ID(), 1).hushes()
		w.pass(40 * time.Second)
		w.hangsUp(caller)
		w.kept(caller.ID(), "call.answered", "alert.raised", "call.ended")
		if got := w.alerts(caller.ID()); fmt.Sprint(got) != "[dead-air]" {
			t.Errorf("alerts %v", got)
		}
		w.nothingLeft()
	})
}

// 19: what is not a message of the dialog ends nothing, and is kept once.
func TestForgedAndMalformedRequests(t *testing.T) {
	inWorld(t, watchful(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		answer, err := caller.WaitAnswer(w.ctx)
		w.must(err)
		bye := func(from, call, fromTag, toTag, seq string) {
			w.must(w.phone(from).SendRaw(guardAddr, []byte(strings.Join([]string{
				"BYE sip:" + guardAddr + " SIP/2.0", "Via: SIP/2.0/UDP " + hosts[from] + ";branch=z9hG4bK" + newToken(), "Max-Forwards: 70",
				"From: <sip:x@x.example>;tag=" + fromTag, "To: <urn:service:sos>;tag=" + toTag, "Call-ID: " + call, "CSeq: " + seq,
				"Content-Length: 0", "", "",
			}, "\r\n"))))
			w.settle()
		}
		ours, theirs := tag(get(answer, "to")), tag(get(answer, "from"))
		for range 5 {
			bye("pos-2", caller.ID(), theirs, "guessed", "7 BYE")    // no tag of ours
			bye("pos-2", caller.ID(), "guessed", ours, "7 BYE")      // ours, and not the caller's
			bye("pos-1", caller.ID(), theirs, ours, "7 BYE")         // the caller's, from the taker's desk
			bye("pos-2", caller.ID(), theirs, ours, "7 INVITE")      // CSeq of something else
			bye("pos-2", "another@call", theirs, "guessed", "7 BYE") // of no call at all
			bye("stranger", caller.ID(), theirs, ours, "7 BYE")      // from a network nobody trusts
		}
		w.up(caller, "the caller")
		w.up(pos, "the taker")
		w.isIn(caller.ID(), "bridged")
		why := map[string]int{}
		for _, e := range w.journal.all() {
			if d, ok := e.Data.(intrusionData); ok {
				why[d.Why]++
			}
		}
		if want := map[string]int{noDialog: 1, forged: 1, malformed: 1}; fmt.Sprint(why) != fmt.Sprint(want) {
			t.Errorf("kept %v, want %v\n%s", why, want, w.ladder())
		}
		if got := w.alerts(caller.ID()); fmt.Sprint(got) != "[forged-request]" {
			t.Errorf("alerts %v", got)
		}
		w.pass(2 * time.Minute)
		bye("pos-2", caller.ID(), theirs, "guessed", "8 BYE")
		if d := last[intrusionData](w, caller.ID(), "request.refused"); d.More != 9 {
			t.Errorf("%d more of the kind", d.More)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// TestAnswersThatRefuseAllMedia: a position that answers and refuses every
// stream has not taken the caller, whose phone would hang up; the next one is called.
func TestAnswersThatRefuseAllMedia(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "pos-2"}, func(w *world) {
		caller := w.calls("caller")
		deaf := w.rings("pos-1")
		body := strings.Replace(string(sdp("pos-1")), "m=audio 4000", "m=audio 0", 1)
		w.must(deaf.Reply(phone.Reply{Code: 200, Body: []byte(body)}))
		w.answers("pos-2")
		w.ended(deaf, "pos-1", "BYE", true)
		w.up(caller, "the caller")
		w.hears(caller, "leg 2")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}
