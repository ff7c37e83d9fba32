package policy

import (
	"strings"
	"time"
)

// view is what conditions see: Facts with the units, names and derived values
// of the expression language. The names are the tags; FactList describes them.
type view struct {
	Kind       string     `expr:"kind"`
	Service    string     `expr:"service"`
	Priority   string     `expr:"priority"`
	Release    string     `expr:"release"`
	Class      string     `expr:"class"`
	Position   string     `expr:"position"`
	Agent      string     `expr:"agent"`
	Outside    bool       `expr:"outside"`
	Talk       float64    `expr:"talk"`
	Rescues    int        `expr:"rescues"`
	Transfer   string     `expr:"transfer"`
	TransferTo string     `expr:"transfer_to"`
	Reported   string     `expr:"transfer_reported"`
	Hold       float64    `expr:"hold"`
	Holding    bool       `expr:"holding"`
	Intake     intakeView `expr:"intake"`
	Speech     speechView `expr:"speech"`
	Redials    int        `expr:"redials"`
	Surge      bool       `expr:"surge"`
	Hour       int        `expr:"hour"`
	Weekday    string     `expr:"weekday"`
}

type speechView struct {
	Caller float64 `expr:"caller"`
	Taker  float64 `expr:"taker"`
}

type intakeView struct {
	Location    markView `expr:"location"`
	Callback    markView `expr:"callback"`
	Nature      markView `expr:"nature"`
	Incident    markView `expr:"incident"`
	Dispatched  markView `expr:"dispatched"`
	Disposition markView `expr:"disposition"`
	Complete    bool     `expr:"complete"`
	Claimed     bool     `expr:"claimed"`
	Summary     string   `expr:"summary"`
}

type markView struct {
	Marked bool    `expr:"marked"`
	Value  string  `expr:"value"`
	By     string  `expr:"by"`
	Source string  `expr:"source"`
	Trust  string  `expr:"trust"`
	Age    float64 `expr:"age"`
}

// unknown stands for a number that nobody knows.
const unknown = -1

// fill sets v to what the policy's conditions see of f.
func (p *Policy) fill(v *view, f *Facts) {
	*v = view{
		Kind: string(f.Kind), Service: f.Service, Priority: f.Priority, Release: string(f.Release),
		Class: f.Class, Position: f.Position, Agent: f.Agent, Outside: f.Outside, Talk: f.Talk.Seconds(), Rescues: f.Rescues,
		Transfer: f.Transfer, TransferTo: f.TransferTo, Reported: f.TransferReported, Hold: f.Hold.Seconds(), Holding: f.Holding,
		Speech:  speechView{Caller: f.CallerSpeech.seconds(), Taker: f.TakerSpeech.seconds()},
		Redials: f.Redials, Surge: f.Surge, Hour: unknown,
	}
	if !f.At.IsZero() {
		at := f.At
		if p.zone != nil {
			at = at.In(p.zone)
		}
		v.Hour, v.Weekday = at.Hour(), weekday(at.Weekday())
	}
	p.fillIntake(&v.Intake, f)
}

func (p *Policy) fillIntake(v *intakeView, f *Facts) {
	for _, field := range []struct {
		name Field
		view *markView
	}{
		{Location, &v.Location},
		{Callback, &v.Callback},
		{Nature, &v.Nature},
		{Incident, &v.Incident},
		{Dispatched, &v.Dispatched},
		{Disposition, &v.Disposition},
	} {
		field.view.Age = unknown
		mark, ok := f.Intake[field.name]
		level := p.sources.of(mark.Source)
		if !ok || level == Ignored {
			continue
		}
		*field.view = markView{
			Marked: true, Value: mark.Value, By: mark.By, Source: mark.Source, Trust: string(level), Age: age(mark.At, f.At),
		}
	}
	proven, claimed := f.Intake.believed(p.sources, false), f.Intake.believed(p.sources, true)
	v.Complete, v.Claimed = proven.complete(), claimed.complete()
	v.Summary = p.summaries.of(claimed)
	if v.Complete {
		v.Summary = p.summaries.of(proven)
	}
}

// age is how long before at a mark was made, in seconds.
func age(made, at time.Time) float64 {
	if made.IsZero() || at.IsZero() {
		return unknown
	}
	return max(at.Sub(made).Seconds(), 0)
}

func (s Span) seconds() float64 {
	if !s.Known {
		return unknown
	}
	return s.For.Seconds()
}

func weekday(d time.Weekday) string { return strings.ToLower(d.String()) }
