package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"holdline/media"
	"holdline/sip"
)

// meterEvery is how often the meters are read while somebody looks at them.
const meterEvery = time.Second

// How long after the last of it something is still going on, so that a pause
// for breath is none.
const (
	stillSpeaking = 1500 * time.Millisecond
	stillSending  = 2 * time.Second
)

// What a party does, as its meter says.
const (
	meterSpeaking = "speaking"
	meterSilent   = "silent"
	meterNoise    = "noise"    // something audible that is no speech
	meterNothing  = "no sound" // not even silence: no packets come
	meterUnknown  = "unknown"  // speech cannot be told from the rest: encrypted end to end, or a format of constant rate
)

// Meter is who can be heard of one party of a call.
type Meter struct {
	Call  string    `json:"call"`
	Role  string    `json:"role"` // caller or taker
	State string    `json:"state"`
	Share int       `json:"share"`          // of the last second, in per cent, that was speech, or noise
	Since time.Time `json:"since,omitzero"` // when there was speech last, when there is none; the beginning of the leg where there was none yet
}

// meterOf reads a leg's meter; before is what was heard of it a moment ago, nil
// where that is not known.
func meterOf(call string, l sip.LegView, before *sip.Sound, now time.Time) (Meter, bool) {
	if l.Sound == nil || l.Role != "caller" && l.Role != "taker" {
		return Meter{}, false
	}
	m, s := Meter{Call: call, Role: l.Role}, *l.Sound
	speech, noise := int64(0), int64(0)
	if before != nil {
		speech, noise = s.SpeechMS-before.SpeechMS, s.NoiseMS-before.NoiseMS
	}
	m.Share = int(min(100, max(0, speech, noise)*100/meterEvery.Milliseconds()))
	switch {
	case now.Sub(s.Spoke) < stillSpeaking:
		m.State = meterSpeaking
		return m, true
	case now.Sub(s.Received) >= stillSending && !s.Pauses:
		m.State = meterNothing
	case noise > 0:
		m.State = meterNoise
	case s.Activity == media.NoActivity:
		m.State = meterUnknown
	default:
		m.State = meterSilent
	}
	if m.Since = l.Since; s.Spoke.After(m.Since) {
		m.Since = s.Spoke
	}
	return m, true
}

// meters reads the meters of all calls for everybody who looks at them, and
// reads nothing while nobody does.
type meters struct {
	calls func() []sip.CallView

	mu      sync.Mutex
	readers int
	stop    chan struct{}
	changed chan struct{} // closed when there is a new reading
	latest  []Meter
}

// watch begins to read, if nobody else looks yet.
func (m *meters) watch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readers++; m.readers > 1 {
		return
	}
	m.stop, m.changed, m.latest = make(chan struct{}), make(chan struct{}), nil
	go m.read(m.stop)
}

// leave ends the reading with the last who looks.
func (m *meters) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readers--; m.readers == 0 {
		close(m.stop)
	}
}

func (m *meters) read(stop chan struct{}) {
	tick := time.NewTicker(meterEvery)
	defer tick.Stop()
	before := map[string]*sip.Sound{}
	for {
		now := time.Now()
		var latest []Meter
		heard := make(map[string]*sip.Sound, len(before))
		for _, c := range m.calls() {
			for _, l := range c.Legs {
				key := c.ID + " " + l.Role + " " + l.Target
				if meter, ok := meterOf(c.ID, l, before[key], now); ok && l.State != "ended" {
					latest, heard[key] = append(latest, meter), l.Sound
				}
			}
		}
		before = heard
		m.mu.Lock()
		if m.stop != stop {
			m.mu.Unlock()
			return
		}
		m.latest = latest
		close(m.changed)
		m.changed = make(chan struct{})
		m.mu.Unlock()
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// reading returns the latest meters, and what is closed when there are others.
func (m *meters) reading() ([]Meter, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest, m.changed
}

// getMeters streams the speech meters of the calls in progress as server-sent
// events: all of them at first, and then those that changed.
func (c *Console) getMeters(w http.ResponseWriter, r *http.Request) {
	if !c.openStream(w, r) {
		return
	}
	defer func() { <-c.streams }()
	c.meters.watch()
	defer c.meters.leave()
	send := c.streamTo(w)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	told := map[string]Meter{}
	for ok := send("retry: 1000\n\n"); ok; {
		latest, changed := c.meters.reading()
		if news := newsOf(told, latest); len(news) > 0 {
			data, err := json.Marshal(map[string]any{"meters": news})
			if ok = err == nil && send(fmt.Sprintf("event: meters\ndata: %s\n\n", data)); !ok {
				return
			}
		}
		select {
		case <-changed:
		case <-tick.C:
			ok = c.stillIn(r) && send(": still here\n\n")
		case <-r.Context().Done():
			return
		case <-c.stopping:
			return
		}
	}
}

// newsOf returns the meters that are not as they were told, and remembers them.
func newsOf(told map[string]Meter, latest []Meter) (news []Meter) {
	there := make(map[string]bool, len(latest))
	for _, m := range latest {
		key := m.Call + " " + m.Role
		if there[key] = true; told[key] != m {
			news = append(news, m)
			told[key] = m
		}
	}
	for key := range told {
		if !there[key] {
			delete(told, key)
		}
	}
	return news
}
