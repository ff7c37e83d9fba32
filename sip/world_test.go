package sip

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
	"holdline/sip/phone"
	"holdline/sip/simnet"
)

const guardAddr = "10.0.0.9:5060"

// world is a guard with phones around it on an in-memory network, in virtual
// time: a wait costs nothing, and everything that could still happen has
// happened when settle returns.
type world struct {
	t          *testing.T
	ctx        context.Context
	net        *simnet.Net
	guard      *Guard
	journal    *journalFake
	media      *mediaFake
	phones     map[string]*phone.Phone
	mayDegrade bool
}

// hosts are the addresses of everybody.
var hosts = map[string]string{
	"caller": "10.0.0.1:5060", "caller2": "10.0.0.2:5060", "caller3": "10.0.0.3:5060",
	"pos-1": "10.0.0.11:5060", "pos-2": "10.0.0.12:5060", "pos-3": "10.0.0.13:5060",
	"sup-1": "10.0.0.31:5060", "sup-2": "10.0.0.32:5060",
	"fallback": "10.0.0.21:5060", "fallback2": "10.0.0.22:5060", "stranger": "192.0.2.66:5060",
}

func uriFor(name string) string { return "sip:" + name + "@" + hosts[name] }

func usualSettings() Settings {
	trust := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	return Settings{
		Trust: trust, IntakeTrust: trust, DisplayPrefix: "RESCUED ",
		Positions: []Position{
			{ID: "pos-1", URI: uriFor("pos-1"), Agent: "ann"},
			{ID: "pos-2", URI: uriFor("pos-2"), Agent: "bob"},
			{ID: "pos-3", URI: uriFor("pos-3"), Agent: "ann"},
		},
		Routes: []Route{
			{Match: "urn:service:sos*", To: []string{"pos-1", "pos-2"}, Ring: 15 * time.Second},
			{Match: "sip:911@*", To: []string{"pos-1", "pos-2"}, Ring: 15 * time.Second},
			{Match: "sip:5551000@*", To: []string{"pos-2"}, Kind: policy.Admin},
		},
		Fallback:   []Tier{{To: []string{uriFor("fallback")}, Strategy: RingAll, Ring: 20 * time.Second}},
		IntakeDTMF: map[string]string{"*11": "location", "*19": "disposition=misdial"},
		Judge:      policy.Builtin().Judge,
	}
}

// inWorld runs a test in a world of its own, with phones for the names.
func inWorld(t *testing.T, settings Settings, names []string, test func(w *world)) {
	t.Helper()
	inSeededWorld(t, 1, settings, names, test)
}

// inSeededWorld is inWorld with the network's dice given.
func inSeededWorld(t *testing.T, seed uint64, settings Settings, names []string, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		w := &world{t: t, ctx: ctx, net: simnet.New(seed), journal: &journalFake{}, media: &mediaFake{}, phones: map[string]*phone.Phone{}}
		pc, err := w.net.ListenUDP(guardAddr)
		w.must(err)
		w.guard, err = New(Options{
			Node: "test", UDP: []PacketConn{{pc}}, Media: w.media, Journal: w.journal, Settings: settings,
			Degraded: func(reason string) {
				if !w.mayDegrade {
					t.Errorf("degraded: %s", reason)
				}
			},
		})
		w.must(err)
		w.must(w.guard.Start())
		for _, n := range names {
			w.phone(n)
		}
		test(w)
		for _, p := range w.phones {
			w.must(p.Close())
		}
		w.must(w.guard.Stop())
		cancel()
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) phone(name string) *phone.Phone {
	if p := w.phones[name]; p != nil {
		return p
	}
	conn, err := w.net.ListenUDP(hosts[name])
	w.must(err)
	p, err := phone.New(phone.Options{Conn: conn, User: name})
	w.must(err)
	w.phones[name] = p
	return p
}

// sdp is a session of one G.711 stream for a phone.
func sdp(name string) []byte { return sdpWith(name, "0 8 101", "sendrecv") }

func sdpWith(name, formats, direction string) []byte {
	host, _, _ := strings.Cut(hosts[name], ":")
	return fmt.Appendf(nil, "v=0\r\no=%s 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 4000 RTP/AVP %s\r\na=rtpmap:101 telephone-event/8000\r\na=%s\r\n",
		name, host, host, formats, direction)
}

// calls makes a 911 call.
func (w *world) calls(name string, more ...func(*phone.Invite)) *phone.Call {
	w.t.Helper()
	v := phone.Invite{Dest: guardAddr, RequestURI: "urn:service:sos", To: "<urn:service:sos>", Body: sdp(name), ContentType: "application/sdp"}
	for _, m := range more {
		m(&v)
	}
	c, err := w.phone(name).Call(w.ctx, v)
	w.must(err)
	return c
}

// rings waits until name is being called.
func (w *world) rings(name string) *phone.Call {
	w.t.Helper()
	c, err := w.phone(name).Accept(w.ctx)
	if err != nil {
		w.t.Fatalf("%s was not called: %v\n%s", name, err, w.ladder())
	}
	return c
}

// answers waits until name is being called and answers.
func (w *world) answers(name string) *phone.Call {
	w.t.Helper()
	c := w.rings(name)
	w.must(c.Ring())
	w.must(c.Answer(sdp(name)))
	w.must(c.WaitAck(w.ctx))
	w.settle()
	return c
}

// hangsUp sends BYE and wants 200.
func (w *world) hangsUp(c *phone.Call, headers ...[2]string) {
	w.t.Helper()
	res, err := c.Bye(w.ctx, headers...)
	if err != nil || res.StatusCode != 200 {
		w.t.Fatalf("BYE was answered %v, %v\n%s", res, err, w.ladder())
	}
	w.settle()
}

// settle lets everything happen that needs no time to pass.
func (w *world) settle() { synctest.Wait() }

// pass lets time pass.
func (w *world) pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func (w *world) ladder() string {
	names := map[string]string{guardAddr: "guard"}
	for n, a := range hosts {
		names[a] = n
	}
	return w.net.Ladder(names) + "\n" + strings.Join(w.journal.kinds(), "\n")
}

func (w *world) up(c *phone.Call, who string) {
	w.t.Helper()
	if e := c.End(); e != nil {
		w.t.Fatalf("%s's call has ended (%s)\n%s", who, e.Cause, w.ladder())
	}
}

func (w *world) ended(c *phone.Call, who, cause string, remote bool) {
	w.t.Helper()
	w.settle()
	e := c.End()
	if e == nil || e.Cause != cause || e.Remote != remote {
		w.t.Fatalf("%s's call: ended %+v, want %s, remote %v\n%s", who, e, cause, remote, w.ladder())
	}
}

// hears says what the caller of a call hears: "leg 1", "prompt", "silence".
func (w *world) hears(c *phone.Call, want string) {
	w.t.Helper()
	w.settle()
	if got := w.media.hears(c.ID()); got != want {
		w.t.Fatalf("the caller hears %q, want %q\n%s", got, want, w.ladder())
	}
}

// kept checks the kinds of record that a call left, in order; others between
// them are allowed.
func (w *world) kept(id string, want ...string) {
	w.t.Helper()
	w.settle()
	have := w.journal.of(id)
	i := 0
	for _, k := range have {
		if i < len(want) && k == want[i] {
			i++
		}
	}
	if i < len(want) {
		w.t.Fatalf("the journal has no %q in its place\nhave %v\nwant %v\n%s", want[i], have, want, w.ladder())
	}
}

func (w *world) notKept(id, kind string) {
	w.t.Helper()
	w.settle()
	if slices.Contains(w.journal.of(id), kind) {
		w.t.Fatalf("the journal has %s\n%s", kind, w.ladder())
	}
}

// nothingLeft checks that a world whose calls are over holds nothing of them.
func (w *world) nothingLeft() {
	w.t.Helper()
	w.pass(2 * time.Minute)
	g := w.guard
	g.mu.RLock()
	defer g.mu.RUnlock()
	if len(g.calls)+len(g.byID)+len(g.byTag)+len(g.byURN) != 0 {
		w.t.Errorf("left over: %d calls, %d Call-IDs, %d tags, %d identifiers\n%s", len(g.calls), len(g.byID), len(g.byTag), len(g.byURN), w.ladder())
	}
	for key, d := range g.desks.all {
		if d.active != 0 {
			w.t.Errorf("desk %s still has %d calls", key, d.active)
		}
	}
	if n := len(g.queue.waiting); n != 0 {
		w.t.Errorf("%d calls still wait", n)
	}
	if n := w.media.open(); n != 0 {
		w.t.Errorf("%d media sessions are still open", n)
	}
	for s, n := range g.Stats().InProgress {
		if n != 0 {
			w.t.Errorf("%d calls counted as %s", n, s)
		}
	}
}

// journalFake keeps entries in memory; slow lets Commit report that the disk
// took too long.
type journalFake struct {
	mu      sync.Mutex
	entries []recorder.Entry
	slow    bool
}

func (j *journalFake) Append(e ...recorder.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, x := range e {
		if _, err := json.Marshal(x.Data); err != nil {
			panic(err)
		}
	}
	j.entries = append(j.entries, e...)
}

func (j *journalFake) Commit(done func(bool), e ...recorder.Entry) {
	j.Append(e...)
	j.mu.Lock()
	slow := j.slow
	j.mu.Unlock()
	if slow {
		time.AfterFunc(50*time.Millisecond, func() { done(false) })
		return
	}
	go done(true)
}

func (j *journalFake) slowly(yes bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.slow = yes
}

func (j *journalFake) all() []recorder.Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

func (j *journalFake) of(call string) (kinds []string) {
	for _, e := range j.all() {
		if e.Call == call {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

func (j *journalFake) kinds() (out []string) {
	for _, e := range j.all() {
		b, _ := json.Marshal(e.Data)
		out = append(out, e.Kind+" "+string(b[:min(len(b), 160)]))
	}
	return out
}

// last returns the data of the last record of a kind.
func last[T any](w *world, call, kind string) T {
	w.t.Helper()
	w.settle()
	var out T
	found := false
	for _, e := range w.journal.all() {
		if e.Call == call && e.Kind == kind {
			out, found = e.Data.(T), true
		}
	}
	if !found {
		w.t.Fatalf("no %s\n%s", kind, w.ladder())
	}
	return out
}

// mediaFake notes what each call's media was told.
type mediaFake struct {
	mu       sync.Mutex
	sessions map[string][]*sessionFake
	port     uint16
}

type sessionFake struct {
	m       *mediaFake
	notify  func(media.Event)
	mu      sync.Mutex
	state   string
	legs    map[media.LegID][]media.Remote
	next    media.LegID
	log     []string
	codes   []string
	stats   []media.StreamStats
	says    map[media.LegID]func() media.StreamStats
	closed  bool
	dropped []media.LegID
	attends map[media.LegID]media.Mode
}

func (m *mediaFake) Open(call string, notify func(media.Event)) (media.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions == nil {
		m.sessions = map[string][]*sessionFake{}
		m.port = 20000
	}
	s := &sessionFake{m: m, notify: notify, state: "silence", legs: map[media.LegID][]media.Remote{}}
	m.sessions[call] = append(m.sessions[call], s)
	return s, nil
}

func (m *mediaFake) of(call string) *sessionFake {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.sessions[call]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

func (m *mediaFake) hears(call string) string {
	s := m.of(call)
	if s == nil {
		return "no media"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (m *mediaFake) open() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, all := range m.sessions {
		for _, s := range all {
			if !s.closed {
				n++
			}
		}
	}
	return n
}

func (s *sessionFake) set(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	s.log = append(s.log, state)
}

func (s *sessionFake) AddLeg(kinds []media.Kind, _ bool) (media.LegID, []media.Ports, error) {
	s.mu.Lock()
	id := s.next
	s.next++
	s.mu.Unlock()
	p, err := s.AddStreams(id, kinds)
	return id, p, err
}

func (s *sessionFake) AddStreams(id media.LegID, kinds []media.Kind) ([]media.Ports, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var out []media.Ports
	for range kinds {
		a := netip.MustParseAddr("10.0.0.9")
		out = append(out, media.Ports{RTP: netip.AddrPortFrom(a, s.m.port), RTCP: netip.AddrPortFrom(a, s.m.port+1)})
		s.m.port += 2
	}
	s.mu.Lock()
	s.legs[id] = append(s.legs[id], make([]media.Remote, len(kinds))...)
	s.mu.Unlock()
	return out, nil
}

func (s *sessionFake) SetRemote(id media.LegID, stream int, r media.Remote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.legs[id][stream] = r
}

func (s *sessionFake) Bridge(id media.LegID) { s.set(fmt.Sprintf("leg %d", id)) }
func (s *sessionFake) Silence()              { s.set("silence") }
func (s *sessionFake) Prompt() {
	s.set("prompt")
	go s.notify(media.Event{Kind: media.EventPrompt, Played: true, At: time.Now()})
}

func (s *sessionFake) Attend(id media.LegID, mode media.Mode) {
	s.mu.Lock()
	if s.attends == nil {
		s.attends = map[media.LegID]media.Mode{}
	}
	s.attends[id] = mode
	s.mu.Unlock()
	go s.notify(media.Event{Kind: media.EventAttend, Leg: id, At: time.Now(), Mode: mode, Track: int(id)})
}

func (s *sessionFake) WatchCodes(_ media.LegID, codes []string) {
	s.mu.Lock()
	s.codes = codes
	s.mu.Unlock()
}
func (s *sessionFake) Record(uint32) {}
func (s *sessionFake) DropLeg(id media.LegID) {
	s.mu.Lock()
	s.dropped = append(s.dropped, id)
	s.mu.Unlock()
}

func (s *sessionFake) Stats(id media.LegID) []media.StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if says := s.says[id]; says != nil {
		return []media.StreamStats{says()}
	}
	return s.stats
}

func (s *sessionFake) Close(done func()) {
	s.m.mu.Lock()
	s.closed = true
	s.m.mu.Unlock()
	if done != nil {
		go done()
	}
}

// headerOf returns a header of a request as text.
func headerOf(req *gosip.Request, name string) string { return strings.Join(getAll(req, name), ", ") }

type (
	gosipRequest = gosip.Request
	policyField  = policy.Field
)

// lossy makes every link lose that share of its packets.
func (w *world) lossy(share float64) { w.net.SetLink("", "", simnet.Link{Loss: share}) }

func udpAddr(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func simnetLink(latency time.Duration) simnet.Link { return simnet.Link{Latency: latency} }
