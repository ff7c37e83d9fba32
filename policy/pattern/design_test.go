package pattern

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestRunLength: the elimination gives what the chart shows when it is run.
func TestRunLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		p            float64
		jump, height int
	}{{0.1, 1, 1}, {0.1, 5, 12}, {0.02, 30, 70}, {0.3, 1, 6}, {0.5, 2, 9}} {
		const runs = 2000
		total := 0
		for range runs {
			for value := 0; value < c.height; {
				total++
				if rng.Float64() < c.p {
					value += c.jump
				} else {
					value = max(value-1, 0)
				}
			}
		}
		seen, want := float64(total)/runs, runLength(c.p, c.jump, c.height)
		if math.Abs(seen-want) > 0.1*want {
			t.Errorf("%+v: %v trials, and %v computed", c, seen, want)
		}
	}
}

// TestThresholds: among honest takers who differ, a chart raises no more false
// alarms than it may, and finds the pattern when it says.
func TestThresholds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct{ mean, spread float64 }{{0.001, 0.8}, {0.002, 0.4}, {0.02, 0.6}, {0.3, 0.1}} {
		const takers, months, each = 50, 4, 2000
		d := newDesign(c.mean, c.spread, takers*each, 2)
		if !d.ready {
			t.Fatalf("%+v: no chart", c)
		}
		chart, alarms := Counter{d: d}, 0
		rates, weights := honest(c.mean, c.spread)
		for range takers {
			chart.value = 0
			p := draw(rng, rates, weights)
			for range each * months {
				if chart.Count(rng.Float64() < p) {
					alarms++
				}
			}
		}
		if alarms > 2*months+8 { // three standard deviations of a Poisson number
			t.Errorf("%+v: %d false alarms in %d months", c, alarms, months)
		}
		n := 0
		const runs = 300
		for range runs {
			for n++; !chart.Count(rng.Float64() < c.mean+d.added*(1-c.mean)); n++ {
			}
		}
		if seen := float64(n) / runs; math.Abs(seen-d.delay) > 0.15*d.delay+1 {
			t.Errorf("%+v: found after %v, and %v computed", c, seen, d.delay)
		}
	}
}

func draw(rng *rand.Rand, rates, weights []float64) float64 {
	at := rng.Float64()
	for i, w := range weights {
		if at -= w; at < 0 {
			return rates[i]
		}
	}
	return rates[len(rates)-1]
}

// TestKnob: who bears more false alarms finds sooner.
func TestKnob(t *testing.T) {
	before := math.Inf(1)
	for _, allowed := range []float64{0.1, 1, 10} {
		d := newDesign(0.002, 0.6, 200000, allowed)
		if d.delay >= before {
			t.Errorf("%v a month: found after %v, and with fewer after %v", allowed, d.delay, before)
		}
		before = d.delay
	}
}

// TestUnusable: a signal that is usual, or in which takers differ beyond
// reason, judges nobody.
func TestUnusable(t *testing.T) {
	if d := newDesign(0.95, 0.1, 200000, 0.1); d.ready {
		t.Errorf("a chart for what is usual: %+v", d)
	}
	c := NewCounter(0.95, 0.1, 200000, 0.1)
	for range 1000 {
		if c.Count(true) {
			t.Fatal("it raised an alarm")
		}
	}
}

// TestUsual: a wrongdoer, and two, teach the site next to nothing, be it large
// or small.
func TestUsual(t *testing.T) {
	known := facts()[Needed]
	for _, c := range []struct {
		takers int
		bad    []record
		most   float64 // times the rate without them
	}{
		{60, []record{{tally{2000, 160}, false}, {tally{2000, 600}, false}}, 1.25},
		{60, []record{{tally{2000, 160}, true}, {tally{2000, 600}, true}}, 1.01},
		{5, []record{{tally{500, 40}, false}}, 1.05},
	} {
		takers := make([]record, c.takers)
		for i := range takers {
			takers[i] = record{tally: tally{2000, 4}}
		}
		want, _ := usual(without(takers, known), known)
		copy(takers, c.bad)
		if got, _ := usual(without(takers, known), known); got > c.most*want {
			t.Errorf("%+v: %v is usual, without them %v", c, got, want)
		}
	}
}

// TestShares: the false alarms are given out, all of them and once.
func TestShares(t *testing.T) {
	sum, names := 0.0, map[string]bool{}
	for signal, known := range facts() {
		sum += known.share
		names[known.name] = true
		if known.share <= 0 || known.text == "" || Signal(signal).String() != known.name {
			t.Errorf("%+v", known)
		}
	}
	if math.Abs(sum-1) > 1e-9 || len(names) != int(signals) {
		t.Errorf("the shares add up to %v, of %d names", sum, len(names))
	}
}

func TestWords(t *testing.T) {
	for rate, want := range map[float64]string{0.3: "30 in 100", 0.02: "1 in 50", 0.005: "1 in 200", 0.0012: "1 in 850", 0.00001: "1 in 100000"} {
		if got := oneIn(rate); got != want {
			t.Errorf("%v: %s", rate, got)
		}
	}
	const want = "7 of the last 30 calls of eve were released before intake was complete; peers at these hours: 1 in 200"
	if got := words("eve", Intercepted, 7, 30, 0.005); got != want {
		t.Error(got)
	}
}
