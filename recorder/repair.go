package recorder

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ledgerFile names the recordings in progress: a line "+path" when one begins
// and "-path" when it is finished. After a crash it says what to repair
// without looking at every file there is.
const ledgerFile = "open.list"

// ledgerMax is how large the ledger gets before it is written anew.
const ledgerMax = 1 << 20

type ledger struct {
	mu   sync.Mutex
	dir  string
	lock *os.File // nil while another process has recordings in progress
	ours bool     // the ledger may be written anew
	f    *os.File
	size int
	held map[string]bool
}

// newLedger begins an empty ledger, or adds to that of a process that is still
// draining its calls. It is a help, not evidence: a disk that cannot hold it
// must not keep calls from being recorded.
func newLedger(dir string, lock *os.File, ours bool) *ledger {
	l := &ledger{dir: dir, lock: lock, ours: ours, held: make(map[string]bool)}
	l.rewrite()
	return l
}

func (l *ledger) open(path string) { l.line('+', path) }
func (l *ledger) done(path string) { l.line('-', path) }

func (l *ledger) line(sign byte, path string) {
	rel, err := filepath.Rel(l.dir, path)
	if err != nil {
		rel = path
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sign == '+' {
		l.held[rel] = true
	} else {
		delete(l.held, rel)
	}
	if l.f == nil || l.ours && l.size > ledgerMax {
		l.rewrite()
		return
	}
	n, err := l.f.WriteString(string(sign) + rel + "\n")
	l.size += n
	if err != nil {
		_ = l.f.Close()
		l.f = nil // tried again with the next line
	}
}

// rewrite replaces the ledger by one of what is in progress now.
func (l *ledger) rewrite() {
	if l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
	var b strings.Builder
	for rel := range l.held {
		b.WriteString("+" + rel + "\n")
	}
	path := filepath.Join(l.dir, ledgerFile)
	if !l.ours {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			n, _ := f.WriteString(b.String())
			l.f, l.size = f, n
		}
		return
	}
	if err := writeDurable(path, []byte(b.String()), 0o640); err != nil {
		return
	}
	if f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
		l.f, l.size = f, b.Len()
	}
}

func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
	if l.lock != nil {
		_ = l.lock.Close()
	}
}

// repairAll finishes the recordings that an earlier run has left unfinished.
func repairAll(dir string, log *zap.Logger) ([]Repaired, error) {
	paths, err := unfinished(dir)
	if err != nil {
		return nil, err
	}
	var out []Repaired
	for _, path := range paths {
		r, err := repair(path)
		switch {
		case errors.Is(err, errFinished) || errors.Is(err, fs.ErrNotExist):
		case err != nil:
			log.Warn("recording cannot be repaired", zap.String("path", path), zap.Error(err))
		default:
			out = append(out, r)
		}
	}
	return out, nil
}

// unfinished lists the recordings to look at: those of the ledger, or, if
// there is none, those of the last two days on which there were any.
func unfinished(dir string) ([]string, error) {
	f, err := os.Open(filepath.Join(dir, ledgerFile))
	if err == nil {
		defer func() { _ = f.Close() }()
		return readLedger(dir, f)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the list of recordings in progress: %w", err)
	}
	all, err := days(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, day := range all[max(0, len(all)-2):] {
		files, err := os.ReadDir(day)
		if err != nil {
			return nil, fmt.Errorf("looking for unfinished recordings: %w", err)
		}
		for _, e := range files {
			if strings.HasSuffix(e.Name(), ".wav") {
				out = append(out, filepath.Join(day, e.Name()))
			}
		}
	}
	return out, nil
}

func readLedger(dir string, f *os.File) ([]string, error) {
	var order []string
	open := make(map[string]bool)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if len(line) < 2 || !filepath.IsLocal(line[1:]) {
			continue
		}
		if line[0] == '+' {
			order = append(order, line[1:])
		}
		open[line[1:]] = line[0] == '+'
	}
	var out []string
	for _, rel := range order {
		if open[rel] {
			out = append(out, filepath.Join(dir, rel))
			open[rel] = false
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the list of recordings in progress: %w", err)
	}
	return out, nil
}

var errFinished = errors.New("the recording is finished")

// repair puts the sizes into the header of a recording that a crash has left.
func repair(path string) (Repaired, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return Repaired{}, err
	}
	sealed := false
	defer func() {
		if !sealed {
			_ = f.Close()
		}
	}()
	info, err := readWAV(f)
	if err != nil {
		return Repaired{}, err
	}
	if info.frames >= 0 {
		return Repaired{}, errFinished
	}
	st, err := f.Stat()
	if err != nil {
		return Repaired{}, err
	}
	frames := min((st.Size()-headerSize)/2, maxFrame)
	if err := f.Truncate(headerSize + 2*frames); err != nil {
		return Repaired{}, err
	}
	if _, err := f.WriteAt(wavHeader(info.law, info.call, info.began, frames, 0), 0); err != nil {
		return Repaired{}, err
	}
	sealed = true
	hash, err := seal(f, true, make([]byte, copyRoom))
	if err != nil {
		return Repaired{}, err
	}
	out := Repaired{Path: path, Call: info.call, SHA256: hash, Began: info.began, Duration: time.Duration(frames) * nsPerFrame}
	if extra := strings.TrimSuffix(path, ".wav") + ".rtpdump"; repairDump(extra) == nil {
		out.Extra = append(out.Extra, extra)
	}
	return out, nil
}
