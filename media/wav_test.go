package media

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zaf/g711"
)

// makeWAV writes a file as a sound editor would.
func makeWAV(format, channels, bits uint16, rate uint32, data []byte) []byte {
	le := binary.LittleEndian
	body := append([]byte("WAVE"), "LIST\x03\x00\x00\x00abc\x00fmt \x10\x00\x00\x00"...)
	body = le.AppendUint16(body, format)
	body = le.AppendUint16(body, channels)
	body = le.AppendUint32(body, rate)
	body = le.AppendUint32(body, rate*uint32(channels)*uint32(bits)/8)
	body = le.AppendUint16(body, channels*bits/8)
	body = le.AppendUint16(body, bits)
	body = append(body, "data"...)
	body = le.AppendUint32(body, uint32(len(data)))
	body = append(body, data...)
	return append(le.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// sine is a tone as 16-bit samples.
func sine(hz float64, rate, channels int, d time.Duration) (b []byte) {
	for i := range int(d.Seconds() * float64(rate)) {
		s := int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
		for range channels {
			b = binary.LittleEndian.AppendUint16(b, uint16(s))
		}
	}
	return b
}

// level is the strength of one frequency in mu-law audio of 8 kHz.
func level(ulaw []byte, hz float64) float64 {
	var re, im float64
	for i, u := range ulaw {
		s, w := float64(g711.DecodeUlawFrame(u)), 2*math.Pi*hz*float64(i)/8000
		re += s * math.Cos(w)
		im += s * math.Sin(w)
	}
	return 2 * math.Hypot(re, im) / float64(len(ulaw))
}

func TestPromptsOfTheUsersOwn(t *testing.T) {
	g711Tone := func(encode func(int16) uint8) (b []byte) {
		for s := sine(1000, 8000, 1, time.Second); len(s) > 0; s = s[2:] {
			b = append(b, encode(int16(binary.LittleEndian.Uint16(s))))
		}
		return b
	}
	tests := map[string][]byte{
		"8 kHz":            makeWAV(1, 1, 16, 8000, sine(1000, 8000, 1, time.Second)),
		"stereo 44.1":      makeWAV(1, 2, 16, 44100, sine(1000, 44100, 2, time.Second)),
		"48 kHz":           makeWAV(1, 1, 16, 48000, sine(1000, 48000, 1, time.Second)),
		"11.025":           makeWAV(1, 1, 16, 11025, sine(1000, 11025, 1, time.Second)),
		"mu-law":           makeWAV(7, 1, 8, 8000, g711Tone(g711.EncodeUlawFrame)),
		"A-law":            makeWAV(6, 1, 8, 8000, g711Tone(g711.EncodeAlawFrame)),
		"cut off recorder": makeWAV(1, 1, 16, 8000, sine(1000, 8000, 1, 2*time.Second))[:48+16000],
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "prompt.wav")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := LoadPrompt(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := p.Words() - time.Second; d.Abs() > time.Millisecond {
				t.Errorf("lasts %v, want 1s", p.Words())
			}
			words := p.ulaw[:7900]
			if l := level(words, 1000); l < 7500 || l > 8500 {
				t.Errorf("the tone has level %.0f, want 8000", l)
			}
			if l := level(words, 2500); l > 200 {
				t.Errorf("something else sounds at level %.0f", l)
			}
			if len(p.ulaw)%frameSamples != 0 || len(p.ulaw) != len(p.alaw) {
				t.Errorf("not whole packets: %d, %d", len(p.ulaw), len(p.alaw))
			}
		})
	}
}

func TestHighTonesAreNotFoldedIntoTheBand(t *testing.T) {
	p, err := parsePrompt(makeWAV(1, 1, 16, 48000, sine(6000, 48000, 1, time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	if l := level(p.ulaw[:7900], 2000); l > 80 {
		t.Errorf("6 kHz is heard as 2 kHz at level %.0f", l)
	}
}

func TestAPromptThatCannotBeReadIsExplained(t *testing.T) {
	tests := map[string]struct {
		file []byte
		say  string
	}{
		"no WAV":      {[]byte("ID3 this is an MP3"), "not a WAV"},
		"24 bits":     {makeWAV(1, 1, 24, 8000, make([]byte, 300)), "24 bits"},
		"MP3 in WAV":  {makeWAV(0x55, 1, 16, 8000, make([]byte, 300)), "0x55"},
		"surround":    {makeWAV(1, 6, 16, 8000, make([]byte, 300)), "6 channels"},
		"slow":        {makeWAV(1, 1, 16, 4000, make([]byte, 300)), "4000 Hz"},
		"empty":       {makeWAV(1, 1, 16, 8000, nil), "no sound"},
		"endless":     {makeWAV(7, 1, 8, 8000, make([]byte, 121*8000)), "2m1s"},
		"no format":   {[]byte("RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00"), "no format"},
		"short form":  {[]byte("RIFF\x00\x00\x00\x00WAVEfmt \x02\x00\x00\x00ab"), "cut off"},
		"zero length": {nil, "not a WAV"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "prompt.wav")
			if err := os.WriteFile(path, tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadPrompt(path)
			if err == nil || !strings.Contains(err.Error(), tt.say) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v does not say %q", err, tt.say)
			}
		})
	}
	if _, err := LoadPrompt("/nowhere/prompt.wav"); err == nil {
		t.Error("a missing file was read")
	}
}

func TestTheBuiltInPromptIsSpeech(t *testing.T) {
	p := BuiltinPrompt()
	if p.Words() < 4*time.Second || p.Words() > 8*time.Second {
		t.Errorf("it speaks for %v", p.Words())
	}
	if p.Cycle() < 8*time.Second || p.Cycle() > 11*time.Second {
		t.Errorf("it is repeated every %v", p.Cycle())
	}
	var u, a float64
	for i := range builtinULaw {
		u += math.Abs(float64(g711.DecodeUlawFrame(builtinULaw[i])))
		a += math.Abs(float64(g711.DecodeAlawFrame(builtinALaw[i])))
	}
	if mean := u / float64(len(builtinULaw)); mean < 500 || mean > 8000 || math.Abs(u/a-1) > 0.05 {
		t.Errorf("mean level %.0f in mu-law, %.2f times the A-law", mean, u/a)
	}
}
