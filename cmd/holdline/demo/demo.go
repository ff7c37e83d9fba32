// Package demo is the newcomer's first minute: a caller, a position that hangs
// up on the caller, and a fallback taker, around a whole Holdline, all in this
// process and on the loopback interface. It prints what happens as it happens
// and measures, at the caller's ear, whether the caller was kept.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"holdline/recorder"
)

// pauseBetween is how long the demo waits before the next call.
const pauseBetween = 20 * time.Second

// Options say how the demo runs. Only Out is needed.
type Options struct {
	Once    bool        // one rescue, then return
	Out     io.Writer   // the timeline
	Color   bool        // Out is a terminal that shows colours
	Data    string      // folder for journal and recordings; "": a new one in the system's folder for temporary files
	Version string      // of the program
	Log     *zap.Logger // nil: silent

	pause time.Duration // between calls; 0: pauseBetween
}

// Run plays one rescue, or with Once unset one after the other until ctx ends.
// The error says why a caller was not kept, not heard or not proved: with Once
// it is nil only if the caller was never let go before the fallback taker's
// own BYE, heard the prompt, heard the fallback taker, and the journal
// verifies. That ctx ended is no error unless Once is set.
func Run(ctx context.Context, o Options) error {
	if o.Out == nil {
		return errors.New("demo: Out must be set")
	}
	if o.pause <= 0 {
		o.pause = pauseBetween
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Data == "" {
		dir, err := os.MkdirTemp("", "holdline-demo-")
		if err != nil {
			return fmt.Errorf("making a folder for the demo's data: %w", err)
		}
		o.Data = dir
	}
	if err := os.MkdirAll(o.Data, 0o750); err != nil { // a guard would go on without a disk; a demo proves something
		return fmt.Errorf("making the folder for the demo's data: %w", err)
	}
	t := &timeline{out: o.Out, color: o.Color}
	done, printed := make(chan struct{}), make(chan struct{})
	go func() { defer close(printed); t.run(done) }()
	err := run(ctx, o, t)
	close(done)
	<-printed
	return errors.Join(err, t.failed())
}

// run opens everything, plays, and closes everything.
func run(ctx context.Context, o Options, t *timeline) (err error) {
	cast, err := openCast(o.Log)
	if err != nil {
		return err
	}
	house, err := openHouse(settings(o.Data, cast.position.URI(), cast.fallback.URI()), o.Version, o.Log)
	if err != nil {
		return errors.Join(err, cast.close())
	}
	t.say("%s", introduction(house, o))
	for {
		err = rescue(ctx, t, cast, house, o)
		if o.Once || err != nil {
			break
		}
		t.say("\nThe next call comes in %.0f seconds; Ctrl-C ends the demo.\n\n", o.pause.Seconds())
		if wait(ctx, o.pause) != nil {
			break
		}
	}
	if ctx.Err() != nil && !o.Once {
		err = nil // Ctrl-C
	}
	return errors.Join(err, cast.close(), house.close())
}

// rescue plays one call and prints what came of it.
func rescue(ctx context.Context, t *timeline, cast *cast, house *house, o Options) error {
	s := &story{tell: t, cast: cast, house: house}
	h, err := s.play(ctx)
	t.flush(time.Now().Add(time.Hour))
	if ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if err != nil {
		t.say("\n%s\n", t.paint("The caller was NOT kept: "+err.Error(), "31", true))
		return err
	}
	t.say("\n%s\n%s", t.paint("The caller was kept, and reached a person.", "32", true), summary(s, h))
	report, err := recorder.Verify(o.Data)
	if err != nil {
		t.say("  %-12s%s\n", "journal", t.paint(err.Error(), "31", true))
		return fmt.Errorf("verifying the journal: %w", err)
	}
	t.say("  %-12sverifies: %d records, every one chained to the one before, signed\n%14skey %s\n", "journal", report.Records, "", report.KeyID)
	t.say("  %-12sholdline journal verify --data %s\n", "check it", o.Data)
	return nil
}

func introduction(h *house, o Options) string {
	var b strings.Builder
	b.WriteString("Holdline demo. A 911 call taker hangs up on a caller; see what happens to the\n" +
		"caller. Everything runs in this process and talks over the loopback interface:\n" +
		"real SIP, real audio, a real journal.\n\n")
	fmt.Fprintf(&b, "  %-12s%s\n", "console", h.consoleURL())
	fmt.Fprintf(&b, "  %-12s%s\n\n", "data", o.Data)
	return b.String()
}

// summary is what was measured.
func summary(s *story, h heard) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	bye := s.bye()
	row("prompt", "%.0f ms after the BYE, measured at the caller's ear", milliseconds(h.promptAt.Sub(bye)))
	row("silence", "%.0f ms at the most between two packets of audio (usual: 20)", milliseconds(h.longest))
	row("a person", "%.1f s after the BYE", h.fallbackAt.Sub(bye).Seconds())
	row("stream", "%d, %d packets, %d missing: the caller's phone saw no switch", h.streams, h.packets, h.missing)
	file := s.file.Path
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	row("recording", "%.1f s, left the caller, right whoever serves the caller", float64(s.file.DurationMS)/1000)
	row("", "%s", file)
	return b.String()
}
