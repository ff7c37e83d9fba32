package recorder

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// unsynced is how many recordings may wait to be closed before they are no
	// longer forced to the disk: it would never catch up.
	unsynced = 64
	// gather is how long a recording waits for others to be forced to the disk
	// with it: the file system then writes its own journal once for all.
	gather = 50 * time.Millisecond
	// copyRoom is the buffer through which files are hashed.
	copyRoom = 128 << 10
)

// closer finishes recordings: the last samples, the sizes in the header, the
// marks, and the hash of the whole file, which is read back for it. It does
// so one after another, away from the packets.
type closer struct {
	a    *Audio
	mu   sync.Mutex
	more *sync.Cond
	todo []*recording
	over bool
	room []byte // only run uses it
}

func (c *closer) init(a *Audio) {
	c.a = a
	c.more = sync.NewCond(&c.mu)
	c.room = make([]byte, copyRoom)
}

func (c *closer) add(r *recording) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.todo = append(c.todo, r)
	c.more.Signal()
}

// end lets run return when everything is done.
func (c *closer) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.more.Signal()
}

func (c *closer) run() {
	defer c.a.others.Done()
	defer c.a.ledger.close()
	for {
		todo, over := c.wait()
		if len(todo) == 0 {
			return
		}
		if !over && len(todo) < unsynced {
			c.gather()
			todo = append(todo, c.take()...)
		}
		sync := len(todo) < unsynced
		for _, r := range todo {
			c.write(r, sync)
		}
		for _, r := range todo {
			c.close(r, sync)
		}
	}
}

// wait returns what there is to close, nothing when that was all.
func (c *closer) wait() (todo []*recording, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.todo) == 0 && !c.over {
		c.more.Wait()
	}
	todo, c.todo = c.todo, nil
	return todo, c.over
}

func (c *closer) take() (todo []*recording) {
	c.mu.Lock()
	defer c.mu.Unlock()
	todo, c.todo = c.todo, nil
	return todo
}

// gather waits for company.
func (c *closer) gather() {
	t := time.NewTimer(gather)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.a.quit:
	}
}

// write puts the last of a recording into its files, so that they can be
// forced to the disk together.
func (c *closer) write(r *recording, sync bool) {
	defer c.a.recovered("finishing a recording panicked")
	r.end()
	if sync && r.f != nil {
		_ = writeSoon(r.f) // it is about to be waited for
	}
}

// close finishes one recording and tells about it.
func (c *closer) close(r *recording, sync bool) {
	out := Closed{Path: r.path, Err: fmt.Errorf("finishing recording %s: it panicked", r.path)}
	defer func() {
		c.a.mu.Lock()
		delete(c.a.active, r.id)
		delete(c.a.paths, r.path)
		c.a.lost += r.late
		for _, t := range r.tracks {
			c.a.lost += t.late
		}
		c.a.mu.Unlock()
		if r.done != nil {
			c.a.callDone(r.done, out)
		}
	}()
	defer c.a.recovered("finishing a recording panicked")
	out = r.finish(sync, c.room)
	if out.Err != nil {
		c.a.troubled(out.Err.Error())
		c.a.log.Error("recording could not be finished", zap.String("path", r.path), zap.Error(out.Err))
		return // it stays in the ledger, to be repaired at the next start
	}
	defer c.a.lock(&out) // out is told of after this
	c.a.ledger.done(r.path)
	for _, t := range r.tracks {
		c.a.ledger.done(t.path)
	}
}

// end writes what is left of a recording: the last samples, the sizes in the
// header, the marks.
func (r *recording) end() {
	for _, t := range r.tracks {
		t.end()
	}
	r.lostAtEnd = r.lost()
	r.fresh = true
	r.flush()
	if r.f == nil {
		r.complete = true
		return
	}
	tail := cueChunks(r.cues())
	_, err := r.f.WriteAt(tail, headerSize+2*r.top)
	if err == nil && r.failed == nil { // a file that is not whole is left to be repaired
		_, err = r.f.WriteAt(wavHeader(r.law, r.call, r.began, r.top, len(tail)), 0)
	}
	r.note(first(r.failed, err))
	r.complete = true
}

// finish hashes and closes the files of a recording that is complete.
func (r *recording) finish(sync bool, room []byte) Closed {
	if !r.complete {
		r.note(fmt.Errorf("finishing recording %s: it panicked", r.path))
	}
	out := Closed{
		Path: r.path, Duration: time.Duration(r.top) * nsPerFrame,
		Packets: r.packets, Lost: r.lostAtEnd,
	}
	if r.dump != nil && r.dump.f != nil {
		hash, err := seal(r.dump.f, sync, room)
		r.note(first(r.failed, err))
		out.Extra, out.ExtraSHA256 = append(out.Extra, r.dump.path), append(out.ExtraSHA256, hash)
	}
	if r.f != nil {
		hash, err := seal(r.f, sync, room)
		r.note(first(r.failed, err))
		out.SHA256 = hash
	}
	out.Err = r.failed
	r.finishTracks(&out, sync, room)
	return out
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// seal forces a file to the disk, if it should, hashes it and closes it.
func seal(f *os.File, sync bool, room []byte) (hash string, err error) {
	if sync {
		err = f.Sync()
	}
	h := sha256.New()
	_, herr := io.CopyBuffer(h, struct{ io.Reader }{io.NewSectionReader(f, 0, 1<<62)}, room)
	if herr == nil {
		hash = hex.EncodeToString(h.Sum(nil))
	}
	return hash, first(err, herr, f.Close())
}
