package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdline/recorder"
	"holdline/sip/phone"
)

// patience is how long one call of the demo may take on a slow machine before
// something must be wrong.
const patience = 60 * time.Second

// story is one call of the demo, from the INVITE to the recording.
type story struct {
	tell  *timeline
	cast  *cast
	house *house
	round int // how many calls there were before

	fromCaller map[[frameBytes]byte]bool // how the caller's voice is recognised
	call       *phone.Call

	mu       sync.Mutex
	byeAt    time.Time
	failures []error

	over bool // of the goroutine that reads records, as file is
	file recording
}

// recording is the data of recording.closed.
type recording struct {
	Path       string `json:"path"`
	SHA256     string `json:"sha256"`
	DurationMS int64  `json:"durationMs"`
}

// hungUp notes when the position sent its BYE.
func (s *story) hungUp(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byeAt = at
}

func (s *story) bye() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byeAt
}

// background notes why something that nobody waits for failed; that the call
// ended meanwhile is no failure.
func (s *story) background(err error) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, phone.ErrClosed) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, err)
}

// play runs the call and returns what the caller heard. An error says that
// the caller was not kept.
func (s *story) play(ctx context.Context) (heard, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.fromCaller = callerVoice().frames()
	dest, err := s.house.sip()
	if err != nil {
		return heard{}, err
	}
	begin := time.Now()
	s.tell.begin(begin)
	s.tell.tell(begin, theCaller, "dials 911; the location is in the INVITE")
	if s.call, err = s.dial(ctx, dest); err != nil {
		return heard{}, fmt.Errorf("calling: %w", err)
	}
	defer s.call.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.records(ctx) })
	group.Go(func() error { return s.calls(ctx, s.call) })
	group.Go(func() error { return s.positionActs(ctx) })
	group.Go(func() error { return s.fallbackActs(ctx) })
	if err := group.Wait(); err != nil {
		return heard{}, fmt.Errorf("%w%s", err, s.others())
	}
	h := listen(s.call.Heard(), s.bye(), fallbackVoice())
	return h, s.judge(h)
}

// others lists failures that nobody waited for.
func (s *story) others() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, err := range s.failures {
		fmt.Fprintf(&b, "; %v", err)
	}
	return b.String()
}

// judge says whether the caller was kept: no BYE before the fallback taker's
// own, the prompt heard, the fallback taker heard.
func (s *story) judge(h heard) error {
	end := s.call.End()
	switch {
	case end == nil || !end.Remote || end.Cause != "BYE":
		return fmt.Errorf("the call did not end by the fallback taker: %+v", end)
	case h.fallbackAt.IsZero() || end.At.Before(h.fallbackAt):
		return errors.New("the caller was let go before the fallback taker spoke")
	}
	return errors.Join(h.problem(), errors.Join(s.failures...))
}

// records tells the timeline what Holdline did, until the recording of the
// call is closed.
func (s *story) records(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.house.records(ctx, func(r recorder.Record) {
		if r.Call != s.call.ID() {
			return
		}
		s.record(r)
		if r.Kind == "recording.closed" {
			s.over = true
			cancel()
		}
	})
	if err == nil && !s.over {
		err = errors.New("the events ended before the recording was closed")
	}
	return err
}

// facts is what the timeline reads from the data of records.
type facts struct {
	recording
	Position string `json:"position"`
	Rule     string `json:"rule"`
	Why      string `json:"why"`
	Field    string `json:"field"`
	Value    string `json:"value"`
	Played   *bool  `json:"played"`
	Reason   string `json:"reason"`
}

// record puts one record into words.
func (s *story) record(r recorder.Record) {
	var f facts
	if err := json.Unmarshal(r.Data, &f); err != nil {
		s.background(fmt.Errorf("reading record %d: %w", r.Seq, err))
		return
	}
	switch r.Kind {
	case "call.offered":
		s.tell.tell(r.Time, holdline, "offers the call to %s", f.Position)
	case "release.intercepted":
		s.tell.shout(r.Time, holdline, "INTERCEPTED: %s (rule %s); on disk before anything is done about it", f.Why, f.Rule)
	case "release.allowed":
		s.tell.tell(r.Time, holdline, "allows it: %s (rule %s)", f.Why, f.Rule)
	case "alert.raised":
		s.tell.tell(r.Time, holdline, "tells the supervisor")
	case "rescue.offered":
		s.tell.tell(r.Time, holdline, "offers the caller to the fallback queue: %s", f.Position)
	case "rescue.prompted":
		if f.Played != nil && !*f.Played {
			s.tell.shout(r.Time, holdline, "cannot play the prompt: %s", f.Reason)
		}
	case "rescue.answered":
		s.tell.tell(r.Time, holdline, "joins the caller and the fallback taker")
	case "intake.marked":
		s.tell.tell(r.Time, theFallback, "marks the intake: %s = %s", f.Field, f.Value)
	case "call.ended":
		s.tell.tell(r.Time, holdline, "ends the call at the caller too")
	case "recording.closed":
		s.file = f.recording
	}
}
