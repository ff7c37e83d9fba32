package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"holdline/console/access"
)

// userCmd says who may sign in at the console.
type userCmd struct {
	Add      userAddCmd      `cmd:"" help:"Let somebody sign in with a password, which is asked for or read from the standard input."`
	List     userListCmd     `cmd:"" help:"List who may sign in, people and machines."`
	Remove   userRemoveCmd   `cmd:"" help:"Take a user or a token away; their sessions end at once."`
	Password userPasswordCmd `cmd:"" help:"Give somebody another password; their sessions end at once."`
	Token    userTokenCmd    `cmd:"" help:"Make a token for a machine and print it, this once."`
}

// storeFlag is where the users are kept.
type storeFlag struct {
	Data string `default:"./data" placeholder:"DIR" help:"The data folder (./data)."`
}

// store returns the users of the data folder, which must be there: a wrong
// folder would have nobody in it.
func (f storeFlag) store() (*access.Store, error) {
	if info, err := os.Stat(f.Data); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("there is no data folder %s; name the one of the configuration with --data DIR", f.Data)
	}
	return access.OpenStore(f.Data), nil
}

type userAddCmd struct {
	storeFlag
	Name string `arg:"" help:"What they sign in with; it is journaled with all they do."`
	Role string `required:"" enum:"supervisor,admin,auditor,tester" placeholder:"ROLE" help:"supervisor, admin, auditor or tester."`
}

// Run implements the command.
func (c userAddCmd) Run(a app) error {
	s, err := c.store()
	if err != nil {
		return err
	}
	if err := access.CheckName(c.Name); err != nil {
		return err
	}
	password, err := a.password(c.Name)
	if err != nil {
		return err
	}
	if err := s.Add(context.Background(), c.Name, access.Role(c.Role), password, systemUser()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s can sign in as %s\n", c.Name, c.Role)
	return err
}

type userListCmd struct{ storeFlag }

// Run implements the command.
func (c userListCmd) Run(a app) error {
	s, err := c.store()
	if err != nil {
		return err
	}
	users, tokens, err := s.List()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tKIND\tSINCE\tBY")
	for _, u := range users {
		fmt.Fprintf(w, "%s\t%s\tpassword\t%s\t%s\n", u.Name, u.Role, u.Created.Format("2006-01-02"), u.By)
	}
	for _, t := range tokens {
		fmt.Fprintf(w, "%s\t%s\ttoken\t%s\t%s\n", t.Name, t.Role, t.Created.Format("2006-01-02"), t.By)
	}
	return w.Flush()
}

type userRemoveCmd struct {
	storeFlag
	Name string `arg:"" help:"The user or the token."`
}

// Run implements the command.
func (c userRemoveCmd) Run(a app) error {
	s, err := c.store()
	if err != nil {
		return err
	}
	if err := s.Remove(c.Name); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s cannot sign in any more\n", c.Name)
	return err
}

type userPasswordCmd struct {
	storeFlag
	Name string `arg:"" help:"The user."`
}

// Run implements the command.
func (c userPasswordCmd) Run(a app) error {
	s, err := c.store()
	if err != nil {
		return err
	}
	password, err := a.password(c.Name)
	if err != nil {
		return err
	}
	if err := s.SetPassword(context.Background(), c.Name, password); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s has another password\n", c.Name)
	return err
}

type userTokenCmd struct {
	storeFlag
	Name string `arg:"" help:"The machine, like cad or prometheus; it is journaled with all it does."`
	Role string `required:"" enum:"integration,metrics,supervisor,auditor,tester" placeholder:"ROLE" help:"integration (intake, EIDO, who sits where), metrics, or a role of people."`
}

// Run implements the command. Only the token goes to the standard output, so
// that it can be led into a file.
func (c userTokenCmd) Run(a app) error {
	s, err := c.store()
	if err != nil {
		return err
	}
	token, err := s.AddToken(c.Name, access.Role(c.Role), systemUser())
	if err != nil {
		return err
	}
	fmt.Fprintln(a.err, "The token is kept nowhere; send it as Authorization: Bearer TOKEN.")
	_, err = fmt.Fprintln(a.out, token)
	return err
}

// password asks for a new password on the terminal, twice and unseen, or reads
// a line where there is none. It is never on the command line, which others see.
func (a app) password(name string) (string, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(a.in, 4<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(what string) (string, error) {
		fmt.Fprint(a.err, what)
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		return string(text), err
	}
	first, err := ask("New password of " + name + ": ")
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	again, err := ask("Again: ")
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the password: %w", err)
	case first != again:
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}
