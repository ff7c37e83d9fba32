package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"holdline/media"
	"holdline/policy"
)

// checker looks for what is well-formed and yet cannot work. Every problem is
// reported where it stands.
type checker struct {
	*decoder
	c         *Config
	positions []string // their ids, in the order of the file
}

func check(c *Config, d *decoder) {
	k := &checker{decoder: d, c: c}
	k.node()
	k.sip()
	k.media()
	k.listPositions()
	k.routes()
	k.fallback()
	k.intake()
	k.sources()
	k.vigil()
	k.transfer()
	k.relay()
	k.callbacks()
	k.patterns()
	k.supervisors()
	k.assist()
	k.files()
	k.consoleAndLog()
	k.webrtc()
	k.auth()
	k.tls()
	k.alerts()
}

func (k *checker) node() {
	if strings.ContainsAny(k.c.Node, " \t\r\n\"<>;") {
		k.at("node", "node %s may not contain spaces or any of \" < > ;, because it is written into SIP headers", quote(k.c.Node))
	}
	if k.c.Data == "" {
		k.at("data", "data is empty; name the folder for the journal and the recordings")
	}
}

func (k *checker) sip() {
	if len(k.c.SIP.Listen) == 0 {
		k.at("sip.listen", "sip.listen is empty; without an address no call can arrive")
	}
	seen := map[Listen]bool{}
	for i, l := range k.c.SIP.Listen {
		if seen[l] {
			k.at(index("sip.listen", i), "%s is listed twice; remove one", l)
		}
		seen[l] = true
	}
	if len(k.c.SIP.Trust) == 0 {
		k.at("sip.trust", "sip.trust is empty; every call would be dropped, name the networks that may send calls")
	}
	k.within("sip.dead_after", k.c.SIP.DeadAfter, 100*time.Millisecond, 30*time.Second)
	if k.c.SIP.Watch.Interval != 0 {
		k.within("sip.watch.interval", k.c.SIP.Watch.Interval, time.Second, time.Hour)
	}
	if k.c.SIP.Watch.Failures < 1 || k.c.SIP.Watch.Failures > 100 {
		k.at("sip.watch.failures", "sip.watch.failures is %d; it must be from 1 to 100", k.c.SIP.Watch.Failures)
	}
}

// within reports a duration that is outside what makes sense for it.
func (k *checker) within(path string, d Duration, low, high time.Duration) {
	if d.Std() < low || d.Std() > high {
		k.at(path, "%s is %s; it must be from %s to %s", path, d, Duration(low), Duration(high))
	}
}

// at reports a problem unless the value could not even be read, which was
// reported already: one mistake is one problem.
func (k *checker) at(path, format string, args ...any) {
	if !k.refused(path) {
		k.decoder.at(path, format, args...)
	}
}

func (k *checker) media() {
	m := k.c.Media
	var v4, v6 int
	for i, a := range m.Address {
		switch {
		case !a.IsValid():
			continue
		case a.Unmap().Is4():
			v4++
		default:
			v6++
		}
		if v4 > 1 || v6 > 1 {
			k.at(index("media.address", i), "media.address has a second address of the same family; one IPv4 and one IPv6 address are possible")
		}
	}
	if len(m.Address) == 0 {
		k.at("media.address", "media.address is empty; callers' media needs an address of this host")
	}
	k.ports()
	for i, l := range k.c.SIP.Listen {
		if l.Network == "udp" && !k.refused("media.ports") && l.Addr.Port() >= m.Ports.Low && l.Addr.Port() <= m.Ports.High {
			k.at(index("sip.listen", i), "port %d is also in media.ports (%s); move one of them", l.Addr.Port(), m.Ports)
		}
	}
}

// ports checks that the range carries every call that all positions may take
// at once: RTP and RTCP on the caller's side and on the position's.
func (k *checker) ports() {
	const perCall = 4
	calls := 0
	for _, p := range k.c.Positions {
		calls += max(p.Calls, 1)
	}
	if need := perCall * max(calls, 2); k.c.Media.Ports.Size() < need {
		k.at("media.ports", "media.ports %s are %d ports; %d calls at once need at least %d (%d each)",
			k.c.Media.Ports, k.c.Media.Ports.Size(), max(calls, 2), need, perCall)
	}
}

func (k *checker) listPositions() {
	for i, p := range k.c.Positions {
		path := index("positions", i)
		switch {
		case p.ID == "":
			k.at(path+".id", "position %d has no id; routes name a position by its id", i+1)
		case strings.ContainsAny(p.ID, " \t{}:@*?\"<>"):
			k.at(path+".id", "the id %s may not contain spaces or any of { } : @ * ? \" < >", quote(p.ID))
		case slices.Contains(k.positions, p.ID):
			k.at(path+".id", "the id %s is taken by position %d; ids are unique", quote(p.ID), slices.Index(k.positions, p.ID)+1)
		}
		k.positions = append(k.positions, p.ID)
		if p.URI == "" {
			k.at(path+".uri", "position %s has no uri; write where its phone is, like sip:%s@10.0.0.11:5060", quote(p.ID), p.ID)
		} else {
			k.uri(path+".uri", p.URI)
		}
		if p.Calls < 1 || p.Calls > 10000 { // one URI may stand for a whole call-handling system
			k.at(path+".calls", "calls is %d; a position takes from 1 to 10000 calls at a time", p.Calls)
		}
	}
}

// uri checks a SIP URI, and that it does not lead back here.
func (k *checker) uri(path, s string) {
	u, err := parseURI(s)
	if err != nil {
		k.at(path, "%v", err)
		return
	}
	if slices.ContainsFunc(k.c.SIP.Listen, u.reaches) {
		k.at(path, "%s is this guard's own address (sip.listen); a call sent there would come back for ever", quote(s))
	}
}

func (k *checker) routes() {
	if len(k.c.Routes) == 0 {
		k.at("routes", "there are no routes; without one no call reaches a position")
	}
	for i, r := range k.c.Routes {
		path := index("routes", i)
		if k.match(path, i) && len(r.To) == 0 {
			k.at(path+".to", "the route for %s has no targets; name positions in to", quote(r.Match))
		}
		for j, to := range r.To {
			k.routeTarget(index(path+".to", j), to, r.Match)
		}
		k.within(path+".ring", r.Ring, time.Second, 5*time.Minute)
		k.kind(path+".kind", r.Kind)
	}
}

// match checks a route's glob, and that no route before it takes its calls.
func (k *checker) match(path string, i int) bool {
	match := k.c.Routes[i].Match
	if match == "" {
		k.at(path+".match", "the route has no match; write the request URI it is for, like urn:service:sos* or sip:911@*")
		return false
	}
	if strings.ContainsAny(match, "[]\\") && !strings.Contains(match, "@[") {
		k.at(path+".match", "%s: only * (anything) and ? (one character) are special in a match", quote(match))
	}
	if !strings.Contains(match, ":") && !strings.HasPrefix(match, "*") {
		k.at(path+".match", "%s can match no request URI; begin it with sip: or urn:", quote(match))
	}
	for j, before := range k.c.Routes[:i] {
		if before.Match != "" && covers(before.Match, match) {
			k.at(path+".match", "%s is never reached: route %d (%s) already takes its calls; put it first or remove it",
				quote(match), j+1, quote(before.Match))
			break
		}
	}
	return true
}

func (k *checker) routeTarget(path, to, match string) {
	switch {
	case to == "{user}":
		if !strings.Contains(match, "@") && !strings.HasSuffix(match, "*") {
			k.at(path, "{user} is the part before the @, which %s does not have", quote(match))
		}
	case strings.Contains(to, "{"):
		k.at(path, "%s is not known; the only template is {user}, the user part of the request URI", quote(to))
	case strings.HasPrefix(strings.ToLower(to), "sip:"), strings.HasPrefix(strings.ToLower(to), "sips:"):
		if u, err := parseURI(to); err == nil && u.user != "" {
			k.at(path, "a route names positions, not URIs; list %s under positions and write its id here "+
				"(a URI without a user part is a next hop, like a call server)", quote(to))
			return
		}
		k.uri(path, to) // a next hop

	default:
		k.position(path, to)
	}
}

func (k *checker) position(path, id string) {
	if !slices.Contains(k.positions, id) {
		named := slices.DeleteFunc(slices.Clone(k.positions), func(id string) bool { return id == "" })
		k.at(path, "there is no position %s%s", quote(id), didYouMean(id, named))
	}
}

func (k *checker) kind(path, kind string) {
	switch policy.CallKind(kind) {
	case policy.Emergency, policy.Admin:
	case policy.Test:
		k.at(path, "a route cannot make a call a test call; calls to urn:service:test... are test calls wherever they go")
	default:
		k.at(path, "unknown kind %s%s", quote(kind), didYouMean(kind, []string{"emergency", "admin"}))
	}
}

// strategies are the ways a tier offers a call; package sip implements them.
func strategies() []string { return []string{"ring-all", "in-order", "longest-idle"} }

func (k *checker) fallback() {
	if len(k.c.Fallback) == 0 {
		k.at("fallback", "there is no fallback queue; without one a rescued caller has nobody to go to. "+
			`Write for example: fallback: [{to: ["sip:supervisor@10.0.0.20"]}]`)
		return
	}
	targets := map[string]bool{}
	for i, t := range k.c.Fallback {
		path := index("fallback", i)
		if len(t.To) == 0 {
			k.at(path+".to", "tier %d has no targets; name SIP URIs or positions in to", i+1)
		}
		for j, to := range t.To {
			targets[to] = true
			p := index(path+".to", j)
			if strings.Contains(to, ":") {
				k.uri(p, to)
			} else {
				k.position(p, to)
			}
		}
		if !slices.Contains(strategies(), t.Strategy) {
			k.at(path+".strategy", "unknown strategy %s%s", quote(t.Strategy), didYouMean(t.Strategy, strategies()))
		}
		k.within(path+".ring", t.Ring, time.Second, 5*time.Minute)
	}
	k.somebodyElse(targets)
}

// somebodyElse refuses a queue whose only member is a position that answers
// calls itself: a caller is never given back to the one who released them.
func (k *checker) somebodyElse(targets map[string]bool) {
	if len(targets) != 1 {
		return
	}
	for i, p := range k.c.Positions {
		if targets[p.ID] || targets[p.URI] {
			k.at("fallback[0].to[0]", "the whole fallback queue is position %s; a caller released by it would have nobody left, add another target",
				quote(k.c.Positions[i].ID))
		}
	}
}

// The shapes of names that end up in SIP messages and in media.
var (
	headerName = regexp.MustCompile("^[A-Za-z0-9!%*_+`'~.-]+$") // token, RFC 3261 section 25.1
	dtmfCode   = regexp.MustCompile(`^[0-9*#A-D]{2,8}$`)        // RFC 4733 section 3.2
)

func (k *checker) intake() {
	if !headerName.MatchString(k.c.Intake.Header) {
		k.at("intake.header", "%s cannot be the name of a SIP header; use letters, digits and -", quote(k.c.Intake.Header))
	}
	codes := make([]string, 0, len(k.c.Intake.DTMF))
	for code := range k.c.Intake.DTMF {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for i, code := range codes {
		k.dtmf("intake.dtmf."+code, code, k.c.Intake.DTMF[code])
		for _, shorter := range codes[:i] {
			if strings.HasPrefix(code, shorter) {
				k.at("intake.dtmf."+code, "%s can never be dialled, because %s is complete before it; change one of them", code, shorter)
			}
		}
	}
}

func (k *checker) dtmf(path, code, mark string) {
	if !dtmfCode.MatchString(code) {
		k.at(path, "%s is not a DTMF code; use 2 to 8 of the digits, * and #, like *11", quote(code))
	}
	name, value, hasValue := strings.Cut(mark, "=")
	if !slices.Contains(policy.Fields(), policy.Field(name)) {
		k.at(path, "unknown intake field %s%s", quote(name), didYouMean(name, fieldNames()))
	}
	if hasValue && strings.TrimSpace(value) == "" {
		k.at(path, "%s has no value after the =; write %s or %s=something", quote(mark), name, name)
	}
}

func fieldNames() []string {
	var names []string
	for _, f := range policy.Fields() {
		names = append(names, string(f))
	}
	return names
}

func (k *checker) files() {
	if file := k.c.Policy.File; file != "" && k.file("policy.file", file) {
		k.policy(file)
	}
	if file := k.c.Rescue.Prompt; file != "" && k.file("rescue.prompt", file) {
		if _, err := media.LoadPrompt(file); err != nil {
			k.at("rescue.prompt", "rescue.prompt: %v", err)
		}
	}
	if e := &k.c.Recording.Encrypt; e.Identity != "" && k.file("recording.encrypt.identity", e.Identity) {
		ids, err := readIdentities(e.Identity)
		if err != nil {
			k.at("recording.encrypt.identity", "recording.encrypt.identity: %v", err)
		}
		e.identities = ids
	}
	for path, prefix := range map[string]string{"rescue.display_prefix": k.c.Rescue.DisplayPrefix, "redials.display_prefix": k.c.Redials.DisplayPrefix} {
		if strings.ContainsAny(prefix, "\"\\\r\n") {
			k.at(path, "%s may not contain quotes, backslashes or line breaks, because it is written into a SIP header", path)
		}
	}
	if strings.TrimSpace(k.c.Rescue.Text) == "" {
		k.at("rescue.text", "rescue.text is empty; callers who can only read would see nothing while they wait")
	}
}

// policy compiles the policy and reports what is wrong with it, in its own
// lines.
func (k *checker) policy(name string) {
	rules, err := LoadPolicy(name)
	if problems, ok := errors.AsType[Problems](err); ok {
		k.problems = append(k.problems, problems...)
		return
	}
	k.c.Policy.rules = rules
}

// file reports a file that is not there or cannot be read.
func (k *checker) file(path, name string) bool {
	f, err := os.Open(name)
	if err != nil {
		k.at(path, "%s names %s, which cannot be read: %v", path, quote(name), underlying(err))
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		k.at(path, "%s names %s, which is a folder, not a file", path, quote(name))
		return false
	}
	return true
}

// underlying is the error without the path, which the message has already.
func underlying(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// levels are the log levels of zap that make sense for a program that runs
// for years.
func levels() []string { return []string{"debug", "info", "warn", "error"} }

func (k *checker) consoleAndLog() {
	addr := k.c.Console.Listen.AddrPort
	for _, l := range k.c.SIP.Listen {
		if l.Network == "tcp" && addr.IsValid() && overlap(addr, l.Addr) {
			k.at("console.listen", "%s is also in sip.listen (%s); give the console a port of its own", addr, l)
		}
	}
	if !slices.Contains(levels(), k.c.Log.Level) {
		k.at("log.level", "unknown level %s%s", quote(k.c.Log.Level), didYouMean(k.c.Log.Level, levels()))
	}
}

// overlap tells whether two TCP sockets cannot be open at the same time.
func overlap(a, b netip.AddrPort) bool {
	return a.Port() != 0 && a.Port() == b.Port() &&
		(a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
