package main

import (
	"fmt"
	"time"

	"holdline/recorder"
)

// journalCmd holds the commands that read a journal, of a running node or of a
// stopped one.
type journalCmd struct {
	Verify verifyCmd `cmd:"" help:"Check the hash chain and the signatures; name the first bad record."`
	Export exportCmd `cmd:"" help:"Write records, one JSON object a line."`
}

// verifyCmd checks a journal.
type verifyCmd struct {
	Data string `required:"" placeholder:"DIR" help:"The data folder."`
}

// Run implements the command.
func (c verifyCmd) Run(a app) error {
	r, err := recorder.Verify(c.Data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "ok: %d records (%d to %d) of %s, the last of %s\n%d signed checkpoints, key %s\nhead %s\n",
		r.Records, r.First, r.Last, r.Node, r.LastTime.Format(time.RFC3339), r.Checkpoints, r.KeyID, r.Head)
	if err == nil && r.Unsigned > 0 {
		_, err = fmt.Fprintf(a.out, "%d of them are chained and not signed yet: a running node does so at once, after a crash the next start does\n", r.Unsigned)
	}
	return err
}

// exportCmd writes records.
type exportCmd struct {
	Data   string `required:"" placeholder:"DIR" help:"The data folder."`
	Call   string `placeholder:"ID" help:"Only the records of this SIP Call-ID."`
	Since  string `placeholder:"T" help:"Only records from this time on: 2026-08-14T18:00:00Z, 2026-08-14, or 2h for the last two hours."`
	Format string `enum:"jsonl" default:"jsonl" help:"The format; jsonl is the only one."`
}

// Run implements the command.
func (c exportCmd) Run(a app) error {
	q := recorder.Query{Call: c.Call}
	if c.Since != "" {
		since, err := parseSince(c.Since, time.Now())
		if err != nil {
			return err
		}
		q.Since = since
	}
	return recorder.Export(c.Data, q, a.out)
}

// parseSince reads a time, a day in local time, or a time span back from now.
func parseSince(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateOnly, time.DateTime, "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("--since %q is not a time; write 2026-08-14T18:00:00Z, 2026-08-14, or 2h for the last two hours", s)
}
