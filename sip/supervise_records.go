package sip

import "time"

// joinData is supervisor.joined, and the beginning of every other record of a
// supervisor's part: who hears and speaks to whom, under the name i3 gives it.
type joinData struct {
	Join     string    `json:"join"`
	By       string    `json:"by"`
	Target   string    `json:"target"`
	URI      string    `json:"uri,omitempty"`
	Mode     Mode      `json:"mode"`
	CallType string    `json:"callType"` // silentMonitoring or intervene (NENA-STA-010.3)
	Via      string    `json:"via"`
	Asked    time.Time `json:"asked"`
	Taker    string    `json:"taker,omitempty"` // who had the caller
	Agent    string    `json:"agent,omitempty"`
	Leg      string    `json:"leg"`
}

// modeData is supervisor.mode.
type modeData struct {
	joinData
	Was       Mode   `json:"was"`
	ChangedBy string `json:"changedBy,omitempty"`
	Why       string `json:"why,omitempty"` // of becoming the taker
}

// leftData is supervisor.left.
type leftData struct {
	joinData
	How        string `json:"how"`
	DurationMS int64  `json:"durationMs"` // since the media began
}

// failedJoin is supervisor.failed.
type failedJoin struct {
	joinData
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason"`
	Answer *wire  `json:"answer,omitempty"`
}

// refusedData is supervisor.refused: somebody who may not dialled in.
type refusedData struct {
	From    string `json:"from"`
	Source  string `json:"source"`
	Wanted  string `json:"wanted"` // the request URI
	Join    string `json:"join,omitempty"`
	Reason  string `json:"reason"`
	Message *wire  `json:"message,omitempty"`
}

// assistData is assist.requested and assist.ended.
type assistData struct {
	Alert    string   `json:"alert"`
	Kind     string   `json:"kind"` // join or handover
	By       string   `json:"by"`
	Note     string   `json:"note,omitempty"`
	Source   string   `json:"source"` // http or dtmf
	Position string   `json:"position"`
	Agent    string   `json:"agent,omitempty"`
	Called   []string `json:"called,omitempty"` // the supervisors that are rung
	How      string   `json:"how,omitempty"`    // assist.ended: what came of it
	With     string   `json:"with,omitempty"`   // assist.ended: who helps
}

func (c *Call) joinData(l *leg, mode Mode) joinData {
	d := joinData{
		Join: l.Join.ID, By: l.Join.By, Target: l.Target, URI: l.URI, Mode: mode, CallType: mode.callType(),
		Via: l.Join.Via, Asked: l.Join.Asked, Leg: l.Dialog.LocalTag,
	}
	if c.taker != nil && c.taker != l {
		d.Taker, d.Agent = c.taker.Target, c.taker.Agent
	}
	return d
}

// mediaData is supervisor.media: the track of the recording that holds the
// supervisor's audio, and why somebody is not heard.
type mediaData struct {
	Join   string `json:"join"`
	Mode   Mode   `json:"mode"`
	Track  int    `json:"track,omitempty"`
	Reason string `json:"reason,omitempty"`
}
