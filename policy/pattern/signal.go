package pattern

import "holdline/policy"

// Signal is one habit that is watched for: something that a call, or an offer
// of one, either shows or does not.
type Signal int

// The signals, the gravest first.
const (
	Needed       Signal = iota // left a caller who turned out to need help
	Redial                     // hung up within seconds, and the caller dialled again
	Intercepted                // left before intake was complete
	GaveUp                     // the caller gave up with them, and dialled again
	Unentered                  // talked to a caller, and no incident came of it
	DeadAir                    // had a caller on the line and silence
	Declined                   // declined a call or let it ring out
	Transfers                  // left on a transfer that nobody had taken
	Dispositions               // closed the call with a word like misdial or prank
	signals
)

// about is what is known of a signal before anything is learnt.
type about struct {
	name   string
	text   string  // what n of m calls did, after "12 of their last 30 calls"
	of     string  // what is counted
	prior  float64 // the rate among honest takers that is assumed until the site has taught its own
	spread float64 // how honest takers differ in it: standard deviation over mean, until learnt
	least  float64 // the spread is never taken to be smaller than this
	share  float64 // of the false alarms that the knob allows; most goes to callers left in need
}

// facts lists what is known of each signal. The shares add up to one.
func facts() [signals]about {
	return [signals]about{
		Needed: {
			"needed", "were left by them although the caller needed help, as another call taker then found out",
			"calls", 0.002, 0.8, 0.4, 0.40,
		},
		Redial: {
			"redial", "were released within seconds, and the caller dialled again within minutes",
			"calls", 0.01, 0.8, 0.4, 0.12,
		},
		Intercepted: {"intercepted", "were released before intake was complete", "calls", 0.02, 0.8, 0.4, 0.12},
		GaveUp: {
			"gave-up", "ended with a caller who gave up before anything was asked, and dialled again within minutes",
			"calls", 0.01, 0.8, 0.4, 0.04,
		},
		Unentered: {
			"unentered", "were talked through, and neither an incident nor a disposition came of them",
			"calls", 0.02, 0.8, 0.3, 0.08,
		},
		DeadAir:  {"dead-air", "had the caller on the line and silence", "calls", 0.005, 0.8, 0.4, 0.08},
		Declined: {"declined", "were declined or left to ring out", "offers", 0.03, 0.8, 0.4, 0.05},
		Transfers: {
			"transfers", "were left on a transfer that nobody had taken", "transfers",
			0.03, 0.8, 0.4, 0.05,
		},
		Dispositions: {
			"dispositions", "were closed with a word that asks for no help, like misdial or prank",
			"calls", 0.3, 0.2, 0.1, 0.06,
		},
	}
}

// String is the signal's name in findings, in the API and in the docs.
func (s Signal) String() string {
	if s < 0 || s >= signals {
		return "unknown"
	}
	return facts()[s].name
}

// Signals lists every signal, the gravest first.
func Signals() []Signal {
	all := make([]Signal, signals)
	for i := range all {
		all[i] = Signal(i)
	}
	return all
}

// set is a set of intake fields.
type set uint8

const (
	hasLocation set = 1 << iota
	hasCallback
	hasNature
	hasIncident
	hasDispatched
	hasDisposition

	asked = hasLocation | hasCallback | hasNature
)

func bit(f policy.Field) set {
	switch f {
	case policy.Location:
		return hasLocation
	case policy.Callback:
		return hasCallback
	case policy.Nature:
		return hasNature
	case policy.Incident:
		return hasIncident
	case policy.Dispatched:
		return hasDispatched
	case policy.Disposition:
		return hasDisposition
	default:
		return 0
	}
}

// help tells whether somebody is to be helped: unlike a disposition, these
// fields are not marked for a pocket dial.
func (m set) help() bool { return m&(hasIncident|hasDispatched) != 0 || m&asked == asked }

// entered tells whether anything came of the call.
func (m set) entered() bool { return m.help() || m&hasDisposition != 0 }
