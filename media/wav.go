package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/zaf/g711"
)

// Limits of a prompt of the user's own: long enough for several languages,
// short enough to keep in memory.
const (
	maxWords    = 2 * time.Minute
	maxWAVBytes = 64 << 20
	minRate     = 8000
	maxRate     = 192000
)

// WAV format tags (RIFF WAVE, RFC 2361).
const (
	wavPCM        = 1
	wavALaw       = 6
	wavULaw       = 7
	wavExtensible = 0xfffe
)

// LoadPrompt reads the words of a prompt from a WAV file: 16-bit PCM or
// G.711, mono or stereo, at 8 to 192 kHz and at most two minutes long. It is
// converted to G.711 at 8 kHz once, here. The error names the file, what is
// wrong with it and what to do.
func LoadPrompt(wavPath string) (*Prompt, error) {
	info, err := os.Stat(wavPath)
	if err != nil {
		return nil, fmt.Errorf("reading prompt: %w", err)
	}
	if info.Size() > maxWAVBytes {
		return nil, fmt.Errorf("prompt %s: %d MB is too large, at most %d MB are read", wavPath, info.Size()>>20, maxWAVBytes>>20)
	}
	b, err := os.ReadFile(wavPath)
	if err != nil {
		return nil, fmt.Errorf("reading prompt: %w", err)
	}
	p, err := parsePrompt(b)
	if err != nil {
		return nil, fmt.Errorf("prompt %s: %w", wavPath, err)
	}
	return p, nil
}

func parsePrompt(b []byte) (*Prompt, error) {
	w, err := parseWAV(b)
	if err != nil {
		return nil, fmt.Errorf("%w; convert it with: sox in.wav -r 8000 -c 1 -b 16 -e signed out.wav", err)
	}
	samples := resample(w.mono(), float64(w.rate))
	switch {
	case len(samples) == 0:
		return nil, errors.New("it holds no sound")
	case samplesTime(len(samples)) > maxWords:
		return nil, fmt.Errorf("it lasts %v, at most %v are possible", samplesTime(len(samples)).Round(time.Second), maxWords)
	}
	ulaw, alaw := make([]byte, len(samples)), make([]byte, len(samples))
	for i, s := range samples {
		ulaw[i], alaw[i] = g711.EncodeUlawFrame(s), g711.EncodeAlawFrame(s)
	}
	return newPrompt(ulaw, alaw), nil
}

// wav is a parsed WAV file.
type wav struct {
	format, channels, bits uint16
	rate                   uint32
	data                   []byte
}

// parseWAV walks the chunks of a RIFF file. A data chunk that claims more
// than there is, as recorders leave when they are cut off, is read as far as
// it goes.
func parseWAV(b []byte) (w wav, err error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return w, errors.New("it is not a WAV file")
	}
	for b = b[12:]; len(b) >= 8; {
		id, size := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		body := b[8:min(int64(len(b)), 8+size)]
		switch id {
		case "fmt ":
			if err := w.describe(body); err != nil {
				return w, err
			}
		case "data":
			w.data = body
		}
		b = b[min(int64(len(b)), 8+size+size&1):]
	}
	if w.channels == 0 {
		return w, errors.New("it has no format chunk")
	}
	return w, nil
}

// describe reads the format chunk and refuses what cannot be converted.
func (w *wav) describe(b []byte) error {
	if len(b) < 16 {
		return errors.New("its format chunk is cut off")
	}
	le := binary.LittleEndian
	w.format, w.channels, w.rate, w.bits = le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[4:]), le.Uint16(b[14:])
	if w.format == wavExtensible && len(b) >= 26 {
		w.format = le.Uint16(b[24:])
	}
	switch {
	case w.format == wavPCM && w.bits != 16:
		return fmt.Errorf("it has %d bits a sample, 16 are needed", w.bits)
	case (w.format == wavALaw || w.format == wavULaw) && w.bits != 8:
		return fmt.Errorf("it has %d bits a sample, G.711 has 8", w.bits)
	case w.format != wavPCM && w.format != wavALaw && w.format != wavULaw:
		return fmt.Errorf("its format %#x is neither PCM nor G.711", w.format)
	case w.channels != 1 && w.channels != 2:
		return fmt.Errorf("it has %d channels, one or two are possible", w.channels)
	case w.rate < minRate || w.rate > maxRate:
		return fmt.Errorf("its rate is %d Hz, %d to %d are possible", w.rate, minRate, maxRate)
	}
	return nil
}

// mono decodes the samples and mixes two channels into one.
func (w *wav) mono() []float64 {
	width, ch := int(w.bits/8), int(w.channels)
	out := make([]float64, len(w.data)/(width*ch))
	for i := range out {
		for c := range ch {
			p := w.data[(i*ch+c)*width:]
			var s int16
			switch w.format {
			case wavALaw:
				s = g711.DecodeAlawFrame(p[0])
			case wavULaw:
				s = g711.DecodeUlawFrame(p[0])
			default:
				s = int16(binary.LittleEndian.Uint16(p))
			}
			out[i] += float64(s) / float64(ch)
		}
	}
	return out
}

// resample brings samples to 8 kHz with a windowed sinc filter that ends
// below 4 kHz, so that nothing is folded into the telephone band.
func resample(in []float64, rate float64) []int16 {
	out := make([]int16, int(float64(len(in))*8000/rate))
	if rate == 8000 {
		for i := range out {
			out[i] = int16(in[i])
		}
		return out
	}
	kernel := newKernel()
	reach := lobes * rate / (2 * cutoff) // samples on each side
	for i := range out {
		centre, sum, norm := float64(i)*rate/8000, 0.0, 0.0
		for j := max(0, int(centre-reach)+1); j < len(in) && float64(j) < centre+reach; j++ {
			k := kernel[int(math.Abs(float64(j)-centre)/reach*float64(len(kernel)-1))]
			sum += k * in[j]
			norm += k
		}
		if norm > 0 {
			sum /= norm
		}
		out[i] = int16(max(math.MinInt16, min(math.MaxInt16, math.Round(sum))))
	}
	return out
}

// The filter: how many zero crossings on each side, and where it ends in Hz.
const (
	lobes  = 24
	cutoff = 3800.0
)

// newKernel tabulates one side of the filter, finely enough that no
// interpolation is needed for eight-bit audio.
func newKernel() []float64 {
	k := make([]float64, lobes*1024+1)
	for i := range k {
		x := float64(i) / float64(len(k)-1)
		k[i] = sinc(lobes*x) * (0.5 + 0.5*math.Cos(math.Pi*x))
	}
	return k
}

func sinc(x float64) float64 {
	if math.Abs(x) < 1e-9 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}
