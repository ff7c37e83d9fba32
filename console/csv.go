package console

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
)

// writeCSV writes a report's lines. A name that a spreadsheet would take for a
// formula is quoted, so that nobody's sign-in runs on a supervisor's machine.
func writeCSV(w io.Writer, v reportView) {
	out := csv.NewWriter(w)
	write := func(fields ...string) { _ = out.Write(fields) } // a client that is gone needs no answer
	write(string(v.By), "calls", "answered", "ended by caller", "ended by position", "ended by supervisor", "ended by error",
		"releases", "intercepted", "reviewed", "technical", "rescued", "rescue median s", "rescue p90 s", "ended incomplete", "callbacks owed", "not passed on")
	for _, l := range v.Lines {
		n := func(i int) string { return strconv.Itoa(i) }
		s := func(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 1, 64) }
		of := l.Of
		if strings.ContainsAny(of[:min(1, len(of))], "=+-@\t\r") {
			of = "'" + of
		}
		write(of, n(l.Calls), n(l.Answered), n(l.ByCaller), n(l.ByPosition), n(l.BySupervisor), n(l.ByError),
			n(l.Released), n(l.Intercepted), n(l.Reviewed), n(l.Technical), n(l.Rescued), s(l.MedianMS), s(l.P90MS), n(l.Incomplete), n(l.Owed), n(l.Unrelayed))
	}
	out.Flush()
}
