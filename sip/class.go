package sip

import (
	"slices"
	"strconv"
	"strings"

	"holdline/policy"
)

// Class is whose doing an ending, a release or a refusal was, as far as the
// evidence goes. Nothing that is not clearly a person's counts against one.
type Class string

// The classes.
const (
	Operator   Class = "operator"   // the taker, or the taker's phone at the taker's wish
	Technical  Class = "technical"  // a phone, a network or a call-handling system failed
	Unclear    Class = "unknown"    // either could be; the evidence does not tell
	ByCaller   Class = "caller"     // the caller left
	Supervised Class = "supervisor" // a supervisor decided it
)

// classOfRelease judges a taker who left: by BYE, or by being lost.
func (c *Call) classOfRelease(r *release) (Class, []string) {
	if r.lapse != nil {
		return r.lapse.class, r.lapse.evidence
	}
	if r.bye != nil {
		class, evidence := classOfBye(r)
		if r.deceived {
			class, evidence = Unclear, append(evidence, "a supervisor had barged in, and was not there when the taker left")
		}
		return class, evidence
	}
	evidence := []string{r.how}
	taker := together(c.media.Stats(r.leg.ID))
	if taker.Unreachable != "" {
		evidence = append(evidence, taker.Unreachable)
	}
	if why := c.vigil.goneWhy; why != "" && r.leg == c.taker {
		evidence = append(evidence, why)
	}
	if r.data.At.Sub(taker.LastRecv) <= flowing {
		return Unclear, append(evidence, "media of the taker still arrives")
	}
	if strings.Contains(r.how, "481") {
		return Unclear, append(evidence, "the taker's phone answers and does not know the call: it was restarted, or has hung up")
	}
	return Technical, evidence
}

// classOfBye believes a BYE to be the taker's wish, unless it names a failure
// itself (RFC 3326): that can be true, and is easily said.
func classOfBye(r *release) (Class, []string) {
	evidence := []string{"BYE in the dialog of the taker, from " + r.bye.req.Source()}
	if r.leg.Seated != "" {
		evidence = append(evidence, r.leg.Agent+" sat there when the call rang, and "+r.leg.Seated+" had signed in when it was answered")
	}
	class := Operator
	if told := r.leg.Reported; told != "" && r.leg.Left == "" && r.leg.failed == "" {
		evidence = append(evidence, "the call-handling system says that the caller was transferred to "+told+": this may be the BYE of another person")
		class = Unclear
	}
	for _, reason := range list(getAll(r.bye.req, "reason")) {
		evidence = append(evidence, "Reason: "+reason)
		if failureReason(reason) {
			return Unclear, evidence
		}
	}
	return class, evidence
}

// failureReason tells a Reason that speaks of equipment: Q.850 causes of class
// network or resource, SIP 408 and 5xx.
func failureReason(v string) bool {
	protocol, params, _ := strings.Cut(v, ";")
	text, _ := param(";"+params, "cause")
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return false
	}
	switch strings.ToUpper(strings.TrimSpace(protocol)) {
	case "Q.850":
		return n == 27 || n >= 34 && n <= 47
	case "SIP":
		return n == 408 || n >= 500 && n < 600
	}
	return false
}

// classOfFailure judges a target that did not take the call.
func classOfFailure(why failure) (Class, []string) {
	switch {
	case why.Reason == rangOut && !why.rang:
		return Unclear, []string{"nobody answered, and nothing said that the target's phone rang"}
	case why.Reason == rangOut:
		return Operator, []string{"the target's phone rang and nobody answered"}
	case why.Code == 0:
		return Technical, []string{why.Reason}
	case slices.Contains([]int{486, 600, 603, 607}, why.Code), why.Code >= 300 && why.Code < 400:
		return Operator, []string{answered(why)}
	case why.Code == 408 || why.Code >= 500 && why.Code < 600:
		return Technical, []string{answered(why)}
	default:
		return Unclear, []string{answered(why)}
	}
}

func answered(why failure) string {
	text := "the target answered " + strconv.Itoa(why.Code)
	if why.res != nil {
		text += " from " + why.res.Source()
	}
	return text
}

// classOfEnd judges the end of a call.
func (c *Call) classOfEnd() (Class, []string) {
	switch c.ended.By {
	case "caller":
		return ByCaller, c.ended.evidence
	case "supervisor":
		return Supervised, c.ended.evidence
	case "position":
		if c.ended.class == "" {
			return Unclear, c.ended.evidence
		}
		return c.ended.class, c.ended.evidence
	default:
		if c.ended.Code != 0 || c.ended.Refusal != nil {
			return Unclear, list1(c.ended.Reason)
		}
		return Technical, list1(c.ended.Reason)
	}
}

// measured is speech of a leg as policy is told: unknown where nobody could
// tell it from the rest.
func (c *Call) measured(l *leg) policy.Span {
	s := together(c.media.Stats(l.ID))
	if s.Activity != "samples" && s.Activity != "pattern" {
		return policy.Span{}
	}
	if l == c.caller {
		return policy.Measured(max(s.Speech-c.SpeechBefore, 0))
	}
	return policy.Measured(s.Speech)
}
