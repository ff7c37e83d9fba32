package sip

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"holdline/media"
	"holdline/sip/phone"
)

// supervised are the usual settings with two supervisors' phones.
func supervised() Settings {
	s := usualSettings()
	at := func(name string) []netip.Prefix {
		host, _, _ := strings.Cut(hosts[name], ":")
		return []netip.Prefix{netip.MustParsePrefix(host + "/32")}
	}
	s.Supervisors = Supervisors{
		Phones: []SupervisorPhone{
			{ID: "chief", URI: uriFor("sup-1"), Networks: at("sup-1")},
			{ID: "deputy", URI: uriFor("sup-2"), Networks: at("sup-2")},
		},
		Dial:   map[Mode]string{ModeListen: "listen*", ModeWhisper: "whisper*", ModeBarge: "barge*"},
		Keys:   map[string]string{"*1": "listen", "*2": "whisper", "*3": "barge", "*4": KeyTakeOver},
		Assist: Assist{Code: "*0"},
	}
	return s
}

// dials calls the guard with a request URI of its own.
func (w *world) dials(name, user string, more ...func(*phone.Invite)) *phone.Call {
	w.t.Helper()
	v := phone.Invite{Dest: guardAddr, RequestURI: "sip:" + user + "@" + guardAddr, Body: sdp(name), ContentType: "application/sdp"}
	for _, m := range more {
		m(&v)
	}
	c, err := w.phone(name).Call(w.ctx, v)
	w.must(err)
	w.settle()
	return c
}

// refused checks that a call of a phone's own was refused.
func (w *world) refused(c *phone.Call, code int) {
	w.t.Helper()
	w.settle()
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	res, err := c.WaitAnswer(ctx)
	w.must(err)
	if res.StatusCode != code {
		w.t.Fatalf("answered %d, want %d\n%s", res.StatusCode, code, w.ladder())
	}
}

func (w *world) dialsKeys(call *phone.Call, leg media.LegID, code string) {
	w.t.Helper()
	w.media.of(call.ID()).notify(media.Event{Kind: media.EventCode, Leg: leg, Code: code})
	w.settle()
}

// A supervisor dials a position, an identifier, or nothing at all.
func TestSupervisorDialsIn(t *testing.T) {
	unique := func(w *world, id string) string {
		v, err := w.guard.Get(id)
		w.must(err)
		return strings.Split(v.EmergencyID, ":")[4]
	}
	for name, dial := range map[string]func(*world, *phone.Call) string{
		"position":    func(*world, *phone.Call) string { return "listen*pos-1" },
		"unique part": func(w *world, c *phone.Call) string { return "listen*" + unique(w, c.ID()) },
		"Call-ID":     func(_ *world, c *phone.Call) string { return "listen*" + strings.ReplaceAll(c.ID(), "@", "%40") },
		"whole emergency": func(w *world, c *phone.Call) string {
			v, _ := w.guard.Get(c.ID())
			return "listen*" + strings.ReplaceAll(v.EmergencyID, ":", "%3A")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, supervised(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				sup := w.dials("sup-1", dial(w, caller))
				if _, err := sup.WaitAnswer(w.ctx); err != nil {
					t.Fatal(err, w.ladder())
				}
				if got := w.attending(caller, 2); got != "listen" {
					t.Fatalf("attends as %q\n%s", got, w.ladder())
				}
				d := last[joinData](w, caller.ID(), "supervisor.joined")
				if d.By != "chief" || d.Target != "chief" || d.Via != ViaDialIn || d.Taker != "pos-1" {
					t.Errorf("supervisor.joined has %+v", d)
				}
				for _, k := range []struct{ code, want string }{{"*2", "whisper"}, {"*3", "barge"}, {"*1", "listen"}} {
					w.dialsKeys(caller, 2, k.code)
					if got := w.attending(caller, 2); got != k.want {
						t.Errorf("after %s attends as %q", k.code, got)
					}
				}
				w.dialsKeys(caller, 2, "*4")
				w.hears(caller, "leg 2")
				w.ended(pos, "pos-1", "BYE", true)
				w.hangsUp(caller)
				w.ended(sup, "sup-1", "BYE", true)
				w.nothingLeft()
			})
		})
	}
}

// "barge*" alone serves the caller who has waited longest.
func TestSupervisorServesWhoWaitsLongest(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "caller2", "pos-1", "pos-2", "fallback", "sup-1"}, func(w *world) {
		first := w.calls("caller")
		w.hangsUp(w.answers("pos-1"))
		w.must(w.rings("fallback").Ring())
		w.pass(time.Second)
		second := w.calls("caller2")
		w.hangsUp(w.answers("pos-1"))
		sup := w.dials("sup-1", "barge*")
		w.hears(first, "leg 3")
		w.hears(second, "prompt")
		w.up(sup, "supervisor")
		w.kept(first.ID(), "supervisor.joined", "supervisor.mode", "rescue.answered")
		w.hangsUp(first)
		w.hangsUp(second)
		w.nothingLeft()
	})
}

// Who is no configured supervisor, or not where that phone is, is refused and
// written down; without supervisors a dial code is a number like any other.
func TestStrangersDoNotDialIn(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "pos-2", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		w.refused(w.dials("pos-2", "listen*pos-1"), 403)
		w.refused(w.dials("pos-2", "barge*pos-1", func(v *phone.Invite) { v.From = "<" + uriFor("sup-1") + ">" }), 403)
		w.refused(w.dials("sup-1", "listen*pos-9"), 404)
		w.refused(w.dials("sup-1", "listen*pos-1", func(v *phone.Invite) {
			v.Body = []byte("v=0\r\no=s 1 1 IN IP4 10.0.0.31\r\ns=-\r\nc=IN IP4 10.0.0.31\r\nt=0 0\r\nm=audio 4000 RTP/AVP 9\r\n")
		}), 488)
		d := last[refusedData](w, "", "supervisor.refused")
		if d.Source != hosts["pos-2"] || !strings.Contains(d.Wanted, "barge*pos-1") || d.Message == nil {
			t.Errorf("supervisor.refused has %+v", d)
		}
		w.up(pos, "pos-1")
		w.hangsUp(caller)
		w.nothingLeft()
	})
	inWorld(t, usualSettings(), []string{"sup-1"}, func(w *world) {
		w.refused(w.dials("sup-1", "listen*pos-1"), 404) // no route
		w.nothingLeft()
	})
}

// Join (RFC 3911) names a dialog as we know it, or as the phones do.
func TestSupervisorJoinsByHeader(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "pos-2", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		ours := tag(headerOf(pos.Invite, "from"))
		theirs := w.takerDialog(caller).RemoteTag
		name := func(id, to, from string) func(*phone.Invite) {
			return func(v *phone.Invite) {
				v.Headers = append(v.Headers, [2]string{"Join", id + ";to-tag=" + to + ";from-tag=" + from})
			}
		}
		sup := w.dials("sup-1", "pos-1", name(pos.ID(), ours, theirs))
		if got := w.attending(caller, 2); got != "barge" {
			t.Fatalf("attends as %q\n%s", got, w.ladder())
		}
		w.hangsUp(sup)
		sup = w.dials("sup-1", "whisper*", name(pos.ID(), theirs, ours)) // as the position's phone knows it
		if got := w.attending(caller, 3); got != "whisper" {
			t.Fatalf("attends as %q\n%s", got, w.ladder())
		}
		w.refused(w.dials("pos-2", "pos-1", name(pos.ID(), ours, theirs)), 403)
		w.refused(w.dials("sup-1", "pos-1", name(pos.ID(), ours, "wrong")), 481)
		w.hangsUp(caller)
		w.ended(sup, "sup-1", "BYE", true)
		w.pass(time.Minute)
		// Too late, and where anybody else's call would be an emergency of its own.
		w.refused(w.dials("sup-1", "911", name(pos.ID(), ours, theirs)), 481)
		w.nothingLeft()
	})
}

// Where no supervisors are configured nobody may join a call beside its taker.
func TestJoinWithoutSupervisors(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		join := pos.ID() + ";to-tag=" + tag(headerOf(pos.Invite, "from")) + ";from-tag=" + w.takerDialog(caller).RemoteTag
		w.refused(w.dials("sup-1", "pos-1", func(v *phone.Invite) { v.Headers = append(v.Headers, [2]string{"Join", join}) }), 403)
		if d := last[refusedData](w, "", "supervisor.refused"); d.Join != join {
			t.Errorf("supervisor.refused has %+v", d)
		}
		w.up(pos, "pos-1")
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// An INVITE without an offer gets ours; the answer comes with the ACK.
func TestSupervisorDialsInWithoutAnOffer(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		sup := w.dials("sup-1", "listen*pos-1", func(v *phone.Invite) { v.Body, v.LateOffer, v.NoAutoAck = nil, true, true })
		if _, err := sup.WaitAnswer(w.ctx); err != nil || !strings.Contains(string(sup.RemoteSDP()), "m=audio") {
			t.Fatalf("answered %v\n%s", err, sup.RemoteSDP())
		}
		w.must(sup.Ack(sdp("sup-1")))
		w.settle()
		s := w.media.of(caller.ID())
		s.mu.Lock()
		r := s.legs[2][0]
		s.mu.Unlock()
		if r.RTP != netip.MustParseAddrPort("10.0.0.31:4000") {
			t.Errorf("media goes to %s", r.RTP)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// A supervisor who never acknowledges our 200 is let go; the call goes on.
func TestSupervisorNeverAcknowledges(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		w.dials("sup-1", "listen*pos-1", func(v *phone.Invite) { v.NoAutoAck = true })
		w.pass(40 * time.Second)
		w.up(caller, "caller")
		if d := last[leftData](w, caller.ID(), "supervisor.left"); d.How != "never acknowledged" {
			t.Errorf("supervisor.left has %+v", d)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}

// takerDialog is the dialog of the leg that has the caller.
func (w *world) takerDialog(call *phone.Call) Dialog {
	w.t.Helper()
	found := make(chan Dialog, 1)
	c := w.guard.lookup(call.ID())
	c.post(func() { found <- c.taker.Dialog })
	return <-found
}

// Phones that send their keys by INFO switch with them all the same.
func TestSupervisorDialsByInfo(t *testing.T) {
	inWorld(t, supervised(), []string{"caller", "pos-1", "sup-1"}, func(w *world) {
		caller := w.calls("caller")
		w.answers("pos-1")
		_, sup := w.supervises(caller, ModeListen, "sup-1")
		press := func(kind, body string) {
			res, err := sup.Request(w.ctx, phone.Request{Method: "INFO", ContentType: kind, Body: []byte(body)})
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("INFO: %v, %v", res, err)
			}
		}
		press("application/dtmf-relay", "Signal=*\r\nDuration=160\r\n")
		press("application/dtmf-relay", "Signal= 2\r\nDuration=160\r\n")
		if got := w.attending(caller, 2); got != "whisper" {
			t.Errorf("after *2 attends as %q", got)
		}
		for _, key := range []string{"5", "*", "*", "3"} {
			press("application/dtmf", key)
		}
		if got := w.attending(caller, 2); got != "barge" {
			t.Errorf("after 5**3 attends as %q", got)
		}
		if n := w.phone("caller").Count(false, "INFO") + w.phone("pos-1").Count(false, "INFO"); n != 0 {
			t.Errorf("the parties got %d INFOs", n)
		}
		w.hangsUp(caller)
		w.nothingLeft()
	})
}
