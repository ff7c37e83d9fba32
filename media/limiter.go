package media

import "github.com/zaf/g711"

const (
	unity   = 1 << 16
	ceiling = 30000 // of what is sent; G.711 ends at 32124
	attack  = 32    // samples within which the gain goes down
	release = unity / 32
)

// limiter keeps a sum of voices below the ceiling by turning it down, at once
// when it gets too loud and slowly up again afterwards, so that loud voices
// are neither clipped nor distorted.
type limiter struct {
	down int32 // how far the gain is below unity, in 1/65536
}

// open tells that nothing is turned down.
func (g *limiter) open() bool { return g.down == 0 }

// apply turns down what is too loud.
func (g *limiter) apply(sum []int32) {
	peak := int32(1)
	for _, s := range sum {
		peak = max(peak, s, -s)
	}
	from, to, ramp := unity-g.down, int32(unity), len(sum)
	if peak > ceiling {
		to = int32(int64(ceiling) << 16 / int64(peak))
	}
	if to < from {
		ramp = min(attack, ramp)
	} else {
		to = min(to, from+int32(release*len(sum)/frameSamples))
	}
	g.down = unity - to
	if from == unity && to == unity {
		return
	}
	for i, s := range sum {
		gain := to
		if i < ramp {
			gain = from + (to-from)*int32(i)/int32(ramp)
		}
		sum[i] = soften(int32(int64(s) * int64(gain) >> 16))
	}
}

// soften bends what is above the ceiling, so that the moment in which the gain
// goes down is not clipped either.
func soften(s int32) int32 {
	const room, farOver = 32124 - ceiling, 1 << 19
	switch {
	case s > ceiling:
		over := min(s-ceiling, farOver)
		return ceiling + over*room/(over+room)
	case s < -ceiling:
		over := min(-s-ceiling, farOver)
		return -ceiling - over*room/(over+room)
	}
	return s
}

// encode writes samples as G.711.
func encode(payload []byte, sum []int32, alaw bool) {
	if alaw {
		for i, s := range sum {
			payload[i] = g711.EncodeAlawFrame(int16(s))
		}
		return
	}
	for i, s := range sum {
		payload[i] = g711.EncodeUlawFrame(int16(s))
	}
}
