package recorder

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeSoon has the system begin to write a file, without waiting for it.
func writeSoon(f *os.File) error {
	return unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// writeSync writes into a file that does not become longer, and forces it to
// the disk. One system call for both is a quarter faster than two; file systems
// that do not know it get two.
func writeSync(f *os.File, b []byte, at int64) error {
	n, err := unix.Pwritev2(int(f.Fd()), [][]byte{b}, at, unix.RWF_DSYNC)
	if err == nil && n == len(b) {
		return nil
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return unix.Fdatasync(int(f.Fd()))
}
