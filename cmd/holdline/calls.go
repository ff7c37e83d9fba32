package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"holdline/policy"
	"holdline/sip"
)

// callsCmd lists the calls in progress of a running node.
type callsCmd struct {
	Console string `default:"127.0.0.1:8911" placeholder:"ADDR" help:"The address of the console."`
}

// callsWait is how long a console may take to answer.
const callsWait = 5 * time.Second

// Run implements the command.
func (c callsCmd) Run(a app) error {
	calls, err := fetchCalls(c.Console)
	if err != nil {
		return err
	}
	if len(calls) == 0 {
		_, err := fmt.Fprintln(a.out, "no calls in progress")
		return err
	}
	return printCalls(a.out, calls, time.Now())
}

// fetchCalls asks a console for its calls.
func fetchCalls(addr string) ([]sip.CallView, error) {
	base := addr
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("--console %q is not an address; write it like 127.0.0.1:8911", addr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callsWait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("/v1/calls").String(), nil)
	if err != nil {
		return nil, fmt.Errorf("--console %q: %w", addr, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	res, err := client.Do(r)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return nil, fmt.Errorf("no console answers at %s: %w; is holdline running there, and is this its console.listen?", addr, err)
	}
	defer res.Body.Close()
	var body struct {
		Calls []sip.CallView `json:"calls"`
		Error string         `json:"error"`
	}
	err = json.NewDecoder(res.Body).Decode(&body)
	switch {
	case body.Error != "":
		return nil, fmt.Errorf("the console at %s says: %s", addr, body.Error)
	case err != nil || res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("what answers at %s (%s) is not a holdline console", addr, res.Status)
	}
	return body.Calls, nil
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
