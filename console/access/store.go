package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// Errors of changes to the store.
var (
	ErrNoUser    = errors.New("there is no such user or token")
	ErrTaken     = errors.New("the name is taken")
	ErrLastAdmin = errors.New("this is the last admin; make another one first")
)

// Account is a person who signs in with a password.
type Account struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Hash    string    `json:"hash"`  // argon2id, PHC string format
	Stamp   string    `json:"stamp"` // changes with the password and the role, and ends the sessions of before
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
}

// Token is a machine's way in.
type Token struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Digest  string    `json:"sha256"`
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
}

// accounts is the file.
type accounts struct {
	Users  []Account `json:"users"`
	Tokens []Token   `json:"tokens"`
}

func (a *accounts) user(name string) int {
	return slices.IndexFunc(a.Users, func(u Account) bool { return strings.EqualFold(u.Name, name) })
}

func (a *accounts) token(name string) int {
	return slices.IndexFunc(a.Tokens, func(t Token) bool { return strings.EqualFold(t.Name, name) })
}

func (a *accounts) admins() int {
	n := 0
	for _, u := range a.Users {
		if u.Role == Admin {
			n++
		}
	}
	return n
}

// Store is the file users.json of the data folder, for its owner's eyes only. A
// running node and the commands may use it at the same time: changes are made
// under a lock, and what another process changed is seen at the next look.
type Store struct {
	path    string
	hashing hashing

	mu   sync.Mutex
	seen os.FileInfo // of the file when it was read; nil: there was none
	kept accounts
}

// OpenStore returns the store of a data folder. There need not be a file yet.
func OpenStore(data string) *Store {
	return &Store{path: filepath.Join(data, "users.json"), hashing: newHashing()}
}

// look returns what is in the file. The slices are not to be changed.
func (s *Store) look() (accounts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.seen, s.kept = nil, accounts{}
		return s.kept, nil
	case err != nil:
		return accounts{}, fmt.Errorf("reading who may sign in: %w", err)
	case s.seen != nil && os.SameFile(info, s.seen) && info.ModTime().Equal(s.seen.ModTime()) && info.Size() == s.seen.Size():
		return s.kept, nil
	}
	a, err := s.read()
	if err != nil {
		return accounts{}, err
	}
	s.seen, s.kept = info, a
	return a, nil
}

func (s *Store) read() (accounts, error) {
	var a accounts
	raw, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	if err != nil {
		return a, fmt.Errorf("reading who may sign in: %s: %w", s.path, err)
	}
	return a, nil
}

// change reads the file, changes it and puts it in place of the old one, while
// nobody else does.
func (s *Store) change(f func(*accounts) error) error {
	lock, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("changing who may sign in: %w", err)
	}
	defer func() { _ = lock.Close() }() // lets go of the lock
	if err := s.give(lock); err != nil {
		return fmt.Errorf("changing who may sign in: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("changing who may sign in: %w", err)
	}
	a, err := s.read()
	if err != nil {
		return err
	}
	if err := f(&a); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("changing who may sign in: %w", err)
	}
	return s.replace(append(raw, '\n'))
}

// replace writes the file anew; a crash leaves the old one or the new one. Each
// version is another file (inode), which is how look notices it.
func (s *Store) replace(raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(s.path), ".users-*") // 0600
	if err != nil {
		return fmt.Errorf("changing who may sign in: %w", err)
	}
	_, err = f.Write(raw)
	err = errors.Join(err, s.give(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("changing who may sign in: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// give makes a file that root writes the data folder's owner's, who must read it.
func (s *Store) give(f *os.File) error {
	info, err := os.Stat(filepath.Dir(s.path))
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(st.Uid), int(st.Gid))
	}
	return nil
}

// CheckName tells what keeps a name from being one of a user or token.
func CheckName(name string) error {
	n := utf8.RuneCountInString(name)
	if n == 0 || n > 64 || strings.TrimSpace(name) != name ||
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || strings.ContainsRune(`"<>()\`, r) }) {
		return fmt.Errorf(`%q cannot be a name; take 1 to 64 letters, digits, dots, dashes or @`, name)
	}
	return nil
}

// Add makes a user with a password.
func (s *Store) Add(ctx context.Context, name string, role Role, password, by string) error {
	if !role.Human() {
		return fmt.Errorf("%q is no role of people; they are supervisor, admin, auditor and tester", role)
	}
	if err := errors.Join(CheckName(name), CheckPassword(password, name)); err != nil {
		return err
	}
	hash, err := s.hashing.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.change(func(a *accounts) error {
		if a.user(name) >= 0 || a.token(name) >= 0 {
			return fmt.Errorf("%w: %q", ErrTaken, name)
		}
		a.Users = append(a.Users, Account{Name: name, Role: role, Hash: hash, Stamp: secret(), Created: time.Now().UTC(), By: by})
		return nil
	})
}

// SetPassword gives a user another password and ends their sessions.
func (s *Store) SetPassword(ctx context.Context, name, password string) error {
	if err := CheckPassword(password, name); err != nil {
		return err
	}
	hash, err := s.hashing.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.change(func(a *accounts) error {
		i := a.user(name)
		if i < 0 {
			return fmt.Errorf("%w: %q", ErrNoUser, name)
		}
		a.Users[i].Hash, a.Users[i].Stamp = hash, secret()
		return nil
	})
}

// SetRole gives a user another role and ends their sessions.
func (s *Store) SetRole(name string, role Role) error {
	if !role.Human() {
		return fmt.Errorf("%q is no role of people; they are supervisor, admin, auditor and tester", role)
	}
	return s.change(func(a *accounts) error {
		i := a.user(name)
		switch {
		case i < 0:
			return fmt.Errorf("%w: %q", ErrNoUser, name)
		case a.Users[i].Role == Admin && role != Admin && a.admins() == 1:
			return ErrLastAdmin
		}
		a.Users[i].Role, a.Users[i].Stamp = role, secret()
		return nil
	})
}

// Remove takes a user or a token away.
func (s *Store) Remove(name string) error {
	return s.change(func(a *accounts) error {
		if i := a.token(name); i >= 0 {
			a.Tokens = slices.Delete(a.Tokens, i, i+1)
			return nil
		}
		i := a.user(name)
		switch {
		case i < 0:
			return fmt.Errorf("%w: %q", ErrNoUser, name)
		case a.Users[i].Role == Admin && a.admins() == 1:
			return ErrLastAdmin
		}
		a.Users = slices.Delete(a.Users, i, i+1)
		return nil
	})
}

// AddToken makes a token and returns its secret, which is kept nowhere.
func (s *Store) AddToken(name string, role Role, by string) (string, error) {
	if !role.Known() || role == Admin {
		return "", fmt.Errorf("%q is no role of tokens; they are integration, metrics, supervisor, auditor and tester", role)
	}
	if err := CheckName(name); err != nil {
		return "", err
	}
	text := tokenPrefix + secret()
	err := s.change(func(a *accounts) error {
		if a.user(name) >= 0 || a.token(name) >= 0 {
			return fmt.Errorf("%w: %q", ErrTaken, name)
		}
		a.Tokens = append(a.Tokens, Token{Name: name, Role: role, Digest: digest(text), Created: time.Now().UTC(), By: by})
		return nil
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// tokenPrefix lets people and scanners see what a token is for.
const tokenPrefix = "holdline_"

// List returns users and tokens, by name.
func (s *Store) List() ([]Account, []Token, error) {
	a, err := s.look()
	if err != nil {
		return nil, nil, err
	}
	users, tokens := slices.Clone(a.Users), slices.Clone(a.Tokens)
	slices.SortFunc(users, func(x, y Account) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(tokens, func(x, y Token) int { return strings.Compare(x.Name, y.Name) })
	return users, tokens, nil
}

// find returns the user of a name, as far as there is one.
func (s *Store) find(name string) (Account, bool, error) {
	a, err := s.look()
	if err != nil {
		return Account{}, false, err
	}
	if i := a.user(name); i >= 0 {
		return a.Users[i], true, nil
	}
	return Account{}, false, nil
}

// Machine returns who a token belongs to.
func (s *Store) Machine(token string) (User, bool, error) {
	a, err := s.look()
	if err != nil {
		return User{}, false, err
	}
	d := digest(token)
	for _, t := range a.Tokens {
		if t.Digest == d {
			return User{Name: t.Name, Role: t.Role, Machine: true}, true, nil
		}
	}
	return User{}, false, nil
}
