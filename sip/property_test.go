package sip

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/phone"
	"holdline/sip/simnet"
)

// deed is one thing that somebody does, and the time that passes after it.
type deed struct {
	who, what string
	then      time.Duration
}

func (d deed) String() string { return fmt.Sprintf("%s %s, then %v", d.who, d.what, d.then) }

// plan is a whole story: the network it happens on and the deeds in order.
type plan struct {
	seed  uint64
	link  simnet.Link
	deeds []deed
}

// The repertoire. What makes no sense at its moment is left out.
var (
	playCallers = []string{"caller", "caller2"}
	playTakers  = []string{"pos-1", "pos-2", "fallback", "fallback2"}
	callerDeeds = []string{"call", "call", "call", "bye", "cancel", "re-INVITE", "hold", "UPDATE", "INFO"}
	takerDeeds  = []string{
		"answer", "answer", "answer", "bye", "bye", "answer and bye", "bye twice", "ring", "progress", "reject", "busy",
		"redirect", "redirect away", "re-INVITE", "hold", "UPDATE", "INFO", "refer", "refer nowhere", "refer and bye",
		"code", "code that completes", "go deaf", "come back",
	}
	worldDeeds = []string{"mark location", "mark incident", "journal slow", "journal fast", "nothing"}
	pauses     = []time.Duration{0, 0, 0, 5 * time.Millisecond, 60 * time.Millisecond, 600 * time.Millisecond, 3 * time.Second, 16 * time.Second, 40 * time.Second}
)

func drawPlan(t *rapid.T) plan {
	p := plan{seed: rapid.Uint64Range(1, 1<<20).Draw(t, "seed")}
	if rapid.Bool().Draw(t, "bad network") {
		p.link = simnet.Link{
			Latency: time.Duration(rapid.IntRange(0, 40).Draw(t, "latency in ms")) * time.Millisecond,
			Jitter:  time.Duration(rapid.IntRange(0, 20).Draw(t, "jitter in ms")) * time.Millisecond,
			Loss:    float64(rapid.IntRange(0, 10).Draw(t, "loss in %")) / 100, Duplicate: float64(rapid.IntRange(0, 10).Draw(t, "duplicates in %")) / 100,
			Reorder: float64(rapid.IntRange(0, 10).Draw(t, "reordered in %")) / 100,
		}
	}
	one := rapid.Custom(func(t *rapid.T) deed {
		d := deed{then: rapid.SampledFrom(pauses).Draw(t, "then")}
		switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case kind < 3:
			d.who, d.what = rapid.SampledFrom(playCallers).Draw(t, "who"), rapid.SampledFrom(callerDeeds).Draw(t, "what")
		case kind < 9:
			d.who, d.what = rapid.SampledFrom(playTakers).Draw(t, "who"), rapid.SampledFrom(takerDeeds).Draw(t, "what")
		default:
			d.who, d.what = "world", rapid.SampledFrom(worldDeeds).Draw(t, "what")
		}
		return d
	})
	p.deeds = append([]deed{{who: "caller", what: "call"}}, rapid.SliceOfN(one, 1, 40).Draw(t, "deeds")...)
	return p
}

// Whatever everybody does in whatever order on whatever network: a caller
// who did not hang up is never let go while intake is incomplete, is at all
// times bridged, being offered or hearing a prompt, and nothing is left over
// when the callers have gone.
func TestNoCallerIsEverLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var wrong, ladder string
		s := usualSettings()
		s.Fallback = []Tier{
			{To: []string{uriFor("fallback"), uriFor("fallback2")}, Strategy: RingAll, Ring: 20 * time.Second},
			{To: []string{"pos-2"}, Strategy: InOrder, Ring: 10 * time.Second},
		}
		inSeededWorld(t, p.seed, s, append(playCallers, playTakers...), func(w *world) {
			w.mayDegrade = true // of a slow journal
			w.net.SetLink("", "", p.link)
			a := newAct(w, p)
			if wrong = a.perform(); wrong != "" {
				ladder = w.ladder()
			}
		})
		if wrong != "" {
			rt.Fatalf("%s\n%v\n%s", wrong, p, ladder)
		}
	})
}

// act is one performance of a plan.
type act struct {
	w       *world
	lossy   bool
	callers map[string]*playCaller
	takers  map[string]*playTaker
	seen    map[string]bool // Call-IDs that the guard had in progress
}

type playCaller struct {
	call       *phone.Call
	answered   bool
	mu         sync.Mutex
	mayEnd     bool // hung up, or intake is complete
	interested []*phone.Call
}

type playTaker struct {
	mu      sync.Mutex
	calls   []*phone.Call
	taken   map[*phone.Call]bool
	wasDeaf bool
}

func newAct(w *world, p plan) *act {
	a := &act{w: w, lossy: p.link.Loss > 0, callers: map[string]*playCaller{}, takers: map[string]*playTaker{}, seen: map[string]bool{}}
	for _, n := range playCallers {
		a.callers[n] = &playCaller{}
	}
	for _, n := range playTakers {
		k := &playTaker{taken: map[*phone.Call]bool{}}
		a.takers[n] = k
		go func() {
			for {
				c, err := w.phone(n).Accept(w.ctx)
				if err != nil {
					return // the phone was closed
				}
				k.mu.Lock()
				k.calls = append(k.calls, c)
				k.mu.Unlock()
			}
		}()
	}
	for i, d := range p.deeds {
		_ = i
		_ = d
	}
	a.plan(p)
	return a
}
