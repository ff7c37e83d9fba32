package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Errors of signing in. The messages say nothing of whether a user exists.
var (
	ErrRefused = errors.New("the name or the password is wrong")
	ErrTooMany = errors.New("too many attempts")
	ErrSetup   = errors.New("this setup link is not valid, or was used")
)

// Options is what a Gate is made of.
type Options struct {
	Data string        // the data folder
	Idle time.Duration // after which an unused session ends
	Max  time.Duration // after which every session ends
	OIDC *OIDC         // nil: only passwords
	Now  func() time.Time
}

// Gate decides who is who. Its methods may be called from any goroutine.
type Gate struct {
	*Store

	o       Options
	byPair  *limits // attempts for one user from one address
	byName  *limits // attempts for one user from anywhere
	byAddr  *limits // attempts from one address
	Journal *limits // records of refusals, by address: a flood may not fill the journal
	Views   *limits // records of who looked at which call

	mu       sync.Mutex
	sessions map[string]*session // by the digest of their secret
	setup    string              // the digest of the setup link's secret; "": there is none
}

// New returns a Gate over the users of a data folder.
func New(o Options) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Gate{
		Store: OpenStore(o.Data), o: o, sessions: map[string]*session{},
		byPair: newLimits(rate.Every(20*time.Second), 5), byName: newLimits(rate.Every(2*time.Second), 30),
		byAddr: newLimits(rate.Every(3*time.Second), 20), Journal: newLimits(rate.Every(10*time.Second), 20), Views: newLimits(rate.Every(10*time.Minute), 1),
	}
}

// OIDC returns the centre's own sign-in; nil when there is none.
func (g *Gate) OIDC() *OIDC { return g.o.OIDC }

// Longest is how long a session can last.
func (g *Gate) Longest() time.Duration { return g.o.Max }

// session is one browser of somebody who has signed in.
type session struct {
	user    User
	stamp   string // of the account when the session began; "": from the centre's own sign-in
	created time.Time
	used    time.Time
}

// maxSessions bounds what signing in over and over can cost.
const maxSessions = 10000

// Begin opens a session for a user and returns its secret, always a new one:
// what a browser brought along before is worth nothing.
func (g *Gate) Begin(u User, stamp string) string {
	now := g.o.Now()
	text := secret()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.sessions) >= maxSessions {
		g.sweep(now)
	}
	g.sessions[digest(text)] = &session{u, stamp, now, now}
	return text
}

// sweep forgets what is over, and the oldest session if that is not enough.
func (g *Gate) sweep(now time.Time) {
	oldest := ""
	for id, s := range g.sessions {
		if g.over(s, now) {
			delete(g.sessions, id)
		} else if oldest == "" || s.used.Before(g.sessions[oldest].used) {
			oldest = id
		}
	}
	if len(g.sessions) >= maxSessions {
		delete(g.sessions, oldest)
	}
}

func (g *Gate) over(s *session, now time.Time) bool {
	return now.Sub(s.used) > g.o.Idle || now.Sub(s.created) > g.o.Max
}

// Session returns whose session a secret is. use counts as being there.
func (g *Gate) Session(secret string, use bool) (User, bool) {
	now, id := g.o.Now(), digest(secret)
	g.mu.Lock()
	s := g.sessions[id]
	if s == nil || g.over(s, now) {
		delete(g.sessions, id)
		g.mu.Unlock()
		return User{}, false
	}
	if use {
		s.used = now
	}
	user, stamp := s.user, s.stamp
	g.mu.Unlock()
	if stamp == "" {
		return user, true
	}
	a, ok, err := g.find(user.Name)
	if err != nil || !ok || a.Stamp != stamp {
		g.End(secret)
		return User{}, false
	}
	return User{Name: a.Name, Role: a.Role}, true
}

// End ends a session.
func (g *Gate) End(secret string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, digest(secret))
}

// SignIn checks a password and begins a session. from is the address that
// asks. Somebody unknown costs as long as a wrong password and gets the same
// answer, and both count against the limits.
func (g *Gate) SignIn(ctx context.Context, name, password, from string) (secret string, u User, err error) {
	now := g.o.Now()
	fold := foldName(name)
	if !g.byAddr.Allow(from, now) || !g.byPair.Allow(from+" "+fold, now) || !g.byName.Allow(fold, now) {
		return "", User{}, ErrTooMany
	}
	a, _, err := g.find(name)
	if err != nil {
		return "", User{}, err
	}
	if len(password) > 4*maxPassword {
		password = ""
	}
	ok, err := g.hashing.verify(ctx, password, a.Hash)
	if err != nil {
		return "", User{}, err
	}
	if !ok {
		return "", User{}, ErrRefused
	}
	g.byPair.forget(from + " " + fold)
	u = User{Name: a.Name, Role: a.Role}
	return g.Begin(u, a.Stamp), u, nil
}

// OfferSetup makes the one-time link's secret when nobody can sign in yet, and
// writes link(secret) into a file for its owner's eyes only. It returns what it
// wrote, and "" when there are users.
func (g *Gate) OfferSetup(link func(secret string) string) (string, error) {
	file := g.setupFile()
	users, _, err := g.List()
	if err != nil {
		return "", err
	}
	if len(users) > 0 || g.o.OIDC != nil {
		_ = os.Remove(file) // of a start before
		return "", nil
	}
	text := secret()
	g.mu.Lock()
	g.setup = digest(text)
	g.mu.Unlock()
	_ = os.Remove(file) // its permissions would stay
	if err := os.WriteFile(file, []byte(link(text)+"\n"), 0o600); err != nil {
		return link(text), fmt.Errorf("writing the setup link: %w", err)
	}
	return link(text), nil
}

func (g *Gate) setupFile() string { return filepath.Join(g.o.Data, "setup-link") }

// SetupOpen tells whether the secret is that of the setup link, which ends when
// there is a user.
func (g *Gate) SetupOpen(secret string) bool {
	g.mu.Lock()
	open := g.setup != "" && secret != "" && digest(secret) == g.setup
	g.mu.Unlock()
	if !open {
		return false
	}
	users, _, err := g.List()
	return err == nil && len(users) == 0
}

// Setup makes the first admin and ends the link.
func (g *Gate) Setup(ctx context.Context, secret, name, password string) error {
	if !g.SetupOpen(secret) {
		return ErrSetup
	}
	if err := errors.Join(CheckName(name), CheckPassword(password, name)); err != nil {
		return err
	}
	g.mu.Lock() // of two at once only one makes the first admin
	open := g.setup == digest(secret)
	g.setup = ""
	g.mu.Unlock()
	if !open {
		return ErrSetup
	}
	if err := g.Add(ctx, name, Admin, password, "setup link"); err != nil {
		g.mu.Lock()
		g.setup = digest(secret)
		g.mu.Unlock()
		return err
	}
	_ = os.Remove(g.setupFile())
	return nil
}
