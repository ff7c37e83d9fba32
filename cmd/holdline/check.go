package main

import (
	"errors"
	"fmt"

	"holdline/cmd/holdline/config"
)

// checkCmd says what is wrong with a configuration.
type checkCmd struct {
	Config string `required:"" placeholder:"FILE" help:"The configuration to check."`
}

// errSaid ends a command whose output already says what is wrong.
var errSaid = errors.New("")

// Run implements the command. What is wrong is what was asked for, so it goes
// to the standard output.
func (c checkCmd) Run(a app) error {
	if _, err := config.Load(c.Config); err != nil {
		fmt.Fprintln(a.out, err)
		return errSaid
	}
	_, err := fmt.Fprintln(a.out, "ok")
	return err
}
