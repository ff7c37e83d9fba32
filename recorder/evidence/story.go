package evidence

import (
	"fmt"
	"strings"
	"time"

	"holdline/recorder"
)

// inShort tells the call in a few sentences, for a reader who wants to know
// what happened before when exactly. It says nothing that is not in the records.
func inShort(call string, records []recorder.Record) (sentences []string) {
	say := func(format string, a ...any) { sentences = append(sentences, fmt.Sprintf(format, a...)) }
	var began time.Time
	var established []string
	for _, r := range records {
		if r.Call != call {
			continue
		}
		e := read(r)
		if began.IsZero() {
			began = r.Time
			say("The call came in on %s UTC.", r.Time.UTC().Format("2 January 2006 at 15:04:05"))
		}
		switch r.Kind {
		case "call.answered":
			say("%s answered %s later.", e.who(), seconds(r.Time.Sub(began)))
		case "intake.marked":
			established = append(established, e.Field)
		case "release.requested":
			what := "nothing had been established"
			if len(established) > 0 {
				what = "this had been established: " + strings.Join(established, ", ")
			}
			doing := ""
			if e.Class != "operator" && e.Class != "" {
				doing = " (" + whose(e.Class) + ")"
			}
			say("%s %s%s, %s after taking the call; by then %s.", e.who(), howLeft(e.How), doing, seconds(time.Duration(e.TalkMS)*time.Millisecond), what)
		case "release.intercepted":
			say("Holdline kept the caller on the line.")
		case "release.allowed":
			say("%s", allowed(e))
		case "rescue.answered":
			say("%s took the caller, who had been waiting for %s.", e.who(), seconds(time.Duration(e.WaitingMS)*time.Millisecond))
		case "call.ended":
			say("The call ended, by the %s, %s after it came in.", e.By, seconds(r.Time.Sub(began)))
		}
	}
	return sentences
}

// allowed says how a release was let pass: for a review it is not known yet
// whether it was right.
func allowed(e event) string {
	what := "That was allowed"
	if e.Decision == "review" {
		what = "That was allowed, for a supervisor to look at"
	}
	if e.Why != "" {
		what += ": " + e.Why
	}
	return what + "."
}

// who is the position of an event, with its agent.
func (e event) who() string {
	if e.Agent != "" {
		return e.Position + " (" + e.Agent + ")"
	}
	return e.Position
}

func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f seconds", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// howLeft is how a call taker left, in words; what the words are of already is
// kept.
func howLeft(how string) string {
	words, known := map[string]string{
		"bye": "hung up", "held": "left the caller on hold", "parked": "left the caller on hold for another call",
		"dead-air": "was on the line and silent", "noise": "was on the line with noise and no speech",
		"no-media": "sent no sound", "vanished": "was not there any more", "foreign-media": "moved the sound elsewhere",
	}[how]
	if !known {
		return "left the caller (" + how + ")"
	}
	return words
}

// whose says whose doing something was, as far as it is known.
func whose(class string) string {
	switch class {
	case "operator":
		return "the call taker's doing"
	case "technical":
		return "a technical failure, nobody's doing"
	case "unknown":
		return "it is not known whose doing"
	case "supervisor":
		return "a supervisor's decision"
	}
	return class
}
