package capture

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Before lists the captures in a folder that ended before t.
func Before(dir string, t time.Time) ([]string, error) {
	return between(dir, time.Unix(0, 0), t.Add(-segments))
}

// Count adds the messages of each Call-ID in a capture to count.
func Count(path string, count map[string]int) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading a capture: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := Read(f, func(k Packet) error { count[k.Comment]++; return nil }); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// Thin rewrites a capture with only the messages whose Call-ID is to be kept,
// and removes it when none is left. A crash leaves the old one or the new one.
func Thin(path string, keep func(callID string) bool) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("thinning a capture: %w", err)
	}
	defer func() { _ = in.Close() }()
	tmp := path + ".tmp"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("thinning a capture: %w", err)
	}
	defer func() { _ = os.Remove(tmp) }() // is not there when it took the old one's place
	n, err := copyKept(in, out, keep)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("thinning %s: %w", path, err)
	}
	if n > 0 {
		return os.Rename(tmp, path)
	}
	err = os.Remove(path)
	_ = os.Remove(filepath.Dir(path)) // the day's folder, once it is empty
	return err
}

func copyKept(in, out *os.File, keep func(string) bool) (n int, err error) {
	buf := bufio.NewWriterSize(out, 1<<16)
	w, err := NewWriter(buf, "SIP messages of calls; those of other calls have been deleted, see the journal")
	if err != nil {
		return 0, err
	}
	err = Read(in, func(k Packet) error {
		if !keep(k.Comment) {
			return nil
		}
		n++
		return w.Write(k)
	})
	return n, errors.Join(err, buf.Flush())
}
