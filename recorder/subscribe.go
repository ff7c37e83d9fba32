package recorder

import (
	"context"
	"time"
)

// subscriptionBuffer is how many records wait in a subscription's channel. A
// consumer that is slower than that is served from the journal's memory, and
// then from the disk: it never makes anybody wait and never misses a record.
const subscriptionBuffer = 64

// Subscription is a live view of the journal.
type Subscription struct {
	// C delivers records in order without a gap. It is closed when the
	// subscription or the journal is.
	C <-chan Record

	j      *Journal
	cancel context.CancelFunc
	ended  chan struct{}
}

// Subscribe delivers every record after the given number, first those of the
// past, then each as soon as it is on disk (or, while the journal is degraded,
// in memory). 0 begins with the first record; Health().LastSeq with the next
// one. Close it when it is not needed any more.
func (j *Journal) Subscribe(after uint64) *Subscription {
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan Record, subscriptionBuffer)
	s := &Subscription{C: c, j: j, cancel: cancel, ended: make(chan struct{})}
	j.mu.Lock()
	j.subs++
	j.mu.Unlock()
	go s.run(ctx, c, after)
	return s
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.cancel()
	<-s.ended
}

func (s *Subscription) run(ctx context.Context, c chan<- Record, after uint64) {
	defer close(s.ended)
	defer close(c)
	defer s.j.recovered("a journal subscription panicked")
	defer func() {
		s.j.mu.Lock()
		s.j.subs--
		s.j.mu.Unlock()
	}()
	for {
		items, first, news, over := s.j.since(after)
		if first > 0 {
			n, err := s.fromDisk(ctx, c, &after, first)
			if ctx.Err() != nil {
				return
			}
			if err == nil && n > 0 {
				continue
			}
			if err == nil {
				after = first - 1 // these numbers do not exist
				continue
			}
			news = s.later(err)
		}
		for i := range items {
			select {
			case c <- items[i].record(s.j.opts.Node):
				after = items[i].seq
			case <-ctx.Done():
				return
			}
		}
		if len(items) > 0 {
			continue
		}
		if over {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// later returns a channel that closes when the disk may be tried again.
func (s *Subscription) later(error) <-chan struct{} {
	ch := make(chan struct{})
	time.AfterFunc(time.Second, func() { close(ch) })
	return ch
}

// fromDisk delivers what memory does not hold any more: a page of the records
// up to first.
func (s *Subscription) fromDisk(ctx context.Context, c chan<- Record, after *uint64, first uint64) (n int, err error) {
	db, err := s.j.readers.open()
	if err != nil {
		return 0, err
	}
	var got []Record
	err = readPage(ctx, db, Query{After: *after}, page, func(r Record) {
		if r.Seq < first {
			got = append(got, r)
		}
	})
	if err != nil {
		return 0, err
	}
	for _, r := range got {
		select {
		case c <- r:
			*after = r.Seq
			n++
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
	return n, nil
}

// since returns some of the records after a number that are in memory. first
// is not 0 if there are older ones that only the disk has: those before first.
// news closes when there is more, over says that there never will be.
func (j *Journal) since(after uint64) (items []item, first uint64, news <-chan struct{}, over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	over = j.over
	if after < j.health.LastSeq {
		held := j.health.LastSeq + 1
		if len(j.recent) > 0 {
			held = j.recent[0].seq
		}
		if after+1 < held {
			return nil, held, j.news, over
		}
		skip := int(after + 1 - held)
		return append(items, j.recent[skip:min(len(j.recent), skip+subscriptionBuffer)]...), 0, j.news, over
	}
	if j.health.Degraded {
		for i := range j.pending {
			if it := &j.pending[i]; it.seq > after && len(items) < subscriptionBuffer {
				items = append(items, *it)
			}
		}
	}
	return items, 0, j.news, over
}

// announce wakes the subscriptions. j.mu is held.
func (j *Journal) announce() {
	if j.subs > 0 {
		close(j.news)
		j.news = make(chan struct{})
	}
}
