package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdline/sip/phone"
)

// frameOf is a packet's audio in the form in which voices are recognised.
func frameOf(p phone.RTPPacket) (f [frameBytes]byte) {
	copy(f[:], p.Payload)
	return f
}

// heard is what arrived at the caller's ear, measured there and nowhere else.
type heard struct {
	packets    int
	missing    int           // sequence numbers that never came
	streams    int           // SSRCs; one is as it should be
	longest    time.Duration // between two packets
	promptAt   time.Time     // first packet of the prompt
	promptGap  time.Duration // since the packet before it
	prompt     time.Duration // of prompt in which something was said
	fallbackAt time.Time     // first packet of the fallback taker's voice
	fallback   int           // packets of that voice
}

// listen goes through what the caller heard. The prompt begins at the first
// packet with the marker bit (RFC 3550: a talkspurt begins) after the position
// hung up, and ends where the fallback taker's voice begins.
func listen(packets []phone.RTPPacket, bye time.Time, fallback voice) heard {
	h := heard{packets: len(packets)}
	known, ssrcs := fallback.frames(), map[uint32]bool{}
	spoken := 0
	for i, p := range packets {
		ssrcs[p.SSRC] = true
		if i > 0 {
			gap := p.At.Sub(packets[i-1].At)
			h.longest = max(h.longest, gap)
			if d := int16(p.SequenceNumber - packets[i-1].SequenceNumber); d > 1 {
				h.missing += int(d) - 1
			}
			if h.promptAt.IsZero() && p.Marker && p.At.After(bye) {
				h.promptAt, h.promptGap = p.At, gap
			}
		}
		switch {
		case known[frameOf(p)]:
			h.fallback++
			if h.fallbackAt.IsZero() {
				h.fallbackAt = p.At
			}
		case !h.promptAt.IsZero() && h.fallbackAt.IsZero() && loud(p.Payload):
			spoken++
		}
	}
	h.streams = len(ssrcs)
	h.prompt = time.Duration(spoken) * phone.FrameTime
	return h
}

// enough of a voice to say that it was heard.
const (
	enoughPrompt   = time.Second
	enoughFallback = 50 // packets: a second
)

// problem says what the caller ought to have heard and did not.
func (h heard) problem() error {
	switch {
	case h.promptAt.IsZero():
		return errors.New("the caller did not hear the prompt")
	case h.prompt < enoughPrompt:
		return fmt.Errorf("the caller heard only %v of the prompt", h.prompt)
	case h.fallback < enoughFallback:
		return fmt.Errorf("the caller heard only %d packets of the fallback taker", h.fallback)
	}
	return nil
}

// hear tells the timeline what the caller hears, when it is heard, and lets
// the caller answer the fallback taker.
func (s *story) hear(ctx context.Context, call *phone.Call, more chan<- []byte) {
	p, err := call.WaitRTP(ctx, func(p phone.RTPPacket) bool {
		bye := s.bye()
		return p.Marker && !bye.IsZero() && p.At.After(bye)
	})
	if err != nil {
		return // the call ended; what is missing is found by listen
	}
	s.tell.shout(p.At, theCaller, "hears, %.0f ms after that BYE: \"Help is still coming. Please stay on the line. Do not hang up. ...\"",
		milliseconds(p.At.Sub(s.bye())))
	known := fallbackVoice().frames()
	if p, err = call.WaitRTP(ctx, func(p phone.RTPPacket) bool { return known[frameOf(p)] }); err != nil {
		return
	}
	s.tell.shout(p.At, theCaller, "hears a person: \"Nine one one, I have you. ...\"")
	if wait(ctx, callerWaits) == nil {
		s.tell.tell(time.Now(), theCaller, "%q", callerMoreVoice().words)
		more <- callerMoreVoice().audio // there is room for it
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
