package simulate

import (
	"holdline/policy"
	"holdline/policy/pattern"
)

// need is an honest taker with a caller who needs help.
func (t *talk) need() {
	c, h := t.c, t.taker
	switch {
	case c.chance(givesUp):
		t.wait(4, 40)
		again := c.chance(0.5)
		t.see(h, false, again)
		t.end("caller")
		if again {
			t.redial(false)
		}
	case c.chance(h.misjudge):
		t.wait(12, 40)
		t.mark(policy.Disposition, "pocket-dial", "dtmf")
		again := c.chance(0.6)
		t.see(h, true, again)
		t.leave(again, rescueHelps)
	case c.chance(h.early):
		t.wait(20, 90)
		t.see(h, true, false)
		t.leave(false, 0.2) // most have told all that matters, and the entry comes late
	case c.chance(h.unheard):
		t.wait(40, 180)
		t.see(h, false, false)
		t.end("caller")
	case c.chance(transferred):
		t.transfer()
	default:
		t.help()
	}
}

// help is a call as it should be: location and nature, an incident, the end.
func (t *talk) help() {
	c, h := t.c, t.taker
	t.wait(10, 30)
	t.mark(policy.Location, "yes", "http")
	t.wait(10, 40)
	t.mark(policy.Incident, "yes", "http")
	if c.chance(h.dead) {
		t.tell(pattern.Event{What: pattern.Silent})
	}
	t.wait(10, 120)
	again := !t.who.helped && c.chance(asksAgain)
	if c.chance(0.5) {
		t.see(h, false, again)
		t.release(policy.ReleaseBye, "")
		t.end("position")
	} else {
		t.see(h, false, again)
		t.end("caller")
	}
	if again {
		t.redial(true)
	}
}

// transfer sends the caller to another centre, whose takers are not known here.
func (t *talk) transfer() {
	h := t.taker
	t.wait(20, 60)
	if t.c.chance(h.botch) {
		t.see(h, true, false)
		if t.release(policy.ReleaseBye, "failed") {
			t.rescue(rescueHelps)
			return
		}
		t.end("position")
		return
	}
	t.see(h, false, false)
	leg := t.leg
	t.wait(5, 15)
	t.taker = &taker{}
	t.legs++
	t.leg = "to"
	t.tell(pattern.Event{What: pattern.Answered})
	t.taker, t.leg = h, leg
	t.wait(1, 3)
	t.release(policy.ReleaseBye, "succeeded")
	t.wait(30, 120)
	t.end("caller")
}

// nothing is a pocket dial or a misdial with an honest taker.
func (t *talk) nothing() {
	c, h := t.c, t.taker
	if t.who.truth == pocket {
		t.wait(8, 25)
	} else {
		t.wait(8, 40)
	}
	again := !t.who.helped && c.chance(c.o.Redial)
	if c.chance(hangsUp) {
		t.see(h, false, again)
		t.end("caller")
	} else {
		if !c.chance(h.forget) {
			t.mark(policy.Disposition, t.word(), "dtmf")
		}
		t.see(h, true, again)
		t.leave(false, 0)
	}
	if again {
		t.redial(true) // once: helped keeps it from going on for ever
	}
}

// word is the disposition of a call that asks for no help.
func (t *talk) word() string {
	if t.who.truth == pocket {
		return "pocket-dial"
	}
	return []string{"misdial", "misdial", "duplicate", "prank"}[t.c.rng.IntN(4)]
}

// lost is a call whose taker's phone or network fails: nobody's deed.
func (t *talk) lost() {
	t.wait(5, 60)
	t.see(t.taker, true, true)
	if t.release("no answer to a request", "") {
		helps := 0.0
		if t.who.truth == need {
			helps = rescueHelps
		}
		t.rescue(helps)
		return
	}
	t.end("error")
}

// bad is the wrongdoer's way with a caller.
func (t *talk) bad() {
	c, w := t.c, t.taker
	w.bad++
	t.who.truth = pocket
	if c.chance(BadIsNeed) {
		t.who.truth = need
	}
	if w.wrong == NewOrleans {
		t.wait(4, 60)
	} else {
		t.wait(2, 18)
	}
	if w.wrong == Coded {
		t.mark(policy.Disposition, "misdial", "dtmf")
		t.wait(0.5, 1.5)
	}
	again := t.who.truth == need && c.chance(lostRedials)
	t.see(w, true, again)
	helps := 0.0
	if t.who.truth == need {
		helps = rescueHelps
	}
	if t.leave(again, helps) && w.kept == 0 {
		w.kept = w.bad
	}
}

// leave is a release. A caller who is kept is rescued; one who is let go dials
// again if redials says so.
func (t *talk) leave(redials bool, helps float64) (kept bool) {
	if t.release(policy.ReleaseBye, "") {
		t.rescue(helps)
		return true
	}
	t.end("position")
	if redials {
		t.redial(false)
	}
	return false
}

// rescue gives a caller who was kept to a colleague, who helps with the chance
// of helps, and otherwise finds that there is nothing to do. Some callers hang
// up meanwhile, and may dial again.
func (t *talk) rescue(helps float64) {
	t.taker = t.c.colleague(t.taker, t.at)
	t.ring()
	t.intake = policy.Intake{}
	if !t.c.chance(helps) {
		t.wait(5, 30)
		if helps > 0 && t.c.chance(0.5) {
			t.end("caller")
			if t.c.chance(0.5) {
				t.redial(false)
			}
			return
		}
		t.mark(policy.Disposition, "no emergency", "dtmf")
		t.release(policy.ReleaseBye, "")
		t.end("position")
		return
	}
	t.help()
}
