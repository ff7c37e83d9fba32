package simulate

import (
	"maps"
	"strconv"
	"time"

	"holdline/policy"
	"holdline/policy/pattern"
)

// truth is what a caller wants.
type truth int

const (
	unknown truth = iota // not drawn yet
	need                 // help
	pocket               // nothing: a pocket dial
	mistake              // nothing: a misdial, prank or duplicate
)

// What is assumed of callers and of the house, beside Options. The sources are
// in docs/patterns.md; where there is none they are guesses.
const (
	BadIsNeed   = 0.825 // of the bad calls are callers in need: Houston, 825 of 1,000
	lostRedials = 0.9   // of callers in need who were cut off dial again within minutes
	rescueHelps = 0.95  // of callers in need who were kept stay until the next taker has helped them
	hangsUp     = 0.3   // of pocket dials and misdials end by the caller
	givesUp     = 0.02  // of callers in need hang up before anything is asked
	asksAgain   = 0.05  // of callers who were helped dial again within minutes: where is the ambulance?
	transferred = 0.04  // of callers in need go to another centre
	technical   = 0.003 // of calls are lost by phones or the network
)

// caller is somebody who dials.
type caller struct {
	first  *taker // whom the call is offered to; nil: whoever is free
	number string
	truth  truth
	helped bool // an earlier call got help: this one only asks after it
}

// talk is a call as it goes on.
type talk struct {
	c      *centre
	who    *caller
	id     string
	taker  *taker
	leg    string
	legs   int
	at     time.Time // where in time the story is
	since  time.Time // the taker answered
	intake policy.Intake
}

// seen is what a centre without Holdline could count of a call.
type seen struct{ short, released, redialled bool }

// begin tells the story of a call: what each party does, until the caller is
// gone. Only colleagues, not the story, look at who else is there.
func (c *centre) begin(at time.Time, who *caller) {
	c.number++
	t := &talk{c: c, who: who, id: "call-" + strconv.Itoa(c.number), at: at, taker: who.first, intake: policy.Intake{}}
	if who.number == "" {
		who.number = "504" + strconv.Itoa(1000000+c.number%9000000)
	}
	if who.truth == unknown {
		who.truth = c.wants(at)
	}
	if t.taker == nil || t.taker.away {
		t.taker = c.colleague(nil, at)
	}
	t.ring()
	t.taker.calls++
	switch {
	case t.taker.wrong != "" && c.chance(c.o.BadRate):
		t.bad()
	case c.chance(technical):
		t.lost()
	case who.truth == need:
		t.need()
	default:
		t.nothing()
	}
}

func (c *centre) wants(at time.Time) truth {
	share := c.o.Pocket * c.days[at.Hour()/3]
	switch p := c.rng.Float64(); {
	case p < share:
		return pocket
	case p < share+c.o.Misdial:
		return mistake
	default:
		return need
	}
}

// tell puts an event of the call where the story is.
func (t *talk) tell(e pattern.Event) {
	e.Time, e.Call, e.Leg, e.Agent, e.Position = t.at, t.id, t.leg, t.taker.name, t.taker.name
	t.c.push(happening{at: t.at, event: e})
}

// ring offers the call until somebody takes it.
func (t *talk) ring() {
	for first := true; ; first = false {
		t.legs++
		t.leg = strconv.Itoa(t.legs)
		e := pattern.Event{What: pattern.Offered}
		if t.legs == 1 {
			e.Kind, e.Caller = policy.Emergency, t.who.number
		}
		t.tell(e)
		if first && t.c.chance(t.taker.decline) {
			t.at = t.at.Add(t.c.between(1, 15))
			t.tell(pattern.Event{What: pattern.Failed, Refused: true})
			t.taker = t.c.colleague(t.taker, t.at)
			continue
		}
		t.at = t.at.Add(t.c.between(1, 8))
		t.since = t.at
		t.tell(pattern.Event{What: pattern.Answered})
		return
	}
}

func (t *talk) wait(a, b float64) { t.at = t.at.Add(t.c.between(a, b)) }

func (t *talk) mark(f policy.Field, value, source string) {
	t.intake[f] = policy.Mark{Value: value, By: t.taker.name, Source: source, At: t.at}
	t.tell(pattern.Event{What: pattern.Marked, Field: f, By: t.taker.name})
}

// release is a BYE of the taker, judged by the real policy. It returns whether
// the caller was kept.
func (t *talk) release(how policy.Release, transfer string) bool {
	if t.c.bank == nil {
		return false
	}
	marks := make(policy.Intake, len(t.intake))
	maps.Copy(marks, t.intake)
	v := t.c.o.Policy.Judge(policy.Facts{
		Kind: policy.Emergency, Service: "urn:service:sos", Release: how, Position: t.taker.name, Agent: t.taker.name,
		Talk: t.at.Sub(t.since), Intake: marks, Transfer: transfer, At: t.at,
	})
	t.tell(pattern.Event{What: pattern.Released, Verdict: v.Decision, Transfer: transfer, Technical: how != policy.ReleaseBye})
	return v.Decision == policy.Intercept
}

func (t *talk) end(by string) { t.tell(pattern.Event{What: pattern.Ended, By: by}) }

// redial lets the caller dial again after some minutes.
func (t *talk) redial(helped bool) {
	who := *t.who
	who.first, who.helped = nil, helped
	t.c.push(happening{at: t.at.Add(t.c.between(20, 480)), caller: &who})
}

// see tells the simpler counters what they can see. Without Holdline a caller
// who is cut off is gone, and may dial again.
func (t *talk) see(of *taker, released, redialled bool) {
	if t.c.did != nil {
		t.c.did(of, seen{t.at.Sub(t.since) < 20*time.Second, released, redialled})
	}
}
