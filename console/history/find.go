package history

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdline/policy/ledger"
)

// Query selects past calls; what is empty selects all.
type Query struct {
	Caller   string // number, or part of the address
	Agent    string // who had the caller at any time
	Position string
	Verdict  string // allow, review, intercept: any release of the call got it
	By       string // who ended it: caller, position, supervisor, error
	Since    time.Time
	Until    time.Time
	Limit    int // 0: 100
}

// Call is one past call, or one in progress.
type Call struct {
	ID          string    `json:"id"`
	EmergencyID string    `json:"emergencyId,omitempty"`
	IncidentID  string    `json:"incidentId,omitempty"`
	Kind        string    `json:"kind"`
	From        string    `json:"from"`
	Number      string    `json:"number,omitempty"`
	Started     time.Time `json:"started"`
	Answered    time.Time `json:"answered,omitzero"`
	Ended       time.Time `json:"ended,omitzero"`
	Position    string    `json:"position,omitempty"` // who had the caller last
	Agent       string    `json:"agent,omitempty"`
	By          string    `json:"endedBy,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Class       string    `json:"class,omitempty"`
	Verdicts    []string  `json:"verdicts,omitempty"`
	Rescues     int       `json:"rescues"`
	Complete    bool      `json:"intakeComplete"`
}

// Duration is how long the call lasted, or has lasted.
func (c Call) Duration() time.Duration {
	if c.Ended.IsZero() {
		return time.Since(c.Started)
	}
	return c.Ended.Sub(c.Started)
}

const most = 1000 // calls of one answer

// Find returns calls, the newest first.
func (x *Index) Find(ctx context.Context, q Query) ([]Call, error) {
	where, args := q.where()
	if q.Limit <= 0 {
		q.Limit = 100
	}
	rows, err := x.db.QueryContext(ctx, `SELECT call, emergency, incident, kind, caller, number, started, answered, ended, position, agent, by, reason, class, verdicts, rescues, complete
		FROM calls WHERE `+where+" ORDER BY started DESC LIMIT ?", append(args, min(q.Limit, most))...)
	if err != nil {
		return nil, fmt.Errorf("looking for calls: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := []Call{}
	for rows.Next() {
		var c Call
		var started, answered, ended int64
		var verdicts string
		if err := rows.Scan(&c.ID, &c.EmergencyID, &c.IncidentID, &c.Kind, &c.From, &c.Number, &started, &answered, &ended,
			&c.Position, &c.Agent, &c.By, &c.Reason, &c.Class, &verdicts, &c.Rescues, &c.Complete); err != nil {
			return nil, fmt.Errorf("looking for calls: %w", err)
		}
		c.Started, c.Answered, c.Ended, c.Verdicts = moment(started), moment(answered), moment(ended), strings.Fields(verdicts)
		out = append(out, c)
	}
	return out, rows.Err()
}

func (q Query) where() (string, []any) {
	parts, args := []string{"true"}, []any{}
	add := func(part string, values ...any) { parts, args = append(parts, part), append(args, values...) }
	if q.Caller != "" {
		number := ledger.NumberOf("tel:" + q.Caller)
		if number == "" {
			number = "-" // nobody's
		}
		add("(number = ? OR instr(lower(caller), lower(?)) OR emergency = ? OR incident = ? OR call = ?)", number, q.Caller, q.Caller, q.Caller, q.Caller)
	}
	for _, name := range []string{q.Agent, q.Position} {
		if name != "" {
			add("instr(takers, ?)", " "+name+" ")
		}
	}
	if q.Verdict != "" {
		add("instr(verdicts, ?)", q.Verdict+" ")
	}
	if q.By != "" {
		add("by = ?", q.By)
	}
	if !q.Since.IsZero() {
		add("started >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		add("started < ?", q.Until.UnixMilli())
	}
	return strings.Join(parts, " AND "), args
}
