package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdline/console/alerting"
	"holdline/recorder"
	"holdline/sip"
)

// summoner rings a supervisor's phone for an alert and brings whoever answers
// into the call. What became of it is in the journal, which it follows for that.
type summoner struct {
	calls   sip.Calls
	journal *recorder.Journal
}

// leaveWait is how long a phone may take to stop ringing.
const leaveWait = 5 * time.Second

// Join implements alerting.Joiner.
func (s summoner) Join(ctx context.Context, call, mode, uri, by string) error {
	news := s.journal.Subscribe(s.journal.Health().LastSeq)
	defer news.Close()
	j, err := s.calls.Join(ctx, call, sip.JoinRequest{Mode: sip.Mode(mode), Target: uri, By: by, Once: true})
	switch {
	case errors.Is(err, sip.ErrNoCall):
		return alerting.ErrCallOver
	case err != nil:
		return err
	case !j.Joined.IsZero():
		return nil // the supervisor is in the call already
	}
	for {
		select {
		case r, open := <-news.C:
			if !open {
				return errors.New("the node is stopping")
			}
			if done, err := outcome(r, j); done {
				if _, gone := s.calls.Get(call); err != nil && errors.Is(gone, sip.ErrNoCall) {
					return alerting.ErrCallOver // which is why the phone stopped ringing
				}
				return err
			}
		case <-ctx.Done():
			if j.By != by { // it rings for another reason, too
				return ctx.Err()
			}
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
			defer cancel()
			_, _ = s.calls.Leave(stop, call, j.ID, by) // it may have been answered or have failed meanwhile
			return ctx.Err()
		}
	}
}

// outcome tells whether a record says what became of a supervisor's part.
func outcome(r recorder.Record, j sip.JoinView) (done bool, err error) {
	var d struct {
		Join, Reason string
		Code         int
	}
	switch r.Kind {
	case "supervisor.joined", "supervisor.failed", "supervisor.left", "call.ended":
	default:
		return false, nil
	}
	if r.Call != j.Call || json.Unmarshal(r.Data, &d) != nil {
		return false, nil //nolint:nilerr // a record of another shape says nothing of it
	}
	if r.Kind == "call.ended" {
		return true, alerting.ErrCallOver
	}
	if d.Join != j.ID {
		return false, nil
	}
	switch r.Kind {
	case "supervisor.joined":
		return true, nil
	case "supervisor.failed":
		if d.Code != 0 {
			return true, fmt.Errorf("it answered %d %s", d.Code, d.Reason)
		}
		return true, errors.New(d.Reason)
	}
	return true, errors.New("it stopped ringing")
}
