package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestTwoProcessesChangeTheStore: a command and a node lose nothing of each
// other's, and each sees what the other did.
func TestTwoProcessesChangeTheStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := OpenStore(dir), OpenStore(dir)
	var work sync.WaitGroup
	for i := range 20 {
		for name, s := range map[string]*Store{"a": a, "b": b} {
			work.Go(func() {
				if _, err := s.AddToken(fmt.Sprint(name, i), Integration, "test"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	work.Wait()
	for _, s := range []*Store{a, b} {
		if _, tokens, err := s.List(); err != nil || len(tokens) != 40 {
			t.Errorf("%d tokens, %v", len(tokens), err)
		}
	}
	text, err := a.AddToken("last", Scraper, "test")
	if err != nil {
		t.Fatal(err)
	}
	if u, ok, err := b.Machine(text); !ok || err != nil || u != (User{Name: "last", Role: Scraper, Machine: true}) {
		t.Errorf("%v %v %v", u, ok, err)
	}
	if err := b.Remove("last"); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := a.Machine(text); ok {
		t.Error("a token that was revoked works")
	}
}

func TestStoreKeepsNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := OpenStore(dir)
	if err := s.Add(context.Background(), "ann", Admin, "correct horse battery", "test"); err != nil {
		t.Fatal(err)
	}
	token, err := s.AddToken("cad", Integration, "test")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "users.json")
	raw, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(raw), "horse") || strings.Contains(string(raw), strings.TrimPrefix(token, tokenPrefix)) || !strings.Contains(string(raw), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s %v", raw, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Machine(token); err == nil {
		t.Error("a file that cannot be read is no error")
	}
	if err := s.Remove("cad"); err == nil {
		t.Error("a file that cannot be read is written over")
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	h, ctx := newHashing(), context.Background()
	hash, err := h.hash(ctx, "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		password, hash string
		ok, broken     bool
	}{
		{"correct horse battery", hash, true, false},
		{"Correct horse battery", hash, false, false},
		{"", hash, false, false},
		{"anything", "", false, false},
		{"anything", "$2y$10$abc", false, true},
		{"anything", strings.Replace(hash, "m=19456", "m=99999999", 1), false, true},
		{"anything", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$AAAA", false, true},
	} {
		if ok, err := h.verify(ctx, x.password, x.hash); ok != x.ok || (err != nil) != x.broken {
			t.Errorf("%q against %q: %v %v", x.password, x.hash, ok, err)
		}
	}
	for password, ok := range map[string]bool{"eleven char": false, "twelve chars": true, "annannannann": false, "Ann123456789": false, strings.Repeat("x", 201): false, strings.Repeat("ü", 12): true} {
		if err := CheckPassword(password, "ann"); (err == nil) != ok {
			t.Errorf("%q: %v", password, err)
		}
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	h <- struct{}{} // another one is being computed
	if _, err := h.verify(stopped, "x", hash); !errors.Is(err, context.Canceled) {
		t.Errorf("somebody who is gone waits: %v", err)
	}
}
