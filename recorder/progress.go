package recorder

import (
	"slices"
	"time"

	"go.uber.org/zap"
)

// batch returns the next records to write; they stay pending.
func (j *Journal) batch() (items []item, more bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := min(len(j.pending), maxBatch)
	return j.pending[:n:n], n < len(j.pending)
}

// committed notes that a batch is on disk and returns who waited for it.
func (j *Journal) committed(items []item) []waiter {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.health.LastCommit = time.Now()
	return j.written(items)
}

// unfronted returns the records that wait and are not in the front.
func (j *Journal) unfronted() []item {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pending[j.ahead:len(j.pending):len(j.pending)]
}

// fronted notes that records are in the front and returns who waited for it.
func (j *Journal) fronted(items []item) []waiter {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ahead += len(items)
	j.durable = items[len(items)-1].pos
	j.health.LastCommit = time.Now()
	return j.ready()
}

// patient tells that all that waits for the database is in the front, is not
// much, and nobody waits for it to be there.
func (j *Journal) patient() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ahead > 0 && j.ahead == len(j.pending) && j.ahead < maxBatch/4 &&
		!slices.ContainsFunc(j.waiters, func(w waiter) bool { return w.stored })
}

// isDurable tells whether everything up to a place in the order is on disk.
func (j *Journal) isDurable(pos uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return pos <= j.durable
}

// settle lets go whoever waits for nothing more.
func (j *Journal) settle() {
	j.mu.Lock()
	ready := j.ready()
	j.mu.Unlock()
	for _, w := range ready {
		j.call(w.done, true)
	}
}

// drained tells that nothing is left to write.
func (j *Journal) drained() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.queue)+len(j.pending) == 0
}

// measured notes how long a transaction took and that the disk works.
func (j *Journal) measured(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.health.Commits++
	j.health.CommitSeconds = d.Seconds()
	j.health.CommitSecondsSum += d.Seconds()
	if d >= j.opts.Patience {
		j.trouble = time.Now()
	}
}

// usable notes that records could be written.
func (j *Journal) usable() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failing = nil
}

// works notes that the disk could be opened. With records waiting, only a
// commit proves that it can be written as well.
func (j *Journal) works() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pending)+len(j.queue) == 0 {
		j.failing = nil
	}
}

// fail notes that the disk could not be used.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failing = err
	j.trouble = time.Now()
	j.armed = true
	j.watch.Reset(0)
}

// tellLost records, once there is room again, that records had to be dropped.
func (j *Journal) tellLost() {
	j.mu.Lock()
	n := j.lost
	if len(j.pending) > j.opts.MaxPending/2 {
		n = 0
	} else {
		j.lost = 0
	}
	j.mu.Unlock()
	if n > 0 {
		j.Append(Entry{Kind: kindDegraded, Data: struct {
			finding
			Dropped uint64 `json:"dropped"`
		}{finding{Journal: recordsLost, Why: "the disk could not be written and the memory for records was full"}, n}})
	}
}

// tell calls back about a change of state.
func (j *Journal) tell(degraded bool, reason string) {
	defer j.recovered("a journal callback panicked")
	if degraded {
		j.log.Error("journal degraded", zap.String("reason", reason))
		if j.opts.OnDegraded != nil {
			j.opts.OnDegraded(reason)
		}
		return
	}
	j.log.Info("journal recovered")
	if j.opts.OnRecovered != nil {
		j.opts.OnRecovered()
	}
}
