package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdline/console/access"
	"holdline/console/history"
)

// History finds past calls; *history.Index is one.
type History interface {
	Find(ctx context.Context, q history.Query) ([]history.Call, error)
	Report(ctx context.Context, g history.Group, since, until time.Time, zone *time.Location) ([]history.Line, error)
	// Reached waits until a record of the journal is in the index.
	Reached(ctx context.Context, seq uint64) bool
}

// verdicts and endings are the values that a search knows.
func verdicts() []string { return []string{"intercept", "review", "allow"} }
func endings() []string  { return []string{"caller", "position", "supervisor", "error"} }

// historyQuery reads a query from a request's parameters.
func historyQuery(v url.Values) (q history.Query, problem *failure) {
	q = history.Query{
		Caller: strings.TrimSpace(v.Get("caller")), Agent: v.Get("agent"), Position: v.Get("position"),
		Verdict: v.Get("verdict"), By: v.Get("endedBy"),
	}
	if q.Verdict != "" && !slices.Contains(verdicts(), q.Verdict) {
		return q, &failure{fmt.Sprintf("there is no verdict %q", q.Verdict), "one of " + strings.Join(verdicts(), ", ")}
	}
	if q.By != "" && !slices.Contains(endings(), q.By) {
		return q, &failure{fmt.Sprintf("nobody called %q ends calls", q.By), "one of " + strings.Join(endings(), ", ")}
	}
	var ok bool
	if q.Since, ok = when(v.Get("since")); !ok {
		return q, &failure{"since is not a time", "write 2026-08-14 or 2026-08-14T18:00:00Z"}
	}
	if q.Until, ok = when(v.Get("until")); !ok {
		return q, &failure{"until is not a time", "write 2026-08-14 or 2026-08-14T18:00:00Z"}
	}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return q, &failure{"limit is not a number of calls", "write limit=50"}
		}
		q.Limit = n
	}
	return q, nil
}

// when reads a day, a minute or a moment; nothing is the zero time.
func when(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", time.DateTime} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// indexed waits a moment for the index to know what the journal knows.
func (c *Console) indexed(r *http.Request) bool {
	ctx, cancel := context.WithTimeout(r.Context(), catchUpWait)
	defer cancel()
	return c.o.History.Reached(ctx, c.o.Journal.Last())
}

// listHistory answers GET /v1/history.
func (c *Console) listHistory(w http.ResponseWriter, r *http.Request) {
	if c.o.History == nil {
		fail(w, http.StatusNotImplemented, "this node keeps no index of calls", "holdline journal export has the records")
		return
	}
	q, problem := historyQuery(r.URL.Query())
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	complete := c.indexed(r)
	list, err := c.o.History.Find(r.Context(), q)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error(), "look at GET /readyz")
		return
	}
	reply(w, http.StatusOK, map[string]any{"calls": list, "complete": complete})
}

// searchView is the page of past calls.
type searchView struct {
	Shell    Shell
	Query    history.Query
	Since    string
	Until    string
	Verdicts []string
	Endings  []string
	Calls    []history.Call
	Partial  bool
	Problem  string
}

// getSearch draws /search.
func (c *Console) getSearch(w http.ResponseWriter, r *http.Request) {
	v := searchView{Shell: c.shell(r), Verdicts: verdicts(), Endings: endings(), Since: r.URL.Query().Get("since"), Until: r.URL.Query().Get("until")}
	q, problem := historyQuery(r.URL.Query())
	v.Query = q
	switch {
	case c.o.History == nil:
		v.Problem = "this node keeps no index of calls"
	case problem != nil:
		v.Problem = problem.Error + ": " + problem.Hint
	default:
		v.Partial = !c.indexed(r)
		var err error
		if v.Calls, err = c.o.History.Find(r.Context(), q); err != nil {
			v.Problem = err.Error()
		}
	}
	c.draw(w, "search", v)
}

// reportView is the page of reports.
type reportView struct {
	Shell        Shell
	By           history.Group
	Groups       []history.Group
	Since, Until string
	CSV          string // the same as a file
	Lines        []history.Line
	Owed, Late   int // now
	Partial      bool
	Problem      string
}

// report reads what a request asks for, and counts.
func (c *Console) report(r *http.Request) (v reportView) {
	p := r.URL.Query()
	v = reportView{Shell: c.shell(r), By: history.Group(p.Get("by")), Groups: history.Groups()}
	if v.By == "" {
		v.By = history.ByDay
	}
	since, ok1 := when(p.Get("since"))
	until, ok2 := when(p.Get("until"))
	now := time.Now()
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.Local)
	if since.IsZero() {
		since = today.AddDate(0, 0, -6)
	}
	if until.IsZero() {
		until = today.AddDate(0, 0, 1)
	}
	v.Since, v.Until = since.Local().Format(time.DateOnly), until.Local().Format(time.DateOnly)
	v.CSV = "/reports.csv?" + url.Values{"by": {string(v.By)}, "since": {v.Since}, "until": {v.Until}}.Encode()
	switch {
	case c.o.History == nil:
		v.Problem = "this node keeps no index of calls"
		return v
	case !slices.Contains(v.Groups, v.By):
		v.Problem = fmt.Sprintf("there is no report by %q", v.By)
		return v
	case !ok1 || !ok2:
		v.Problem = "write a day as 2026-08-14"
		return v
	}
	v.Partial = !c.indexed(r)
	var err error
	if v.Lines, err = c.o.History.Report(r.Context(), v.By, since, until, time.Local); err != nil {
		v.Problem = err.Error()
	}
	if u, _ := userOf(r); v.By == history.ByAgent && !u.Can(access.People) {
		v.Lines, v.Problem = nil, "reports by agent are for roles that may see names"
	}
	if c.o.Account != nil {
		v.Owed, v.Late = len(c.o.Account.Callbacks(now, false)), len(c.o.Account.Unrelayed(now, false))
	}
	if v.Problem == "" && c.o.Account != nil {
		c.countOpen(&v, now, since, until)
	}
	return v
}

// countOpen adds the callbacks that are owed still and the calls that still are
// not passed on to the lines of when, or with whom, they came to be.
func (c *Console) countOpen(v *reportView, now, since, until time.Time) {
	within := func(t time.Time) bool { return !t.Before(since) && t.Before(until) }
	for _, o := range c.o.Account.Callbacks(now, false) {
		if within(o.Since) {
			v.Lines = v.By.Count(v.Lines, o.Since.In(time.Local), o.Position, o.Agent, func(l *history.Line) { l.Owed++ })
		}
	}
	for _, u := range c.o.Account.Unrelayed(now, false) {
		if within(u.Since) {
			v.Lines = v.By.Count(v.Lines, u.Since.In(time.Local), u.Position, u.Agent, func(l *history.Line) { l.Unrelayed++ })
		}
	}
}

// getReports draws /reports.
func (c *Console) getReports(w http.ResponseWriter, r *http.Request) {
	c.draw(w, "reports", c.report(r))
}

// getReportCSV answers with the same as a file (RFC 4180).
func (c *Console) getReportCSV(w http.ResponseWriter, r *http.Request) {
	v := c.report(r)
	if v.Problem != "" {
		fail(w, http.StatusBadRequest, v.Problem, "GET /reports.csv?by=day&since=2026-08-01&until=2026-09-01")
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="holdline-%s-%s.csv"`, v.By, v.Since))
	writeCSV(w, v)
}
