package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"holdline/console"
)

// agentsCmd says who sits where, and takes sign-ins.
type agentsCmd struct {
	List    agentsListCmd `cmd:"" default:"withargs" help:"Say who sits where."`
	SignIn  signInCmd     `cmd:"" name:"sign-in" help:"Say that an agent sits at a position."`
	SignOut signOutCmd    `cmd:"" name:"sign-out" help:"Say that nobody sits at a position any more."`
}

type agentsListCmd struct{ consoleFlag }

// Run implements the command.
func (c agentsListCmd) Run(a app) error {
	var body struct{ Agents []console.AgentView }
	if err := c.ask("GET", "/v1/agents", nil, &body); err != nil {
		return err
	}
	return printAgents(a.out, body.Agents, time.Now())
}

type signInCmd struct {
	consoleFlag
	Position string `arg:"" help:"The position."`
	Agent    string `arg:"" help:"Who sits there."`
	By       string `placeholder:"NAME" help:"Who says so; left out, the user of this system."`
}

// Run implements the command.
func (c signInCmd) Run(a app) error {
	return c.sign(a, "/v1/agents/signin", c.By, map[string]string{"position": c.Position, "agent": c.Agent})
}

type signOutCmd struct {
	consoleFlag
	Position string `arg:"" help:"The position."`
	By       string `placeholder:"NAME" help:"Who says so; left out, the user of this system."`
}

// Run implements the command.
func (c signOutCmd) Run(a app) error {
	return c.sign(a, "/v1/agents/signout", c.By, map[string]string{"position": c.Position})
}

// sign sends a sign-in or sign-out and prints the position as it is then.
func (f consoleFlag) sign(a app, path, by string, body map[string]string) error {
	body["by"] = user(by)
	var v console.AgentView
	if err := f.ask("POST", path, body, &v); err != nil {
		return err
	}
	return printAgents(a.out, []console.AgentView{v}, time.Now())
}

// printAgents writes a table that fits a terminal.
func printAgents(w io.Writer, agents []console.AgentView, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "POSITION\tAGENT\tFOR\tKNOWN BY\tSTATE\tCALLS")
	for _, a := range agents {
		agent, length, source := a.Agent, "-", a.Source
		if agent == "" {
			agent = "-"
		}
		if !a.Since.IsZero() {
			length = now.Sub(a.Since).Round(time.Second).String()
		}
		if source == "" {
			source = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d of %d\n", printable(a.Position), printable(agent), length, source, a.State, len(a.Calls), a.Capacity)
	}
	return t.Flush()
}
