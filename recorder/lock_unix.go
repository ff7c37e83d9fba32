//go:build unix

package recorder

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir makes sure that one process writes in a directory at a time. The
// journal of a second one, started while the first still drains its calls,
// keeps its records in memory until the first has ended.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "holdline.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of a directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%w in %s: %w", errLocked, dir, err)
	}
	return f, nil
}
