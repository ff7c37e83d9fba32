// Command holdline stands in front of 911 call-taking positions and keeps the
// caller on the line until somebody has taken the call.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit statuses of every command.
const (
	exitOK     = 0
	exitFailed = 1 // the command did its work and the answer is no, or could not do it
	exitUsage  = 2 // the command line was not understood
)

// cli is the command line.
type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run the guard."`
	Check    checkCmd    `cmd:"" help:"Say what is wrong with a configuration, with file:line:column, or 'ok'."`
	Demo     demoCmd     `cmd:"" help:"Show a rescue on this machine, without a configuration."`
	Journal  journalCmd  `cmd:"" help:"Verify or export the journal."`
	Calls    callsCmd    `cmd:"" help:"List the calls in progress."`
	Alert    alertCmd    `cmd:"" help:"Try the channels over which people are told of alerts."`
	Agents   agentsCmd   `cmd:"" help:"Say who sits where, and take sign-ins."`
	Surge    surgeCmd    `cmd:"" help:"Relax the guard for the whole centre in a mass event."`
	User     userCmd     `cmd:"" help:"Say who may sign in at the console: people with passwords, machines with tokens."`
	Policy   policyCmd   `cmd:"" help:"Show, explain or try the rules by which releases are judged."`
	Evidence evidenceCmd `cmd:"" help:"Put together or check the evidence of one call."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// app is what commands may use of the world.
type app struct {
	in       io.Reader
	out, err io.Writer
	signals  func() (<-chan os.Signal, func()) // the signals that concern serve, and how to let go of them
}

// run executes one command and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	return app{in: os.Stdin, out: stdout, err: stderr, signals: systemSignals}.run(args)
}

func systemSignals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// exited is how kong's wish to end the process, after --help, comes back to run.
type exited int

func (a app) run(args []string) (status int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			status = int(r)
		default:
			panic(r)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("holdline"),
		kong.Description("Keeps a 911 caller on the line until somebody has taken the call."),
		kong.Writers(a.out, a.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { panic(exited(code)) }),
	)
	if err != nil {
		fmt.Fprintln(a.err, "holdline:", err)
		return exitFailed
	}
	if len(args) == 0 { // a script that forgot the command should notice
		parser.Stdout, args = a.err, []string{"--help"}
		parser.Exit = func(int) { panic(exited(exitUsage)) }
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(a.err, usageProblem(err))
		return exitUsage
	}
	if err := ctx.Run(a); err != nil {
		if text := err.Error(); text != "" {
			fmt.Fprintln(a.err, "holdline:", text)
		}
		return exitFailed
	}
	return exitOK
}

// usageProblem says what is wrong with a command line, and whose help to read.
func usageProblem(err error) string {
	text, command := err.Error(), "holdline"
	if pe, ok := errors.AsType[*kong.ParseError](err); ok && pe.Context != nil {
		if n := pe.Context.Selected(); n != nil {
			command = n.FullPath()
		} else {
			text = strings.Replace(text, "unexpected argument", "unknown command", 1)
		}
	}
	return fmt.Sprintf("holdline: %s\nTry '%s --help'.", text, command)
}

// versionCmd prints the version.
type versionCmd struct{}

// Run implements the command.
func (versionCmd) Run(a app) error {
	_, err := fmt.Fprintln(a.out, "holdline", version())
	return err
}

// version is what the build wrote into the binary: the tag it was made from, or
// the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return strings.TrimPrefix(strings.Trim(info.Main.Version, "()"), "v")
}
