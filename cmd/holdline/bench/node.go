package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/cmd/holdline/node"
)

// runNode is `holdline serve` with a CPU and a heap profile.
func runNode(file, profile string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	out, err := os.Create(profile)
	if err != nil {
		return err
	}
	defer out.Close()
	log, err := zap.NewProduction()
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGUSR1)
	n, err := node.Start(node.Options{Config: cfg, Version: "bench", Log: log, Heap: node.Tune()}) // as serve does
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	for s := range stop {
		if s == syscall.SIGTERM {
			break
		}
		leave(profile + ".heap")
	}
	pprof.StopCPUProfile()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.Stop(ctx)
}
