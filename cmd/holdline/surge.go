package main

import (
	"fmt"
	"net/url"
	"time"

	"holdline/console"
)

// surgeCmd relaxes the guard for the whole centre in a mass event.
type surgeCmd struct {
	On     surgeOnCmd     `cmd:"" help:"Relax the guard for the whole centre, for a while: releases are recorded and not intercepted."`
	Off    surgeOffCmd    `cmd:"" help:"Guard as usual again."`
	Status surgeStatusCmd `cmd:"" default:"withargs" help:"Say whether surge mode is on."`
}

type surgeOnCmd struct {
	consoleFlag
	For    time.Duration `required:"" placeholder:"30m" help:"For how long, at most 24h."`
	Reason string        `required:"" help:"Why; it is journaled."`
	By     string        `placeholder:"NAME" help:"Who does this; left out, the user of this system."`
}

// Run implements the command.
func (c surgeOnCmd) Run(a app) error {
	return c.show(a, "POST", "/v1/surge", map[string]string{"for": c.For.String(), "reason": c.Reason, "by": user(c.By)})
}

type surgeOffCmd struct {
	consoleFlag
	By string `placeholder:"NAME" help:"Who does this; left out, the user of this system."`
}

// Run implements the command.
func (c surgeOffCmd) Run(a app) error {
	return c.show(a, "DELETE", "/v1/surge?by="+url.QueryEscape(user(c.By)), nil)
}

type surgeStatusCmd struct{ consoleFlag }

// Run implements the command.
func (c surgeStatusCmd) Run(a app) error { return c.show(a, "GET", "/v1/surge", nil) }

// show sends a command about surge mode and prints what it is then.
func (f consoleFlag) show(a app, method, path string, body any) error {
	var v console.SurgeView
	if err := f.ask(method, path, body, &v); err != nil {
		return err
	}
	text := "surge mode is off"
	if v.On {
		text = fmt.Sprintf("surge mode is on since %s until %s, by %s: %s", v.Since.Local().Format(time.DateTime),
			v.Until.Local().Format(time.DateTime), printable(v.By), printable(v.Reason))
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}
