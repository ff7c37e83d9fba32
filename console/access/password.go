package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Cost of a password: 19 MiB and two passes, the first of the settings that
// OWASP's password storage cheat sheet names for argon2id. It is written into
// every hash, so that it can be raised and old hashes still be checked.
const (
	hashMemory  = 19 << 10 // KiB
	hashPasses  = 2
	hashThreads = 1
	hashSize    = 32 // bytes
	saltSize    = 16
)

// Lengths of passwords, in characters. Length is what counts (NIST SP 800-63B);
// there are no rules about signs.
const (
	minPassword = 12
	maxPassword = 200
)

// CheckPassword tells what keeps a password from being used.
func CheckPassword(password, name string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return fmt.Errorf("the password has %d characters; take at least %d, several words are easy to remember", n, minPassword)
	case n > maxPassword:
		return fmt.Errorf("the password has more than %d characters", maxPassword)
	case name != "" && strings.Trim(strings.ReplaceAll(strings.ToLower(password), strings.ToLower(name), ""), "0123456789") == "":
		return errors.New("the password is the name, with digits; take several words")
	}
	return nil
}

// hashing bounds how many passwords are computed at once: signing in may not
// take the processor from calls.
type hashing chan struct{}

func newHashing() hashing { return make(hashing, 1) }

// derive computes argon2id, when it is this request's turn.
func (h hashing) derive(ctx context.Context, password string, salt []byte, passes, memory uint32, threads uint8, size uint32) ([]byte, error) {
	select {
	case h <- struct{}{}:
		defer func() { <-h }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to check a password: %w", ctx.Err())
	}
	return argon2.IDKey([]byte(password), salt, passes, memory, threads, size), nil
}

// hash returns a password's hash in the PHC string format.
func (h hashing) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	key, err := h.derive(ctx, password, salt, hashPasses, hashMemory, hashThreads, hashSize)
	if err != nil {
		return "", err
	}
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashThreads, e.EncodeToString(salt), e.EncodeToString(key)), nil
}

// verify compares a password with a hash of the PHC string format. The hash of
// somebody unknown is "": it takes as long and never fits.
func (h hashing) verify(ctx context.Context, password, hash string) (bool, error) {
	known := hash != ""
	if !known {
		hash = nobody
	}
	var version int
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("a password's hash is not argon2id")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil || version != argon2.Version {
		return false, fmt.Errorf("a password's hash cannot be read: %s", parts[3])
	}
	if memory > 1<<20 || passes < 1 || passes > 100 || threads < 1 {
		return false, fmt.Errorf("a password's hash has settings that are not sensible: %s", parts[3])
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil || len(want) < 16 || len(want) > 128 {
		return false, errors.New("a password's hash cannot be read")
	}
	got, err := h.derive(ctx, password, salt, passes, memory, threads, uint32(len(want))) //nolint:gosec // at most 128
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// nobody is a hash that no password is expected to have.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// secret returns 256 random bits as text.
func secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest is how secrets of 256 random bits are kept: who reads the store cannot
// use them, and looking one up by its digest tells nothing by its timing.
func digest(secret string) string {
	d := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(d[:])
}
