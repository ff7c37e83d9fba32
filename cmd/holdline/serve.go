package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/cmd/holdline/node"
)

// serveCmd runs the guard.
type serveCmd struct {
	Config string `placeholder:"FILE" help:"The configuration; the one in the binary (configs/holdline.yaml) when left out."`
}

// Times of a stop.
const (
	idleCheck = 200 * time.Millisecond // how often a draining node looks whether the last call is over
	stopWait  = 30 * time.Second       // how long the parts of the node may take to stop
)

// Run implements the command: it serves until a signal ends it.
func (c serveCmd) Run(a app) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return fmt.Errorf("the configuration has problems\n%w", err)
	}
	log, level := newLog(a.err)
	heap := node.Tune()
	signals, letGo := a.signals() // before anything can take a call
	defer letGo()
	n, err := node.Start(node.Options{Config: cfg, Version: version(), Log: log, Level: level, Heap: heap})
	if err != nil {
		return err
	}
	s := server{node: n, log: log, file: c.Config}
	s.loop(signals)
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		return err
	}
	log.Info("node stopped")
	return nil
}

// server is a running node with what signals do to it.
type server struct {
	node *node.Node
	log  *zap.Logger
	file string
}

// loop returns when the node is to be stopped: at the second signal to end, or
// after the first as soon as no call is left. It looks twice, because a call
// that came in with the signal is counted a moment after it was accepted.
func (s *server) loop(signals <-chan os.Signal) {
	idle := time.NewTicker(idleCheck)
	defer idle.Stop()
	draining, quiet := false, 0
	for {
		select {
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				s.reload()
			case draining:
				s.log.Warn("ending at once", zap.Int("calls", s.node.Calls()))
				return
			default:
				draining, quiet = true, 0
				s.node.Drain()
			}
		case <-idle.C:
			quiet++
			if s.node.Calls() > 0 {
				quiet = 0
			}
			if draining && quiet >= 2 {
				return
			}
		}
	}
}

// reload reads the configuration again. A file with problems changes nothing.
func (s *server) reload() {
	if s.file == "" {
		s.node.ReloadFailed(errors.New("the configuration in the binary cannot change; start with --config FILE"))
		return
	}
	next, err := config.Load(s.file)
	if err != nil {
		s.node.ReloadFailed(err)
		return
	}
	_, _ = s.node.Reload(next) // counted and logged by the node
}
