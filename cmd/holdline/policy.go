package main

import (
	"fmt"
	_ "time/tzdata" // a policy may name a time zone, and the host may have none

	"holdline/cmd/holdline/config"
	"holdline/policy"
)

// policyCmd holds the commands about the rules by which releases are judged.
type policyCmd struct {
	Show    policyShowCmd    `cmd:"" help:"Print the policy that serves, as a file."`
	Explain policyExplainCmd `cmd:"" help:"Say which rule decided about the releases of a past call, and what each condition saw."`
	Replay  policyReplayCmd  `cmd:"" help:"Judge the releases in a journal by another policy and print every verdict that would change."`

	Simulate policySimulateCmd `cmd:"" help:"Try the policy and the detectors on a centre that never was: calls until an alarm, and false alarms."`
}

// policyShowCmd prints a policy.
type policyShowCmd struct {
	Config string `placeholder:"FILE" help:"The configuration whose policy is meant; left out, the built-in policy."`
}

// Run implements the command. What it prints is a policy file again.
func (c policyShowCmd) Run(a app) error {
	p := policy.Builtin()
	if c.Config != "" {
		cfg, err := config.Load(c.Config)
		if err != nil {
			return fmt.Errorf("the configuration has problems\n%w", err)
		}
		p = cfg.Policy.Rules()
	}
	_, err := fmt.Fprintf(a.out, "# %s, digest %s\n%s", p.Name(), p.Digest(), p.Source())
	return err
}

// loadPolicy reads the policy file of a command's flag.
func loadPolicy(path string) (*policy.Policy, error) {
	p, err := config.LoadPolicy(path)
	if err != nil {
		return nil, fmt.Errorf("the policy has problems\n%w", err)
	}
	return p, nil
}
