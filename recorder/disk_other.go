//go:build !linux

package recorder

import "os"

// writeSoon has the system begin to write a file. Here it cannot be asked to.
func writeSoon(*os.File) error { return nil }

// writeSync writes into a file and forces it to the disk.
func writeSync(f *os.File, b []byte, at int64) error {
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return f.Sync()
}
