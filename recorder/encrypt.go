package recorder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"go.uber.org/zap"
)

// lockedSuffix is put behind the name of a file that was encrypted.
const lockedSuffix = ".age"

// maxUnlocked bounds what is decrypted into memory: nine hours of a call.
const maxUnlocked = 512 << 20

// ErrLocked says that a recording is encrypted for somebody else.
var ErrLocked = errors.New("the recording is encrypted, and this node has no identity that opens it")

// lock encrypts the files of a finished recording and takes the clear ones
// away. A file that cannot be encrypted stays as it is: a recording in clear is
// better than none, and the node says so.
func (a *Audio) lock(out *Closed) {
	if len(a.opts.Recipients) == 0 {
		return
	}
	if out.SHA256 != "" {
		out.PlainSHA256 = out.SHA256
		out.Path, out.SHA256 = a.lockFile(out.Path, out.SHA256)
	}
	for i, path := range out.Extra {
		out.PlainExtraSHA256 = append(out.PlainExtraSHA256, out.ExtraSHA256[i])
		out.Extra[i], out.ExtraSHA256[i] = a.lockFile(path, out.ExtraSHA256[i])
	}
}

// lockFile returns the path and the hash of what there is afterwards.
func (a *Audio) lockFile(path, hash string) (string, string) {
	locked, err := encrypt(path, a.opts.Recipients)
	if err != nil {
		a.log.Error("recording cannot be encrypted, it stays in clear", zap.String("path", path), zap.Error(err))
		a.troubled("a recording cannot be encrypted: " + err.Error())
		return path, hash
	}
	return path + lockedSuffix, locked
}

// encrypt writes path.age for the recipients, forces it to the disk, removes
// path, and returns the hash of what it wrote.
func encrypt(path string, to []age.Recipient) (hash string, err error) {
	in, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("encrypting a recording: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path+lockedSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return "", fmt.Errorf("encrypting a recording: %w", err)
	}
	h := sha256.New()
	w, err := age.Encrypt(io.MultiWriter(out, h), to...)
	if err == nil {
		_, err = io.Copy(w, in)
		err = errors.Join(err, w.Close())
	}
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("encrypting %s: %w", path, err), os.Remove(path+lockedSuffix))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", fmt.Errorf("encrypting %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return "", fmt.Errorf("removing a recording that was encrypted: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lockRepaired encrypts what a crash has left in clear.
func lockRepaired(list []Repaired, to []age.Recipient, log *zap.Logger) {
	if len(to) == 0 {
		return
	}
	for i := range list {
		r := &list[i]
		locked, err := encrypt(r.Path, to)
		if err != nil {
			log.Error("recording cannot be encrypted, it stays in clear", zap.String("path", r.Path), zap.Error(err))
			continue
		}
		r.Path, r.SHA256 = r.Path+lockedSuffix, locked
		for k, path := range r.Extra {
			if _, err := encrypt(path, to); err == nil {
				r.Extra[k] += lockedSuffix
			}
		}
	}
}

// Playable is the audio of a call, to be closed after use.
type Playable struct {
	io.ReadSeeker
	io.Closer
	Path     string // of the file, with .age when it is encrypted there
	Modified time.Time
}

// Open opens the recording of a call, also of one that is still going on,
// decrypted if it has to be. The error is ErrNoRecording or ErrLocked when
// there is none, or none that this node may hear.
func (a *Audio) Open(call string) (*Playable, error) {
	path, err := a.Path(call)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) { // it was just encrypted, or not a packet has come yet
		if path, err = a.Path(call); err == nil {
			f, err = os.Open(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a recording: %w", err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("the recording is not a file"), err, f.Close())
	}
	p := &Playable{ReadSeeker: f, Closer: f, Path: path, Modified: info.ModTime()}
	if !strings.HasSuffix(path, lockedSuffix) {
		return p, nil
	}
	data, err := Unlock(f, a.opts.Identities)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	p.ReadSeeker, p.Closer = bytes.NewReader(data), io.NopCloser(nil)
	return p, nil
}

// Unlock decrypts a recording in memory. The error is ErrLocked when none of
// the identities opens it.
func Unlock(in io.Reader, with []age.Identity) ([]byte, error) {
	if len(with) == 0 {
		return nil, ErrLocked
	}
	opened, err := age.Decrypt(in, with...)
	if _, no := errors.AsType[*age.NoIdentityMatchError](err); no {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("decrypting a recording: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(opened, maxUnlocked))
	if err != nil {
		return nil, fmt.Errorf("decrypting a recording: %w", err)
	}
	return data, nil
}
