package policy

import (
	"github.com/expr-lang/expr/vm"
)

// Explanation is how a verdict came about: every rule of the policy, what its
// condition saw, and what came of it.
type Explanation struct {
	Verdict Verdict
	Rules   []RuleResult
}

// RuleResult is what became of one rule.
type RuleResult struct {
	Rule     string
	Decision Decision
	When     string // the condition; "" when the rule always holds
	Reached  bool   // false: a rule before it had decided
	Holds    bool
	Error    string // why the condition could not be evaluated
	Saw      []Seen // the facts that the condition uses, in its order
}

// Seen is the value that a fact had: a string, a bool, an int or a float64.
type Seen struct {
	Fact  string
	Value any
}

// Explain judges f and says how the verdict came about.
func (p *Policy) Explain(f Facts) Explanation {
	x := Explanation{Verdict: p.Judge(f)}
	j := judge{}
	p.fill(&j.view, &f)
	decided := false
	for i := range p.rules {
		r := &p.rules[i]
		result := RuleResult{Rule: r.name, Decision: r.decision, Reached: !decided}
		if r.when != nil {
			result.When = r.when.text
		}
		if !decided {
			j.evaluate(r, &result)
			decided = result.Holds
		}
		x.Rules = append(x.Rules, result)
	}
	return x
}

func (j *judge) evaluate(r *rule, result *RuleResult) {
	holds, err := j.holds(r.when)
	result.Holds = holds
	if err != nil {
		result.Error = err.Error()
	}
	if r.when == nil {
		return
	}
	for _, name := range r.when.facts {
		result.Saw = append(result.Saw, Seen{name, j.view.value(name)})
	}
}

// value is a fact by its name.
func (v *view) value(name string) any {
	e, f := compile(name, false)
	if f != nil {
		return nil
	}
	out, err := e.run(&vm.VM{}, v)
	if err != nil {
		return nil
	}
	return out
}
