package ledger

import "time"

// Calling says how callers are called back without anybody asking for it.
type Calling struct {
	Delay    time.Duration // after the caller was lost: many call again themselves
	Pause    time.Duration // after an attempt
	Attempts int           // how often one caller is tried
}

// NextCallback returns the caller who is to be called back next and when, which
// may be in the past; a zero time when there is nobody. Callers without a number,
// those who are on the line again, and those whom a call taker was allowed to let
// go are not.
func (l *Ledger) NextCallback(how Calling) (next Callback, at time.Time) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var first *Callback
	for _, b := range l.owed {
		if b.Closed != nil || b.Number == "" || b.Cause == Released || b.Attempts >= how.Attempts || l.inTouch(b) != "" {
			continue
		}
		due := b.Last.Add(how.Delay)
		if !b.Attempted.IsZero() {
			due = later(due, b.Attempted.Add(how.Pause))
		}
		if first == nil || due.Before(at) || due.Equal(at) && b.ID < first.ID {
			first, at = b, due
		}
	}
	if first == nil {
		return Callback{}, time.Time{}
	}
	return l.shown(first, at), at
}

// inTouch is the call of a caller that is up; "" when there is none.
func (l *Ledger) inTouch(b *Callback) string {
	up := ""
	if who := l.callers[b.number]; who != nil {
		for _, c := range who.calls {
			if c.ended.IsZero() {
				up = c.id
			}
		}
	}
	return up
}
