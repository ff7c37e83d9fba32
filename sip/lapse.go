package sip

import (
	"fmt"
	"time"

	"holdline/media"
	"holdline/policy"
)

// Patience is how long it is borne that a taker leaves a caller alone.
type Patience struct {
	Alert  time.Duration // then a supervisor is told; 0: nobody is
	Rescue time.Duration // then policy is asked whether the caller is offered to the queue; 0: never
}

// Vigil says what of a taker who stays on the line, and yet is not there, is
// borne for how long. Its zero value bears everything.
type Vigil struct {
	Held         Patience // the caller is on hold
	Parked       Patience // and the desk has another call
	DeadAir      Patience // the taker's media carries no speech
	NoMedia      Patience // there is none, while the caller's flows
	Vanished     Patience // nobody is at the taker's address any more
	ForeignMedia Patience // it was moved to an unknown address, and nobody has spoken from there
}

// of is the patience with one way of leaving a caller.
func (v *Vigil) of(how policy.Release) Patience {
	switch how {
	case policy.ReleaseHeld:
		return v.Held
	case policy.ReleaseParked:
		return v.Parked
	case policy.ReleaseDeadAir, policy.ReleaseNoise:
		return v.DeadAir
	case policy.ReleaseNoMedia:
		return v.NoMedia
	case policy.ReleaseVanished:
		return v.Vanished
	case policy.ReleaseForeignMedia:
		return v.ForeignMedia
	default:
		return Patience{}
	}
}

// shortest is the least time after which somebody may have to be told.
func (v *Vigil) shortest() time.Duration {
	least := time.Duration(0)
	for _, p := range []Patience{v.Held, v.Parked, v.DeadAir, v.NoMedia, v.Vanished, v.ForeignMedia} {
		for _, d := range []time.Duration{p.Alert, p.Rescue} {
			if d > 0 && (least == 0 || d < least) {
				least = d
			}
		}
	}
	return least
}

// lapse is one such leaving: what it is, since when, and by what it is known.
type lapse struct {
	how      policy.Release
	since    time.Time
	why      string
	class    Class
	evidence []string
}

// lapseID tells one lapse from another of the same kind.
type lapseID struct {
	how   policy.Release
	since time.Time
}

func (l *lapse) id() lapseID { return lapseID{l.how, l.since} }

// sight is what can be seen of a taker and a caller at one moment.
type sight struct {
	now, taken    time.Time
	held          time.Time // since when the taker has the caller on hold; zero: not
	otherCall     bool      // the taker's desk has one more call
	mute          bool      // the taker said that it sends nothing for now
	textOnly      bool      // the call has no voice
	gone          time.Time // since when nobody seems to be at the taker's address; zero: not so
	goneWhy       string
	foreign       time.Time // when the taker's media was moved to an address nobody knows; zero: it was not
	foreignTo     string
	noise         time.Duration // heard from the taker since they last spoke
	caller, taker []media.StreamStats
}

const (
	flowing   = 2 * time.Second // media that came within this time flows
	someMedia = 50              // packets of a caller whose media is more than an attempt: a second
)

// lapses returns all ways in which the taker may be leaving the caller at the
// moment, the gravest first, each with the time at which it began. A lapse
// that has just begun is what every pause in a talk looks like.
func (s *sight) lapses() (out []lapse) {
	caller, taker := together(s.caller), together(s.taker)
	if !s.gone.IsZero() && !taker.LastRecv.After(s.gone) {
		out = append(out, lapse{
			how: policy.ReleaseVanished, since: s.gone, why: "nobody is at the taker's address any more",
			class: Technical, evidence: list1(s.goneWhy),
		})
	}
	if !s.held.IsZero() {
		return append(out, s.onHold())
	}
	text := s.textOnly || caller.Activity == media.ByText || taker.Activity == media.ByText
	if !s.mute {
		out = append(out, s.withoutMedia(caller, taker)...)
	}
	if text {
		return out
	}
	if !s.foreign.IsZero() && !taker.LastSpeech.After(s.foreign) {
		out = append(out, lapse{
			how: policy.ReleaseForeignMedia, since: s.foreign, class: Operator,
			why:      "the taker moved its media to an address nobody knows, and has not spoken from there",
			evidence: []string{"re-INVITE to " + s.foreignTo},
		})
	}
	return append(out, s.silence(taker)...)
}

// onHold is a caller who waits on hold.
func (s *sight) onHold() lapse {
	l := lapse{
		how: policy.ReleaseHeld, since: s.held, class: Operator, why: "the taker put the caller on hold",
		evidence: []string{"session description of the taker that does not let the caller be heard"},
	}
	if s.otherCall {
		l.how, l.why = policy.ReleaseParked, "the taker put the caller on hold and has another call"
	}
	return l
}

// withoutMedia is a taker whose media never came, or came and stopped, while
// the caller's flows. Calls without any media are nobody's lapse: nothing can
// be said about them.
func (s *sight) withoutMedia(caller, taker media.StreamStats) []lapse {
	if caller.Received < someMedia || s.now.Sub(caller.LastRecv) > flowing && !caller.Pauses || taker.Pauses {
		return nil
	}
	l := lapse{how: policy.ReleaseNoMedia, since: later(s.taken, taker.LastRecv), class: Unclear, why: "the taker's media has stopped"}
	if taker.Received == 0 {
		l.since, l.why = later(s.taken, caller.FirstRecv), "no media ever came from the taker"
	}
	l.evidence = append(l.evidence, fmt.Sprintf("%d packets from the taker, %d from the caller", taker.Received, caller.Received))
	if taker.Refused > 0 {
		l.evidence = append(l.evidence, fmt.Sprintf("%d packets came from another address than the taker's", taker.Refused))
	}
	if taker.Unreachable != "" {
		l.evidence = append(l.evidence, taker.Unreachable)
	}
	return []lapse{l}
}

// silence is a taker whose media flows and carries no speech, or who said
// that none will come. Where speech cannot be told from the rest, nothing is
// assumed.
func (s *sight) silence(taker media.StreamStats) []lapse {
	there := s.mute || taker.Pauses || s.now.Sub(taker.LastRecv) <= flowing
	if !there || taker.Activity == media.NoActivity && !s.mute {
		return nil
	}
	l := lapse{
		how: policy.ReleaseDeadAir, since: later(s.taken, taker.LastSpeech), class: Unclear,
		why: "the taker has not said anything", evidence: []string{"media flows and carries no speech, told by " + string(taker.Activity)},
	}
	if s.mute {
		l.evidence = []string{"session description of the taker that says it sends nothing"}
	}
	if s.noise > 0 && s.noise >= s.now.Sub(l.since)/2 {
		l.how, l.why = policy.ReleaseNoise, "what comes from the taker is noise and no speech"
		l.evidence = []string{fmt.Sprintf("%.0f s of something audible that is no speech", s.noise.Seconds())}
	}
	return []lapse{l}
}

// over tells whether the taker is back since a lapse began.
func (s *sight) over(l *lapse) bool {
	taker := together(s.taker)
	switch l.how {
	case policy.ReleaseHeld, policy.ReleaseParked:
		return s.held.IsZero()
	case policy.ReleaseVanished, policy.ReleaseNoMedia:
		return taker.LastRecv.After(l.since)
	default:
		return taker.LastSpeech.After(l.since)
	}
}

// together is what all streams of a leg say: any sign of life is one.
func together(all []media.StreamStats) (sum media.StreamStats) {
	for _, s := range all {
		sum.Received += s.Received
		sum.Refused += s.Refused
		sum.Unreached += s.Unreached
		sum.Speech += s.Speech
		sum.Noise += s.Noise
		sum.Pauses = sum.Pauses || s.Pauses
		if sum.FirstRecv.IsZero() || !s.FirstRecv.IsZero() && s.FirstRecv.Before(sum.FirstRecv) {
			sum.FirstRecv = s.FirstRecv
		}
		sum.LastRecv, sum.LastSpeech = later(sum.LastRecv, s.LastRecv), later(sum.LastSpeech, s.LastSpeech)
		sum.LastUnreached = later(sum.LastUnreached, s.LastUnreached)
		if s.Unreachable != "" {
			sum.Unreachable = s.Unreachable
		}
		if s.Activity == media.ByText || sum.Activity == media.NoActivity {
			sum.Activity = s.Activity
		}
	}
	return sum
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func list1(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
