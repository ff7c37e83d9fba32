// Package media carries the RTP of calls: it owns the ports, relays packets
// between the legs of a call, keeps what the caller hears one continuous
// stream, plays prompts, watches for DTMF and hands every packet to a tap.
// It knows nothing of SIP: legs are described by addresses and codecs.
package media

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Kind is the kind of one media stream (one m-line of an SDP session).
type Kind uint8

// The kinds of stream that are told apart; Other is relayed like the rest.
const (
	Audio Kind = iota
	Video
	Text
	Other
)

// Codec is one RTP payload format of a stream as negotiated in SDP
// (RFC 8866 section 6.6).
type Codec struct {
	PT       uint8  // RTP payload type
	Name     string // encoding name in upper case: PCMU, PCMA, TELEPHONE-EVENT, T140, RED
	Rate     uint32 // RTP clock rate in Hz
	Channels uint8  // 1 when absent
}

// Remote is what the other side of one stream told us: where it wants to
// receive and in which formats. The zero address means "not known yet".
type Remote struct {
	RTP    netip.AddrPort // where RTP is sent to, and the only source accepted unless NAT is configured
	RTCP   netip.AddrPort // where RTCP goes; equal to RTP when Mux
	Mux    bool           // RTP and RTCP share one port (RFC 5761)
	Codecs []Codec        // in order of preference; the first audio codec that is not telephone-event is in use
	Ptime  time.Duration  // packet time asked for (a=ptime), 0 if none: 20 ms
	Secure bool           // SRTP is passed through encrypted: nothing may be rewritten, no prompt can be played
	Muted  bool           // the remote does not want to receive (sendonly, inactive, port 0, 0.0.0.0)
}

// Ports is the local transport of one stream: RTP on RTP, RTCP on the next port.
type Ports struct {
	RTP  netip.AddrPort
	RTCP netip.AddrPort
}

// Event is what media tells the call. It is delivered by a function that
// must not block (it posts to the call's inbox).
type Event struct {
	Kind   EventKind
	Leg    LegID
	Stream int
	At     time.Time
	Code   string        // EventCode: the DTMF code that was dialled
	Played bool          // EventPrompt: false when the codec cannot carry a prompt
	Reason string        // EventPrompt: why not; EventAttend: why somebody cannot be heard, "" if all is well
	Gap    time.Duration // EventPrompt: time since the packet before it went to the caller
	Mode   Mode          // EventAttend: how the supervisor takes part
	Track  int           // EventAttend: the number under which the supervisor's audio is recorded
}

// EventKind tells events apart.
type EventKind uint8

const (
	// EventFirst is the first packet received from a leg's stream.
	EventFirst EventKind = iota
	// EventCode is a complete configured DTMF code from a leg (RFC 4733).
	EventCode
	// EventPrompt is the first packet of a prompt sent to the caller, or the
	// news that none can be played.
	EventPrompt
	// EventAttend says after Attend, and again when it changes, whether the
	// supervisor of Leg can hear and be heard, or why not (Reason).
	EventAttend
)

// Mode is how a supervisor takes part in a call.
type Mode uint8

const (
	// Listen hears what the caller says and hears, and is heard by nobody.
	Listen Mode = iota
	// Whisper is heard by the taker, and not by the caller.
	Whisper
	// Barge is heard by all.
	Barge
)

// String names the mode as the API and the journal do.
func (m Mode) String() string { return [...]string{"listen", "whisper", "barge"}[min(m, Barge)] }

// LegID names a leg within its call. The caller is always leg 0.
type LegID int

// Caller is the LegID of the caller.
const Caller LegID = 0

// StreamStats is what was seen of one stream of one leg: evidence for
// "release.requested". Times are wall clock; zero if nothing was seen.
type StreamStats struct {
	Received  uint64    `json:"received"` // RTP packets taken from the remote
	Sent      uint64    `json:"sent"`     // RTP packets sent to the remote
	Refused   uint64    `json:"refused"`  // packets from sources that may not send
	FirstRecv time.Time `json:"firstReceived,omitzero"`
	LastRecv  time.Time `json:"lastReceived,omitzero"`
	LastSent  time.Time `json:"lastSent,omitzero"`
	SSRC      uint32    `json:"ssrc"`

	// Activity says by what means speech was told from the rest: by the
	// samples of G.711, by the pattern of packets of other formats, or by the
	// characters of a text stream. Where it is empty nothing is known: none of
	// Speech, Noise and LastSpeech means anything.
	Activity   Activity      `json:"activity,omitempty"`
	Speech     time.Duration `json:"-"`                   // how long speech was heard, all in all; in JSON as speechMs
	Noise      time.Duration `json:"-"`                   // how long something audible that is no speech: tones, noise, garbage; noiseMs
	LastSpeech time.Time     `json:"lastSpeech,omitzero"` // or the last character
	Pauses     bool          `json:"pauses,omitempty"`    // it does not send all the time, or sends comfort noise, when there is silence

	// What the network said of packets to the remote that did not arrive.
	Unreached     uint64    `json:"unreached,omitempty"`
	LastUnreached time.Time `json:"lastUnreached,omitzero"`
	Unreachable   string    `json:"unreachable,omitempty"` // the latest complaint, in words
}

// MarshalJSON writes the durations in milliseconds, like all others in records.
func (s StreamStats) MarshalJSON() ([]byte, error) {
	type plain StreamStats
	return json.Marshal(struct {
		plain
		SpeechMS int64 `json:"speechMs,omitempty"`
		NoiseMS  int64 `json:"noiseMs,omitempty"`
	}{plain(s), s.Speech.Milliseconds(), s.Noise.Milliseconds()})
}

// Activity is a means by which speech is told.
type Activity string

// The means there are.
const (
	NoActivity Activity = ""
	BySamples  Activity = "samples"
	ByPattern  Activity = "pattern"
	ByText     Activity = "text"
)

// Tap receives every relayed or played packet, for recording. One Tap serves
// one packet loop and is called from that loop alone; it must neither block
// nor keep pkt after it returns.
type Tap interface {
	// Packet hands over a whole RTP packet of recording rec. side is 0 for
	// what the caller says and 1 for what the caller hears; 2 for what a
	// supervisor who may be heard says and 3 for what that supervisor hears.
	// codec is the static RTP payload type of G.711 (0 PCMU, 8 PCMA) or 255
	// for any other format; stream is the m-line, or of sides 2 and 3 the
	// supervisor's Track; at is its arrival in Unix nanoseconds.
	Packet(rec uint32, side, codec, stream uint8, at int64, pkt []byte)
	// Tick is called at least every 100 ms with the time in Unix nanoseconds.
	Tick(now int64)
}

// Session is the media of one call. All methods may be called from any
// goroutine, return at once, and take effect in the order they were called.
type Session interface {
	// AddLeg reserves a port pair for each of the streams and returns where
	// the leg listens. ipv6 picks the address family. The caller is added
	// first, as leg 0. When the configured range is used up the leg gets
	// ports chosen by the system, so that a call never fails for want of one.
	AddLeg(kinds []Kind, ipv6 bool) (LegID, []Ports, error)
	// AddStreams extends a leg whose re-INVITE brought more m-lines.
	AddStreams(leg LegID, kinds []Kind) ([]Ports, error)
	// SetRemote says (again) what the far side of a leg's stream is.
	SetRemote(leg LegID, stream int, r Remote)
	// Bridge joins the caller with leg, in both directions, in place of
	// whoever or whatever served the caller before. The caller's received
	// stream stays one SSRC with continuous sequence numbers and timestamps.
	Bridge(leg LegID)
	// Prompt plays the rescue prompt to the caller until Bridge, Silence or
	// Close: audio as PCMU or PCMA, T.140 as text. The first packet leaves in
	// the slot after the last packet that was relayed.
	Prompt()
	// Silence serves the caller with nothing (early state, before a taker).
	Silence()
	// Attend lets leg take part as a supervisor in the given mode, at any stage
	// of the call; called again it changes the mode, and DropLeg ends it. It
	// is answered by EventAttend. The leg that the caller is bridged with
	// attends as soon as somebody else is; Bridge ends the attendance of the
	// leg it names.
	Attend(leg LegID, mode Mode)
	// WatchCodes listens for DTMF codes from leg; digits that belong to a
	// code are withheld from the caller.
	WatchCodes(leg LegID, codes []string)
	// Record starts to hand the call's packets to the tap as recording rec.
	Record(rec uint32)
	// DropLeg ends a leg and frees its ports after the quarantine.
	DropLeg(leg LegID)
	// Stats returns what was seen of each stream of a leg so far.
	Stats(leg LegID) []StreamStats
	// Close ends all legs. No packet reaches the tap for this call after
	// done, which may be nil, was called.
	Close(done func())
}
