package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"holdline/policy"
	"holdline/sip"
)

// callsCmd lists the calls in progress of a running node.
type callsCmd struct{ consoleFlag }

// Run implements the command.
func (c callsCmd) Run(a app) error {
	var body struct{ Calls []sip.CallView }
	if err := c.ask("GET", "/v1/calls", nil, &body); err != nil {
		return err
	}
	if len(body.Calls) == 0 {
		_, err := fmt.Fprintln(a.out, "no calls in progress")
		return err
	}
	return printCalls(a.out, body.Calls, time.Now())
}

// printCalls writes a table that fits a terminal.
func printCalls(w io.Writer, calls []sip.CallView, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STATE\tFOR\tKIND\tFROM\tWITH\tINTAKE\tRESCUES\tCALL-ID")
	for _, c := range calls {
		with := c.Taker
		if c.Agent != "" {
			with += " (" + c.Agent + ")"
		}
		if with == "" {
			with = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", c.State, now.Sub(c.Started).Round(time.Second), c.Kind,
			printable(c.From), printable(with), intakeSummary(c), c.Rescues, printable(c.ID))
	}
	return t.Flush()
}

// intakeSummary says what is established of a call in one word or a few.
func intakeSummary(c sip.CallView) string {
	var marked []string
	for _, f := range policy.Fields() {
		if _, ok := c.Intake[f]; ok {
			marked = append(marked, string(f))
		}
	}
	switch {
	case c.Complete:
		return "complete"
	case len(marked) == 0:
		return "nothing"
	default:
		return strings.Join(marked, "+")
	}
}

// printable keeps what a caller put into a header from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
