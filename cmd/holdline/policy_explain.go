package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"holdline/policy"
	"holdline/recorder"
)

// policyExplainCmd explains the verdicts of a past call.
type policyExplainCmd struct {
	Call   string `required:"" placeholder:"ID" help:"The SIP Call-ID, or the emergency call identifier."`
	Data   string `default:"data" placeholder:"DIR" help:"The data folder; left out, ./data."`
	Policy string `placeholder:"FILE" help:"Explain by this policy; left out, by the one that judged."`
}

// Run implements the command.
func (c policyExplainCmd) Run(a app) error {
	var given *policy.Policy
	if c.Policy != "" {
		p, err := loadPolicy(c.Policy)
		if err != nil {
			return err
		}
		given = p
	}
	call, err := callNamed(c.Data, c.Call)
	if err != nil {
		return err
	}
	var releases []releaseRecord
	err = readReleases(c.Data, recorder.Query{Call: call}, &scan{
		release: func(r releaseRecord) error { releases = append(releases, r); return nil },
	})
	if err != nil {
		return err
	}
	if len(releases) == 0 {
		return fmt.Errorf("no position left call %q, so that there is no verdict; the call may still be in progress, or of another node", c.Call)
	}
	known, err := c.known(releases)
	if err != nil {
		return err
	}
	for i, r := range releases {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		p := given
		if p == nil {
			p = known[r.Verdict.Policy]
		}
		if err := explain(a.out, r, p); err != nil {
			return err
		}
	}
	return nil
}

// callNamed is the Call-ID of the call that id names: id itself, or that of the
// call with this emergency call identifier.
func callNamed(dir, id string) (string, error) {
	if !strings.HasPrefix(strings.ToLower(id), "urn:") {
		return id, nil
	}
	call := id
	err := readReleases(dir, recorder.Query{Kind: "call.offered"}, &scan{offered: func(of, emergencyID string) {
		if emergencyID == id {
			call = of
		}
	}})
	return call, err
}

// known finds the policies that judged, by their digests: the built-in one, and
// those that the journal holds.
func (c policyExplainCmd) known(releases []releaseRecord) (map[string]*policy.Policy, error) {
	builtin := policy.Builtin()
	known := map[string]*policy.Policy{builtin.Digest(): builtin}
	for _, kind := range []string{"node.started", "node.reloaded"} {
		err := readReleases(c.Data, recorder.Query{Kind: kind}, &scan{policy: func(digest, rules string) {
			if known[digest] != nil || rules == "" {
				return
			}
			for _, r := range releases {
				if r.Verdict.Policy != digest {
					continue
				}
				if p, err := policy.Parse("the journal's policy", []byte(rules)); err == nil && p.Digest() == digest {
					known[digest] = p
				}
				return
			}
		}})
		if err != nil {
			return nil, err
		}
	}
	return known, nil
}

// explain prints one release: the verdict as it was, and how p comes to its own.
func explain(w io.Writer, r releaseRecord, p *policy.Policy) error {
	fmt.Fprintf(w, "%s %s left call %s: %s by rule %s\n  %s\n", r.At.UTC().Format(time.RFC3339), printable(r.name()), printable(r.Call),
		r.Verdict.Decision, printable(r.Verdict.Rule), printable(r.Verdict.Why))
	for _, s := range r.Verdict.Skipped {
		fmt.Fprintf(w, "  rule %s was skipped: %s\n", s.Rule, printable(s.Error))
	}
	switch {
	case r.Facts == nil:
		fmt.Fprintln(w, "  no rule was asked: the record holds no facts")
		return nil
	case p == nil:
		fmt.Fprintf(w, "  the policy with digest %s is not in this journal; name its file with --policy\n", r.Verdict.Policy)
		return nil
	}
	x := p.Explain(*r.Facts)
	if x.Verdict.Policy != r.Verdict.Policy {
		fmt.Fprintf(w, "  %s, which is not the policy that judged, would %s by rule %s: %s\n", p.Name(),
			x.Verdict.Decision, x.Verdict.Rule, printable(x.Verdict.Why))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, rule := range x.Rules {
		printRule(t, rule)
	}
	if x.Verdict.Rule == policy.RuleFailSafe {
		fmt.Fprintf(t, "  %s\tdecides\t%s\n", policy.RuleFailSafe, x.Verdict.Decision)
	}
	return t.Flush()
}

func printRule(w io.Writer, r policy.RuleResult) {
	outcome := "no"
	switch {
	case !r.Reached:
		outcome = "not asked"
	case r.Error != "":
		outcome = "failed"
	case r.Holds:
		outcome = "holds"
	}
	fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", r.Rule, outcome, r.Decision, cmp.Or(r.When, "always"))
	if r.Error != "" {
		fmt.Fprintf(w, "  \t\t\t  %s\n", printable(r.Error))
	}
	for _, s := range r.Saw {
		fmt.Fprintf(w, "  \t\t\t  %s = %s\n", s.Fact, literal(s.Value))
	}
}

// literal writes a value as in a condition.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) // seconds, to the millisecond
	default:
		return fmt.Sprint(v)
	}
}
