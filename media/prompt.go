package media

import (
	_ "embed"
	"math"
	"time"

	"github.com/zaf/g711"
)

//go:embed prompts/rescue.ulaw
var builtinULaw []byte

//go:embed prompts/rescue.alaw
var builtinALaw []byte

// What is heard between two repetitions: silence, a soft tone so that the
// caller knows the line is alive, silence.
const (
	pauseBefore = 1400 * time.Millisecond
	toneTime    = 500 * time.Millisecond
	pauseAfter  = 1200 * time.Millisecond
)

// Samples of silence in G.711.
const (
	silenceULaw = 0xff
	silenceALaw = 0xd5
)

// Prompt is what a rescued caller hears until somebody answers: the words,
// then a pause with a soft tone, over and over. It is made once and never
// changes, so that all calls share it.
type Prompt struct {
	ulaw, alaw []byte // one repetition, whole packets of 20 ms
	words      time.Duration
}

// BuiltinPrompt returns the prompt that is part of the program: in English,
// that help is still coming and the caller should stay on the line.
func BuiltinPrompt() *Prompt { return newPrompt(builtinULaw, builtinALaw) }

// Words is how long one repetition speaks.
func (p *Prompt) Words() time.Duration { return p.words }

// Cycle is the time from one repetition to the next.
func (p *Prompt) Cycle() time.Duration { return samplesTime(len(p.ulaw)) }

// newPrompt builds one repetition from words in both laws.
func newPrompt(ulaw, alaw []byte) *Prompt {
	p := &Prompt{words: samplesTime(len(ulaw))}
	tone := comfortTone()
	p.ulaw = repetition(ulaw, tone, silenceULaw, g711.EncodeUlawFrame)
	p.alaw = repetition(alaw, tone, silenceALaw, g711.EncodeAlawFrame)
	return p
}

func (p *Prompt) cycle(law string) []byte {
	if law == namePCMA {
		return p.alaw
	}
	return p.ulaw
}

func repetition(words []byte, tone []int16, silence byte, encode func(int16) uint8) []byte {
	out := make([]byte, 0, len(words)+samplesIn(pauseBefore+toneTime+pauseAfter)+frameSamples)
	out = append(out, words...)
	out = appendSilence(out, samplesIn(pauseBefore), silence)
	for _, s := range tone {
		out = append(out, encode(s))
	}
	out = appendSilence(out, samplesIn(pauseAfter), silence)
	return appendSilence(out, (frameSamples-len(out)%frameSamples)%frameSamples, silence)
}

func appendSilence(b []byte, n int, silence byte) []byte {
	for range n {
		b = append(b, silence)
	}
	return b
}

// comfortTone is a single soft note with its octave that swells and fades, at
// about -30 dBFS: no telephone uses it as a signal, so it cannot be taken for
// a busy or ringing tone.
func comfortTone() []int16 {
	const note, level = 523.25, 900.0
	out := make([]int16, samplesIn(toneTime))
	for i := range out {
		t := float64(i) / 8000
		swell := math.Sin(math.Pi * float64(i) / float64(len(out)))
		wave := math.Sin(2*math.Pi*note*t) + 0.3*math.Sin(4*math.Pi*note*t)
		out[i] = int16(level * swell * swell * wave)
	}
	return out
}

func samplesIn(d time.Duration) int   { return int(d * 8000 / time.Second) }
func samplesTime(n int) time.Duration { return time.Duration(n) * time.Second / 8000 }
