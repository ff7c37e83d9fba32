//go:build !linux

package recorder

import "os"

// writeSoon has the system begin to write a file. Here it cannot be asked to.
func writeSoon(*os.File) error { return nil }

// dataSync forces what was written to a file to the disk.
func dataSync(f *os.File) error { return f.Sync() }
