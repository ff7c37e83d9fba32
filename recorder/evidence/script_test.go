package evidence

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnybodyCanVerifyABundle runs the program of docs/evidence.md, which shares
// nothing with this one, on a bundle and on what was made of it.
func TestAnybodyCanVerifyABundle(t *testing.T) {
	for _, tool := range []string{"python3", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("%s is not installed", tool)
		}
	}
	doc, err := os.ReadFile("../../docs/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```python\n")
	program, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("docs/evidence.md has no program")
	}
	b, m := bundle(t, Options{Data: made(t), Call: callID, By: "auditor"})
	run := func(b []byte, arguments ...string) (string, error) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "case.zip")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command("python3", append([]string{"-c", program, file}, arguments...)...).CombinedOutput()
		return string(said), err
	}
	if said, err := run(b, m.KeyID); err != nil || !strings.Contains(said, "ok: 7 records, 2 messages, key "+m.KeyID) {
		t.Fatalf("%v: %s", err, said)
	}
	if said, err := run(b, "sha256:00"); err == nil || !strings.Contains(said, "it is signed by "+m.KeyID) {
		t.Errorf("another key: %v: %s", err, said)
	}
	for _, f := range m.Files {
		change := func(d []byte) []byte { d[len(d)/2] ^= 1; return d }
		if said, err := run(rewrite(t, b, f.Name, change)); err == nil {
			t.Errorf("%s was changed: %s", f.Name, said)
		}
	}
}
