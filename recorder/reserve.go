package recorder

import (
	"fmt"
	"os"
)

// Room for the write-ahead log. A commit that makes the log longer also has
// to write down, durably, that the file is longer, which doubles its time; so
// the log is given its full length, in zeros, when it is opened. SQLite takes
// a frame of zeros for the end of its log.
const (
	// tidyAfter is how much log may gather, in bytes, before it is folded into
	// the database and written again from its beginning.
	tidyAfter = 4 << 20
	// logRoom is that, and what one more transaction may bring.
	logRoom = tidyAfter + 1<<20
)

// reserveLog lengthens the log at path to logRoom. Nobody may write to it
// meanwhile. On a disk that is too full for it the log stays as it was.
func reserveLog(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("reserving room for the log: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reserving room for the log: %w", err)
	}
	size := info.Size()
	if size >= logRoom {
		return nil
	}
	if _, err = f.WriteAt(make([]byte, logRoom-size), size); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("reserving room for the log: %w", first(err, f.Truncate(size)))
	}
	return nil
}
