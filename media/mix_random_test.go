package media

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever supervisors, takers and rescues do in whatever order: the caller
// hears one stream without a hole, on time, and at the end everybody hears
// whom they should.
func TestSupervisorsAtRandom(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			laws := []Codec{pcmu, pcma}
			st := newStudio(t, laws[random.IntN(2)], laws[random.IntN(2)])
			other := st.singer("192.0.2.3:5000", 937)
			otherID := st.join(st.s, other.phone, other.remote(pcmu))
			one, oneID := st.supervisor("192.0.2.10:6000", 1129, laws[random.IntN(2)])
			two, twoID := st.supervisor("192.0.2.11:6000", 1523, laws[random.IntN(2)])
			st.all = append(st.all, other)
			for _, s := range st.all {
				s.ptime = time.Duration(10+10*random.IntN(4)) * time.Millisecond
			}
			legs := map[LegID]*singer{st.bridged: st.taker, otherID: other, oneID: one, twoID: two}
			st.s.Record(1)
			sing(t, 200*time.Millisecond, st.all...)
			serving := st.bridged
			var heard []arrival
			for range 40 {
				id := []LegID{oneID, twoID, otherID, st.bridged}[random.IntN(4)]
				switch random.IntN(8) {
				case 0:
					st.s.Bridge(id)
					serving = id
				case 1:
					st.s.Prompt()
					serving = 0
				case 2:
					st.s.Silence()
					serving = 0
				default:
					st.s.Attend(id, Mode(random.IntN(3)))
				}
				singers := make([]*singer, 0, 5)
				for _, s := range st.all { // now and then somebody says nothing at all
					if random.IntN(6) > 0 {
						singers = append(singers, s)
					}
				}
				sing(t, time.Duration(20+random.IntN(300))*time.Millisecond, singers...)
				heard = append(heard, st.caller.take()...)
			}
			continuous(t, heard)
			first, last := heard[0], heard[len(heard)-1]
			clock := time.Duration(int32(last.rtp(t).Timestamp-first.rtp(t).Timestamp)) * time.Second / 8000
			if off := clock - last.at.Sub(first.at); off > 250*time.Millisecond || off < -250*time.Millisecond {
				t.Errorf("seed %d: the caller's stream is off by %v", seed, off)
			}

			if serving == 0 {
				serving = st.bridged
			}
			st.s.Bridge(serving)
			loud := []*singer{legs[serving]}
			for _, id := range []LegID{oneID, twoID} {
				if id != serving {
					st.s.Attend(id, Barge)
					loud = append(loud, legs[id])
				}
			}
			for _, id := range []LegID{otherID, st.bridged} {
				if id != serving {
					st.s.DropLeg(id)
				}
			}
			sing(t, 8*time.Second, st.all...) // delays that were learned are given up
			ends := st.during(1200*time.Millisecond, st.all...)
			for _, s := range loud {
				others := []*singer{st.caller}
				for _, o := range loud {
					if o != s {
						others = append(others, o)
					}
				}
				roughly(t, fmt.Sprintf("seed %d: %v", seed, s.addr), ends[s], st.all, others...)
			}
			roughly(t, fmt.Sprintf("seed %d: the caller", seed), ends[st.caller], st.all, loud...)
		})
	}
}

// roughly is hears for voices that are still being played a little faster or
// slower.
func roughly(t *testing.T, who string, heard []arrival, all []*singer, loud ...*singer) {
	t.Helper()
	x := soundOf(t, heard)
	if len(x) < 8000 {
		t.Errorf("%s heard %d samples only", who, len(x))
		return
	}
	for _, s := range all {
		var level []float64
		for i := 0; i+200 <= len(x); i += 200 {
			level = append(level, strength(x[i:i+200], s.hz))
		}
		slices.Sort(level)
		got, want := level[len(level)/2], slices.Contains(loud, s)
		if want && got < 0.5*s.loud || !want && got > 0.06*s.loud {
			t.Errorf("%s hears %.0f Hz with %.0f: %t was expected", who, s.hz, got, want)
		}
	}
}
