package demo

import (
	_ "embed"
	"time"

	"holdline/sip/phone"
)

// voice is somebody speaking: raw mu-law at 8 kHz, made by voices/make.sh, and
// the words for those who read.
type voice struct {
	audio []byte
	words string
}

//go:embed voices/caller.ulaw
var callerAudio []byte

//go:embed voices/caller-more.ulaw
var callerMoreAudio []byte

//go:embed voices/position.ulaw
var positionAudio []byte

//go:embed voices/fallback.ulaw
var fallbackAudio []byte

func callerVoice() voice {
	return voice{callerAudio, "There is a fire. Twelve forty Oak Street, third floor. Hello? Hello? Are you there?"}
}

func callerMoreVoice() voice {
	return voice{callerMoreAudio, "There is smoke in the stairwell, and my mother cannot walk."}
}

func positionVoice() voice {
	return voice{positionAudio, "Nine one one, what is your emergency?"}
}

func fallbackVoice() voice {
	return voice{fallbackAudio, "Nine one one, I have you. Help is on the way to twelve forty Oak Street. Stay low."}
}

// lasts is how long the voice speaks.
func (v voice) lasts() time.Duration { return time.Duration(len(v.audio)) * time.Second / rate }

// rate is the samples, and in G.711 the bytes, of a second.
const rate = 8000

// frameBytes is one packet of a phone.
const frameBytes = int(rate * phone.FrameTime / time.Second)

// frames are the packets of the voice in which something is said, so that
// they can be recognised at the other end.
func (v voice) frames() map[[frameBytes]byte]bool {
	set := map[[frameBytes]byte]bool{}
	for a := v.audio; len(a) >= frameBytes; a = a[frameBytes:] {
		f := [frameBytes]byte(a)
		if loud(f[:]) {
			set[f] = true
		}
	}
	return set
}

// loud tells whether there is more in a packet than the noise around silence:
// in mu-law, 0xff and 0x7f are zero and the lower bytes are louder.
func loud(frame []byte) bool {
	n := 0
	for _, b := range frame {
		if b&0x7f < 0x60 {
			n++
		}
	}
	return n > len(frame)/8
}

// silence is that much of nothing.
func silence(d time.Duration) []byte {
	s := make([]byte, int(d*rate/time.Second))
	for i := range s {
		s[i] = 0xff
	}
	return s
}
