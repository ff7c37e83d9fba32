package recorder

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeSoon has the system begin to write a file, without waiting for it.
func writeSoon(f *os.File) error {
	return unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// dataSync forces what was written to a file to the disk; the file must not
// have become longer.
func dataSync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
