package console

import (
	"context"

	"holdline/console/alerting"
	"holdline/recorder"
)

// Journal is what the console needs of the recorder's journal; JournalOf makes
// one of it.
type Journal interface {
	// Commit writes entries and calls done once, from any goroutine: true
	// when they are on disk, false when the disk is slow and they will be
	// written later.
	Commit(done func(durable bool), entries ...recorder.Entry)
	// Read calls each for the records of a kind, or with "alert.*" of all kinds
	// that begin with alert., in their order, until it returns an error.
	Read(ctx context.Context, kind string, each func(recorder.Record) error) error
	// Subscribe replays the records after seq and goes on with new ones.
	Subscribe(after uint64) Stream
	// Last returns the number of the newest record, 0 when there is none.
	Last() uint64
}

// Stream delivers records without gaps. A reader that is slow holds up nobody.
type Stream = alerting.Stream

// JournalOf returns the console's view of a journal.
func JournalOf(j *recorder.Journal) Journal { return journal{j} }

type journal struct{ *recorder.Journal }

func (j journal) Read(ctx context.Context, kind string, each func(recorder.Record) error) error {
	return j.Journal.Read(ctx, recorder.Query{Kind: kind}, each)
}

func (j journal) Subscribe(after uint64) Stream { return stream{j.Journal.Subscribe(after)} }

func (j journal) Last() uint64 { return j.Health().LastSeq }

type stream struct{ *recorder.Subscription }

func (s stream) C() <-chan recorder.Record { return s.Subscription.C }

// commit waits for an entry to be on disk, or for the disk to be too slow, in
// which case the journal keeps the entry and writes it when it can.
func (c *Console) commit(ctx context.Context, e recorder.Entry) {
	done := make(chan struct{})
	c.o.Journal.Commit(func(bool) { close(done) }, e)
	select {
	case <-done:
	case <-ctx.Done():
	}
}
