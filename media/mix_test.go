package media

import (
	"bytes"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/zaf/g711"
)

// singer is a phone that sounds one note, so that one can tell who hears whom.
type singer struct {
	*phone
	hz, loud float64
	ptime    time.Duration
	clock    float64 // samples a second of the phone's own clock
	lost     func(k int) bool
	late     func(k int) time.Duration
	quiet    bool
	sung     int       // samples
	until    time.Time // what was sung so far lasts
}

func (h *house) singer(addr string, hz float64) *singer {
	return &singer{phone: h.phone(addr), hz: hz, loud: 6000, ptime: 20 * time.Millisecond, clock: 8000}
}

// note is the next packet of the note.
func (s *singer) note() []byte {
	n := int(s.ptime * 8000 / time.Second)
	out := make([]byte, n)
	for i := range out {
		v := int16(0)
		if !s.quiet {
			v = int16(s.loud * math.Sin(2*math.Pi*s.hz*float64(s.sung+i)/8000))
		}
		if s.pt == 8 {
			out[i] = g711.EncodeAlawFrame(v)
		} else {
			out[i] = g711.EncodeUlawFrame(v)
		}
	}
	s.sung += n
	return out
}

// sing lets everybody sound for a while, each at their own pace, and returns
// what each of them sent.
func sing(t *testing.T, d time.Duration, all ...*singer) (sent map[*singer][][]byte) {
	t.Helper()
	type packet struct {
		at  time.Duration
		who *singer
		raw []byte
	}
	var queue []packet
	sent = make(map[*singer][][]byte)
	for _, s := range all {
		step := time.Duration(float64(s.ptime) * 8000 / s.clock)
		if !s.until.IsZero() { // the clock of a phone goes on between its packets
			idle := int(time.Since(s.until).Seconds() * s.clock)
			s.ts += uint32(idle)
			s.sung += idle
		}
		s.until = time.Now().Add(d.Truncate(step))
		for k := 0; time.Duration(k+1)*step <= d; k++ {
			p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: s.pt, SequenceNumber: s.seq, Timestamp: s.ts, SSRC: s.ssrc}, Payload: s.note()}
			s.seq++
			s.ts += uint32(len(p.Payload))
			raw, _ := p.Marshal()
			sent[s] = append(sent[s], raw)
			if s.lost != nil && s.lost(k) {
				continue
			}
			at := time.Duration(k+1) * step
			if s.late != nil {
				at += s.late(k)
			}
			queue = append(queue, packet{at, s, raw})
		}
	}
	slices.SortStableFunc(queue, func(a, b packet) int { return int(a.at - b.at) })
	start := time.Now()
	for _, p := range queue {
		time.Sleep(p.at - time.Since(start))
		p.who.raw(p.raw)
	}
	time.Sleep(d - time.Since(start))
	synctest.Wait()
	return sent
}

// soundOf decodes what arrived, each packet at the place its timestamp names.
func soundOf(t *testing.T, heard []arrival) (out []float64) {
	t.Helper()
	if len(heard) == 0 {
		return nil
	}
	begin := heard[0].rtp(t).Timestamp
	for _, a := range heard {
		p := a.rtp(t)
		at := int(int32(p.Timestamp - begin))
		if at < 0 || at > 1<<24 {
			t.Fatalf("timestamp %d after %d", p.Timestamp, begin)
		}
		for len(out) < at+len(p.Payload) {
			out = append(out, 0)
		}
		for i, b := range p.Payload {
			switch p.PayloadType {
			case 0:
				out[at+i] = float64(g711.DecodeUlawFrame(b))
			case 8:
				out[at+i] = float64(g711.DecodeAlawFrame(b))
			}
		}
	}
	return out
}

// strength is the amplitude of one note in a sound (Goertzel), with a window
// that keeps other notes out of it.
func strength(x []float64, hz float64) float64 {
	if len(x) == 0 {
		return 0
	}
	note, bell := turning(2*math.Pi*hz/8000), turning(2*math.Pi/float64(len(x)))
	var sum complex128
	at, edge := complex(1, 0), complex(1, 0)
	for _, v := range x {
		sum += complex(v*(0.5-0.5*real(edge)), 0) * at
		at, edge = at*note, edge*bell
	}
	return 4 * cmplx.Abs(sum) / float64(len(x))
}

func turning(angle float64) complex128 { return complex(math.Cos(angle), math.Sin(angle)) }

// hears checks who of the singers is heard in what arrived, at full loudness,
// and that the others are not heard at all.
func hears(t *testing.T, who string, heard []arrival, all []*singer, loud ...*singer) {
	t.Helper()
	x := soundOf(t, heard)
	if len(x) < 4000 {
		t.Errorf("%s heard %d samples only", who, len(x))
		return
	}
	x = x[1600:]
	for _, s := range all {
		got := strength(x, s.hz)
		switch {
		case slices.Contains(loud, s) && (got < 0.9*s.loud || got > 1.1*s.loud):
			t.Errorf("%s hears %.0f Hz with %.0f, want about %.0f", who, s.hz, got, s.loud)
		case !slices.Contains(loud, s) && got > 0.015*s.loud:
			t.Errorf("%s hears %.0f Hz with %.0f, want nothing", who, s.hz, got)
		}
	}
}

// studio is a bridged call with two parties and supervisors who sing.
type studio struct {
	*house
	t             *testing.T
	s             Session
	caller, taker *singer
	bridged       LegID
	all           []*singer
}

func newStudio(t *testing.T, callerLaw, takerLaw Codec) *studio {
	h := newHouse(t)
	st := &studio{house: h, t: t, s: h.open(), caller: h.singer("192.0.2.1:4000", 437), taker: h.singer("192.0.2.2:5000", 713)}
	st.caller.pt, st.taker.pt = callerLaw.PT, takerLaw.PT
	h.join(st.s, st.caller.phone, st.caller.remote(callerLaw, tele))
	st.bridged = h.join(st.s, st.taker.phone, st.taker.remote(takerLaw, tele))
	st.s.Bridge(st.bridged)
	st.all = []*singer{st.caller, st.taker}
	return st
}

func (st *studio) supervisor(addr string, hz float64, law Codec) (*singer, LegID) {
	s := st.singer(addr, hz)
	s.pt = law.PT
	id := st.join(st.s, s.phone, s.remote(law))
	st.all = append(st.all, s)
	return s, id
}

// during sings for a while and returns what each heard in it.
func (st *studio) during(d time.Duration, who ...*singer) map[*singer][]arrival {
	st.t.Helper()
	for _, s := range st.all {
		s.take()
	}
	sing(st.t, d, who...)
	heard := make(map[*singer][]arrival)
	for _, s := range st.all {
		heard[s] = s.take()
	}
	return heard
}

func TestWhoHearsWhomInEachMode(t *testing.T) {
	for _, laws := range [][2]Codec{{pcmu, pcmu}, {pcmu, pcma}, {pcma, pcmu}} {
		t.Run(laws[0].Name+" and "+laws[1].Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStudio(t, laws[0], laws[1])
				st.caller.ptime, st.taker.ptime = 10*time.Millisecond, 30*time.Millisecond
				one, oneID := st.supervisor("192.0.2.10:6000", 1129, pcma)
				two, twoID := st.supervisor("192.0.2.11:6000", 1523, pcmu)
				two.ptime = 40 * time.Millisecond
				c, k := st.caller, st.taker
				for _, step := range []struct {
					name               string
					one, two           Mode
					caller, taker      []*singer
					byOne, byTwo, none []*singer
				}{
					{"listen, listen", Listen, Listen, []*singer{k}, []*singer{c}, []*singer{c, k}, []*singer{c, k}, nil},
					{"whisper, listen", Whisper, Listen, []*singer{k}, []*singer{c, one}, []*singer{c, k}, []*singer{c, k}, nil},
					{"barge, whisper", Barge, Whisper, []*singer{k, one}, []*singer{c, one, two}, []*singer{c, k}, []*singer{c, k, one}, nil},
					{"barge, barge", Barge, Barge, []*singer{k, one, two}, []*singer{c, one, two}, []*singer{c, k, two}, []*singer{c, k, one}, nil},
					{"listen, barge", Listen, Barge, []*singer{k, two}, []*singer{c, two}, []*singer{c, k, two}, []*singer{c, k}, nil},
				} {
					st.s.Attend(oneID, step.one)
					st.s.Attend(twoID, step.two)
					sing(t, 600*time.Millisecond, st.all...) // until all is in its place
					heard := st.during(1200*time.Millisecond, st.all...)
					hears(t, step.name+": the caller", heard[c], st.all, step.caller...)
					hears(t, step.name+": the taker", heard[k], st.all, step.taker...)
					hears(t, step.name+": the first supervisor", heard[one], st.all, step.byOne...)
					hears(t, step.name+": the second supervisor", heard[two], st.all, step.byTwo...)
				}
				st.s.DropLeg(oneID)
				heard := st.during(1200*time.Millisecond, st.all...)
				hears(t, "the caller at the end", heard[c], st.all, k, two)
				st.s.DropLeg(twoID)
				sing(t, 200*time.Millisecond, st.all...)
				heard = st.during(1200*time.Millisecond, st.all...)
				hears(t, "the caller afterwards", heard[c], st.all, k)
				same(t, "packets to one who has left", len(heard[one]), 0)
				events := st.seen(EventAttend)
				for _, ev := range events {
					if ev.Reason != "" || ev.Track != 1 && ev.Track != 2 {
						t.Errorf("event %+v", ev)
					}
				}
				same(t, "answers", len(events), 10)
			})
		})
	}
}

func TestListenersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		_, other := st.supervisor("192.0.2.11:6000", 1523, pcmu)
		sing(t, 100*time.Millisecond, st.caller, st.taker)
		st.caller.take()
		st.taker.take()
		st.s.Attend(id, Listen)
		st.s.Attend(other, Listen)
		var toCaller, toTaker [][]byte
		var callerGot, takerGot []arrival
		round := func(d time.Duration) {
			sent := sing(t, d, st.all...)
			toCaller, toTaker = append(toCaller, sent[st.taker]...), append(toTaker, sent[st.caller]...)
			callerGot, takerGot = append(callerGot, st.caller.take()...), append(takerGot, st.taker.take()...)
		}
		round(time.Second)
		st.s.DropLeg(other)
		round(time.Second)
		one.quiet = true // somebody who may be heard and says nothing changes nothing either
		round(time.Second)
		st.s.Attend(id, Barge)
		round(time.Second)
		st.s.Attend(id, Listen)
		round(time.Second)
		st.s.DropLeg(id)
		round(time.Second)
		identical(t, "to the caller", callerGot, toCaller)
		identical(t, "to the taker", takerGot, toTaker)
	})
}

func identical(t *testing.T, what string, got []arrival, sent [][]byte) {
	t.Helper()
	if len(got) != len(sent) {
		t.Fatalf("%s: %d packets of %d", what, len(got), len(sent))
	}
	for i := range got {
		if !bytes.Equal(got[i].raw, sent[i]) {
			t.Fatalf("%s: packet %d of %d was changed", what, i, len(got))
		}
	}
}

func TestTheCallersStreamGoesOnWhateverSupervisorsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcma)
		var toCaller, toTaker []arrival
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		run := func(d time.Duration, who ...*singer) {
			sing(t, d, who...)
			toCaller, toTaker = append(toCaller, st.caller.take()...), append(toTaker, st.taker.take()...)
		}
		run(time.Second, st.caller, st.taker)
		for _, m := range []Mode{Barge, Listen, Whisper, Barge} {
			st.s.Attend(id, m)
			run(500*time.Millisecond, st.all...)
		}
		run(time.Second, one)       // both parties fall silent
		run(time.Second, st.all...) // and speak again
		run(500*time.Millisecond, st.caller, one)
		run(500*time.Millisecond, st.taker, one)
		st.s.Prompt()
		run(500*time.Millisecond, st.all...)
		st.s.Silence()
		run(500*time.Millisecond, st.caller, one)
		st.s.Bridge(st.bridged)
		run(500*time.Millisecond, st.all...)
		st.s.DropLeg(id)
		run(500*time.Millisecond, st.caller, st.taker)
		for what, heard := range map[string][]arrival{"caller": toCaller, "taker": toTaker} {
			continuous(t, heard)
			gaps, first := 0, heard[0]
			for i, a := range heard[1:] {
				if a.at.Sub(heard[i].at) > 130*time.Millisecond {
					gaps++
					if what == "caller" {
						t.Errorf("the caller heard nothing for %v after %v", a.at.Sub(heard[i].at), heard[i].at.Sub(first.at))
					}
				}
			}
			clock := time.Duration(int32(heard[len(heard)-1].rtp(t).Timestamp-first.rtp(t).Timestamp)) * time.Second / 8000
			if off := clock - heard[len(heard)-1].at.Sub(first.at); off > 60*time.Millisecond || off < -60*time.Millisecond {
				t.Errorf("the timestamps of the %s's stream are off by %v", what, off)
			}
		}
		same(t, "the caller hears the source that was first", toCaller[0].rtp(t).SSRC, st.taker.ssrc)
		same(t, "the taker hears the caller's own", toTaker[0].rtp(t).SSRC, st.caller.ssrc)
	})
}

func TestSupervisorsServeACallerWhoWaitsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		sing(t, 200*time.Millisecond, st.caller, st.taker)
		st.s.Prompt()
		st.s.DropLeg(st.bridged)
		st.s.Attend(id, Listen)
		heard := st.during(time.Second, st.caller, one)
		hears(t, "the supervisor", heard[one], []*singer{st.caller, one}, st.caller)
		hears(t, "the caller", heard[st.caller], []*singer{one})
		if x := soundOf(t, heard[one]); power(x) < power(tonesOnly(x, st.caller))*1.2 {
			t.Error("the supervisor does not hear the prompt")
		}
		want := heard[st.caller][20].rtp(t).Payload
		if words := builtinULaw[:8000]; !bytes.Contains(words, want) {
			t.Error("the caller does not hear the words of the prompt unchanged")
		}

		one.quiet = true
		st.s.Attend(id, Barge)
		heard = st.during(500*time.Millisecond, st.caller, one)
		if power(soundOf(t, heard[st.caller])) < 1000 {
			t.Error("the prompt ended before the supervisor spoke")
		}
		one.quiet = false
		sing(t, 300*time.Millisecond, st.caller, one)
		heard = st.during(2*time.Second, st.caller, one)
		hears(t, "the caller", heard[st.caller], st.all, one)
		if x := soundOf(t, heard[st.caller]); power(x) > 1.1*power(tonesOnly(x, one)) {
			t.Error("the prompt talks into the conversation")
		}
		continuous(t, heard[st.caller])
		st.s.DropLeg(id)
		time.Sleep(40 * time.Millisecond)
		heard = st.during(time.Second, st.caller)
		if !bytes.Contains(builtinULaw, heard[st.caller][10].rtp(t).Payload) || len(heard[st.caller]) != 50 {
			t.Error("the prompt did not come back")
		}
	})
}

// A supervisor who has spoken to a waiting caller takes the call: the prompt
// does not come back for a moment.
func TestASupervisorTakesACallerWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcma, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		sing(t, 200*time.Millisecond, st.caller, st.taker)
		st.s.Prompt()
		st.s.Attend(id, Barge)
		sing(t, time.Second, st.caller, one)
		heard := st.caller.take()
		st.s.Bridge(id)
		time.Sleep(100 * time.Millisecond) // the phone's packets are late just now
		hold := st.caller.take()
		same(t, "packets until the first", len(hold), 5)
		for _, a := range hold {
			same(t, "silence", a.rtp(t).Payload, bytes.Repeat([]byte{silenceALaw}, 160))
		}
		sing(t, time.Second, st.caller, one)
		after := st.caller.take()
		continuous(t, append(append(heard, hold...), after...))
		hears(t, "the caller", after[5:], st.all, one)
		hears(t, "the supervisor", one.take()[45:], st.all, st.caller)
	})
}

// power is the mean square of a sound, tonesOnly what is left of it of some
// notes.
func power(x []float64) (p float64) {
	for _, v := range x {
		p += v * v / float64(len(x))
	}
	return p
}

func tonesOnly(x []float64, who ...*singer) (out []float64) {
	out = make([]float64, len(x))
	for _, s := range who {
		a := strength(x, s.hz)
		for i := range out {
			out[i] += a * math.Sin(2*math.Pi*s.hz*float64(i)/8000)
		}
	}
	return out
}

func TestASupervisorTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcma)
		st.s.Attend(id, Barge)
		sing(t, time.Second, st.all...)
		before := [2][]arrival{st.caller.take(), one.take()}
		st.s.Bridge(id)
		st.s.Attend(st.bridged, Listen)
		taker := st.taker.take()
		sing(t, time.Second, st.all...)
		after := [2][]arrival{st.caller.take(), one.take()}
		continuous(t, append(before[0], after[0]...))
		continuous(t, append(before[1], after[1]...))
		same(t, "packets of the new taker", len(after[0]), 50)
		hears(t, "the caller", after[0], st.all, one)
		hears(t, "the new taker", after[1], st.all, st.caller)
		heard := st.taker.take()
		hears(t, "the old taker", heard, st.all, st.caller, one)
		continuous(t, append(taker, heard...))

		st.s.Attend(id, Barge) // and back, told in the other order
		st.s.Bridge(st.bridged)
		sing(t, 500*time.Millisecond, st.all...)
		st.caller.take()
		sing(t, time.Second, st.all...)
		again := one.take()
		continuous(t, append(append(before[1], after[1]...), again...))
		hears(t, "the caller at the end", st.caller.take(), st.all, st.taker, one)
		hears(t, "the old taker at the end", st.taker.take()[25:], st.all, st.caller, one)
	})
}

func TestWhatCannotBeMixedIsTold(t *testing.T) {
	g722 := Codec{PT: 9, Name: "G722", Rate: 8000, Channels: 1}
	tests := map[string]struct {
		caller, taker, supervisor Codec
		reason                    string
	}{
		"the caller":     {g722, g722, pcmu, "the caller's audio has neither PCMU nor PCMA"},
		"the supervisor": {pcmu, pcmu, g722, "the supervisor's audio has neither PCMU nor PCMA"},
		"the taker":      {pcmu, g722, pcmu, "the call taker's audio has neither PCMU nor PCMA"},
		"nobody":         {pcmu, pcma, pcmu, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStudio(t, tt.caller, tt.taker)
				_, id := st.supervisor("192.0.2.10:6000", 1129, tt.supervisor)
				st.s.Attend(id, Barge)
				ev := st.seen(EventAttend)
				if len(ev) != 1 || ev[0].Reason != tt.reason || ev[0].Leg != id || ev[0].Mode != Barge {
					t.Errorf("events %+v", ev)
				}
			})
		})
	}
	t.Run("a format that is only used", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			st := newStudio(t, pcmu, pcmu)
			_, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
			st.s.SetRemote(Caller, 0, st.caller.remote(pcmu, g722))
			st.s.SetRemote(st.bridged, 0, st.taker.remote(pcmu, g722))
			st.s.Attend(id, Barge)
			st.taker.pt = 9
			sent := sing(t, 500*time.Millisecond, st.all...)
			identical(t, "to the caller", st.caller.take(), sent[st.taker])
			st.taker.pt = 0
			sing(t, 500*time.Millisecond, st.all...)
			var reasons []string
			for _, ev := range st.seen(EventAttend) {
				reasons = append(reasons, ev.Reason)
			}
			same(t, "reasons", reasons, []string{"", "the call taker's audio is G722, which cannot be mixed; only PCMU and PCMA can", ""})
		})
	})
}

func TestSupervisorsReadAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		t140 := Codec{PT: 98, Name: "T140", Rate: 1000, Channels: 1}
		theirs := Codec{PT: 105, Name: "T140", Rate: 1000, Channels: 1}
		caller, taker, sup := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000"), h.phone("192.0.2.3:6000")
		s := h.open()
		h.joinKind(s, caller, caller.remote(t140), Text)
		leg := h.joinKind(s, taker, taker.remote(t140), Text)
		s.Bridge(leg)
		id := h.joinKind(s, sup, sup.remote(theirs), Text)
		s.Attend(id, Listen)
		caller.pt, taker.pt = 98, 98
		said := caller.packet([]byte("help"))
		raw := caller.send(said)
		synctest.Wait()
		taker.send(taker.packet([]byte("where")))
		same(t, "unchanged for the taker", taker.take()[0].raw, raw)
		s.Prompt()
		time.Sleep(time.Second)
		var got string
		for _, a := range sup.take() {
			p := a.rtp(t)
			same(t, "number", p.PayloadType, 105)
			got += string(p.Payload)
		}
		if !strings.HasPrefix(got, "helpwhere\u2028Help is still coming") {
			t.Errorf("read along: %q", got)
		}
	})
}

// A caller who can only write is served by a supervisor who barges in, in the
// one stream that the caller reads.
func TestSupervisorsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		plain := Codec{PT: 98, Name: "T140", Rate: 1000, Channels: 1}
		red, inner := Codec{PT: 105, Name: "RED", Rate: 1000, Channels: 1}, Codec{PT: 106, Name: "T140", Rate: 1000, Channels: 1}
		caller, taker, sup := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000"), h.phone("192.0.2.3:6000")
		s := h.open()
		h.joinKind(s, caller, caller.remote(Codec{PT: 99, Name: "RED", Rate: 1000, Channels: 1}, plain), Text)
		leg := h.joinKind(s, taker, taker.remote(plain), Text)
		s.Bridge(leg)
		id := h.joinKind(s, sup, sup.remote(red, inner), Text)
		taker.pt, caller.pt, sup.pt = 98, 98, 105
		write := func(p *phone, text string) {
			time.Sleep(300 * time.Millisecond)
			payload := []byte(text)
			if p == sup { // one redundant block with nothing in it, then the text
				head := redHeader(106, 0, 0)
				payload = append(append(head[:], 106), payload...)
			}
			p.ts = uint32(time.Since(h.engine.start).Milliseconds())
			p.send(p.packet(payload))
			synctest.Wait()
		}
		text := func(p *phone) (all string) {
			for _, a := range p.take() {
				pkt := a.rtp(t)
				body := pkt.Payload
				if pkt.PayloadType == 99 {
					same(t, "inner number", body[4], 98)
					body = body[5:]
				}
				all += string(body)
			}
			return all
		}
		write(taker, "where ")
		s.Attend(id, Listen)
		write(sup, "nobody reads this ")
		s.Attend(id, Whisper)
		write(caller, "here ")
		write(sup, "ask for the floor ")
		same(t, "the taker reads", text(taker), "here ask for the floor ")
		s.Attend(id, Barge)
		write(sup, "I am here ")
		write(taker, "which floor? ")
		write(caller, "third ")
		write(sup, "coming")
		heard := caller.take()
		continuous(t, heard)
		caller.arrived = heard
		same(t, "the caller reads", text(caller), "where I am here which floor? coming")
		same(t, "the taker reads", text(taker), "I am here third coming")
		same(t, "the supervisor reads", text(sup), "here which floor? third ")
	})
}

func TestSupervisorsPhonesGetReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		st.s.Attend(id, Listen)
		sing(t, 11*time.Second, st.all...)
		heard := one.take()
		st.s.DropLeg(id)
		got := one.takeControl()
		same(t, "reports", len(got), 3)
		for i, a := range got {
			parts, err := rtcp.Unmarshal(a.raw)
			if err != nil {
				t.Fatal(err)
			}
			sr := parts[0].(*rtcp.SenderReport)
			same(t, "source", sr.SSRC, heard[0].rtp(t).SSRC)
			same(t, "octets", sr.OctetCount, sr.PacketCount*160)
			when := int64(sr.NTPTime>>32) - ntpEpoch
			same(t, "wall clock", when, a.at.Unix())
			clock := time.Duration(sr.RTPTime-heard[0].rtp(t).Timestamp) * time.Second / 8000
			if off := clock - a.at.Sub(heard[0].at); off < -time.Millisecond || off > time.Millisecond {
				t.Errorf("RTP clock is off by %v", off)
			}
			same(t, "name", parts[1].(*rtcp.SourceDescription).Chunks[0].Items[0].Type, rtcp.SDESCNAME)
			same(t, "goodbye", len(parts) == 3, i == 2)
		}
	})
}

// A taker's losses and reordering stay what they are, and a supervisor with
// another clock, jitter and losses of its own is heard through them.
func TestMixingOverABadNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		one.clock, st.caller.clock = 8000*1.0005, 8000*0.9995
		random := rand.New(rand.NewPCG(5, 6))
		one.late = func(int) time.Duration { return time.Duration(random.IntN(40)) * time.Millisecond }
		one.lost = func(int) bool { return random.IntN(50) == 0 }
		st.taker.late = func(k int) time.Duration { return time.Duration(k*7919%25) * time.Millisecond }
		st.taker.lost = func(k int) bool { return k%40 == 7 }
		st.s.Attend(id, Barge)
		sing(t, 5*time.Second, st.all...)
		for _, s := range st.all {
			s.take()
		}
		sent := sing(t, 30*time.Second, st.all...)
		heard, order := st.caller.take(), []uint16(nil)
		var want []uint16
		for k, raw := range sent[st.taker] {
			if !st.taker.lost(k) {
				p := arrival{raw: raw}.rtp(t)
				want = append(want, p.SequenceNumber)
			}
		}
		for _, a := range heard {
			order = append(order, a.rtp(t).SequenceNumber)
		}
		slices.Sort(order)
		same(t, "numbers of the packets to the caller", order, want)
		for who, h := range map[*singer][]arrival{st.caller: heard, one: one.take()} {
			note := st.caller
			if who == st.caller {
				note = one
			}
			level, bad := 0.0, 0
			all, _ := levels(soundOf(t, h), note.hz)
			for _, l := range all {
				level += l / float64(len(all))
				if l < 0.5*note.loud {
					bad++
				}
			}
			if level < 0.8*note.loud || bad > len(all)/20 {
				t.Errorf("%.0f Hz arrives with %.0f on average, %d of %d tenths of a second are damaged", note.hz, level, bad, len(all))
			}
		}
	})
}

// The taker's network stalls while a supervisor speaks: the caller goes on
// hearing the supervisor, and what comes late does not put the caller's stream
// ahead of the time for good.
func TestAStallOfTheTakersNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		_, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		st.s.Attend(id, Barge)
		st.taker.late = func(k int) time.Duration { // 400 ms without a packet each second, then all at once
			if at := k % 50; at < 20 {
				return time.Duration(20-at) * 20 * time.Millisecond
			}
			return 0
		}
		sing(t, 20*time.Second, st.all...)
		heard := st.caller.take()
		continuous(t, heard)
		first, last := heard[0], heard[len(heard)-1]
		clock := time.Duration(last.rtp(t).Timestamp-first.rtp(t).Timestamp) * time.Second / 8000
		if off := clock - last.at.Sub(first.at); off > 100*time.Millisecond || off < -100*time.Millisecond {
			t.Errorf("the caller's stream is off by %v", off)
		}
		for i := range heard[1:] {
			if gap := heard[i+1].at.Sub(heard[i].at); gap > 130*time.Millisecond {
				t.Fatalf("the caller heard nothing for %v", gap)
			}
		}
	})
}

func TestSupervisorsAndPartiesAllLoud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		one, oneID := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		two, twoID := st.supervisor("192.0.2.11:6000", 1523, pcmu)
		for _, s := range st.all {
			s.loud = 30000
		}
		st.s.Attend(oneID, Barge)
		st.s.Attend(twoID, Barge)
		sing(t, 2*time.Second, st.all...)
		heard := st.during(2*time.Second, st.all...)
		for who, notes := range map[*singer][]*singer{st.caller: {st.taker, one, two}, st.taker: {st.caller, one, two}, one: {st.caller, st.taker, two}} {
			x := soundOf(t, heard[who])
			clipped, rest := 0, append([]float64(nil), x...)
			level := strength(x, notes[0].hz)
			for _, v := range rest {
				if math.Abs(v) > 31500 {
					clipped++
				}
			}
			if clipped > 0 || level < 8000 {
				t.Errorf("%d samples at the limit, level of one of three %.0f", clipped, level)
			}
			for _, hz := range []float64{3 * 437, 3 * 713, 2*713 - 437, 2*437 - 713 + 1129, 437 + 713 + 1129} {
				if d := strength(x, hz); d > 0.03*level {
					t.Errorf("distortion of %.0f at %.0f Hz beside notes of %.0f", d, hz, level)
				}
			}
		}
	})
}

// The supervisor's own voice and what the supervisor hears are recorded apart
// while the supervisor may be heard.
func TestSupervisorsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		_, other := st.supervisor("192.0.2.11:6000", 1523, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcma)
		st.s.Record(7)
		st.s.Attend(other, Listen)
		st.s.Attend(id, Listen)
		sing(t, time.Second, st.all...)
		tap := st.taps[0]
		same(t, "tracks of listeners", len(tap.side(2))+len(tap.side(3)), 0)
		st.s.Attend(id, Whisper)
		sing(t, time.Second, st.all...)
		var said, heard []arrival
		for _, p := range tap.side(2) {
			raw, _ := p.pkt.Marshal()
			said = append(said, arrival{raw: raw})
			if p.rec != 7 || p.stream != 2 || p.codec != 8 {
				t.Fatalf("track %+v", p)
			}
		}
		for _, p := range tap.side(3) {
			raw, _ := p.pkt.Marshal()
			heard = append(heard, arrival{raw: raw})
		}
		hears(t, "what the supervisor says", said, st.all, one)
		hears(t, "what the supervisor hears", heard, st.all, st.caller, st.taker)
		n := len(tap.side(2))
		st.s.Bridge(id)
		sing(t, time.Second, st.all...)
		same(t, "tracks of the new taker", len(tap.side(2)), n)
	})
}

func TestSupervisorsDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStudio(t, pcmu, pcmu)
		one, id := st.supervisor("192.0.2.10:6000", 1129, pcmu)
		st.s.SetRemote(id, 0, one.remote(pcmu, tele))
		st.s.WatchCodes(id, []string{"2"})
		st.s.Attend(id, Barge)
		sing(t, 200*time.Millisecond, st.all...)
		st.caller.take()
		one.pt = 101
		one.send(one.packet([]byte{2, 10, 0, 160}))
		ev := st.seen(EventCode)
		if len(ev) != 1 || ev[0].Code != "2" || ev[0].Leg != id {
			t.Errorf("events %+v", ev)
		}
		same(t, "digits that the caller hears", len(st.caller.take()), 0)
	})
}
