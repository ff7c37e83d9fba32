package policy

import (
	"fmt"
	"sync"
	"time"

	"github.com/expr-lang/expr/vm"
)

// Rule names of the built-in policy. They are written to the journal with
// every verdict and are stable: reports and alerts refer to them.
const (
	RuleTestCall         = "test-call"         // a test call is never guarded (i3 section 9)
	RuleAdminCall        = "admin-call"        // an administrative line is not a call for help
	RuleTransferred      = "transferred"       // somebody else has the caller (i3 section 4.7.2)
	RuleTransferPending  = "transfer-pending"  // nobody else has the caller yet
	RuleReviewed         = "prank-reviewed"    // a prank may be let go, and somebody must listen to it
	RuleIntakeComplete   = "intake-complete"   // the call taker has what is needed to send help
	RuleDisposition      = "disposition-given" // a call for no help, by the call taker's short code
	RuleIntakeClaimed    = "intake-claimed"    // intake is complete, only by the call taker's own word
	RuleOtherCentre      = "other-centre"      // another centre has had the caller, and ends the call
	RuleSurgeMode        = "surge-mode"        // supervisors relaxed the guard for a mass event
	RuleTakerGone        = "taker-gone"        // nobody can hear the caller
	RuleLeftAlone        = "left-alone"        // on the line, and not there
	RuleIntakeIncomplete = "intake-incomplete" // nobody has taken this call yet
)

// RuleFailSafe stands in a verdict that no rule of the policy made: the caller
// is kept, and test and administrative calls are let go. No rule of a file may
// have this name.
const RuleFailSafe = "fail-safe"

// Policy judges releases. It is immutable and may be used by any number of
// goroutines at once.
type Policy struct {
	name      string
	source    []byte
	rules     []rule
	sources   trusts
	zone      *time.Location // of hour and weekday; nil: that of the facts
	digest    string
	summaries *summaries
	judges    sync.Pool // of *judge
}

// rule is one rule of the policy: the first rule whose condition holds decides.
type rule struct {
	name     string
	decision Decision
	when     *expression // nil: it always holds
	why      template
}

// judge is what judging one release needs, kept for the next one.
type judge struct {
	machine vm.VM
	view    view
}

// newPolicy returns a policy without rules, which is fail-safe already.
func newPolicy(name string, source []byte) *Policy {
	return &Policy{
		name: name, source: source, sources: defaultTrusts(), summaries: newSummaries(),
		judges: sync.Pool{New: func() any { return &judge{} }},
	}
}

// defaultTrusts are the levels of a policy that names none: what is in the call
// taker's own hands never proves an intake unless a policy says so.
func defaultTrusts() trusts {
	return trusts{otherSource: Proves, "header": Softens, "info": Softens, "dtmf": Softens, "speech": Softens}
}

// Judge returns the verdict of the first rule that holds for f. It is pure:
// the same facts always get the same verdict. A rule that cannot be evaluated
// is skipped and named in the verdict, and never costs a caller: when it would
// have kept a guarded caller, no later rule lets that caller go, and when it
// would have asked for a review, none lets them go unseen.
func (p *Policy) Judge(f Facts) Verdict {
	j, _ := p.judges.Get().(*judge)
	defer p.judges.Put(j)
	p.fill(&j.view, &f)
	v := Verdict{Policy: p.digest}
	var keeper, reviewer string // rules that would do that and could not be evaluated
	for i := range p.rules {
		r := &p.rules[i]
		holds, err := j.holds(r.when)
		if err != nil {
			v.Skipped = append(v.Skipped, Skipped{r.name, err.Error()})
			switch {
			case r.decision == Intercept && keeper == "":
				keeper = r.name
			case r.decision == Review && reviewer == "":
				reviewer = r.name
			}
			continue
		}
		if !holds {
			continue
		}
		if keeper != "" && r.decision != Intercept && guarded(f.Kind) {
			return failSafe(v, Intercept, keeper, r.name, "let the caller go")
		}
		if reviewer != "" && r.decision == Allow && guarded(f.Kind) {
			return failSafe(v, Review, reviewer, r.name, "let the caller go unseen")
		}
		v.Decision, v.Rule, v.Why = r.decision, r.name, r.why.words(&j.machine, &j.view)
		if v.Why == "" {
			v.Why = "rule " + r.name
		}
		return v
	}
	return undecided(v, f.Kind)
}

// holds tells whether a condition is true.
func (j *judge) holds(when *expression) (bool, error) {
	if when == nil {
		return true, nil
	}
	out, err := when.run(&j.machine, &j.view)
	if err != nil {
		return false, err
	}
	holds, ok := out.(bool)
	if !ok {
		return false, fmt.Errorf("the condition is neither true nor false but %T", out)
	}
	return holds, nil
}

// guarded tells whether callers of this kind are kept when in doubt. A kind
// that nobody has heard of is guarded: an unnecessary rescue costs a call
// taker's minute, a wrong allow may cost a caller's life.
func guarded(k CallKind) bool { return k != Test && k != Admin }

// failSafe is the verdict when the rule failed could have been stricter with a
// caller whom the later rule next lets go.
func failSafe(v Verdict, d Decision, failed, next, what string) Verdict {
	v.Decision, v.Rule = d, RuleFailSafe
	v.Why = fmt.Sprintf("rule %s could not be evaluated, so that rule %s after it may not %s", failed, next, what)
	return v
}

// undecided is the verdict when no rule decided: every policy ends with it.
func undecided(v Verdict, kind CallKind) Verdict {
	v.Rule = RuleFailSafe
	if guarded(kind) {
		v.Decision, v.Why = Intercept, "no rule of the policy decided, so the caller is kept"
		return v
	}
	v.Decision, v.Why = Allow, fmt.Sprintf("no rule of the policy decided, and %s calls are not guarded", kind)
	return v
}

// Digest names the policy exactly: two policies that may judge differently
// have different digests. It is the hex SHA-256 of the rules, the trust in
// sources and the time zone, without comments and layout, and stands in every
// verdict so that a verdict can be explained years later.
func (p *Policy) Digest() string { return p.digest }

// Name returns the name of the file that the policy was read from.
func (p *Policy) Name() string { return p.name }

// Source returns the text of the policy as it was written, comments included.
func (p *Policy) Source() []byte { return append([]byte(nil), p.source...) }

// Proves tells whether the marks of a source count as established.
func (p *Policy) Proves(source string) bool { return p.sources.of(source) == Proves }

// Complete tells whether in is complete by sources that prove, as
// intake.complete says in a condition.
func (p *Policy) Complete(in Intake) bool { return in.believed(p.sources, false).complete() }
