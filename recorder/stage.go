package recorder

import (
	"crypto/sha256"
	"time"
)

// stager marshals and chains entries. It is used by the writer and, when the
// writer is stuck in the disk, by the patience check, so that what waits is
// compact, bounded and visible to subscribers.
type stager struct {
	m     *marshaller
	node  string
	known bool   // the end of the chain is known: the database was opened once
	seq   uint64 // of the last item chained
	hash  digest // of the last item chained
	ends  []int
	canon []byte
}

// stage marshals everything queued, and chains it if the chain's end is known.
func (j *Journal) stage() {
	j.stageMu.Lock()
	defer j.stageMu.Unlock()
	j.mu.Lock()
	queue := j.queue
	j.queue, j.spare = j.spare[:0], nil
	j.mu.Unlock()

	items := j.stager.marshal(queue)
	if j.stager.known {
		for i := range items {
			j.stager.chain(&items[i])
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending = append(j.pending, items...)
	for i := range items {
		j.bytes += cost(&items[i])
	}
	clear(queue)
	j.spare = queue[:0]
}

// cost is about what an item takes in memory.
func cost(it *item) int { return 256 + len(it.data) + len(it.call) }

// marshal turns entries into items. The data of all of them share one buffer.
func (s *stager) marshal(queue []queued) []item {
	if len(queue) == 0 {
		return nil
	}
	s.m.buf.Reset()
	s.ends = s.ends[:0]
	for i := range queue {
		s.ends = append(s.ends, s.m.append(queue[i].entry.Data))
	}
	text := append([]byte(nil), s.m.buf.Bytes()...)
	if s.m.buf.Cap() > maxData {
		s.m = newMarshaller()
	}
	items := make([]item, len(queue))
	start := 0
	for i := range queue {
		q, end := &queue[i], s.ends[i]
		items[i] = item{
			pos: q.pos, at: q.at, time: q.entry.Time.UnixNano(),
			call: cleanText(q.entry.Call), kind: cleanText(q.entry.Kind), data: text[start:end:end],
		}
		start = end
	}
	return items
}

// chain gives an item its number and its hash.
func (s *stager) chain(it *item) {
	s.seq++
	it.seq, it.prev = s.seq, s.hash
	s.canon = appendCanonical(s.canon[:0], s.node, it)
	it.hash = sha256.Sum256(s.canon)
	s.hash = it.hash
}

// adopt takes over a data directory that was opened: the first time it tells
// where the chain goes on; after an interruption it tells what of the pending
// records has reached the disk after all.
func (j *Journal) adopt(o *opened, last uint64, lastHash digest) (ready []waiter) {
	j.stageMu.Lock()
	defer j.stageMu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.stager
	first := !s.known
	j.key, s.known = o.key, true
	j.ahead = 0 // the front begins anew
	switch {
	case first:
		s.seq, s.hash = o.seq, o.hash
		j.health.LastSeq = o.seq
	case o.seq == last && o.hash == lastHash:
	case o.seq > last:
		if n := j.find(o.seq, o.hash); n > 0 { // a commit that was reported as failed is on disk
			ready = j.written(j.pending[:n])
			break
		}
		s.rechain(o, j.pending)
		fallthrough
	default:
		o.findings = append(o.findings, finding{
			Journal: dbReplaced, Why: "the database vanished or was replaced while the node was running",
			HeadSeq: last, HeadHash: lastHash.String(), TailSeq: o.seq,
		})
	}
	for i := range j.pending {
		if j.pending[i].seq == 0 {
			s.chain(&j.pending[i])
		}
	}
	return ready
}

// find returns how many pending records end with the one given, 0 if it is
// not among them.
func (j *Journal) find(seq uint64, hash digest) int {
	for i := range j.pending {
		if j.pending[i].seq == seq && j.pending[i].hash == hash {
			return i + 1
		}
	}
	return 0
}

// rechain numbers pending records anew, after those of a database that
// somebody else has written.
func (s *stager) rechain(o *opened, pending []item) {
	s.seq, s.hash = o.seq, o.hash
	for i := range pending {
		s.chain(&pending[i])
	}
}

// written takes records that are on disk out of the pending ones, keeps the
// newest for subscribers and wakes everybody concerned. done must be drawn
// from the front of pending. j.mu and j.stageMu may be held.
func (j *Journal) written(done []item) (ready []waiter) {
	n := len(done)
	if n == 0 {
		return nil
	}
	j.stored = done[n-1].pos
	j.durable = max(j.durable, j.stored)
	j.ahead = max(0, j.ahead-n)
	j.health.Written += uint64(n)
	j.health.LastSeq = done[n-1].seq
	j.keepRecent(done)
	for i := range done {
		j.bytes -= cost(&done[i])
	}
	if n == len(j.pending) {
		clear(j.pending)
		j.pending = j.pending[:0]
		if cap(j.pending) > 4*maxBatch {
			j.pending = nil
		}
	} else {
		j.pending = j.pending[n:]
	}
	j.announce()
	return j.ready()
}

// keepRecent remembers what was written for those who follow live.
func (j *Journal) keepRecent(done []item) {
	if len(j.recent) > 0 && j.recent[len(j.recent)-1].seq+1 != done[0].seq {
		j.recent = j.recent[:0]
	}
	if len(done) > recentKept {
		done = done[len(done)-recentKept:]
		j.recent = j.recent[:0]
	}
	if over := len(j.recent) + len(done) - 2*recentKept; over > 0 {
		kept := copy(j.recent, j.recent[len(j.recent)-recentKept:])
		clear(j.recent[kept:])
		j.recent = j.recent[:kept]
	}
	j.recent = append(j.recent, done...)
}

// ready takes out the waiters whose records are on disk.
func (j *Journal) ready() []waiter {
	var out []waiter
	rest := j.waiters[:0]
	for _, w := range j.waiters {
		if w.pos <= j.durable && !w.stored || w.pos <= j.stored {
			out = append(out, w)
		} else {
			rest = append(rest, w)
		}
	}
	clear(j.waiters[len(rest):])
	j.waiters = rest
	return out
}

// checkPatience runs while anything waits: it lets go whoever has waited long
// enough, and tells when the journal becomes degraded or recovers.
func (j *Journal) checkPatience() {
	j.watchMu.Lock()
	defer j.watchMu.Unlock()
	defer j.recovered("the journal's patience check panicked")

	now := time.Now()
	j.mu.Lock()
	expired, oldest := j.expired(now), j.oldest()
	late := !oldest.IsZero() && now.Sub(oldest) >= j.opts.Patience
	if late || j.failing != nil {
		j.trouble = now
	}
	was, reason := j.health.Degraded, j.reason(now, oldest)
	switch {
	case late || j.failing != nil:
		j.health.Degraded, j.health.Reason = true, reason
	case was && now.Sub(j.trouble) >= calmBeforeRecovered:
		j.health.Degraded, j.health.Reason = false, ""
	}
	is := j.health.Degraded
	if is != was {
		j.health.Since = now
	}
	j.armed = !j.over && (is || !oldest.IsZero() || len(j.waiters) > 0)
	if j.armed {
		j.watch.Reset(j.opts.Patience)
	}
	if is {
		j.announce()
	}
	closed := j.closed
	j.mu.Unlock()

	for _, w := range expired {
		j.call(w.done, false)
	}
	if late && !closed { // the writer stages for itself once it drains
		j.stage()
	}
	if is != was {
		j.tell(is, reason)
	}
}

// expired takes out the waiters whose patience is over.
func (j *Journal) expired(now time.Time) []waiter {
	var out []waiter
	rest := j.waiters[:0]
	for _, w := range j.waiters {
		if !w.deadline.IsZero() && !now.Before(w.deadline) {
			out = append(out, w)
		} else {
			rest = append(rest, w)
		}
	}
	clear(j.waiters[len(rest):])
	j.waiters = rest
	return out
}

// oldest returns since when the oldest record waits to be durable, zero if none
// does.
func (j *Journal) oldest() time.Time {
	switch {
	case len(j.pending) > j.ahead:
		return j.pending[j.ahead].at
	case len(j.queue) > 0:
		return j.queue[0].at
	}
	return time.Time{}
}

func (j *Journal) reason(now, oldest time.Time) string {
	if j.failing != nil {
		return j.failing.Error()
	}
	if oldest.IsZero() {
		return j.health.Reason
	}
	return "the disk is slow: records have waited " + now.Sub(oldest).Round(time.Millisecond).String()
}
