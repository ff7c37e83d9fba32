package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestUserCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, x := range []struct {
		in, args string
		status   int
		out, err string
	}{
		{"correct horse battery\n", "add ann --role supervisor", exitOK, "ann can sign in as supervisor", ""},
		{"correct horse battery\n", "add ann --role supervisor", exitFailed, "", "the name is taken"},
		{"short\n", "add bob --role tester", exitFailed, "", "at least 12"},
		{"", "add bob --role chief", exitUsage, "", "must be one of"},
		{"another horse battery", "password ann", exitOK, "ann has another password", ""},
		{"another horse battery", "password eve", exitFailed, "", "no such user"},
		{"", "token cad --role integration", exitOK, "holdline_", "kept nowhere"},
		{"", "list", exitOK, "cad   integration  token", ""},
		{"", "remove ann", exitOK, "ann cannot sign in any more", ""},
		{"", "remove ann", exitFailed, "", "no such user"},
	} {
		var out, errs bytes.Buffer
		a := app{in: strings.NewReader(x.in), out: &out, err: &errs}
		if got := a.run(append(append([]string{"user"}, strings.Fields(x.args)...), "--data", dir)); got != x.status ||
			!strings.Contains(out.String(), x.out) || !strings.Contains(errs.String(), x.err) {
			t.Errorf("%s: %d\n%s%s", x.args, got, out.String(), errs.String())
		}
	}
	var errs bytes.Buffer
	if got := (app{in: strings.NewReader(""), out: &errs, err: &errs}).run([]string{"user", "list", "--data", dir + "/nowhere"}); got != exitFailed || !strings.Contains(errs.String(), "no data folder") {
		t.Errorf("a folder that is not there: %d %s", got, errs.String())
	}
}
