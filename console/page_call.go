package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"holdline/console/access"
	"holdline/recorder"
	"holdline/recorder/capture"
	"holdline/recorder/evidence"
	"holdline/recorder/retention"
	"holdline/sip"
)

// callPage is what the page of one call shows.
type callPage struct {
	Shell
	Call     sip.CallView
	Path     string // the Call-ID as a path segment
	Live     bool
	Moments  []moment
	Ladder   *ladder
	Looks    []evidence.Line // who has seen and played it
	Notes    []string        // what cannot be shown, and why
	Raw      bool            // messages may be unfolded
	Recorded bool            // there is a recording, and it may be played
	Evidence bool
	MayHold  bool
	Held     *retention.Hold
	Last     uint64 // the newest record: the script listens for later ones
}

// moment is one thing on the timeline: an event in words, or a message.
type moment struct {
	At    time.Time
	Since string // since the call began
	Line  *evidence.Line
	Mark  string // what it is on the waveform: release, verdict, taker, intake, ""
	Arrow *arrow
}

// getCallPage draws the page of a call in progress or of one that is over.
func (c *Console) getCallPage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	last := c.o.Journal.Last()
	call, live, err := c.callOf(r.Context(), id)
	switch {
	case errors.Is(err, sip.ErrNoCall) && byBrowser(r):
		c.lost(w, r, "There is no call "+id+". The address was mistyped, or the call is not kept any more.", "", "")
		return
	case err != nil:
		c.callFailed(w, id, err)
		return
	}
	records, err := c.recordsOf(r.Context(), call.ID)
	if err != nil {
		c.callFailed(w, id, err)
		return
	}
	u, _ := userOf(r)
	p := &callPage{
		Shell: c.shell(r), Call: visible(r, call), Path: url.PathEscape(call.ID), Live: live, Last: last,
		Raw: u.Can(access.People), Evidence: u.Can(access.Evidence) && c.o.Evidence != nil, MayHold: u.Can(access.Hold),
		Recorded: u.Can(access.Audio) && c.recorded(call.ID),
	}
	c.addMoments(r, p, call, records)
	if held, err := c.holds(r.Context()); err != nil {
		p.Notes = append(p.Notes, "it is not known whether the call is on legal hold: "+err.Error())
	} else if h, ok := held[call.ID]; ok {
		h = visible(r, h)
		p.Held = &h
	}
	c.lookedAt(r, kindCallViewed, call.ID)
	c.draw(w, "call", p)
}

// callOf returns a call in progress, or one that is over.
func (c *Console) callOf(ctx context.Context, id string) (v sip.CallView, live bool, err error) {
	v, err = c.o.Calls.Get(id)
	if err == nil || c.o.Past == nil {
		return v, err == nil, err
	}
	v, err = c.o.Past.Get(ctx, id)
	return v, false, err
}

func (c *Console) recordsOf(ctx context.Context, call string) (records []recorder.Record, err error) {
	if c.o.Past == nil {
		return nil, nil
	}
	err = c.o.Past.Read(ctx, call, func(r recorder.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading a call: %w", err)
	}
	return records, nil
}

// recorded tells whether a call has a recording that can be heard here.
func (c *Console) recorded(call string) bool {
	if c.o.Recordings == nil {
		return false
	}
	f, err := c.o.Recordings.Open(call)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// addMoments puts records and messages on one timeline.
func (c *Console) addMoments(r *http.Request, p *callPage, call sip.CallView, records []recorder.Record) {
	start := call.Started
	found, err := c.messagesOf(r.Context(), call.ID, records)
	if err != nil {
		c.log.Warn("messages of a call cannot be read", zap.String("call", call.ID), zap.Error(err))
		p.Notes = append(p.Notes, "its messages cannot be read: "+err.Error())
	}
	if len(found) == 0 {
		p.Notes = append(p.Notes, "its messages were not kept, or have been deleted")
	} else if found[0].At.Before(start) {
		start = found[0].At
	}
	seen := visible(r, records)
	for i, rec := range records {
		if i >= len(seen) {
			break
		}
		seen[i].Time = rec.Time
		line := evidence.Tell(seen[i], start)
		if rec.Kind == kindCallViewed || rec.Kind == kindRecordPlay {
			p.Looks = append(p.Looks, line)
			continue
		}
		p.Moments = append(p.Moments, moment{At: momentOf(rec), Line: &line, Mark: markOf(rec.Kind)})
	}
	p.Ladder = newLadder(found, seen)
	for _, m := range found {
		p.Moments = append(p.Moments, moment{At: m.At, Arrow: p.Ladder.arrow(m, p.Raw)})
	}
	slices.SortStableFunc(p.Moments, func(a, b moment) int { return a.At.Compare(b.At) })
	for i := range p.Moments {
		p.Moments[i].Since = fmt.Sprintf("%+.3f s", p.Moments[i].At.Sub(start).Seconds())
	}
}

// messagesOf finds the messages of all legs. A call in progress may have some
// after its last record.
func (c *Console) messagesOf(ctx context.Context, call string, records []recorder.Record) ([]capture.Found, error) {
	if c.o.Messages == nil || len(records) == 0 {
		return nil, nil
	}
	from, to := records[0].Time, records[0].Time
	for _, r := range records {
		if r.Kind != kindCallViewed && r.Kind != kindRecordPlay {
			to = r.Time
		}
	}
	return c.o.Messages(ctx, callIDs(call, records), from.Add(-time.Minute), to.Add(time.Hour))
}

// momentOf is when something was, which a record may say better than its own
// time.
func momentOf(r recorder.Record) time.Time {
	var d struct{ At time.Time }
	if json.Unmarshal(r.Data, &d) == nil && !d.At.IsZero() && d.At.Before(r.Time) && r.Time.Sub(d.At) < time.Minute {
		return d.At
	}
	return r.Time
}

// markOf is how an event is shown on the waveform.
func markOf(kind string) string {
	switch kind {
	case "release.requested":
		return "release"
	case "release.intercepted", "release.allowed", "release.forced":
		return "verdict"
	case "call.answered", "rescue.answered":
		return "taker"
	case "intake.marked":
		return "intake"
	case "rescue.prompted":
		return "prompt"
	}
	return ""
}
