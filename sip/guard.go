// Package sip is the signalling of Holdline: a back-to-back user agent that
// stands in front of call-taking positions, passes everything through, and
// does not let a position end an emergency call before its intake is complete.
//
// Messages come in through sip/edge, find their call by Call-ID and tags, and
// are put into the call's inbox. One goroutine at a time owns a call; machine.go
// holds its states and what moves them.
package sip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"holdline/policy"
	"holdline/sip/edge"
)

// Guard is one node: its sockets, its calls, its positions.
type Guard struct {
	opts      Options
	log       *zap.Logger
	edge      *edge.Edge
	settings  atomic.Pointer[Settings]
	table     table
	desks     *desks
	watcher   *watcher
	intruders intruders
	queue     *queue
	draining  atomic.Bool
	stopped   chan struct{}
	stopOnce  sync.Once
	wg        sync.WaitGroup
	stats     counters

	mu         sync.RWMutex
	calls      map[*Call]struct{}
	byID       map[string][]*Call               // by Call-ID
	byTag      map[string]*Call                 // by our tag of a leg
	alias      map[string]string                // Call-ID of a leg whose peer called us, by our tag
	byURN      map[string]*Call                 // by emergency call identifier
	byIncident map[string][]*Call               // by incident identifier
	listen     atomic.Pointer[[]netip.AddrPort] // our sockets, once all are open
}

// New returns a Guard that is not listening yet. It fails only when something
// it cannot do without is missing.
func New(o Options) (*Guard, error) {
	if o.Media == nil || o.Journal == nil {
		return nil, errors.New("sip: Media and Journal must be set")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Degraded == nil {
		o.Degraded = func(string) {}
	}
	g := &Guard{
		opts: o, log: o.Log, table: transitions(), stopped: make(chan struct{}),
		calls: map[*Call]struct{}{}, byID: map[string][]*Call{}, byTag: map[string]*Call{}, alias: map[string]string{}, byURN: map[string]*Call{},
		byIncident: map[string][]*Call{},
	}
	if o.Resolver == nil {
		g.opts.Resolver = net.DefaultResolver
	}
	g.watcher = newWatcher(g)
	g.queue = newQueue()
	g.desks = newDesks(g.queue.freed)
	if err := g.Reload(o.Settings); err != nil {
		return nil, err
	}
	e, err := edge.New(edge.Options{Trusted: g.trusted, Log: o.Log, Request: g.dispatch, Stray: g.stray, Seen: g.seen(), Gone: g.lostConnection, Bye: g.byeCame})
	if err != nil {
		return nil, err
	}
	g.edge = e
	return g, nil
}

// Start opens the sockets. When one cannot be opened, all are closed again.
func (g *Guard) Start() error {
	var open []netip.AddrPort
	for _, url := range g.opts.Listen {
		addr, err := g.edge.Listen(url)
		if err != nil {
			return errors.Join(err, g.edge.Close())
		}
		open = append(open, addr)
	}
	for _, pc := range g.opts.UDP {
		open = append(open, g.edge.ServeUDP(pc))
	}
	g.listen.Store(&open)
	g.watcher.start()
	return nil
}

// Addrs are the addresses of the sockets, in the order of Options.
func (g *Guard) Addrs() []netip.AddrPort {
	if open := g.listen.Load(); open != nil {
		return *open
	}
	return nil
}

// Reload replaces the settings. Calls in progress use the new ones from their
// next decision on.
func (g *Guard) Reload(s Settings) error {
	if s.Judge == nil {
		return errors.New("sip: Settings.Judge must be set")
	}
	for _, p := range s.Positions {
		var u gosip.Uri
		if err := gosip.ParseUri(p.URI, &u); err != nil {
			return fmt.Errorf("position %s: URI %q: %w", p.ID, p.URI, err)
		}
	}
	if s.DeadAfter <= 0 {
		s.DeadAfter = 2 * time.Second
	}
	if s.Complete == nil {
		s.Complete = policy.Intake.Complete
	}
	if s.IntakeHeader == "" {
		s.IntakeHeader = "Holdline-Intake"
	}
	s.agentAt = g.opts.AgentAt
	s.index()
	g.settings.Store(&s)
	if g.edge != nil {
		g.watcher.start()
	}
	return nil
}

// Drain refuses new calls from now on (503, also to OPTIONS); calls in
// progress go on. Idle tells when none is left.
func (g *Guard) Drain() { g.draining.Store(true) }

// Draining tells whether the guard refuses new calls.
func (g *Guard) Draining() bool { return g.draining.Load() }

// Stop closes the sockets and ends all goroutines. It sends nothing: no BYE
// is ever sent because a node stops.
func (g *Guard) Stop() error {
	var err error
	g.stopOnce.Do(func() {
		close(g.stopped)
		g.watcher.stop()
		err = g.edge.Close()
		left := g.snapshot()
		for _, c := range left {
			c.inbox.close()
		}
		g.wg.Wait()
		for _, c := range left {
			c.closeSignalling()
		}
	})
	return err
}

func (g *Guard) trusted(a netip.Addr) bool {
	for _, p := range g.settings.Load().Trust {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (g *Guard) intakeHeader() string { return g.settings.Load().IntakeHeader }

func (g *Guard) degraded(reason string) { g.opts.Degraded(reason) }

// recovered keeps a panic in a goroutine of the guard's own from ending calls.
func (g *Guard) recovered(in string) {
	if r := recover(); r != nil {
		g.log.Error("panic recovered", zap.String("in", in), zap.Any("panic", r), zap.Stack("stack"))
		g.degraded("a panic in " + in + " was recovered")
	}
}

// add makes c known by its identifiers.
func (g *Guard) add(c *Call) {
	g.mu.Lock()
	g.calls[c] = struct{}{}
	g.byID[c.ID] = append(g.byID[c.ID], c)
	g.byTag[c.caller.Dialog.LocalTag] = c
	if c.EmergencyID != "" {
		g.byURN[c.EmergencyID] = c
	}
	if c.IncidentID != "" {
		g.byIncident[c.IncidentID] = append(g.byIncident[c.IncidentID], c)
	}
	select {
	case <-g.stopped: // after Stop has closed all others
		c.inbox.close()
	default:
	}
	g.mu.Unlock()
}

func (g *Guard) addTag(c *Call, tag string) {
	g.mu.Lock()
	g.byTag[tag] = c
	g.mu.Unlock()
}

// addLeg makes a call known by a leg whose peer called us.
func (g *Guard) addLeg(c *Call, l *leg) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.byTag[l.Dialog.LocalTag] = c
	g.alias[l.Dialog.LocalTag] = l.Dialog.CallID
	if id := l.Dialog.CallID; id != c.ID && !slices.Contains(c.OtherIDs, id) {
		c.OtherIDs = append(c.OtherIDs, id)
	}
}

// isOurs tells whether a URI names one of our own sockets.
func (g *Guard) isOurs(uri string) bool {
	_, hostport, ok := hopOf(uri)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(hostport)
	return err == nil && slices.ContainsFunc(g.Addrs(), func(l netip.AddrPort) bool {
		return l.Port() == at.Port() && (l.Addr() == at.Addr() || l.Addr().IsUnspecified())
	})
}

func (g *Guard) dropTag(tag string) {
	g.mu.Lock()
	delete(g.byTag, tag)
	delete(g.alias, tag)
	g.mu.Unlock()
}

// forget removes a call that is over.
func (g *Guard) forget(c *Call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.calls, c)
	same := g.byID[c.ID]
	for i, other := range same {
		if other == c {
			same = append(same[:i:i], same[i+1:]...)
			break
		}
	}
	if len(same) == 0 {
		delete(g.byID, c.ID)
	} else {
		g.byID[c.ID] = same
	}
	delete(g.byTag, c.caller.Dialog.LocalTag)
	for t := range c.legs {
		delete(g.byTag, t)
		delete(g.alias, t)
	}
	if g.byURN[c.EmergencyID] == c {
		delete(g.byURN, c.EmergencyID)
	}
	if rest := slices.DeleteFunc(g.byIncident[c.IncidentID], func(o *Call) bool { return o == c }); len(rest) > 0 {
		g.byIncident[c.IncidentID] = rest
	} else {
		delete(g.byIncident, c.IncidentID)
	}
}

// find returns the call a request belongs to. Our tag decides; a peer that
// sends none (RFC 2543, or careless) is known by Call-ID and its own tag.
func (g *Guard) find(callID, toTag string) *Call {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if toTag != "" {
		if c := g.byTag[toTag]; c != nil && (c.ID == callID || g.alias[toTag] == callID) {
			return c
		}
		return nil
	}
	if same := g.byID[callID]; len(same) > 0 {
		return same[len(same)-1]
	}
	return nil
}

func (g *Guard) snapshot() []*Call {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := make([]*Call, 0, len(g.calls))
	for c := range g.calls {
		out = append(out, c)
	}
	return out
}

// Stats is what the guard has counted since it started, and what it holds.
type Stats struct {
	InProgress  map[State]int64
	Offered     map[policy.CallKind]int64 // calls that came in
	Ended       map[string]int64          // by who ended them
	Allowed     int64
	Reviewed    int64
	Intercepted int64
	Rescued     int64 // rescues answered
	Waiting     int64
}

// counters are the numbers behind Stats; test calls are not in them.
type counters struct {
	state                                    [6]atomic.Int64
	emergency, admin                         atomic.Int64
	byCaller, byPosition, bySupervisor, byUs atomic.Int64
	allowed, reviewed, intercepted, rescued  atomic.Int64
}

var stateIndex = map[State]int{Offering: 0, Bridged: 1, Releasing: 2, Waiting: 3, Ended: 4, Relieving: 5}

func (g *Guard) count(kind policy.CallKind, from, to State) {
	if kind == policy.Test {
		return
	}
	if from != "" {
		g.stats.state[stateIndex[from]].Add(-1)
	}
	g.stats.state[stateIndex[to]].Add(1)
}

// Stats returns the present numbers.
func (g *Guard) Stats() Stats {
	s := &g.stats
	out := Stats{
		InProgress: map[State]int64{},
		Offered:    map[policy.CallKind]int64{policy.Emergency: s.emergency.Load(), policy.Admin: s.admin.Load()},
		Ended: map[string]int64{
			"caller": s.byCaller.Load(), "position": s.byPosition.Load(),
			"supervisor": s.bySupervisor.Load(), "error": s.byUs.Load(),
		},
		Allowed: s.allowed.Load(), Reviewed: s.reviewed.Load(), Intercepted: s.intercepted.Load(), Rescued: s.rescued.Load(),
	}
	for state, i := range stateIndex {
		if state != Ended {
			out.InProgress[state] = s.state[i].Load()
		}
	}
	out.Waiting = out.InProgress[Waiting]
	return out
}

// InProgress is the number of calls that are not over.
func (g *Guard) InProgress() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	n := 0
	for c := range g.calls {
		if !c.over.Load() {
			n++
		}
	}
	return n
}

func (s *counters) add(kind policy.CallKind, n *atomic.Int64) {
	if kind != policy.Test {
		n.Add(1)
	}
}

func (g *Guard) countEnd(kind policy.CallKind, by string) {
	s := &g.stats
	switch by {
	case "caller":
		s.add(kind, &s.byCaller)
	case "position":
		s.add(kind, &s.byPosition)
	case "supervisor":
		s.add(kind, &s.bySupervisor)
	default:
		s.add(kind, &s.byUs)
	}
}

func (c *Call) countVerdict(d policy.Decision) {
	s := &c.g.stats
	switch d {
	case policy.Intercept:
		s.add(c.Kind, &s.intercepted)
	case policy.Review:
		s.add(c.Kind, &s.reviewed)
	default:
		s.add(c.Kind, &s.allowed)
	}
}
