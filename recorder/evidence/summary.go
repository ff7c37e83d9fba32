package evidence

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"

	"holdline/recorder"
)

//go:embed summary.html
var summaryHTML string

// page is what the summary shows.
type page struct {
	Manifest Manifest
	Facts    []fact
	Short    []string
	Story    []Line
	Files    []File
}

type fact struct{ Name, Value string }

// Line is one record in words, for a reader who knows nothing of SIP.
type Line struct {
	Seq    uint64
	At     string // local to nobody: UTC
	Since  string // since the first event of the call
	What   string
	Detail string
	Strong bool // what a reader should not miss
}

// addSummary writes the page for a reader who knows nothing of SIP. It says
// nothing that is not in the records.
func (b *builder) addSummary(context.Context) error {
	t, err := template.New("summary").Parse(summaryHTML)
	if err != nil {
		return fmt.Errorf("preparing the summary: %w", err)
	}
	p := page{Manifest: b.manifest, Files: b.manifest.Files, Facts: b.facts(), Short: inShort(b.call, b.records)}
	var start time.Time
	for _, r := range b.records {
		if r.Call != b.call {
			continue
		}
		if start.IsZero() {
			start = r.Time
		}
		p.Story = append(p.Story, Tell(r, start))
	}
	var buf bytes.Buffer
	if err := t.Execute(&buf, p); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return b.add(fileSummary, buf.Bytes())
}

// facts are the answers to the first questions: who called, whom, and how the
// call ended.
func (b *builder) facts() (out []fact) {
	add := func(name, value string) {
		if value != "" {
			out = append(out, fact{name, value})
		}
	}
	add("Call", b.call)
	intercepted := 0
	var ended event
	for _, r := range b.records {
		e := read(r)
		switch r.Kind {
		case "call.offered":
			if e.From != "" && len(out) == 1 {
				add("Began", r.Time.UTC().Format(time.RFC3339))
				add("Caller", e.From)
				add("Dialled", e.RequestURI)
				add("Kind of call", e.Kind)
				add("Emergency call identifier", e.EmergencyID)
				add("Incident identifier", e.IncidentID)
			}
		case "release.intercepted":
			intercepted++
		case "call.ended":
			ended = e
		}
	}
	add("Releases intercepted", fmt.Sprint(intercepted))
	if ended.By == "" {
		add("Ended", "not yet, or not recorded")
	} else {
		add("Ended", "by "+ended.By+" ("+ended.Reason+")")
	}
	add("Node", b.manifest.Node)
	return out
}

// event is what of a record's data the summary speaks of.
type event struct {
	Position    string `json:"position"`
	Agent       string `json:"agent"`
	From        string `json:"from"`
	RequestURI  string `json:"requestUri"`
	Kind        string `json:"kind"`
	EmergencyID string `json:"emergencyId"`
	IncidentID  string `json:"incidentId"`
	By          string `json:"by"`
	Reason      string `json:"reason"`
	How         string `json:"how"`
	Rule        string `json:"rule"`
	Why         string `json:"why"`
	Decision    string `json:"decision"`
	Field       string `json:"field"`
	Value       string `json:"value"`
	Source      string `json:"source"`
	Cause       string `json:"cause"`
	Mode        string `json:"mode"`
	Path        string `json:"path"`
	Code        int    `json:"code"`
	TalkMS      int64  `json:"talkMs"`
	WaitingMS   int64  `json:"waitingMs"`
	Played      *bool  `json:"played"`
	Class       string `json:"class"`
	SHA256      string `json:"sha256"`
}

func read(r recorder.Record) (e event) {
	_ = json.Unmarshal(r.Data, &e) // what does not fit is not spoken of
	return e
}

// Tell puts a record into words; start is when its call began.
func Tell(r recorder.Record, start time.Time) Line {
	e := read(r)
	l := Line{
		Seq: r.Seq, At: r.Time.UTC().Format("15:04:05.000"),
		Since: fmt.Sprintf("+%.3f s", r.Time.Sub(start).Seconds()), What: r.Kind,
	}
	who := e.who()
	switch r.Kind {
	case "call.offered":
		l.What, l.Detail = "The call was offered to "+who, e.Why
	case "call.answered":
		l.What = who + " answered"
	case "call.failed", "rescue.failed":
		l.What, l.Detail = who+" did not take the call", refusal(e)
	case "intake.marked":
		l.What, l.Detail = "Established: "+e.Field+" = "+e.Value, "by "+e.By+", through "+e.Source
	case "release.requested":
		l.What, l.Detail, l.Strong = who+" left the caller", fmt.Sprintf("%s %.1f s after taking the call; %s", howLeft(e.How), float64(e.TalkMS)/1000, whose(e.Class)), true
	case "release.intercepted":
		l.What, l.Detail, l.Strong = "Holdline kept the caller", "rule "+e.Rule+": "+e.Why, true
	case "release.allowed":
		l.What, l.Detail = "The release was allowed", "rule "+e.Rule+": "+e.Why
		if e.Decision == "review" {
			l.What += ", for a supervisor to look at"
		}
	case "rescue.prompted":
		l.What = "The caller heard that help is still coming"
		if e.Played != nil && !*e.Played {
			l.What, l.Detail = "No prompt could be played", e.Reason
		}
	case "rescue.offered":
		l.What = "The caller was offered to " + who
	case "rescue.answered":
		l.What, l.Detail, l.Strong = who+" took the caller", fmt.Sprintf("after %.1f s of waiting", float64(e.WaitingMS)/1000), true
	case "alert.raised":
		l.What, l.Detail = "A supervisor was alerted: "+e.Cause, e.Why
	case "alert.acknowledged":
		l.What = "The alert was acknowledged by " + e.By
	case "supervisor.joined":
		l.What = "A supervisor joined: " + e.By + ", " + e.Mode
	case "supervisor.left":
		l.What = "The supervisor left: " + e.By
	case "alert.resolved":
		l.What, l.Detail = "The alert is over", e.Why
	case "hold.placed":
		l.What, l.Detail = "The call was put on legal hold by "+e.By, e.Reason
	case "hold.lifted":
		l.What = "The legal hold was lifted by " + e.By
	case "evidence.exported":
		l.What = e.By + " took the bundle of evidence"
	case "call.viewed":
		l.What = e.By + " looked at the call"
	case "recording.played":
		l.What = e.By + " played the recording"
	case "recording.started":
		l.What = "The recording began"
	case "recording.closed":
		l.What, l.Detail = "The recording was closed", "SHA-256 "+e.SHA256
	case "signalling.closed":
		l.What, l.Detail = "The messages were closed", "SHA-256 "+e.SHA256
	case "call.ended":
		l.What, l.Detail, l.Strong = "The call ended, by "+e.By, e.Reason, true
	}
	l.Detail = strings.Trim(l.Detail, "; ")
	return l
}

func refusal(e event) string {
	if e.Code != 0 {
		return fmt.Sprintf("%d %s", e.Code, e.Reason)
	}
	return e.Reason
}
