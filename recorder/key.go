package recorder

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// The files of the journal's key. Both hold one line in the encoding of
// signed notes (golang.org/x/mod/sumdb/note), which other tools read as well.
const (
	keyFile = "journal.key" // Ed25519 private key, mode 0600
	pubFile = "journal.pub" // its public key
)

// key signs checkpoints.
type key struct {
	signer note.Signer
	skey   string
	vkey   string
	pub    *publicKey
	id     string // fingerprint of the public key
}

// publicKey checks checkpoints.
type publicKey struct {
	verifier note.Verifier
	id       string
}

// loadKey reads the private key of a data directory. made tells that there
// was none and a new one was generated.
func loadKey(dir, node string) (k *key, made bool, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, keyFile))
	switch {
	case err == nil:
		k, err = parseKey(dir, strings.TrimSpace(string(raw)))
		return k, false, err
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, fmt.Errorf("reading the journal's key: %w", err)
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, keyName(node))
	if err != nil {
		return nil, false, fmt.Errorf("making the journal's key: %w", err)
	}
	k, err = newKey(skey, vkey)
	if err != nil {
		return nil, false, err
	}
	return k, true, k.save(dir)
}

// parseKey rebuilds a key from its private encoding, and puts the public key
// beside it if it is not there.
func parseKey(dir, skey string) (*key, error) {
	parts := strings.SplitN(skey, "+", 5) // PRIVATE+KEY+name+hash+base64(algorithm byte, seed)
	if len(parts) != 5 {
		return nil, fmt.Errorf("key file %s: not a private key in signed-note form", keyFile)
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, fmt.Errorf("key file %s: malformed key", keyFile)
	}
	pub, ok := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("key file %s: malformed key", keyFile)
	}
	vkey, err := note.NewEd25519VerifierKey(parts[2], pub)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", keyFile, err)
	}
	k, err := newKey(skey, vkey)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", keyFile, err)
	}
	have, err := os.ReadFile(filepath.Join(dir, pubFile))
	if err != nil || strings.TrimSpace(string(have)) != vkey {
		return k, k.save(dir)
	}
	return k, nil
}

func newKey(skey, vkey string) (*key, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	pub, err := parsePublicKey(vkey)
	if err != nil {
		return nil, err
	}
	return &key{signer: signer, skey: skey, vkey: vkey, pub: pub, id: pub.id}, nil
}

// save writes both key files and makes sure that they last: a journal whose
// key is lost in a power failure could never be verified.
func (k *key) save(dir string) error {
	if err := writeDurable(filepath.Join(dir, pubFile), []byte(k.vkey+"\n"), 0o644); err != nil {
		return fmt.Errorf("saving the journal's public key: %w", err)
	}
	if err := writeDurable(filepath.Join(dir, keyFile), []byte(k.skey+"\n"), 0o600); err != nil {
		return fmt.Errorf("saving the journal's key: %w", err)
	}
	return nil
}

// parsePublicKey reads the encoding of a public key and names it.
func parsePublicKey(vkey string) (*publicKey, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	// name+hash+base64(algorithm byte, key). NewVerifier checked the form, and
	// only the base64 may hold a further '+'.
	parts := strings.SplitN(vkey, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) < 2 {
		return nil, errors.New("public key: malformed")
	}
	return &publicKey{verifier: v, id: fingerprint(raw[1:])}, nil
}

func fingerprint(pub []byte) string {
	sum := sha256.Sum256(pub)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// loadPublicKey reads the public key of a data directory.
func loadPublicKey(dir string) (*publicKey, error) {
	raw, err := os.ReadFile(filepath.Join(dir, pubFile))
	if err != nil {
		return nil, fmt.Errorf("reading the journal's public key: %w", err)
	}
	return parsePublicKey(strings.TrimSpace(string(raw)))
}

// keyName names the key, and with it the log, after the node.
func keyName(node string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		}
		return '-'
	}, node)
	if len(clean) > 64 {
		clean = clean[:64]
	}
	if clean == "" {
		return "holdline"
	}
	return "holdline/" + clean
}

// writeDurable replaces a file so that after a power failure there is either
// the old one or the new one.
func writeDurable(path string, data []byte, mode os.FileMode) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
