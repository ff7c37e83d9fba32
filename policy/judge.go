package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
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
	RuleIntakeIncomplete = "intake-incomplete" // nobody has taken this call yet
)

// dispositionPrank is the disposition that ends a call and is always looked
// at afterwards: it is the one word with which a caller in need could be
// waved away.
const dispositionPrank = "prank"

// Policy judges releases. It is immutable and may be used by any number of
// goroutines at once.
type Policy struct {
	rules  []rule
	digest string
}

// rule is one line of the policy: the first rule whose match holds decides.
type rule struct {
	name     string
	decision Decision
	match    func(Facts) bool
	why      func(Facts) string
}

// Builtin returns the policy that serves when no policy file is configured:
// a position may leave an emergency call once intake is complete, and may
// leave test calls and administrative calls at any time.
func Builtin() *Policy {
	rules := builtinRules()
	return &Policy{rules: rules, digest: digest("builtin/1", rules)}
}

// builtinRules are tried from the first to the last. The last one matches
// everything, so that a release no rule speaks of, of a kind of call nobody
// has heard of, is intercepted: an unnecessary rescue costs a call taker's
// minute, a wrong allow may cost a caller's life.
func builtinRules() []rule {
	return []rule{
		{
			RuleTestCall, Allow,
			func(f Facts) bool { return f.Kind == Test },
			func(Facts) string { return "test calls are not guarded" },
		},
		{
			RuleAdminCall, Allow,
			func(f Facts) bool { return f.Kind == Admin },
			func(Facts) string { return "administrative calls are not guarded" },
		},
		{
			RuleTransferred, Allow,
			func(f Facts) bool { return f.Transfer == "succeeded" },
			func(Facts) string { return "the transfer was answered: somebody else has the caller" },
		},
		{
			RuleTransferPending, Intercept,
			func(f Facts) bool { return f.Transfer == "pending" },
			func(Facts) string { return "the transfer has not been answered yet" },
		},
		{
			RuleReviewed, Review,
			func(f Facts) bool { return isPrank(f.Intake) },
			func(Facts) string { return "the call was marked as a prank, which a supervisor always reviews" },
		},
		{
			RuleIntakeComplete, Allow,
			func(f Facts) bool { return f.Intake.Complete() },
			func(f Facts) string { return whyComplete(f.Intake) },
		},
		{
			RuleIntakeIncomplete, Intercept,
			func(Facts) bool { return true },
			func(f Facts) string { return whyIncomplete(f.Intake) },
		},
	}
}

// Judge returns the verdict of the first rule that matches f. It is pure: the
// same facts always get the same verdict.
func (p *Policy) Judge(f Facts) Verdict {
	for _, r := range p.rules {
		if r.match(f) {
			return Verdict{Decision: r.decision, Rule: r.name, Why: r.why(f), Policy: p.digest}
		}
	}
	// Not reached with the built-in rules, whose last one matches everything.
	return Verdict{Decision: Intercept, Rule: RuleIntakeIncomplete, Why: whyIncomplete(f.Intake), Policy: p.digest}
}

// Digest names the policy exactly: two policies that may judge differently
// have different digests. It is the hex SHA-256 of the rules, and stands in
// every verdict so that a verdict can be explained years later.
func (p *Policy) Digest() string { return p.digest }

// digest covers the version of the rules' meaning, raised by hand whenever a
// match function changes, and the table itself.
func digest(version string, rules []rule) string {
	h := sha256.New()
	h.Write([]byte(version))
	for _, r := range rules {
		h.Write([]byte("\n" + r.name + " " + string(r.decision)))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func isPrank(in Intake) bool {
	return strings.EqualFold(strings.TrimSpace(in[Disposition].Value), dispositionPrank)
}

// whyComplete names the marks that made the intake complete, shortest proof first.
func whyComplete(in Intake) string {
	switch {
	case in.has(Incident):
		return "an incident was created"
	case in.has(Disposition):
		return "a disposition was given"
	default:
		return "location, callback and nature are marked"
	}
}

// whyIncomplete says what was established and what was not, in the order in
// which call takers ask for it: "location and callback are marked, nature is
// not".
func whyIncomplete(in Intake) string {
	var marked, missing []string
	for _, f := range []Field{Location, Callback, Nature} {
		if in.has(f) {
			marked = append(marked, string(f))
		} else {
			missing = append(missing, string(f))
		}
	}
	if len(marked) == 0 {
		return "no intake: neither location, callback and nature are marked, nor an incident, nor a disposition"
	}
	return list(marked) + " " + isAre(marked) + " marked, " + list(missing) + " " + isAre(missing) + " not"
}

// list joins words as in a sentence: "a", "a and b", "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

func isAre(words []string) string {
	if len(words) == 1 {
		return "is"
	}
	return "are"
}
