package main

import (
	"context"
	"os"
	"syscall"

	"holdline/cmd/holdline/demo"
)

// demoCmd shows a rescue without a configuration or a network.
type demoCmd struct {
	Once bool   `help:"One rescue, then exit 0 if the caller was kept and bridged."`
	Data string `placeholder:"DIR" help:"Where the journal and the recordings go; a new temporary folder when left out."`
}

// Run implements the command: it goes on with another call until it is
// interrupted.
func (c demoCmd) Run(a app) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals, letGo := a.signals()
	defer letGo()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					cancel()
				}
			}
		}
	}()
	return demo.Run(ctx, demo.Options{
		Once: c.Once, Out: a.out, Data: c.Data, Version: version(),
		Color: isTerminal(a.out) && os.Getenv("NO_COLOR") == "",
	})
}
