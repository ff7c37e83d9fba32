package main

import (
	"os"
	osuser "os/user"
	"path/filepath"
	"strings"
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

// TestIdentityForEvidence: without a file nothing is opened, and a file that has
// no identity is an error before anything is written.
func TestIdentityForEvidence(t *testing.T) {
	if ids, err := identitiesIn(""); err != nil || ids != nil {
		t.Errorf("no file: %v, %v", ids, err)
	}
	file := filepath.Join(t.TempDir(), "key")
	for content, want := range map[string]int{"AGE-SECRET-KEY-1": 0, "# a comment\nAGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n": 1} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if ids, err := identitiesIn(file); len(ids) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d identities, %v", content, len(ids), err)
		}
	}
	out := filepath.Join(t.TempDir(), "out.zip")
	if err := (evidenceMakeCmd{Call: "c", Data: t.TempDir(), Out: out, Identity: file + ".none"}).Run(app{}); err == nil {
		t.Error("an identity that is not there is no error")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was left behind")
	}
	if err := (evidenceMakeCmd{Call: "c", Data: t.TempDir(), Out: file}).Run(app{}); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a file that is there: %v", err)
	}
}
