package recorder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// errLocked says that the directory is in use.
var errLocked = errors.New("another process is writing")

// maxName is how much of a call's identifier is legible in a file's name.
const maxName = 48

// ErrNoRecording says that there is no recording of a call. It is fs.ErrNotExist.
var ErrNoRecording = fmt.Errorf("no recording of this call: %w", fs.ErrNotExist)

// callTag makes any call identifier, which the caller chooses, part of a file
// name: what is harmless of it, and a hash of all of it that tells it from
// any other one.
func callTag(call string) string {
	legible := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '@':
			return r
		}
		return '_'
	}, call)
	if len(legible) > maxName {
		legible = legible[:maxName]
	}
	return legible + "-" + callHash(call)
}

func callHash(call string) string {
	sum := sha256.Sum256([]byte(call))
	return hex.EncodeToString(sum[:8])
}

// recordingPath names a recording: a directory for each day, and names that
// sort by time.
func recordingPath(dir, call string, at time.Time) string {
	at = at.UTC()
	return filepath.Join(dir, at.Format("2006-01-02"), at.Format("20060102T150405.000000Z")+"-"+callTag(call)+".wav")
}

// Path returns the file of a call's recording, the newest if there are several.
// It finds those of earlier runs as well. The error is ErrNoRecording if there
// is none.
func (a *Audio) Path(call string) (string, error) {
	call = cleanText(call)
	a.mu.Lock()
	for _, r := range a.active {
		if r.call == call {
			path := r.path
			a.mu.Unlock()
			return path, nil
		}
	}
	a.mu.Unlock()
	days, err := days(a.opts.Dir)
	if err != nil {
		return "", err
	}
	suffix := "-" + callHash(call) + ".wav"
	locked := suffix + lockedSuffix
	for _, day := range slices.Backward(days) {
		files, err := os.ReadDir(day)
		if err != nil {
			return "", fmt.Errorf("looking for a recording: %w", err)
		}
		for _, f := range slices.Backward(files) {
			if strings.HasSuffix(f.Name(), suffix) || strings.HasSuffix(f.Name(), locked) {
				return filepath.Join(day, f.Name()), nil
			}
		}
	}
	return "", fmt.Errorf("%w: %q", ErrNoRecording, call)
}

// Find finds a recording of a data directory whose path was journaled relative
// to the node's working directory, or before the data directory was moved.
func Find(data, path string) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	if n := len(parts); n >= 2 {
		at := filepath.Join(data, "recordings", parts[n-2], parts[n-1])
		if _, err := os.Stat(at); err == nil {
			return at
		}
	}
	return path
}

// days lists the directories of recordings, oldest first.
func days(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for recordings: %w", err)
	}
	var out []string
	for _, e := range entries {
		if _, err := time.Parse("2006-01-02", e.Name()); err == nil && e.IsDir() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}
