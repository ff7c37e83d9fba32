package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Group is by what a report splits calls.
type Group string

// The groups. A shift is eight hours, from 6, 14 and 22 o'clock.
const (
	ByDay      Group = "day"
	ByShift    Group = "shift"
	ByAgent    Group = "agent"
	ByPosition Group = "position"
)

// Groups lists every group.
func Groups() []Group { return []Group{ByDay, ByShift, ByAgent, ByPosition} }

// Line is one line of a report.
type Line struct {
	Of           string `json:"of"` // day, shift, agent or position
	Calls        int    `json:"calls"`
	Answered     int    `json:"answered"`
	ByCaller     int    `json:"endedByCaller"`
	ByPosition   int    `json:"endedByPosition"`
	BySupervisor int    `json:"endedBySupervisor"`
	ByError      int    `json:"endedByError"`
	Released     int    `json:"releases"` // of takers, allowed or not
	Intercepted  int    `json:"intercepted"`
	Reviewed     int    `json:"reviewed"`
	Technical    int    `json:"technical"` // of the releases: nobody's doing
	Rescued      int    `json:"rescued"`   // rescues that somebody answered
	MedianMS     int64  `json:"rescueMedianMs"`
	P90MS        int64  `json:"rescueP90Ms"`
	Incomplete   int    `json:"endedIncomplete"` // emergency calls that ended without complete intake
	Owed         int    `json:"callbacksOwed"`   // still, by Count
	Unrelayed    int    `json:"unrelayed"`       // still, by Count

	waits []int64
}

// Report counts the calls that began between two moments; test calls are not
// counted. Days and shifts are those of zone.
func (x *Index) Report(ctx context.Context, g Group, since, until time.Time, zone *time.Location) ([]Line, error) {
	lines := map[string]*Line{}
	line := func(of string) *Line {
		if of == "" {
			of = unknown
		}
		if lines[of] == nil {
			lines[of] = &Line{Of: of}
		}
		return lines[of]
	}
	name := func(started int64, position, agent string) string {
		return g.name(moment(started).In(zone), position, agent)
	}
	if err := x.countCalls(ctx, since, until, func(started int64, position, agent string) *Line { return line(name(started, position, agent)) }); err != nil {
		return nil, err
	}
	if err := x.countReleases(ctx, since, until, func(started int64, position, agent string) *Line { return line(name(started, position, agent)) }); err != nil {
		return nil, err
	}
	out := make([]Line, 0, len(lines))
	for _, l := range lines {
		slices.Sort(l.waits)
		l.Rescued, l.MedianMS, l.P90MS = len(l.waits), rank(l.waits, 50), rank(l.waits, 90)
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b Line) int { return strings.Compare(a.Of, b.Of) })
	return out, nil
}

// Count adds what is open still to the line that it belongs to, which is made if
// need be; lines stay in order. The index does not know what is open.
func (g Group) Count(lines []Line, at time.Time, position, agent string, add func(*Line)) []Line {
	of := g.name(at, position, agent)
	if of == "" {
		of = unknown
	}
	i, found := slices.BinarySearchFunc(lines, of, func(l Line, of string) int { return strings.Compare(l.Of, of) })
	if !found {
		lines = slices.Insert(lines, i, Line{Of: of})
	}
	add(&lines[i])
	return lines
}

// unknown is what calls are counted under of which it is not known where they belong.
const unknown = "(unknown)"

func (g Group) name(at time.Time, position, agent string) string {
	switch g {
	case ByAgent:
		return agent
	case ByPosition:
		return position
	case ByShift:
		begin := at.Add(-6 * time.Hour)
		return fmt.Sprintf("%s %02d:00", begin.Format(time.DateOnly), (begin.Hour()/8*8+6)%24)
	default:
		return at.Format(time.DateOnly)
	}
}

// rank is the value at a percentile of sorted values (nearest rank).
func rank(sorted []int64, percent int) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

func (x *Index) countCalls(ctx context.Context, since, until time.Time, line func(int64, string, string) *Line) error {
	rows, err := x.db.QueryContext(ctx, `SELECT started, position, agent, kind, answered, ended, by, complete FROM calls
		WHERE started >= ? AND started < ? AND kind <> 'test'`, since.UnixMilli(), until.UnixMilli())
	if err != nil {
		return fmt.Errorf("counting calls: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var started, answered, ended int64
		var position, agent, kind, by string
		var complete bool
		if err := rows.Scan(&started, &position, &agent, &kind, &answered, &ended, &by, &complete); err != nil {
			return fmt.Errorf("counting calls: %w", err)
		}
		l := line(started, position, agent)
		l.Calls++
		if answered > 0 {
			l.Answered++
		}
		if ended > 0 && kind == "emergency" && !complete {
			l.Incomplete++
		}
		switch by {
		case "caller":
			l.ByCaller++
		case "position":
			l.ByPosition++
		case "supervisor":
			l.BySupervisor++
		case "error":
			l.ByError++
		}
	}
	return rows.Err()
}

// countReleases counts releases for whoever released, and rescues for the call
// they belong to.
func (x *Index) countReleases(ctx context.Context, since, until time.Time, line func(int64, string, string) *Line) error {
	rows, err := x.db.QueryContext(ctx, `SELECT c.started, r.position, r.agent, r.class, r.decision,
			coalesce((SELECT waited FROM rescues s WHERE s.call = r.call AND s.seq > r.seq ORDER BY s.seq LIMIT 1), -1)
		FROM releases r JOIN calls c ON c.call = r.call WHERE c.started >= ? AND c.started < ? AND c.kind <> 'test'`,
		since.UnixMilli(), until.UnixMilli())
	if err != nil {
		return fmt.Errorf("counting releases: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var started, waited int64
		var position, agent, class, decision string
		if err := rows.Scan(&started, &position, &agent, &class, &decision, &waited); err != nil {
			return fmt.Errorf("counting releases: %w", err)
		}
		l := line(started, position, agent)
		l.Released++
		if class == "technical" {
			l.Technical++
		}
		switch decision {
		case "review":
			l.Reviewed++
		case "intercept":
			l.Intercepted++
			if waited >= 0 {
				l.waits = append(l.waits, waited)
			}
		}
	}
	return rows.Err()
}
