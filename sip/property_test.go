package sip

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdline/media"
	"holdline/policy"
	"holdline/sip/phone"
	"holdline/sip/simnet"
)

// deed is one thing that somebody does, and the time that passes after it.
type deed struct {
	who, what string
	then      time.Duration
}

func (d deed) String() string { return fmt.Sprintf("%s %s, then %v", d.who, d.what, d.then) }

// plan is a whole story: the network it happens on and the deeds in order.
type plan struct {
	seed  uint64
	link  simnet.Link
	deeds []deed
}

// The repertoire. What makes no sense at its moment is left out.
var (
	playCallers = []string{"caller", "caller2"}
	playTakers  = []string{"pos-1", "pos-2", "fallback", "fallback2", "sup-1", "sup-2"}
	commands    = []string{"join listen", "join whisper", "join barge", "join barge", "switch", "leave", "take over", "assist", "hand over"}
	callerDeeds = []string{"call", "call", "call", "bye", "cancel", "re-INVITE", "hold", "UPDATE", "INFO"}
	takerDeeds  = []string{
		"answer", "answer", "answer", "bye", "bye", "answer and bye", "bye twice", "ring", "progress", "reject", "busy",
		"redirect", "redirect away", "re-INVITE", "hold", "UPDATE", "INFO", "refer", "refer nowhere", "refer and bye",
		"code", "code that completes", "go deaf", "come back",
	}
	answers    = []string{"answer", "answer and bye", "ring", "progress", "reject", "busy", "redirect", "redirect away"}
	worldDeeds = []string{"mark location", "mark incident", "journal slow", "journal fast", "nothing"}
	pauses     = []time.Duration{0, 0, 0, 5 * time.Millisecond, 60 * time.Millisecond, 600 * time.Millisecond, 3 * time.Second, 16 * time.Second, 40 * time.Second}
)

func drawPlan(t *rapid.T) plan {
	p := plan{seed: rapid.Uint64Range(1, 1<<20).Draw(t, "seed")}
	if rapid.Bool().Draw(t, "bad network") {
		part := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
		p.link = simnet.Link{
			Latency: time.Duration(part("latency in ms", 40)) * time.Millisecond,
			Jitter:  time.Duration(part("jitter in ms", 20)) * time.Millisecond,
			Reorder: float64(part("reordered in %", 10)) / 100,
		}
		if rapid.Bool().Draw(t, "loses") {
			p.link.Loss = float64(part("lost in %", 15)) / 100
		} else {
			p.link.Duplicate = float64(part("duplicated in %", 15)) / 100
		}
	}
	one := rapid.Custom(func(t *rapid.T) deed {
		d := deed{then: rapid.SampledFrom(pauses).Draw(t, "then")}
		switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case kind < 3:
			d.who, d.what = rapid.SampledFrom(playCallers).Draw(t, "who"), rapid.SampledFrom(callerDeeds).Draw(t, "what")
		case kind == 8:
			d.who, d.what = rapid.SampledFrom([]string{"command sup-1", "command sup-2"}).Draw(t, "who"), rapid.SampledFrom(commands).Draw(t, "what")
		case kind < 8:
			d.who, d.what = rapid.SampledFrom(playTakers).Draw(t, "who"), rapid.SampledFrom(takerDeeds).Draw(t, "what")
		default:
			d.who, d.what = "world", rapid.SampledFrom(worldDeeds).Draw(t, "what")
		}
		return d
	})
	p.deeds = []deed{{who: "caller", what: "call"}}
	if rapid.Bool().Draw(t, "taken at once") {
		p.deeds = append(p.deeds, deed{who: "pos-1", what: "answer", then: time.Second})
		if rapid.Bool().Draw(t, "and left on hold") {
			p.deeds = append(p.deeds, deed{who: "pos-1", what: "hold", then: 11 * time.Second})
		}
	}
	p.deeds = append(p.deeds, rapid.SliceOfN(one, 1, 40).Draw(t, "deeds")...)
	return p
}

// Whatever everybody does in whatever order on whatever network: a caller
// who did not hang up is never let go while intake is incomplete, is at all
// times bridged, being offered or hearing a prompt, and nothing is left over
// when the callers have gone.
func TestNoCallerIsEverLost(t *testing.T) {
	for range rounds {
		rapid.Check(t, tellStory(t))
	}
}

// rounds of as many stories as -rapid.checks says, 100 by default: a few
// seconds in all.
const rounds = 12

func tellStory(t *testing.T) func(*rapid.T) {
	return func(rt *rapid.T) {
		p := drawPlan(rt)
		var wrong, ladder string
		s := supervised()
		s.Vigil = watchful().Vigil
		s.Vigil.Held = Patience{Alert: 2 * time.Second, Rescue: 10 * time.Second} // takers of these stories hold, and walk away
		s.Fallback = []Tier{
			{To: []string{uriFor("fallback"), uriFor("fallback2")}, Strategy: RingAll, Ring: 20 * time.Second},
			{To: []string{"pos-2"}, Strategy: InOrder, Ring: 10 * time.Second},
		}
		inSeededWorld(t, p.seed, s, append(playCallers, playTakers...), func(w *world) {
			w.mayDegrade = true // of a slow journal
			w.spoil(p.link)
			a := newAct(w, p)
			if wrong = a.perform(); wrong != "" {
				ladder = w.ladder()
			}
		})
		if wrong != "" {
			rt.Fatalf("%s\n%v\n%s", wrong, p, ladder)
		}
	}
}

// spoil makes the network bad. Nothing that the guard sends is lost or comes
// twice, and no link both loses and duplicates: sipgo sleeps with its
// transaction locked when a refusal comes a third time, and a bubble of virtual
// time cannot wait for a mutex.
func (w *world) spoil(l simnet.Link) {
	w.net.SetLink("", guardAddr, l)
	l.Loss, l.Duplicate = 0, 0
	w.net.SetLink(guardAddr, "", l)
}

// act is one performance of a plan.
type act struct {
	w       *world
	plan    plan
	callers map[string]*playCaller
	takers  map[string]*playTaker
	seen    map[string]bool // Call-IDs that the guard had in progress
}

type playCaller struct {
	call   *phone.Call // the present one; nil before the first
	mayEnd bool        // it was hung up, or its intake is complete

	mu       sync.Mutex
	answered map[*phone.Call]bool
}

type playTaker struct {
	taken   map[*phone.Call]bool // calls that were answered
	deaf    bool
	wasDeaf bool

	mu    sync.Mutex
	calls []*phone.Call // every call that came in
}

func newAct(w *world, p plan) *act {
	a := &act{w: w, plan: p, callers: map[string]*playCaller{}, takers: map[string]*playTaker{}, seen: map[string]bool{}}
	for _, n := range playCallers {
		a.callers[n] = &playCaller{answered: map[*phone.Call]bool{}}
	}
	for _, n := range playTakers {
		k, of := &playTaker{taken: map[*phone.Call]bool{}}, w.phone(n)
		a.takers[n] = k
		go func() {
			for {
				c, err := of.Accept(w.ctx)
				if err != nil {
					return // the phone was closed
				}
				k.mu.Lock()
				k.calls = append(k.calls, c)
				k.mu.Unlock()
			}
		}()
	}
	return a
}

// perform does all deeds and looks after each; it returns the first thing
// that is wrong.
func (a *act) perform() string {
	for i, d := range a.plan.deeds {
		switch {
		case a.callers[d.who] != nil:
			a.callerDoes(d.who, d.what)
		case a.takers[d.who] != nil:
			a.takerDoes(d.who, d.what)
		case strings.HasPrefix(d.who, "command "):
			a.commands(strings.TrimPrefix(d.who, "command "), d.what)
		default:
			a.worldDoes(d.what)
		}
		a.w.settle()
		wrong := a.look()
		if wrong == "" && d.then > 0 {
			a.w.pass(d.then)
			wrong = a.look()
		}
		if wrong != "" {
			return fmt.Sprintf("after deed %d (%v): %s", i, d, wrong)
		}
	}
	return a.end()
}

// callerDoes is a deed of a caller.
func (a *act) callerDoes(name, what string) {
	k := a.callers[name]
	if what == "call" {
		if k.call == nil || k.call.End() != nil {
			c := a.w.calls(name)
			k.call, k.mayEnd = c, false
			go func() {
				if res, err := c.WaitAnswer(a.w.ctx); err == nil && res.StatusCode < 300 {
					k.mu.Lock()
					k.answered[c] = true
					k.mu.Unlock()
				}
			}()
		}
		return
	}
	if k.call == nil || k.call.End() != nil {
		return
	}
	k.mu.Lock()
	answered := k.answered[k.call]
	k.mu.Unlock()
	switch {
	case what == "cancel" && !answered:
		k.mayEnd = true
		k.call.Cancel()
	case !answered:
	case what == "bye":
		k.mayEnd = true
		go k.call.Bye(a.w.ctx)
	default:
		a.both(k.call, name, what)
	}
}

// both are the deeds that callers and takers have in common.
func (a *act) both(c *phone.Call, name, what string) {
	req := phone.Request{Method: what}
	switch what {
	case "re-INVITE":
		req = phone.Request{Method: "INVITE", Body: sdp(name)}
	case "hold":
		req = phone.Request{Method: "INVITE", Body: sdpWith(name, "0 8 101", "sendonly")}
	case "INFO":
		req.ContentType, req.Body = "application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n")
	case "UPDATE":
	default:
		return
	}
	go c.Request(a.w.ctx, req)
}

// ringing is the last call of a taker that waits for an answer, live the last
// one that was answered and goes on.
func (k *playTaker) pick() (ringing, live *phone.Call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range slices.Backward(k.calls) {
		switch {
		case c.End() != nil:
		case k.taken[c] && live == nil:
			live = c
		case !k.taken[c] && ringing == nil:
			ringing = c
		}
	}
	return ringing, live
}

// takerDoes is a deed of a position or of a fallback target.
func (a *act) takerDoes(name, what string) {
	k, w := a.takers[name], a.w
	ringing, live := k.pick()
	switch {
	case what == "go deaf":
		w.pass(time.Second) // the ACK of a refusal is still heard, see spoil
		k.deaf, k.wasDeaf = true, true
		w.phone(name).SetDeaf(true)
	case what == "come back":
		k.deaf = false
		w.phone(name).SetDeaf(false)
	case k.deaf: // an unplugged phone does nothing
	case slices.Contains(answers, what):
		if ringing != nil {
			a.answers(k, ringing, name, what)
		}
	case live != nil:
		a.inCall(live, name, what)
	}
}

func (a *act) answers(k *playTaker, c *phone.Call, name, what string) {
	// An error says that the call was cancelled a moment ago.
	switch what {
	case "ring":
		_ = c.Ring()
	case "progress":
		_ = c.Progress(sdp(name))
	case "reject":
		_ = c.Reject(480)
	case "busy":
		_ = c.Reject(486)
	case "redirect":
		_ = c.Redirect(uriFor("fallback2"), uriFor("pos-2"))
	case "redirect away":
		_ = c.Redirect("sip:elsewhere@192.0.2.1")
	default:
		if c.Answer(sdp(name)) != nil {
			return
		}
		k.taken[c] = true
		if what == "answer and bye" {
			go c.Bye(a.w.ctx)
		}
	}
}

func (a *act) inCall(c *phone.Call, name, what string) {
	w := a.w
	refer := func(to string) {
		go c.Request(w.ctx, phone.Request{Method: "REFER", Headers: [][2]string{{"Refer-To", "<" + to + ">"}, {"Referred-By", "<" + uriFor(name) + ">"}}})
	}
	switch what {
	case "bye":
		go c.Bye(w.ctx)
	case "bye twice":
		go c.Bye(w.ctx)
		go c.Bye(w.ctx)
	case "refer":
		refer(uriFor("pos-2"))
	case "refer nowhere":
		refer("sip:nowhere@192.0.2.1")
	case "refer and bye":
		refer(uriFor("fallback2"))
		go c.Bye(w.ctx)
	case "code":
		a.dials(c, "*11")
	case "code that completes":
		a.dials(c, "*19")
	default:
		a.both(c, name, what)
	}
}

// dials is a DTMF code of whoever serves the caller of c at the moment.
func (a *act) dials(c *phone.Call, code string) {
	s := a.w.media.of(c.ID())
	var serving media.LegID
	if s == nil {
		return
	}
	if _, err := fmt.Sscanf(a.w.media.hears(c.ID()), "leg %d", &serving); err != nil {
		return
	}
	if code == "*19" {
		a.completes(c.ID())
	}
	s.notify(media.Event{Kind: media.EventCode, Leg: serving, Code: code, At: time.Now()})
}

func (a *act) completes(id string) {
	for _, k := range a.callers {
		if k.call != nil && k.call.ID() == id {
			k.mayEnd = true
		}
	}
}

func (a *act) worldDoes(what string) {
	w := a.w
	switch what {
	case "journal slow", "journal fast":
		w.journal.mu.Lock()
		w.journal.slow = what == "journal slow"
		w.journal.mu.Unlock()
		return
	case "nothing":
		return
	}
	if calls := w.guard.List(); len(calls) > 0 {
		v := calls[0]
		marks := map[policy.Field]string{policy.Location: "12 Main St"}
		if what == "mark incident" {
			a.completes(v.ID)
			marks = map[policy.Field]string{policy.Incident: "2026-1"}
		}
		_, _ = w.guard.MarkIntake(w.ctx, v.ID, marks, "tester") // the call may have ended meanwhile
	}
}

// commands is what a supervisor does by the console, with the phone of name.
// What cannot be done at its moment is refused.
func (a *act) commands(name, what string) {
	w := a.w
	calls := w.guard.List()
	if len(calls) == 0 {
		return
	}
	v := calls[len(name)%len(calls)]
	join := ""
	for _, l := range v.Legs {
		if l.Join != "" && (join == "" || supervisorsPhones[l.Target] == name) {
			join = l.Join
		}
	}
	switch what {
	case "switch":
		_, _ = w.guard.SetMode(w.ctx, v.ID, join, ModeBarge, name)
	case "leave":
		_, _ = w.guard.Leave(w.ctx, v.ID, join, name)
	case "take over":
		_, _ = w.guard.TakeOver(w.ctx, v.ID, join, name)
	case "assist":
		_, _ = w.guard.Assist(w.ctx, v.ID, AssistRequest{By: name})
	case "hand over":
		_, _ = w.guard.Assist(w.ctx, v.ID, AssistRequest{Kind: AssistHandover, By: name})
	default:
		_, _ = w.guard.Join(w.ctx, v.ID, JoinRequest{Mode: Mode(strings.TrimPrefix(what, "join ")), Target: uriFor(name), By: name})
	}
}

// look checks the invariant.
func (a *act) look() string {
	views := map[string]CallView{}
	for _, v := range a.w.guard.List() {
		views[v.ID] = v
		if wrong := a.served(v); wrong != "" {
			return wrong
		}
	}
	for _, name := range playCallers {
		k := a.callers[name]
		if k.call == nil || k.mayEnd {
			continue
		}
		id := k.call.ID()
		if e := k.call.End(); e != nil {
			return fmt.Sprintf("%s was let go (%s) while intake is incomplete", name, e.Cause)
		}
		if _, known := views[id]; known {
			a.seen[id] = true
		} else if a.seen[id] {
			return fmt.Sprintf("the guard has given up the call of %s, who is still there", name)
		}
	}
	return ""
}

// served checks that a call in progress is bridged, being offered, or
// hearing a prompt.
func (a *act) served(v CallView) string {
	hears := a.w.media.hears(v.ID)
	connected := false // to a leg that is there
	var serving media.LegID
	if _, err := fmt.Sscanf(hears, "leg %d", &serving); err == nil {
		s := a.w.media.of(v.ID)
		s.mu.Lock()
		connected = !slices.Contains(s.dropped, serving)
		s.mu.Unlock()
	}
	has := func(states ...string) bool {
		return slices.ContainsFunc(v.Legs, func(l LegView) bool { return l.Role == "taker" && slices.Contains(states, l.State) })
	}
	ok := false
	switch State(v.State) {
	case Offering:
		ok = has("calling", "early")
	case Bridged, Relieving:
		ok = connected && has("confirmed") && a.atTheDesk(v)
	case Releasing:
		ok = connected
	case Ended: // a call that is listed is not over
	case Waiting:
		ok = v.Answered.IsZero() || hears == "prompt" || connected && has("early", "calling")
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("call of %s is %s with taker %q, the caller hears %s (that leg is there: %v), legs %+v", v.From, v.State, v.Taker, hears, connected, v.Legs)
}

// supervisorsPhones are the phones of the configured supervisors.
var supervisorsPhones = map[string]string{"chief": "sup-1", "deputy": "sup-2"}

// atTheDesk tells whether the taker that the guard believes to serve the
// caller agrees. A lossy network, or a phone that was unplugged, excuses it.
func (a *act) atTheDesk(v CallView) bool {
	name := v.Taker
	if phone, ok := supervisorsPhones[name]; ok {
		name = phone
	}
	if k := a.takers[name]; k == nil {
		name = userOf(v.Taker)
	}
	k := a.takers[name]
	if k == nil {
		return false
	}
	if k.wasDeaf || a.plan.link.Loss > 0 {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	supervisor := strings.HasPrefix(name, "sup-") // whose leg is a call of its own
	return slices.ContainsFunc(k.calls, func(c *phone.Call) bool { return k.taken[c] && c.End() == nil && (supervisor || c.ID() == v.ID) })
}

// end lets the callers hang up and everything come to rest.
func (a *act) end() string {
	for _, name := range playTakers {
		a.w.phone(name).SetDeaf(false)
	}
	for _, name := range playCallers {
		k := a.callers[name]
		if k.call == nil || k.call.End() != nil {
			continue
		}
		a.callerDoes(name, "cancel")
		a.callerDoes(name, "bye")
	}
	a.w.pass(5 * time.Minute)
	for _, name := range playCallers {
		if k := a.callers[name]; k.call != nil && k.call.End() == nil {
			return name + " has hung up and is not let go"
		}
	}
	for _, name := range playTakers {
		k := a.takers[name]
		for _, c := range k.calls {
			if c.End() == nil && !k.wasDeaf {
				return fmt.Sprintf("%s still has call %s, whose caller has gone", name, c.ID())
			}
		}
	}
	return a.w.leftOver()
}

// leftOver says what a guard whose calls are over still holds; "" is nothing.
func (w *world) leftOver() string {
	var left []string
	g := w.guard
	g.mu.RLock()
	defer g.mu.RUnlock()
	if len(g.calls)+len(g.byID)+len(g.byTag)+len(g.byURN)+len(g.alias) != 0 {
		left = append(left, fmt.Sprintf("%d calls, %d Call-IDs, %d tags, %d aliases", len(g.calls), len(g.byID), len(g.byTag), len(g.alias)))
	}
	for key, d := range g.desks.all {
		if d.active != 0 {
			left = append(left, fmt.Sprintf("desk %s is busy with %d calls", key, d.active))
		}
	}
	if n := len(g.queue.waiting); n != 0 {
		left = append(left, fmt.Sprintf("%d calls wait", n))
	}
	if n := w.media.open(); n != 0 {
		left = append(left, fmt.Sprintf("%d media sessions are open", n))
	}
	for s, n := range g.Stats().InProgress {
		if n != 0 {
			left = append(left, fmt.Sprintf("%d calls count as %s", n, s))
		}
	}
	if len(left) == 0 {
		return ""
	}
	return "left over: " + strings.Join(left, "; ")
}
