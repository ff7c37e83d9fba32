package media

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"
)

// sound is a source of samples, without end.
type sound func(i int) float64

func tone(amplitude float64, hz ...float64) sound {
	return func(i int) (v float64) {
		for _, f := range hz {
			v += amplitude * math.Sin(2*math.Pi*f*float64(i)/8000)
		}
		return v
	}
}

// cadence lets a sound through for on and stops it for off, in seconds.
func cadence(s sound, on, off float64) sound {
	return func(i int) float64 {
		if math.Mod(float64(i)/8000, on+off) >= on {
			return 0
		}
		return s(i)
	}
}

// rumble is noise whose energy lies in the low frequencies.
func rumble(seed uint64) sound {
	r, v := rand.New(rand.NewPCG(seed, 1)), 0.0
	return func(int) float64 {
		v = 0.97*v + 600*r.NormFloat64()
		return v
	}
}

func hiss(seed uint64, amplitude float64) sound {
	r := rand.New(rand.NewPCG(seed, 2))
	return func(int) float64 { return amplitude * r.NormFloat64() }
}

func ulaw(s sound, seconds int) []byte {
	out := make([]byte, seconds*8000)
	for i := range out {
		out[i] = g711.EncodeUlawFrame(int16(max(-32000, min(32000, s(i)))))
	}
	return out
}

func garbage(seconds int) []byte {
	r, out := rand.New(rand.NewPCG(3, 4)), make([]byte, seconds*8000)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

// heard lets a phone send a payload of G.711 and returns what was made of it.
func heard(t *testing.T, pt uint8, sound []byte, packet int) (st StreamStats) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		s := h.open()
		caller := h.phone("10.0.0.2:4000")
		leg := h.join(s, caller, caller.remote(pcmu, pcma))
		caller.pt = pt
		for ; len(sound) >= packet; sound = sound[packet:] {
			time.Sleep(time.Duration(packet) * time.Second / 8000)
			caller.send(caller.packet(sound[:packet]))
		}
		synctest.Wait()
		st = s.Stats(leg)[0]
		s.Close(nil)
	})
	return st
}

func TestVoicesAreSpeech(t *testing.T) {
	voice := BuiltinPrompt().cycle(namePCMU)[:8*8000]
	soft := make([]byte, len(voice))
	for i, v := range voice {
		soft[i] = g711.EncodeUlawFrame(g711.DecodeUlawFrame(v) / 8)
	}
	noisy, floor := make([]byte, len(voice)), hiss(1, 150)
	for i, v := range voice {
		noisy[i] = g711.EncodeUlawFrame(g711.DecodeUlawFrame(v) + int16(floor(i)))
	}
	for name, tc := range map[string]struct {
		pt     uint8
		sound  []byte
		packet int
	}{
		"PCMU":                 {0, voice, 160},
		"PCMA":                 {8, g711.Ulaw2Alaw(voice), 160},
		"packets of 10 ms":     {0, voice, 80},
		"packets of 60 ms":     {0, voice, 480},
		"18 dB softer":         {0, soft, 160},
		"in a room with noise": {0, noisy, 160},
	} {
		t.Run(name, func(t *testing.T) {
			st := heard(t, tc.pt, tc.sound, tc.packet)
			if st.Activity != BySamples || st.Speech < 2*time.Second || st.Noise > st.Speech/2 || st.LastSpeech.IsZero() {
				t.Errorf("speech %v, noise %v, %+v", st.Speech, st.Noise, st)
			}
		})
	}
}

func TestWhatIsNoSpeech(t *testing.T) {
	for name, tc := range map[string]struct {
		sound   []byte
		audible bool
	}{
		"digital silence":       {bytes.Repeat([]byte{0xff}, 160000), false},
		"a quiet room":          {ulaw(hiss(1, 12), 20), false},
		"white noise":           {ulaw(hiss(2, 2000), 20), true},
		"rumble":                {ulaw(rumble(3), 20), true},
		"dial tone":             {ulaw(tone(4000, 350, 440), 20), true},
		"busy tone":             {ulaw(cadence(tone(4000, 480, 620), 0.5, 0.5), 20), true},
		"fast busy":             {ulaw(cadence(tone(4000, 480, 620), 0.25, 0.25), 20), true},
		"ringing tone":          {ulaw(cadence(tone(4000, 440, 480), 2, 4), 24), true},
		"dialling in the voice": {ulaw(cadence(tone(6000, 770, 1336), 0.1, 0.1), 20), true},
		"random bytes":          {garbage(20), true},
		"one byte":              {bytes.Repeat([]byte{0x12}, 160000), false},
	} {
		t.Run(name, func(t *testing.T) {
			st := heard(t, 0, tc.sound, 160)
			if st.Speech > 0 || !st.LastSpeech.IsZero() {
				t.Errorf("%v were taken for speech", st.Speech)
			}
			if audible := st.Noise > 4*time.Second; audible != tc.audible {
				t.Errorf("noise %v", st.Noise)
			}
		})
	}
}

// sizes sends packets of the given sizes, 20 ms apart.
func (p *phone) sizes(n int, size func(i int) int) {
	for i := range n {
		time.Sleep(frameTime)
		p.send(p.packet(make([]byte, size(i))))
	}
	synctest.Wait()
}

func TestThePatternOfPackets(t *testing.T) {
	opus := Codec{PT: 111, Name: "OPUS", Rate: 48000, Channels: 2}
	r := rand.New(rand.NewPCG(5, 6))
	for name, tc := range map[string]struct {
		size  func(i int) int
		by    Activity
		least time.Duration
		most  time.Duration
	}{
		"variable rate, then quiet": {func(i int) int {
			if i < 500 {
				return 60 + r.IntN(60)
			}
			return 30 + r.IntN(5)
		}, ByPattern, 4 * time.Second, 11 * time.Second},
		"silence descriptors alone":   {func(int) int { return 7 }, NoActivity, 0, 0},
		"speech frames, then silence": {func(i int) int { return map[bool]int{true: 32, false: 7}[i%500 < 250] }, ByPattern, 4 * time.Second, 11 * time.Second},
		"one size":                    {func(int) int { return 160 }, NoActivity, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				s := h.open()
				caller := h.phone("10.0.0.2:4000")
				leg := h.join(s, caller, caller.remote(opus))
				caller.pt = 111
				caller.sizes(1000, tc.size)
				st := s.Stats(leg)[0]
				if st.Activity != tc.by || st.Speech < tc.least || st.Speech > tc.most || st.Noise != 0 {
					t.Errorf("speech %v, noise %v, by %q", st.Speech, st.Noise, st.Activity)
				}
				s.Close(nil)
			})
		})
	}
}

func TestSilenceSuppressionIsNoticed(t *testing.T) {
	cn := Codec{PT: 13, Name: "CN", Rate: 8000, Channels: 1}
	tests := map[string]struct {
		send func(p *phone)
		want bool
	}{
		"packets all the time": {func(p *phone) { p.speak(100) }, false},
		"comfort noise": {func(p *phone) {
			p.speak(50)
			p.pt = 13
			p.send(p.packet([]byte{60}))
		}, true},
		"a pause that the numbers do not show": {func(p *phone) { p.speak(50); time.Sleep(2 * time.Second); p.speak(50) }, true},
		"packets that were lost":               {func(p *phone) { p.speak(50); time.Sleep(2 * time.Second); p.seq += 100; p.speak(50) }, false},
		"an hour's pause":                      {func(p *phone) { p.speak(50); time.Sleep(time.Hour); p.speak(50) }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				s := h.open()
				caller := h.phone("10.0.0.2:4000")
				leg := h.join(s, caller, caller.remote(pcmu, cn))
				tc.send(caller)
				synctest.Wait()
				same(t, "pauses", s.Stats(leg)[0].Pauses, tc.want)
				s.Close(nil)
			})
		})
	}
}

func TestTypingIsActivity(t *testing.T) {
	t140 := Codec{PT: 98, Name: nameT140, Rate: 1000, Channels: 1}
	red := Codec{PT: 100, Name: nameRED, Rate: 1000, Channels: 1}
	redundant := func(older, newest string) []byte {
		head := redHeader(98, 300, len(older))
		return append(append(append(head[:], 98), older...), newest...)
	}
	tests := map[string]struct {
		pt      uint8
		payload []byte
		typed   bool
	}{
		"a letter":                      {98, []byte("h"), true},
		"the mark that begins a stream": {98, []byte("\ufeff"), false},
		"nothing":                       {98, nil, false},
		"a letter with redundancy":      {100, redundant("hel", "p"), true},
		"redundancy alone":              {100, redundant("help", ""), false},
		"broken redundancy":             {100, []byte{0x80 | 98, 0, 3, 255, 98}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				s := h.open()
				caller := h.phone("10.0.0.2:4000")
				leg := h.joinKind(s, caller, caller.remote(red, t140), Text)
				caller.pt = tc.pt
				caller.send(caller.packet(tc.payload))
				synctest.Wait()
				st := s.Stats(leg)[0]
				same(t, "typed", st.Activity == ByText && !st.LastSpeech.IsZero(), tc.typed)
				s.Close(nil)
			})
		})
	}
}

func TestStatsInJSON(t *testing.T) {
	b, err := json.Marshal(StreamStats{Received: 3, Speech: 1500 * time.Millisecond, Activity: BySamples})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "JSON", string(b), `{"received":3,"sent":0,"refused":0,"ssrc":0,"activity":"samples","speechMs":1500}`)
}

// BenchmarkHeed is what following speech adds to a packet.
func BenchmarkHeed(b *testing.B) {
	l := &loop{engine: &Engine{samples: newSamples()}}
	s := &stream{kind: Audio}
	s.setRemote(Remote{Codecs: []Codec{pcmu}}, nil)
	voice := BuiltinPrompt().cycle(namePCMU)
	raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2}, Payload: voice[:160]}).Marshal()
	var h header
	parseRTP(raw, &h)
	b.ReportAllocs()
	for b.Loop() {
		l.now += frameTime
		h.seq++
		l.heed(s, raw, &h)
	}
}
