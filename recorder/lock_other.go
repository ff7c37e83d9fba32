//go:build !unix

package recorder

import "os"

// lockDir does nothing where there is no flock: SQLite's own locks remain.
func lockDir(string) (*os.File, error) { return nil, nil }
