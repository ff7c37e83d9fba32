package media

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// line is a voice that comes over a network to a reader with another clock.
type line struct {
	hz, loud float64
	ptime    int     // samples a packet
	clock    float64 // of the sender, samples a second
	frame    int     // samples that the reader takes at once
	late     func(k int) time.Duration
	lost     func(k int) bool
	pause    func(k int) time.Duration // before packet k; the sender's timestamps go on
}

// delays is how far behind the sender the reader was, at every read.
type delays []time.Duration

// hear runs the line and returns what is heard.
func (c line) hear(d time.Duration) (out []float64, far delays) {
	samples := newSamples()
	v, r := &voice{}, &reader{}
	type packet struct {
		at time.Duration
		h  header
		b  []byte
	}
	var queue []packet
	sung, paused := 0, time.Duration(0)
	for k := 0; ; k++ {
		if c.pause != nil {
			if p := c.pause(k); p > 0 {
				paused += p
				sung += int(p * 8000 / time.Second)
			}
		}
		at := time.Duration(float64(sung+c.ptime) / c.clock * float64(time.Second))
		if at > d {
			break
		}
		s := &singer{phone: &phone{}, hz: c.hz, loud: c.loud, ptime: time.Duration(c.ptime) * time.Second / 8000, sung: sung}
		p := packet{at: at, h: header{seq: uint16(k), ts: uint32(sung), ssrc: 1}, b: s.note()}
		sung += c.ptime
		if c.late != nil {
			p.at += c.late(k)
		}
		if c.lost == nil || !c.lost(k) {
			queue = append(queue, p)
		}
	}
	slices.SortStableFunc(queue, func(a, b packet) int { return int(a.at - b.at) })
	step := time.Duration(c.frame) * time.Second / 8000
	one := make([]int16, c.frame)
	for now := 7 * time.Millisecond; now < d; now += step {
		for len(queue) > 0 && queue[0].at <= now {
			v.hear(&queue[0].h, queue[0].b, &samples.u, queue[0].at)
			queue = queue[1:]
		}
		r.read(v, one, now)
		for _, s := range one {
			out = append(out, float64(s))
		}
		said := int64(float64(now) * c.clock / float64(time.Second))
		far = append(far, time.Duration(said-r.pos)*time.Second/8000)
	}
	return out, far
}

// levels is the amplitude of the note in each tenth of a second, and how much
// of the sound there is not the note.
func levels(x []float64, hz float64) (level, other []float64) {
	bell := make([]float64, 800)
	weight := 0.0
	for i := range bell {
		bell[i] = math.Pow(0.5-0.5*math.Cos(2*math.Pi*float64(i)/800), 2)
		weight += bell[i]
	}
	for ; len(x) >= 800; x = x[800:] {
		a, p := strength(x[:800], hz), 0.0
		for i, v := range x[:800] {
			p += bell[i] * v * v
		}
		level, other = append(level, a), append(other, math.Sqrt(2*max(0, p/weight-a*a/2)))
	}
	return level, other
}

// steepest is the largest step from one sample to the next. That of the note
// is 2*pi*437/8000*6000, about 2060.
func steepest(x []float64) (step float64) {
	for i := range x[1:] {
		step = max(step, math.Abs(x[i+1]-x[i]))
	}
	return step
}

func (d delays) most() time.Duration { return slices.Max(d) }

func TestClocksThatDoNotRunAlike(t *testing.T) {
	for name, clock := range map[string]float64{"fast": 8000 * 1.0005, "slow": 8000 * 0.9995} {
		t.Run(name, func(t *testing.T) {
			c := line{hz: 437, loud: 6000, ptime: 160, clock: clock, frame: 160}
			x, far := c.hear(3 * time.Minute)
			level, other := levels(x[8000:], c.hz)
			for i := range level {
				// A sample more or less turns the note by a third of a radian.
				if level[i] < 0.95*c.loud || level[i] > 1.05*c.loud || other[i] > 0.25*c.loud {
					t.Fatalf("after %d s: level %.0f, what is not the note %.0f", 1+i/10, level[i], other[i])
				}
			}
			if s := steepest(x[8000:]); s > 2300 {
				t.Errorf("a click of %.0f, the note has 2060", s)
			}
			if late := far[50:].most(); late > 55*time.Millisecond {
				t.Errorf("the delay grew to %v", late)
			}
		})
	}
}

func TestPacketTimesAndPacesOfAllKinds(t *testing.T) {
	for _, ptime := range []int{80, 160, 240, 320} {
		for _, frame := range []int{80, 160, 240, 320} {
			c := line{hz: 437, loud: 6000, ptime: ptime, clock: 8000, frame: frame}
			x, far := c.hear(20 * time.Second)
			level, other := levels(x[8000:], c.hz)
			bad := 0
			for i := range level {
				if level[i] < 0.95*c.loud || other[i] > 0.1*c.loud {
					bad++
				}
			}
			if bad > 0 {
				t.Errorf("packets of %d, read by %d: %d of %d tenths of a second are damaged", ptime, frame, bad, len(level))
			}
			if late, most := far[50:].most(), samplesTime(ptime+frame)+20*time.Millisecond; late > most {
				t.Errorf("packets of %d, read by %d: delay %v, want at most %v", ptime, frame, late, most)
			}
		}
	}
}

func TestJitterIsLearned(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := line{hz: 437, loud: 6000, ptime: 160, clock: 8000 * 1.0003, frame: 160}
	c.late = func(k int) time.Duration {
		if k < 500 || k > 4000 {
			return 0
		}
		return time.Duration(random.IntN(80)) * time.Millisecond
	}
	x, far := c.hear(3 * time.Minute)
	count := func(from, to int) (bad int) {
		level, _ := levels(x[8000*from:8000*to], c.hz)
		for _, l := range level {
			if l < 0.8*c.loud {
				bad++
			}
		}
		return bad
	}
	if bad := count(1, 9); bad > 0 {
		t.Errorf("%d tenths of a second are damaged without jitter", bad)
	}
	if bad := count(15, 75); bad > 12 {
		t.Errorf("%d of 600 tenths of a second are damaged once 80 ms of jitter are known", bad)
	}
	if late := far[20*50 : 80*50].most(); late < 60*time.Millisecond || late > 170*time.Millisecond {
		t.Errorf("delay with 80 ms of jitter: %v", late)
	}
	if late := far[170*50:].most(); late > 60*time.Millisecond {
		t.Errorf("the delay stayed at %v after the jitter", late)
	}
}

func TestLossIsConcealed(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	c := line{hz: 437, loud: 6000, ptime: 160, clock: 8000, frame: 160}
	c.lost = func(int) bool { return random.IntN(20) == 0 }
	x, far := c.hear(time.Minute)
	level, _ := levels(x[8000:], c.hz)
	holes, sum := 0, 0.0
	for _, l := range level {
		sum += l / float64(len(level))
		if l < 0.3*c.loud {
			holes++
		}
	}
	if sum < 0.8*c.loud || holes > len(level)/50 {
		t.Errorf("with 5 %% loss: average level %.0f, %d holes in %d", sum, holes, len(level))
	}
	if late := far[50:].most(); late > 100*time.Millisecond {
		t.Errorf("loss made the delay grow to %v", late)
	}
	if s := steepest(x[8000:]); s > 4000 {
		t.Errorf("a click of %.0f where packets were lost, the note has 2060", s)
	}
}

func TestSilenceSuppression(t *testing.T) {
	c := line{hz: 437, loud: 6000, ptime: 160, clock: 8000, frame: 160}
	c.pause = func(k int) time.Duration {
		if k%50 == 49 {
			return time.Duration(k%7+1) * 150 * time.Millisecond
		}
		return 0
	}
	x, _ := c.hear(time.Minute)
	level, _ := levels(x, c.hz)
	full, none := 0, 0
	for _, l := range level {
		if l > 0.95*c.loud {
			full++
		}
		if l < 0.1*c.loud {
			none++
		}
	}
	if full < 260 || none < 150 {
		t.Errorf("of %d tenths of a second %d are whole and %d silent", len(level), full, none)
	}
}

// A loop that is held up, or a source that begins anew, must not leave the
// reader behind or ahead.
func TestAVoiceThatBeginsAnew(t *testing.T) {
	samples := newSamples()
	v, r := &voice{}, &reader{}
	now := time.Duration(0)
	one := make([]int16, 160)
	s := &singer{phone: &phone{}, hz: 437, loud: 6000, ptime: 20 * time.Millisecond}
	run := func(ssrc, ts uint32, n int) (heard int) {
		for k := range n {
			now += 20 * time.Millisecond
			v.hear(&header{ssrc: ssrc, ts: ts + uint32(160*k)}, s.note(), &samples.u, now)
			if r.read(v, one, now) {
				heard++
			}
		}
		return heard
	}
	for i, at := range []struct{ ssrc, ts uint32 }{{1, 0}, {1, 160 * 50}, {1, 1 << 30}, {2, 1 << 30}, {2, 0xfffffe00}} {
		if heard := run(at.ssrc, at.ts, 50); heard < 45 {
			t.Errorf("source %d: %d of 50 frames heard", i, heard)
		}
	}
	now += 10 * time.Second // both stood still; the timestamps as well
	if heard := run(2, 160*50-512, 50); heard < 45 {
		t.Errorf("after a stop: %d of 50 frames heard", heard)
	}
}

func TestLoudVoicesAreNotClipped(t *testing.T) {
	var g limiter
	worst, peak := 0.0, int32(0)
	var heard []float64
	for k := range 400 {
		sum := make([]int32, 160)
		for i := range sum {
			at := float64(160*k + i)
			for _, hz := range []float64{437, 713, 1129} {
				sum[i] += int32(28000 * math.Sin(2*math.Pi*hz*at/8000))
			}
		}
		g.apply(sum)
		for _, s := range sum {
			peak = max(peak, s, -s)
			heard = append(heard, float64(s))
		}
	}
	if peak > 32124 {
		t.Errorf("peak %d is more than G.711 can say", peak)
	}
	heard = heard[8000:]
	for _, hz := range []float64{2 * 437, 3 * 437, 437 + 713, 713 - 437, 3 * 713, 2*437 - 713 + 1129, 2*713 - 437} {
		worst = max(worst, strength(heard, hz))
	}
	one := strength(heard, 713)
	if worst > 0.02*one || one < 7000 {
		t.Errorf("distortion %.0f beside a note of %.0f", worst, one)
	}
	for range 100 {
		g.apply(make([]int32, 160))
	}
	if !g.open() {
		t.Error("the gain did not come back")
	}
}
