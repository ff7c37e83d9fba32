package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"holdline/policy"
	"holdline/recorder"
)

// policyReplayCmd judges the releases of a journal again.
type policyReplayCmd struct {
	Policy string `required:"" placeholder:"FILE" help:"The policy to judge by."`
	Data   string `default:"data" placeholder:"DIR" help:"The data folder; left out, ./data."`
	Since  string `placeholder:"T" help:"Only releases from this time on: 2026-08-14T18:00:00Z, 2026-08-14, or 2h for the last two hours."`
}

// Run implements the command. Nothing is written anywhere.
func (c policyReplayCmd) Run(a app) error {
	p, err := loadPolicy(c.Policy)
	if err != nil {
		return err
	}
	q := recorder.Query{}
	if c.Since != "" {
		if q.Since, err = parseSince(c.Since, time.Now()); err != nil {
			return err
		}
	}
	r := replay{policy: p, out: a.out, changes: map[string]int{}, skipped: map[string]int{}}
	if err := readReleases(c.Data, q, &scan{release: r.release}); err != nil {
		return err
	}
	return r.summary()
}

// replay counts what a policy would have decided otherwise.
type replay struct {
	policy  *policy.Policy
	out     io.Writer
	judged  int
	without int            // releases without facts
	otherBy int            // the same decision by another rule
	changes map[string]int // by "intercept -> allow"
	skipped map[string]int // rules that could not be evaluated
}

func (r *replay) release(rel releaseRecord) error {
	if rel.Facts == nil {
		r.without++
		return nil
	}
	r.judged++
	v := r.policy.Judge(*rel.Facts)
	for _, s := range v.Skipped {
		r.skipped[s.Rule]++
	}
	before := rel.Verdict
	if v.Decision == before.Decision {
		if v.Rule != before.Rule {
			r.otherBy++
		}
		return nil
	}
	change := fmt.Sprintf("%s -> %s", before.Decision, v.Decision)
	r.changes[change]++
	_, err := fmt.Fprintf(r.out, "%s  %s  %s  %s (%s -> %s): %s\n", rel.At.UTC().Format(time.RFC3339), printable(rel.Call),
		printable(rel.name()), change, printable(before.Rule), v.Rule, printable(v.Why))
	return err
}

func (r *replay) summary() error {
	changed := 0
	for _, n := range r.changes {
		changed += n
	}
	fmt.Fprintf(r.out, "releases judged: %d\nverdicts that would change: %d\n", r.judged, changed)
	for _, change := range slices.Sorted(maps.Keys(r.changes)) {
		fmt.Fprintf(r.out, "  %s: %d\n", change, r.changes[change])
	}
	if r.otherBy > 0 {
		fmt.Fprintf(r.out, "  the same by another rule: %d\n", r.otherBy)
	}
	for _, rule := range slices.Sorted(maps.Keys(r.skipped)) {
		fmt.Fprintf(r.out, "  rule %s could not be evaluated: %d\n", rule, r.skipped[rule])
	}
	if r.without > 0 {
		fmt.Fprintf(r.out, "  not judged, because the record holds no facts: %d\n", r.without)
	}
	_, err := fmt.Fprintf(r.out, "policy %s\n", r.policy.Digest())
	return err
}
