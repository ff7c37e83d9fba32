package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// factsJSON is how Facts are written to the journal: under the names that
// conditions use, times in seconds, what is unknown left out. The time of the
// release keeps its offset, so that it is the same hour wherever it is read.
type factsJSON struct {
	Kind       CallKind    `json:"kind"`
	Service    string      `json:"service,omitempty"`
	Priority   string      `json:"priority,omitempty"`
	Release    Release     `json:"release"`
	Class      string      `json:"class,omitempty"`
	Position   string      `json:"position"`
	Agent      string      `json:"agent,omitempty"`
	Outside    bool        `json:"outside,omitempty"`
	Talk       float64     `json:"talk"`
	Rescues    int         `json:"rescues,omitempty"`
	Transfer   string      `json:"transfer,omitempty"`
	TransferTo string      `json:"transfer_to,omitempty"`
	Reported   string      `json:"transfer_reported,omitempty"`
	Hold       float64     `json:"hold,omitempty"`
	Holding    bool        `json:"holding,omitempty"`
	Intake     Intake      `json:"intake,omitempty"`
	Speech     *speechJSON `json:"speech,omitempty"`
	Redials    int         `json:"redials,omitempty"`
	Surge      bool        `json:"surge,omitempty"`
	At         time.Time   `json:"at,omitzero"`
}

type speechJSON struct {
	Caller *float64 `json:"caller,omitempty"`
	Taker  *float64 `json:"taker,omitempty"`
}

// MarshalJSON writes the facts so that UnmarshalJSON gives the same facts back
// and the same policy the same verdict on them.
func (f Facts) MarshalJSON() ([]byte, error) {
	j := factsJSON{
		Kind: f.Kind, Service: f.Service, Priority: f.Priority, Release: f.Release, Class: f.Class, Position: f.Position, Agent: f.Agent,
		Talk: f.Talk.Seconds(), Rescues: f.Rescues, Transfer: f.Transfer, TransferTo: f.TransferTo,
		Outside: f.Outside, Reported: f.TransferReported, Hold: f.Hold.Seconds(), Holding: f.Holding, Intake: f.Intake, Redials: f.Redials, Surge: f.Surge, At: f.At,
	}
	if f.CallerSpeech.Known || f.TakerSpeech.Known {
		j.Speech = &speechJSON{Caller: f.CallerSpeech.pointer(), Taker: f.TakerSpeech.pointer()}
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Facts) UnmarshalJSON(data []byte) error {
	var j factsJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("reading facts: %w", err)
	}
	*f = Facts{
		Kind: j.Kind, Service: j.Service, Priority: j.Priority, Release: j.Release, Class: j.Class, Position: j.Position, Agent: j.Agent,
		Talk: duration(j.Talk), Rescues: j.Rescues, Transfer: j.Transfer, TransferTo: j.TransferTo,
		Outside: j.Outside, TransferReported: j.Reported, Hold: duration(j.Hold), Holding: j.Holding, Intake: j.Intake, Redials: j.Redials, Surge: j.Surge, At: j.At,
	}
	if j.Speech != nil {
		f.CallerSpeech, f.TakerSpeech = span(j.Speech.Caller), span(j.Speech.Taker)
	}
	return nil
}

func (s Span) pointer() *float64 {
	if !s.Known {
		return nil
	}
	v := s.For.Seconds()
	return &v
}

func span(seconds *float64) Span {
	if seconds == nil {
		return Span{}
	}
	return Measured(duration(*seconds))
}

// duration is exact to the nanosecond for a hundred days.
func duration(seconds float64) time.Duration {
	return time.Duration(math.Round(min(max(seconds, -math.MaxInt64/1e9), math.MaxInt64/1e9-1) * 1e9))
}
