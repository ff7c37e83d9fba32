package media

import "time"

const (
	margin     = 40        // samples that a reader stays behind what must have arrived
	deadZone   = 32        // samples that its average place may be wrong
	hop        = 1200      // more is not led back but jumped over, 150 ms
	maxSlack   = 16 * 2400 // in 1/16 samples: more delay than 300 ms is not a conversation
	slackDecay = 1024      // reads until a delay that is no longer needed is mostly gone
	lagWeight  = 16
	fastest    = 40 // at most one sample in so many is added or taken out
	quietest   = 8  // what A-law says for silence
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
	slack int64 // distance beyond the least, in 1/16 samples
	calm  int64 // what it was before running dry
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
		return false
	}
	jumped := r.aim(v, n, now)
	if have := v.head - r.pos; have < n {
		r.starve(v, out, max(have, 0), now)
	} else {
		r.play(v, out, r.pace(n, have))
	}
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

// aim finds out how far from its place the reader is, and jumps if that is too
// far. It reports whether the sound has to be joined to what was heard before.
func (r *reader) aim(v *voice, n int64, now time.Duration) (jumped bool) {
	if r.turns != v.turns { // wait for those that are overtaken as well
		r.turns = v.turns
		r.slack = min(maxSlack, max(r.slack, v.tardy-16*margin))
	}
	want := (ticks(now)-v.floor-r.slack)/16 - v.size - margin - n
	if r.epoch != v.epoch {
		r.epoch, r.pos, r.dry, r.lag = v.epoch, want, 0, 0
		return false
	}
	if r.dry > 0 && v.head > r.pos {
		jumped = true
		if r.pos == v.hole { // lost, not late: the time was bridged already
			gap := min(r.dry, v.whole-v.hole)
			r.pos += gap
			r.slack = max(r.calm, r.slack-16*gap)
			want = (ticks(now)-v.floor-r.slack)/16 - v.size - margin - n
		}
		r.dry = 0
	}
	wrong := want - r.pos
	if wrong > hop || wrong < -hop {
		r.pos, r.lag, r.dry = want, 0, 0
		return true
	}
	r.lag += (16*wrong - r.lag) / lagWeight
	return jumped
}

// pace is how many samples are played as n.
func (r *reader) pace(n, have int64) int64 {
	r.slack -= (r.slack + slackDecay - 1) / slackDecay
	lag, most := r.lag/16, n/fastest
	step := int64(0)
	switch {
	case lag > deadZone:
		step = min(most, 1+lag/samplesPerFrame, have-n)
	case lag < -deadZone:
		step = -min(most, 1-lag/samplesPerFrame)
	}
	r.lag -= 16 * step
	return n + step
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

// starve plays what there is and makes up the rest, without going on.
func (r *reader) starve(v *voice, out []int16, have int64, now time.Duration) {
	for i := range have {
		out[i] = v.at(r.pos + i)
	}
	r.pos += have
	if r.dry == 0 {
		r.calm = r.slack
	}
	for i := have; i < int64(len(out)); i++ {
		out[i] = v.ghost(r.dry)
		r.dry++
	}
	r.slack = min(maxSlack, r.slack+16*(int64(len(out))-have))
	if !v.alive(now) {
		r.slack = r.calm // it has stopped, that is not being late
	}
}
