package demo

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"holdline/sip/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOneRescue runs the demo as a newcomer does, in real time and over real
// sockets.
func TestOneRescue(t *testing.T) {
	if testing.Short() {
		t.Skip("takes fifteen seconds of real time")
	}
	t.Parallel()
	var out bytes.Buffer
	start := time.Now()
	err := Run(t.Context(), Options{Once: true, Out: &out, Data: t.TempDir(), Version: "test"})
	t.Logf("after %v:\n%s", time.Since(start), out.String())
	if err != nil {
		t.Fatal(err)
	}
	rest := out.String()
	for _, want := range []string{
		"dials 911", "offers the call to pos-1", "hangs up: sends BYE", "INTERCEPTED", "caller    hears, ", "caller    hears a person",
		"marks the intake: location", "ends the call: sends BYE", "allows it", "The caller was kept", " 0 missing", ".wav", "verifies",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the timeline lacks %q, or it comes too early", want)
		}
		rest = after
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colour without being asked for")
	}
}

// stopper cancels as soon as a word is written.
type stopper struct {
	mu     sync.Mutex
	word   string
	times  int // how often it must have been written
	seen   strings.Builder
	cancel context.CancelFunc
}

func (s *stopper) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Write(b)
	if strings.Count(s.seen.String(), s.word) >= s.times {
		s.cancel()
	}
	return len(b), nil
}

func TestInterrupted(t *testing.T) {
	for once, want := range map[bool]error{false: nil, true: context.Canceled} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &stopper{word: "offers the call", times: 1, cancel: cancel}
		err := Run(ctx, Options{Once: once, Out: out, Data: t.TempDir(), Log: zaptest.NewLogger(t)})
		if !errors.Is(err, want) || ctx.Err() == nil {
			t.Errorf("once=%v: %v, want %v; printed:\n%s", once, err, want, out.seen.String())
		}
	}
}

// TestTheNextCall: without Once the demo goes on, and the second caller is kept
// like the first.
func TestTheNextCall(t *testing.T) {
	if testing.Short() {
		t.Skip("takes twenty seconds of real time")
	}
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	out := &stopper{word: "INTERCEPTED", times: 2, cancel: cancel}
	err := Run(ctx, Options{Out: out, Data: t.TempDir(), pause: time.Millisecond})
	if n := strings.Count(out.seen.String(), "INTERCEPTED"); err != nil || n != 2 {
		t.Errorf("%d rescues, %v; printed:\n%s", n, err, out.seen.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestBadOptions(t *testing.T) {
	if err := Run(t.Context(), Options{}); err == nil {
		t.Error("no output, and no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Options{Out: brokenPipe{}, Data: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("an output that does not work: %v", err)
	}
	if err := Run(t.Context(), Options{Out: &bytes.Buffer{}, Data: "/dev/null/x", Once: true}); err == nil {
		t.Error("a folder that cannot be made, and no error")
	}
}

// stream builds what a caller heard: packets of 20 ms each.
type stream struct {
	packets []phone.RTPPacket
	at      time.Time
	seq     uint16
}

func (s *stream) add(payload []byte, marker bool) {
	s.at, s.seq = s.at.Add(phone.FrameTime), s.seq+1
	s.packets = append(s.packets, phone.RTPPacket{At: s.at, Packet: rtp.Packet{
		Header: rtp.Header{SSRC: 1, SequenceNumber: s.seq, Marker: marker}, Payload: payload,
	}})
}

func (s *stream) speak(audio []byte, marker bool) {
	for first := true; len(audio) >= frameBytes; first = false {
		s.add(audio[:frameBytes], marker && first)
		audio = audio[frameBytes:]
	}
}

func TestListen(t *testing.T) {
	s := &stream{at: time.Unix(1e9, 0), seq: 65500} // it wraps on the way
	s.speak(positionVoice().audio, true)
	bye := s.at.Add(3 * time.Millisecond)
	s.at = s.at.Add(40 * time.Millisecond)
	s.speak(phone.Tone(440, 2*time.Second), true)
	prompted := s.at
	s.seq += 3
	s.speak(fallbackVoice().audio, true)
	h := listen(s.packets, bye, fallbackVoice())
	if h.problem() != nil || h.missing != 3 || h.streams != 1 || h.longest != 60*time.Millisecond {
		t.Errorf("heard %+v", h)
	}
	if d := h.promptAt.Sub(bye); d != 57*time.Millisecond || h.promptGap != h.longest {
		t.Errorf("the prompt began %v after the BYE", d)
	}
	if h.prompt != 2*time.Second || h.fallbackAt.Before(prompted) {
		t.Errorf("prompt for %v, fallback at %v after it", h.prompt, h.fallbackAt.Sub(prompted))
	}
}

func TestListenFindsWhatIsMissing(t *testing.T) {
	start := time.Unix(1e9, 0)
	for name, build := range map[string]func(*stream){
		"did not hear the prompt": func(s *stream) { s.speak(fallbackVoice().audio, false) },
		"of the prompt":           func(s *stream) { s.speak(silence(3*time.Second), true); s.speak(fallbackVoice().audio, true) },
		"of the fallback taker":   func(s *stream) { s.speak(phone.Tone(440, 3*time.Second), true); s.speak(callerVoice().audio, true) },
	} {
		s := &stream{at: start}
		build(s)
		if err := listen(s.packets, start, fallbackVoice()).problem(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
}

func TestTimeline(t *testing.T) {
	var out bytes.Buffer
	tl := &timeline{out: &out}
	start := time.Unix(1e9, 0)
	tl.begin(start)
	tl.tell(start.Add(1500*time.Millisecond), holdline, "second, and %s", strings.Repeat("long ", 20))
	tl.tell(start.Add(20*time.Millisecond), theCaller, "first")
	tl.flush(start.Add(time.Second))
	if want := "   0.02 s  caller    first\n"; out.String() != want {
		t.Errorf("after a second: %q, want %q", out.String(), want)
	}
	tl.flush(start.Add(time.Hour))
	for row := range strings.Lines(out.String()) {
		if len(row) > width+1 {
			t.Errorf("a row of %d characters: %q", len(row), row)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3 {
		t.Errorf("%d rows:\n%s", n, out.String())
	}
	out.Reset()
	tl.color = true
	tl.shout(start, holdline, "loud")
	tl.flush(start.Add(time.Hour))
	if !strings.Contains(out.String(), "\x1b[32;1mloud\x1b[0m") {
		t.Errorf("no colour: %q", out.String())
	}
}
