package sip

import (
	"encoding/base64"
	"maps"
	"time"
	"unicode/utf8"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
	"holdline/sip/edge"
)

type entry = recorder.Entry

func entryList(e ...entry) []entry { return e }

// wire is a message as it was on the wire, for the journal: the exact bytes,
// as text where they are text.
type wire struct {
	Raw       string    `json:"raw,omitempty"`
	RawBase64 string    `json:"rawBase64,omitempty"`
	Transport string    `json:"transport,omitempty"`
	Source    string    `json:"source,omitempty"`
	Local     string    `json:"local,omitempty"`
	Arrived   time.Time `json:"arrived,omitzero"`
}

func wireOf(msg gosip.Message) *wire {
	a := edge.ArrivalOf(msg)
	if len(a.Raw) == 0 {
		return nil
	}
	w := &wire{Transport: a.Transport, Source: a.Source, Local: a.Local, Arrived: a.At}
	if utf8.Valid(a.Raw) {
		w.Raw = string(a.Raw)
	} else {
		w.RawBase64 = base64.StdEncoding.EncodeToString(a.Raw)
	}
	return w
}

// offerData is call.offered and rescue.offered.
type offerData struct {
	Leg         string          `json:"leg"`
	Position    string          `json:"position"`
	URI         string          `json:"uri"`
	Agent       string          `json:"agent,omitempty"`
	Kind        policy.CallKind `json:"kind"`
	EmergencyID string          `json:"emergencyId,omitempty"`
	IncidentID  string          `json:"incidentId,omitempty"`
	From        string          `json:"from,omitempty"`
	Asserted    string          `json:"asserted,omitempty"` // P-Asserted-Identity
	To          string          `json:"to,omitempty"`
	RequestURI  string          `json:"requestUri,omitempty"`
	Route       string          `json:"route,omitempty"`
	Priority    string          `json:"priority,omitempty"`
	Source      string          `json:"source,omitempty"`
	Tier        int             `json:"tier,omitempty"`  // from 1
	Round       int             `json:"round,omitempty"` // from 1
	Queue       int             `json:"queue,omitempty"` // place in the queue, from 1
	WaitingMS   int64           `json:"waitingMs,omitempty"`
	Redials     int             `json:"redials,omitempty"` // calls of the same caller shortly before
	Avoid       []string        `json:"avoid,omitempty"`   // who dropped the caller on one of them
	Note        string          `json:"note,omitempty"`    // what the taker is told of them
}

// answerData is call.answered and rescue.answered.
type answerData struct {
	Leg       string `json:"leg"`
	Position  string `json:"position"`
	URI       string `json:"uri"`
	Agent     string `json:"agent,omitempty"`       // when it was offered
	Seated    string `json:"agentSeated,omitempty"` // when it was answered, if somebody else
	Outside   bool   `json:"outside,omitempty"`     // another centre, to which the call was transferred
	WaitingMS int64  `json:"waitingMs"`             // since the call, or since the release
	Rescues   int    `json:"rescues,omitempty"`
	Answer    *wire  `json:"answer,omitempty"`
}

// failData is call.failed and rescue.failed.
type failData struct {
	Leg      string `json:"leg"`
	Position string `json:"position"`
	URI      string `json:"uri"`
	Agent    string `json:"agent,omitempty"`
	Code     int    `json:"code,omitempty"`
	Reason   string `json:"reason"`
	Answer   *wire  `json:"answer,omitempty"`

	Class    Class    `json:"class"`
	Evidence []string `json:"evidence,omitempty"`
}

// releaseData is release.requested: what happened, as it was seen.
type releaseData struct {
	Leg      string              `json:"leg"`
	Position string              `json:"position"`
	URI      string              `json:"uri"`
	Agent    string              `json:"agent,omitempty"`
	How      string              `json:"how"`
	At       time.Time           `json:"at"`
	TalkMS   int64               `json:"talkMs"`
	TLS      string              `json:"tlsIdentity"` // "none": the transport proves no identity
	Caller   []media.StreamStats `json:"callerMedia"`
	Taker    []media.StreamStats `json:"takerMedia"`
	Intake   policy.Intake       `json:"intake"`
	Bye      *wire               `json:"bye,omitempty"`
	Class    Class               `json:"class"` // whose doing it was, as far as the evidence goes
	Evidence []string            `json:"evidence,omitempty"`
	Facts    *policy.Facts       `json:"facts,omitempty"` // what the policy judged by, so that it can be judged again
}

// verdictData is release.allowed and release.intercepted.
type verdictData struct {
	Leg      string          `json:"leg"`
	Position string          `json:"position"`
	Agent    string          `json:"agent,omitempty"`
	Decision policy.Decision `json:"decision"`
	Rule     string          `json:"rule"`
	Why      string          `json:"why"`
	Policy   string          `json:"policy"`

	Skipped []policy.Skipped `json:"skipped,omitempty"` // rules that could not be evaluated
}

// promptData is rescue.prompted.
type promptData struct {
	Played  bool      `json:"played"`
	Reason  string    `json:"reason,omitempty"` // why nothing is heard
	At      time.Time `json:"at,omitzero"`
	AfterMS float64   `json:"afterMs,omitempty"` // since the BYE arrived
	GapMS   float64   `json:"gapMs,omitempty"`   // since the packet before it went to the caller
}

// markData is intake.marked.
type markData struct {
	Field    policy.Field `json:"field"`
	Value    string       `json:"value"`
	By       string       `json:"by"`
	Source   string       `json:"source"`
	Complete bool         `json:"complete"`
}

// alertData is alert.raised.
type alertData struct {
	ID        string         `json:"id"`
	Cause     string         `json:"cause"` // intercept, review, escalation
	Position  string         `json:"position,omitempty"`
	Agent     string         `json:"agent,omitempty"`
	Rule      string         `json:"rule,omitempty"`
	Why       string         `json:"why"`
	Intake    []policy.Field `json:"intake,omitempty"`
	Tier      int            `json:"tier,omitempty"`
	Round     int            `json:"round,omitempty"`
	Targets   []string       `json:"targets,omitempty"`
	WaitingMS int64          `json:"waitingMs,omitempty"`
	After     string         `json:"after,omitempty"` // the alert this one follows

	LastsMS  int64    `json:"lastsMs,omitempty"` // how long the taker has been away
	Class    Class    `json:"class,omitempty"`
	Evidence []string `json:"evidence,omitempty"`

	// Who is concerned, for when the call is over and cannot be asked any more.
	From        string `json:"from,omitempty"`
	To          string `json:"to,omitempty"`
	EmergencyID string `json:"emergencyId,omitempty"`
	IncidentID  string `json:"incidentId,omitempty"`
}

// of adds to an alert whose call it is about, and how long the caller has waited.
func (d alertData) of(c *Call) alertData {
	d.From, d.To, d.EmergencyID, d.IncidentID = c.From, c.To, c.EmergencyID, c.IncidentID
	if d.WaitingMS == 0 && !c.WaitingFrom.IsZero() {
		d.WaitingMS = time.Since(c.WaitingFrom).Milliseconds()
	}
	return d
}

// calledOffData is rescue.calledoff.
type calledOffData struct {
	Leg      string `json:"leg"`
	Position string `json:"position"`
	Agent    string `json:"agent,omitempty"`
	How      string `json:"how"` // of the release.requested that began it
	Why      string `json:"why"`
	AfterMS  int64  `json:"afterMs"`         // since the queue was offered the call
	After    string `json:"after,omitempty"` // the alert that told of it
}

// recordingData is recording.started and recording.closed.
type recordingData struct {
	Path       string   `json:"path"`
	SHA256     string   `json:"sha256,omitempty"`
	DurationMS int64    `json:"durationMs,omitempty"`
	Packets    uint64   `json:"packets,omitempty"`
	Lost       uint64   `json:"lost,omitempty"`
	Extra      []string `json:"extra,omitempty"`
	ExtraSHA   []string `json:"extraSha256,omitempty"`
	Plain      string   `json:"plainSha256,omitempty"` // before encryption
	PlainExtra []string `json:"plainExtraSha256,omitempty"`
	Error      string   `json:"error,omitempty"`
}

// endData is call.ended.
type endData struct {
	By         string    `json:"by"`
	Reason     string    `json:"reason"`
	Who        string    `json:"who,omitempty"`
	Code       int       `json:"code,omitempty"`
	Kind       string    `json:"kind"`
	DurationMS int64     `json:"durationMs"`
	Answered   time.Time `json:"answered,omitzero"`
	Rescues    int       `json:"rescues"`
	Complete   bool      `json:"intakeComplete"`
	Bye        *wire     `json:"bye,omitempty"`
	Class      Class     `json:"class"` // whose doing it was, as far as the evidence goes
	Evidence   []string  `json:"evidence,omitempty"`
}

func (c *Call) recordOffer(l *leg) {
	d := offerData{
		Leg: l.Dialog.LocalTag, Position: l.Target, URI: l.URI, Agent: l.Agent, Kind: c.Kind,
		EmergencyID: c.EmergencyID, IncidentID: c.IncidentID,
	}
	if l.Rescue {
		d.Tier, d.Round, d.Queue = c.Place.Tier+1, c.Place.Round+1, c.g.queue.place(c)
		d.WaitingMS = time.Since(c.WaitingFrom).Milliseconds()
		c.record("rescue.offered", d)
		return
	}
	d.From, d.To, d.RequestURI, d.Route, d.Priority = c.From, c.To, c.RequestURI, c.Route.Match, c.Priority
	d.Source, d.Asserted, d.Redials, d.Avoid, d.Note = c.caller.Peer, c.Asserted, c.Redials, c.Avoid, c.Note
	c.record(c.kindOf(l, "offered"), d)
}

func (c *Call) recordAnswer(l *leg, res *gosip.Response) {
	d := answerData{
		Leg: l.Dialog.LocalTag, Position: l.Target, URI: l.URI, Agent: l.Agent, Seated: l.Seated, Outside: l.Outside,
		WaitingMS: time.Since(c.Started).Milliseconds(), Rescues: c.Rescues,
	}
	if res != nil {
		d.Answer = wireOf(res)
	}
	if l.Rescue {
		d.WaitingMS = time.Since(c.WaitingFrom).Milliseconds()
	}
	c.record(c.kindOf(l, "answered"), d)
}

func (c *Call) recordFailure(l *leg, why failure) {
	d := failData{Leg: l.Dialog.LocalTag, Position: l.Target, URI: l.URI, Agent: l.Agent, Code: why.Code, Reason: why.Reason}
	d.Class, d.Evidence = classOfFailure(why)
	if why.res != nil {
		d.Answer = wireOf(why.res)
	}
	c.record(c.kindOf(l, "failed"), d)
}

func (c *Call) releaseFacts(r *release, now time.Time) releaseData {
	d := releaseData{
		Leg: r.leg.Dialog.LocalTag, Position: r.leg.Target, URI: r.leg.URI, Agent: r.leg.Agent, How: r.how,
		At: now, TalkMS: now.Sub(c.Taken).Milliseconds(), TLS: "none", Intake: c.intake(),
		Caller: c.media.Stats(media.Caller), Taker: c.media.Stats(r.leg.ID),
	}
	if r.bye != nil {
		d.Bye = wireOf(r.bye.req)
		if d.Bye != nil {
			d.At = d.Bye.Arrived
		}
	}
	r.data.At = d.At
	d.Class, d.Evidence = c.classOfRelease(r)
	return d
}

// intake is a copy of what is marked: records are marshalled later.
func (c *Call) intake() policy.Intake {
	out := make(policy.Intake, len(c.Intake))
	maps.Copy(out, c.Intake)
	return out
}

func (c *Call) endData() endData {
	d := endData{
		By: c.ended.By, Reason: c.ended.Reason, Who: c.ended.Who, Kind: string(c.Kind), Answered: c.Answered,
		DurationMS: time.Since(c.Started).Milliseconds(), Rescues: c.Rescues, Complete: c.complete(),
	}
	if !c.answered() {
		d.Code = c.ended.Code
	}
	d.Class, d.Evidence = c.classOfEnd()
	if c.ended.Bye != nil {
		d.Bye = wireOf(c.ended.Bye)
	}
	return d
}

// closeRecording runs when no packet of the call can come any more.
func (c *Call) closeRecording(rec uint32) {
	if rec == 0 {
		c.mediaOver = true
		c.settled()
		return
	}
	c.g.opts.Audio.Stop(rec, func(r recorder.Closed) {
		c.g.opts.Journal.Append(recorder.Entry{Time: time.Now(), Call: c.ID, Kind: "recording.closed", Data: recordingData{
			Path: r.Path, SHA256: r.SHA256, DurationMS: r.Duration.Milliseconds(), Packets: r.Packets, Lost: r.Lost,
			Extra: r.Extra, ExtraSHA: r.ExtraSHA256, Plain: r.PlainSHA256, PlainExtra: r.PlainExtraSHA256, Error: whyNot(r.Err),
		}})
		c.post(func() { c.mediaOver = true; c.settled() })
	})
}

// recordUnoffered tells of a call that came while no position was free.
func (c *Call) recordUnoffered() {
	c.record("call.offered", offerData{
		Kind: c.Kind, EmergencyID: c.EmergencyID, IncidentID: c.IncidentID, From: c.From,
		To: c.To, RequestURI: c.RequestURI, Route: c.Route.Match, Priority: c.Priority, Source: c.caller.Peer,
		Asserted: c.Asserted, Redials: c.Redials, Avoid: c.Avoid, Note: c.Note,
	})
	c.record("call.failed", failData{Class: Technical, Reason: "no position of the route is free"})
}

// whyNot is an error's text; "" for none.
func whyNot(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
