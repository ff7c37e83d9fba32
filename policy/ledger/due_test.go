package ledger

import (
	"testing"
	"time"
)

// TestNextCallback: who is called back next without anybody asking for it.
func TestNextCallback(t *testing.T) {
	how := Calling{Delay: time.Minute, Pause: 5 * time.Minute, Attempts: 2}
	lost := func(b *book, call, number, by string) {
		b.taken(call, number, "p", "ann")
		b.ends(call, by)
	}
	tried := func(b *book, id string) { b.write("callback.started", id, "id", id) }
	for name, tc := range map[string]struct {
		call func(b *book)
		want string // the item
		at   time.Duration
	}{
		"nobody":            {func(*book) {}, "", 0},
		"one":               {func(b *book) { lost(b, "c", "5045550100", "caller") }, "c", time.Minute},
		"the first":         {func(b *book) { lost(b, "c", "5045550100", "caller"); b.pass(1); lost(b, "d", "5045550101", "error") }, "c", time.Minute},
		"no number":         {func(b *book) { lost(b, "c", "anonymous", "caller") }, "", 0},
		"let go":            {func(b *book) { lost(b, "c", "5045550100", "position") }, "", 0},
		"on the line again": {func(b *book) { lost(b, "c", "5045550100", "caller"); b.offered("d", "5045550100", "p", "ann") }, "", 0},
		"lost again": {func(b *book) {
			lost(b, "c", "5045550100", "caller")
			b.pass(time.Hour)
			lost(b, "d", "5045550100", "caller")
		}, "c", time.Hour + time.Minute},
		"tried":              {func(b *book) { lost(b, "c", "5045550100", "caller"); b.pass(time.Minute); tried(b, "c") }, "c", 6 * time.Minute},
		"tried often enough": {func(b *book) { lost(b, "c", "5045550100", "caller"); tried(b, "c"); tried(b, "c") }, "", 0},
		"reached":            {func(b *book) { lost(b, "c", "5045550100", "caller"); b.write("callback.done", "c", "id", "c") }, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t, usual())
			tc.call(b)
			item, at := b.l.NextCallback(how)
			want := time.Time{}
			if tc.want != "" {
				want = epoch.Add(tc.at)
			}
			if item.ID != tc.want || !at.Equal(want) {
				t.Errorf("%q at %s, want %q at %s", item.ID, at, tc.want, want)
			}
		})
	}
}
