package sip

import "go.uber.org/zap"

// State is where a call is in its life.
type State string

// The states of a call. In every one but Ended the caller is bridged, being
// offered to somebody, or hearing a prompt.
const (
	Offering  State = "offering"  // the route's positions are offered the call
	Bridged   State = "bridged"   // caller and taker are connected
	Relieving State = "relieving" // connected to a taker who is not there; the fallback queue is offered the call
	Releasing State = "releasing" // the taker left; the verdict is on its way to the disk, the bridge stands
	Waiting   State = "waiting"   // in the fallback queue: prompted, offered to tier after tier
	Ended     State = "ended"     // the caller's leg is over; late answers of others are still cleaned up
)

// trigger is what moves a call from one state to another.
type trigger string

const (
	offerFailed        trigger = "offer failed"        // a target refused, rang out, is busy or silent
	offersExhausted    trigger = "offers exhausted"    // the last position of the route failed
	takerAnswered      trigger = "taker answered"      // 2xx from a target, the first to come
	takerReplaced      trigger = "taker replaced"      // a transfer or a take-over succeeded
	takerAway          trigger = "taker away"          // on the line and not there: verdict intercept, journaled
	takerBack          trigger = "taker back"          // and there again, before anybody else answered
	releaseRequested   trigger = "release requested"   // BYE from the taker, or the taker is gone
	releaseAllowed     trigger = "release allowed"     // verdict allow or review, journaled
	releaseIntercepted trigger = "release intercepted" // verdict intercept, journaled
	releaseSucceeded   trigger = "release succeeded"   // a verdict is journaled, and a supervisor who barged in has the caller
	callerLeft         trigger = "caller left"         // BYE or CANCEL from the caller: wins at any moment
	callerLost         trigger = "caller lost"         // the caller's leg failed: no ACK, no media, 481
	releaseForced      trigger = "release forced"      // a supervisor's decision
	offersRefused      trigger = "offers refused"      // the same for a call that is not guarded: it is refused

)

// step is one row of the table: what is done, and the state it leads to.
type step struct {
	to State
	do func(*Call)
}

// table is all that can happen to a call.
type table map[State]map[trigger]step

// transitions is the table. What is not in it cannot happen: a trigger that
// comes too late for its state changes nothing.
func transitions() table {
	return table{
		Offering: {
			offerFailed:     {Offering, (*Call).offerOn},
			offersExhausted: {Waiting, (*Call).queueUp},
			offersRefused:   {Ended, (*Call).finish},

			takerAnswered: {Bridged, (*Call).bridge},
			callerLeft:    {Ended, (*Call).finish},
			callerLost:    {Ended, (*Call).finish},
			releaseForced: {Ended, (*Call).finish},
		},
		Bridged: {
			releaseRequested: {Releasing, (*Call).judge},
			takerReplaced:    {Bridged, (*Call).bridge},
			takerAway:        {Relieving, (*Call).offerAway},

			callerLeft:    {Ended, (*Call).finish},
			callerLost:    {Ended, (*Call).finish},
			releaseForced: {Ended, (*Call).finish},
		},
		Relieving: {
			offerFailed:      {Relieving, (*Call).offerOn},
			takerAnswered:    {Bridged, (*Call).swap},
			takerReplaced:    {Bridged, (*Call).bridge},
			takerBack:        {Bridged, (*Call).callOff},
			releaseRequested: {Releasing, (*Call).judge},
			callerLeft:       {Ended, (*Call).finish},
			callerLost:       {Ended, (*Call).finish},
			releaseForced:    {Ended, (*Call).finish},
		},
		Releasing: {
			releaseAllowed:     {Ended, (*Call).finish},
			releaseIntercepted: {Waiting, (*Call).rescue},
			releaseSucceeded:   {Bridged, (*Call).succeed},
			callerLeft:         {Ended, (*Call).finish},
			callerLost:         {Ended, (*Call).finish},
			releaseForced:      {Ended, (*Call).finish},
		},
		Waiting: {
			offerFailed:   {Waiting, (*Call).offerOn},
			takerAnswered: {Bridged, (*Call).bridge},
			callerLeft:    {Ended, (*Call).finish},
			callerLost:    {Ended, (*Call).finish},
			releaseForced: {Ended, (*Call).finish},
		},
	}
}

// fire moves the call by t. It runs in the call's own goroutine.
func (c *Call) fire(t trigger) {
	row, ok := c.g.table[c.State][t]
	if !ok {
		c.log.Debug("trigger has no effect", zap.String("state", string(c.State)), zap.String("trigger", string(t)))
		return
	}
	if c.State != row.to {
		c.log.Info("call moves", zap.String("from", string(c.State)), zap.String("to", string(row.to)),
			zap.String("trigger", string(t)), zap.String("taker", c.takerName()), zap.String("rule", c.rule()))
		c.g.count(c.Kind, c.State, row.to)
		c.State = row.to
	}
	row.do(c)
}
