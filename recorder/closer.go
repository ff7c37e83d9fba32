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

// unsynced is how many recordings may wait to be closed before they are no
// longer forced to the disk one by one: it would never catch up.
const unsynced = 64

// closer finishes recordings: the last samples, the sizes in the header, the
// marks, and the hash of the whole file, which is read back for it. It does
// so one after another, away from the packets.
type closer struct {
	a    *Audio
	mu   sync.Mutex
	more *sync.Cond
	todo []*recording
	over bool
}

func (c *closer) init(a *Audio) {
	c.a = a
	c.more = sync.NewCond(&c.mu)
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
		c.mu.Lock()
		for len(c.todo) == 0 && !c.over {
			c.more.Wait()
		}
		if len(c.todo) == 0 {
			c.mu.Unlock()
			return
		}
		r := c.todo[0]
		c.todo = c.todo[1:]
		waiting := len(c.todo)
		c.mu.Unlock()
		c.close(r, waiting < unsynced)
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
	out = r.finish(sync)
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

// finish writes what is left of a recording and closes its files.
func (r *recording) finish(sync bool) Closed {
	out := Closed{
		Path: r.path, Duration: time.Duration(r.top) * nsPerFrame,
		Packets: r.packets, Lost: r.lost(),
	}
	r.fresh = true
	r.flush()
	if r.dump != nil && r.dump.f != nil {
		hash, err := seal(r.dump.f, sync)
		r.note(first(r.failed, err))
		out.Extra, out.ExtraSHA256 = append(out.Extra, r.dump.path), append(out.ExtraSHA256, hash)
	}
	if r.f != nil {
		tail := cueChunks(r.cues())
		_, err := r.f.WriteAt(tail, headerSize+2*r.top)
		if err == nil && r.failed == nil { // a file that is not whole is left to be repaired
			_, err = r.f.WriteAt(wavHeader(r.law, r.call, r.began, r.top, len(tail)), 0)
		}
		r.note(first(r.failed, err))
		hash, err := seal(r.f, sync)
		r.note(first(r.failed, err))
		out.SHA256 = hash
	}
	out.Err = r.failed
	r.finishTracks(&out, sync)
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
func seal(f *os.File, sync bool) (hash string, err error) {
	if sync {
		err = f.Sync()
	}
	h := sha256.New()
	_, herr := io.Copy(h, io.NewSectionReader(f, 0, 1<<62))
	if herr == nil {
		hash = hex.EncodeToString(h.Sum(nil))
	}
	return hash, first(err, herr, f.Close())
}
