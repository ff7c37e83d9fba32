package media

import "time"

const (
	margin     = 40        // samples that a reader stays behind what must have arrived
	deadZone   = 32        // samples that its average place may be wrong
	hop        = 1200      // more is not led back but jumped over, 150 ms
	maxSlack   = 16 * 2400 // in 1/16 samples: more delay than 300 ms is not a conversation
	slackDecay = 512       // frames of 20 ms until a delay that is no longer needed is mostly gone
	lagWeight  = 16
	fastest    = 40  // at most one sample in so many is added or taken out
	quiet      = 200 // nobody notices when some of it is missing, -44 dB
	quietest   = 8   // what A-law says for silence
)

// reader plays a voice to somebody, at the listener's pace: it is asked for
// samples whenever the listener needs some. It stays as close to the source as
// it can without running dry too often: whenever it does, it waits, keeps that
// distance, and gives it up only slowly. A wrong distance, and clocks that do
// not run alike, are made good by playing a little faster or slower.
type reader struct {
	epoch uint32
	pos   int64 // place of the next sample
	dry   int64 // samples that were made up since there was sound
	path  int64 // how long packets are taken to travel, as voice.floor; at least that
	calm  int64 // what it was before running dry
	slack int64 // how much longer than the least that is
	lag   int64 // average distance from where it should be, in 1/16 samples
	turns uint32
	last  int16 // what was heard last
}

// read fills out and reports whether there is anything to hear in it.
func (r *reader) read(v *voice, out []int16, now time.Duration) bool {
	n := int64(len(out))
	if !v.live || r.epoch == v.epoch && r.dry >= ghostLength && v.head <= r.pos {
		clear(out)
		r.dry += n
		r.forgive(v, now)
		return false
	}
	wrong, jumped := r.aim(v, n, now)
	if have := v.head - r.pos; have < n {
		r.starve(v, out, max(have, 0), wrong, now)
	} else {
		r.play(v, out, r.pace(v, n, have))
	}
	r.slack = r.path - v.floor
	if jumped {
		for i := range min(n, joint) {
			out[i] = cross(r.last, out[i], i, joint)
		}
	}
	r.last = out[n-1]
	for _, s := range out {
		if s > quietest || s < -quietest {
			return true
		}
	}
	return false
}

// skip passes over samples that nobody will hear.
func (r *reader) skip(n int64) { r.pos += n }

// want is where the reader should be: what it is about to play must have
// arrived even if the next packet is as late as any of late.
func (r *reader) want(v *voice, n int64, now time.Duration) int64 {
	return (ticks(now)-r.path)/16 - v.size - margin - n
}

// aim finds out how far from its place the reader is, and jumps if that is too
// far. jumped tells that the sound has to be joined to what was heard before.
func (r *reader) aim(v *voice, n int64, now time.Duration) (wrong int64, jumped bool) {
	if r.epoch != v.epoch {
		r.epoch, r.path = v.epoch, v.floor+r.slack
		r.pos, r.dry, r.lag = r.want(v, n, now), 0, 0
		return 0, false
	}
	r.path = max(r.path, v.floor)
	if r.turns != v.turns { // wait for those that are overtaken as well
		r.turns = v.turns
		r.path = max(r.path, v.floor+min(maxSlack, v.tardy-16*margin))
	}
	if r.dry > 0 && v.head > r.pos {
		jumped = true
		if r.pos == v.hole { // lost, not late: the time was bridged already
			r.pos += min(r.dry, v.whole-v.hole)
			r.path = max(r.calm, v.floor)
		}
		r.dry = 0
	}
	wrong = r.want(v, n, now) - r.pos
	if wrong > hop || wrong < -hop {
		r.pos, r.lag, r.dry = r.pos+wrong, 0, 0
		return 0, true
	}
	r.lag += (16*wrong - r.lag) / lagWeight
	return wrong, jumped
}

// pace is how many samples are played as n.
func (r *reader) pace(v *voice, n, have int64) int64 {
	r.path -= ((r.path-v.floor)*n/samplesPerFrame + slackDecay - 1) / slackDecay
	lag, most := r.lag/16, n/fastest
	step := int64(0)
	if lag > deadZone && r.pause(v, 2*n) {
		most = 0
		skip := min(lag, n, have-n)
		r.pos += skip
		r.lag -= 16 * skip
	}
	switch {
	case lag > deadZone:
		step = min(most, 1+lag/samplesPerFrame, have-n)
	case lag < -deadZone:
		step = -min(most, 1-lag/samplesPerFrame)
	}
	r.lag -= 16 * step
	return n + step
}

// pause tells that the next samples are quiet, where some can be left out at
// once.
func (r *reader) pause(v *voice, n int64) bool {
	for i := range n {
		if s := v.at(r.pos + i); s > quiet || s < -quiet {
			return false
		}
	}
	return true
}

const samplesPerFrame = int64(frameSamples)

// play puts count samples into out, stretched or squeezed to fit.
func (r *reader) play(v *voice, out []int16, count int64) {
	n := int64(len(out))
	if count == n {
		for i := range out {
			out[i] = v.at(r.pos + int64(i))
		}
	} else {
		for i := range n {
			p := i * count
			out[i] = cross(v.at(r.pos+p/n), v.at(r.pos+p/n+1), p%n, n)
		}
	}
	r.pos += count
}

// starve plays what there is and makes up the rest, without going on: from now
// on the reader stays where it is.
func (r *reader) starve(v *voice, out []int16, have, wrong int64, now time.Duration) {
	for i := range have {
		out[i] = v.at(r.pos + i)
	}
	r.pos += have
	if r.dry == 0 {
		r.calm = r.path
	}
	for i := have; i < int64(len(out)); i++ {
		out[i] = v.ghost(r.dry)
		r.dry++
	}
	missing := int64(len(out)) - have + max(0, wrong)
	r.path, r.lag = min(v.floor+maxSlack, r.path+16*missing), min(0, r.lag)
	r.forgive(v, now)
}

// forgive takes back what was learned from running dry if the source has
// stopped: that is not being late.
func (r *reader) forgive(v *voice, now time.Duration) {
	if r.dry > 0 && !v.alive(now) {
		r.path = max(r.calm, v.floor)
		r.slack = r.path - v.floor
	}
}
