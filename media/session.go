package media

import (
	"fmt"
	"net/netip"
	"sync"
)

// mode is what serves the caller.
type mode uint8

const (
	silent mode = iota
	bridged
	prompting
)

// session is the media of one call. The first group of fields never changes,
// the second is guarded by the mutex, the third belongs to the loop.
type session struct {
	engine *Engine
	loop   *loop
	call   string
	notify func(Event)

	mu     sync.Mutex
	legs   []*legView
	closed bool
	lively bool // it was prompted or attended: what concerns it cannot wait for a packet

	mode      mode
	caller    *leg
	peer      *leg // bridged to
	all       []*leg
	recording bool
	rec       uint32
	attended  int   // how many supervisors there have been
	room      *room // while supervisors attend
}

var _ Session = (*session)(nil)

// legView is what callers of a Session see of a leg.
type legView struct {
	leg     *leg
	streams []*stream
	dropped bool
}

func (s *session) AddLeg(kinds []Kind, ipv6 bool) (LegID, []Ports, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lg := &leg{sess: s, id: LegID(len(s.legs)), v6: ipv6}
	view := &legView{leg: lg}
	ports, err := s.open(view, kinds)
	if err != nil {
		return 0, nil, fmt.Errorf("adding a media leg: %w", err)
	}
	s.legs = append(s.legs, view)
	return lg.id, ports, nil
}

func (s *session) AddStreams(id LegID, kinds []Kind) ([]Ports, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	view := s.view(id)
	if view == nil || view.dropped {
		return nil, fmt.Errorf("adding media streams: there is no leg %d", id)
	}
	ports, err := s.open(view, kinds)
	if err != nil {
		return nil, fmt.Errorf("adding media streams: %w", err)
	}
	return ports, nil
}

// open binds ports for more streams of a leg and hands them to the loop. The
// loop is told of them before the poller, so that it knows every socket that
// becomes readable.
func (s *session) open(view *legView, kinds []Kind) (ports []Ports, err error) {
	if s.closed {
		return nil, ErrClosed
	}
	alloc, err := s.engine.allocator(view.leg.v6)
	if err != nil {
		return nil, err
	}
	var added []*stream
	for _, kind := range kinds {
		p, err := alloc.take(kind)
		if err != nil {
			free(added)
			return nil, err
		}
		st := &stream{leg: view.leg, index: len(view.streams) + len(added), kind: kind, pair: p}
		if view.leg.id == Caller {
			st.ear = &ear{kind: kind}
		}
		added = append(added, st)
		ports = append(ports, Ports{RTP: p.rtp.LocalAddr(), RTCP: p.rtcp.LocalAddr()})
	}
	if !s.loop.note(func() { s.adopt(view.leg, added) }) {
		free(added)
		return nil, ErrClosed
	}
	if err := s.watch(added); err != nil {
		s.loop.post(func() { s.abandon(view.leg, added) })
		return nil, err
	}
	view.streams = append(view.streams, added...)
	return ports, nil
}

func (s *session) watch(added []*stream) error {
	for _, st := range added {
		for _, sock := range []Socket{st.pair.rtp, st.pair.rtcp} {
			if err := s.loop.poll.Add(sock); err != nil {
				return err
			}
		}
	}
	return nil
}

func free(streams []*stream) {
	for _, st := range streams {
		_ = st.pair.free()
	}
}

// view finds a leg, nil if there is none.
func (s *session) view(id LegID) *legView {
	if id < 0 || int(id) >= len(s.legs) {
		return nil
	}
	return s.legs[id]
}

// do posts a command that concerns a leg.
func (s *session) do(id LegID, f func(*leg)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lively = true
	s.hand(id, f)
}

// prepare posts a command that concerns what is to become of packets.
func (s *session) prepare(id LegID, f func(*leg)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hand(id, f)
}

// hand hands a command of a leg to the loop. s.mu is held.
func (s *session) hand(id LegID, f func(*leg)) {
	if view := s.view(id); view != nil && !view.dropped && !s.closed {
		s.loop.command(func() { f(view.leg) }, s.lively)
	}
}

// post posts a command that concerns the whole call.
func (s *session) post(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lively = true
	if !s.closed {
		s.loop.post(f)
	}
}

func (s *session) SetRemote(id LegID, index int, r Remote) {
	s.prepare(id, func(lg *leg) {
		if index < 0 || index >= len(lg.streams) {
			return
		}
		s.loop.setRemote(lg.streams[index], r)
	})
}

func (s *session) Bridge(id LegID) {
	if id != Caller {
		s.prepare(id, func(lg *leg) { s.loop.bridge(s, lg) })
	}
}

func (s *session) Attend(id LegID, mode Mode) {
	if id != Caller {
		s.do(id, func(lg *leg) { s.loop.attend(s, lg, mode) })
	}
}

func (s *session) Prompt()  { s.post(func() { s.loop.prompt(s) }) }
func (s *session) Silence() { s.post(func() { s.loop.switchTo(s, silent, nil) }) }

func (s *session) Record(rec uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.loop.note(func() { s.recording, s.rec = true, rec })
	}
}

func (s *session) WatchCodes(id LegID, codes []string) {
	codes = append([]string(nil), codes...)
	s.prepare(id, func(lg *leg) {
		lg.codes = codes
		for _, st := range lg.streams {
			st.watch(codes)
		}
	})
}

func (s *session) DropLeg(id LegID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	view := s.view(id)
	if view == nil || view.dropped || s.closed {
		return
	}
	view.dropped = true
	s.loop.post(func() { s.drop(view.leg) })
}

func (s *session) Stats(id LegID) []StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	view := s.view(id)
	if view == nil {
		return nil
	}
	stats := make([]StreamStats, len(view.streams))
	for i, st := range view.streams {
		stats[i] = st.seen.stats()
	}
	return stats
}

func (s *session) Close(done func()) {
	if done == nil {
		done = func() {}
	}
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	finish := func() {
		defer done()
		if first {
			s.end()
		}
	}
	if !s.loop.post(finish) {
		done() // the engine has closed everything already
	}
	if first {
		s.engine.sessions.Add(-1)
	}
}

// The rest runs in the loop.

func (s *session) adopt(lg *leg, added []*stream) {
	if lg.streams == nil {
		s.all = append(s.all, lg)
	}
	if lg.id == Caller {
		s.caller = lg
	}
	for _, st := range added {
		s.loop.attach(st)
		st.watch(lg.codes)
		lg.streams = append(lg.streams, st)
	}
	s.loop.arrange(s)
}

// abandon undoes adopt for streams that could not be watched.
func (s *session) abandon(lg *leg, added []*stream) {
	lg.streams = lg.streams[:len(lg.streams)-len(added)]
	for _, st := range added {
		s.loop.detach(st)
	}
}

func (s *session) drop(lg *leg) {
	if lg.gone {
		return
	}
	lg.gone = true
	s.loop.unattend(lg)
	if s.peer == lg || s.caller == lg {
		s.loop.switchTo(s, silent, nil)
	}
	for _, st := range lg.streams {
		s.loop.detach(st)
	}
	lg.streams = nil
	if s.caller == lg {
		s.caller = nil
		s.loop.arrange(s)
	}
}

func (s *session) end() {
	s.recording = false
	s.loop.switchTo(s, silent, nil)
	for _, lg := range s.all {
		s.drop(lg)
	}
	s.all = nil
	s.loop.leave()
}

// stream returns the caller's or the peer's stream with that index.
func (lg *leg) stream(index int) *stream {
	if lg == nil || index >= len(lg.streams) {
		return nil
	}
	return lg.streams[index]
}

func (s *stream) watch(codes []string) {
	if len(codes) == 0 {
		s.dial = nil
		return
	}
	s.dial = &dialler{codes: codes}
}

// nat are the networks behind address translation.
func (l *loop) nat() []netip.Prefix { return l.engine.opts.NAT }
