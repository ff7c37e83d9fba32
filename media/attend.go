package media

import "time"

// attendee is a supervisor who takes part in a call. It belongs to the call's
// loop.
type attendee struct {
	leg   *leg
	mode  Mode
	track int
}

// attend lets a leg take part, or changes how it does.
func (l *loop) attend(call *session, lg *leg, mode Mode) {
	if lg.gone {
		return
	}
	if lg.attends == nil {
		call.attending++
		lg.attends = &attendee{leg: lg, track: call.attending}
	}
	a := lg.attends
	a.mode = min(mode, Barge)
	call.notify(Event{Kind: EventAttend, Leg: lg.id, At: time.Unix(0, l.wall), Mode: a.mode, Track: a.track})
}
