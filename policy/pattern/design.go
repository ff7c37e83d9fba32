package pattern

import "math"

// The patterns that charts are made to find: on top of what is usual, eight
// bad calls in a hundred. Where honest takers differ so much that these cannot
// be told from honest habits within a few hundred calls, twice or four times as many.
func patterns() []float64 { return []float64{0.08, 0.16, 0.32} }

// enough is the number of calls within which a chart should find its pattern.
const enough = 300

// tooUsual is the rate above which a signal says nothing about anybody: a
// centre whose CAD reports no incidents would find every call unentered.
const tooUsual = 0.6

// design is the chart for one signal at one site: a Bernoulli CUSUM. Each trial
// adds the logarithm of how much likelier it is under the bad rate than under
// the usual one; what is below zero is forgotten; at the threshold there is a
// finding.
type design struct {
	ready     bool
	mean      float64 // rate among honest takers
	spread    float64 // standard deviation between them over the mean
	usual     float64 // rate that the chart takes for usual
	jump      float64 // what a hit is multiplied by to be a whole number of misses, so that the chart is a walk on whole numbers
	added     float64 // to it, in the pattern that the chart is made for
	delay     float64 // trials until it finds that pattern, on average
	threshold float64 // natural logarithm of a likelihood ratio
	perMonth  float64 // trials a month that it was made for
}

// newDesign makes the chart whose false alarms among honest takers, who differ
// as mean and spread say and together see perMonth trials, are at most allowed
// a month. It is not ready when no chart can do that.
func newDesign(mean, spread, perMonth, allowed float64) design {
	rates, weights := honest(mean, spread)
	alarms := func(jump, height int) float64 {
		sum := 0.0
		for i, p := range rates {
			sum += weights[i] / runLength(p, jump, height)
		}
		return sum * perMonth
	}
	best := design{mean: mean, spread: spread, perMonth: perMonth}
	for _, added := range patterns() {
		d := soonest(best, added, func(jump, height int) bool { return alarms(jump, height) <= allowed })
		if d.ready && (!best.ready || d.delay < best.delay) {
			best = d
		}
		if best.ready && best.delay <= enough {
			break
		}
	}
	return best
}

// soonest is the chart for a pattern. Which rate it takes for usual is free,
// because the threshold makes up for it: of several it takes the one that finds
// the pattern soonest.
func soonest(like design, added float64, quiet func(jump, height int) bool) design {
	best := like
	best.ready, best.delay = false, math.Inf(1)
	for _, above := range []float64{0, 0.5, 1, 1.5, 2} {
		d := like
		d.ready, d.added, d.jump, d.usual = true, added, 1, like.mean*(1+above*like.spread)
		if d.usual >= tooUsual {
			break
		}
		hit, miss := d.steps(1)
		jump := max(1, int(math.Round(hit/miss)))
		d.jump = float64(jump) * miss / hit
		top := int(mostEvidence / miss)
		if !quiet(jump, top) {
			continue
		}
		height := lowest(top, func(height int) bool { return quiet(jump, height) })
		d.threshold = float64(height) * miss
		if d.delay = runLength(like.mean+added*(1-like.mean), jump, height); d.delay < best.delay {
			best = d
		}
	}
	return best
}

// lowest is the lowest height that will do; high is one that does.
func lowest(high int, will func(height int) bool) int {
	low := 0
	for high-low > 1 {
		if mid := (low + high) / 2; will(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// mostEvidence is the highest threshold. One that would have to be higher comes
// from takers who differ so much that the signal says nothing.
const mostEvidence = 40

// steps are what a hit adds and what a miss takes, where the usual rate is
// times that of the design.
func (d *design) steps(times float64) (hit, miss float64) {
	usual := min(d.usual*times, tooUsual)
	bad := usual + d.added*(1-usual)
	return math.Log(bad/usual) * d.jump, -math.Log((1 - bad) / (1 - usual))
}

// evidence is the logarithm of the likelihood ratio of hits in n trials.
func (d *design) evidence(times float64, hits, n int) float64 {
	hit, miss := d.steps(times)
	return float64(hits)*hit - float64(n-hits)*miss
}

// honest is the distribution of honest takers' rates, a Beta distribution of
// the mean and spread, as points with weights.
func honest(mean, spread float64) (rates, weights []float64) {
	const points = 24
	sd := mean * spread
	s := mean*(1-mean)/(sd*sd) - 1
	alpha, beta := mean*s, (1-mean)*s
	top := min(mean+5*sd, 1)
	total := 0.0
	for i := range points {
		p := top * (float64(i) + 0.5) / points
		w := math.Exp((alpha-1)*math.Log(p/mean) + (beta-1)*math.Log((1-p)/(1-mean)))
		rates, weights = append(rates, p), append(weights, w)
		total += w
	}
	for i := range weights {
		weights[i] /= total
	}
	return rates, weights
}

// runLength is how many trials a taker whose rate is p sees on average before
// the chart, which begins at zero, reaches height: the mean absorption time of
// its Markov chain (Brook and Evans 1972; for Bernoulli trials Reynolds and
// Stoumbos 1999). A hit is jump up, a miss one down. The equations
//
//	E(i) = 1 + p E(i+jump) + (1-p) E(i-1),  E(i) = 0 from height on,  E(-1) = E(0)
//
// are eliminated from the top: each E(i) becomes a line in E(i-1), and E(i+jump)
// the jump lines after E(i) in a row. These are put together by blocks of jump,
// so that a step costs the same for any jump: what is left of the block that
// i+1 is in, and then how far i+jump reaches into the block above.
func runLength(p float64, jump, height int) float64 {
	lines, reach, rest := make([]line, height), make([]line, jump), line{slope: 1}
	for i := height - 1; ; i-- {
		switch {
		case i+1 == height:
		case (i+2)%jump == 0: // i+1 is the top of its block
			rest = lines[i+1]
			for k, through := 0, (line{slope: 1}); k < jump && i+2+k < height; k++ {
				through = through.then(lines[i+2+k])
				reach[k] = through
			}
		default:
			rest = lines[i+1].then(rest)
		}
		var above line // zero: i+jump is over the height
		if i+jump < height {
			above = rest
			if k := (i + jump) % jump; (i+1)%jump != 0 {
				above = rest.then(reach[k])
			}
		}
		if i == 0 {
			return (1 + p*above.at) / (p * (1 - above.slope))
		}
		part := 1 - p*above.slope
		lines[i] = line{(1 + p*above.at) / part, (1 - p) / part}
	}
}

// line is at + slope x.
type line struct{ at, slope float64 }

// then is the line that comes of l and of next after it.
func (l line) then(next line) line {
	return line{next.at + next.slope*l.at, next.slope * l.slope}
}
