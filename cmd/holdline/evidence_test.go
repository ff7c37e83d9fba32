package main

import (
	"os"
	osuser "os/user"
	"testing"
)

// Who asks for evidence stands in a signed file: it is not left to the
// environment, which may say nothing or anything.
func TestEvidenceIsAskedForBySomebody(t *testing.T) {
	t.Setenv("USER", "somebody else")
	got := systemUser()
	if u, err := osuser.Current(); err == nil && got != u.Username {
		t.Errorf("the user is %q, and not %q", got, u.Username)
	}
	if err := os.Unsetenv("USER"); err != nil {
		t.Fatal(err)
	}
	if systemUser() == "" {
		t.Error("nobody asks when the environment names nobody")
	}
}
