package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/sip/phone"
)

// TestSampleConfigurations: what the deployments page tells people to copy is
// taken by the program's own check.
func TestSampleConfigurations(t *testing.T) {
	t.Parallel()
	need(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"holdline.yaml", "trunk.yaml", "station.yaml"} {
		if out, err := exec.CommandContext(t.Context(), path, "check", "--config", filepath.Join(samples, name)).Output(); err != nil || strings.TrimSpace(string(out)) != "ok" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// trunkSide is a border gateway, a guard behind it and the phones of positions.
type trunkSide struct {
	*story
	guard                    *guard
	gateway                  string
	caller, pos1, supervisor *phone.Phone
}

func newTrunkSide(t *testing.T) *trunkSide {
	t.Helper()
	need(t, "kamailio")
	p, more := freePorts(t), freePorts(t)
	addresses := strings.NewReplacer(
		"192.0.2.10:5060", at(p.sip), "192.0.2.5:5060", at(more.sip), "192.0.2.21:5060", at(p.pos1), "192.0.2.22:5060", at(p.pos2),
		"192.0.2.30:5060", at(p.fallback), "*@192.0.2.5*", "*@"+at(more.sip)+"*",
		"192.0.2.10", "127.0.0.1", "192.0.2.5", "127.0.0.1", "192.0.2.21", "127.0.0.1", "192.0.2.22", "127.0.0.1", "192.0.2.30", "127.0.0.1")
	s := &trunkSide{story: newStory(t), gateway: at(more.sip)}
	s.guard = deployed(t, "trunk.yaml", p, addresses)
	startKamailio(t, "# Kamailio as the border gateway in front of Holdline.", more.sip, addresses)
	s.caller, s.pos1, s.supervisor = user(t, "caller", p.caller), user(t, "pos-1", p.pos1), user(t, "supervisor", p.fallback)
	return s
}

// calls sends a 911 call to the border gateway.
func (s *trunkSide) calls() *phone.Call {
	s.t.Helper()
	c, err := s.caller.Call(s.ctx, phone.Invite{Dest: s.gateway, RequestURI: "urn:service:sos", To: "<urn:service:sos>"})
	s.must(err)
	return c
}

// TestTrunkSideRescue: caller, record-routing gateway, guard, positions.
func TestTrunkSideRescue(t *testing.T) {
	t.Parallel()
	s := newTrunkSide(t)
	caller := s.calls()
	position := s.takes(s.pos1)
	s.status(200)(caller.WaitAnswer(s.ctx))
	s.talk(caller, position)
	s.talk(position, caller)
	s.status(200)(position.Bye(s.ctx))
	supervisor := s.takes(s.supervisor)
	s.talk(caller, supervisor)
	s.talk(supervisor, caller)
	s.status(200)(caller.Reinvite(s.ctx, nil)) // by way of the gateway's Record-Route
	s.lasts(caller)
	s.marks(s.guard, caller.ID())
	s.status(200)(supervisor.Bye(s.ctx))
	s.ends(caller)
	s.guard.stop()
	if kinds := about(s.guard.journal()); !inOrder(kinds, []string{"call.answered", "release.intercepted", "rescue.answered", "intake.marked", "release.allowed", "call.ended"}) {
		t.Errorf("the records are %v", kinds)
	}
}

// TestTrunkSideCallerLeaves: the caller's own BYE and CANCEL reach whoever is there.
func TestTrunkSideCallerLeaves(t *testing.T) {
	t.Parallel()
	s := newTrunkSide(t)
	caller := s.calls()
	position := s.takes(s.pos1)
	s.status(200)(caller.WaitAnswer(s.ctx))
	s.status(200)(caller.Bye(s.ctx))
	s.ends(position)

	caller = s.calls()
	ringing, err := s.pos1.Accept(s.ctx)
	s.must(err)
	s.must(ringing.Ring())
	s.status(180)(caller.WaitProvisional(s.ctx))
	caller.Cancel()
	s.status(487)(caller.WaitAnswer(s.ctx))
	if end, err := ringing.WaitEnd(s.ctx); err != nil || end.Cause != "CANCEL" {
		t.Errorf("the position's call ended %+v, %v", end, err)
	}
}

// TestTrunkSideBypass: while the guard is down the gateway calls a position
// itself, and comes back to the guard when it is up.
func TestTrunkSideBypass(t *testing.T) {
	t.Parallel()
	s := newTrunkSide(t)
	s.guard.kill()
	caller := s.calls()
	position := s.takes(s.pos1)
	s.status(200)(caller.WaitAnswer(s.ctx))
	s.status(200)(position.Bye(s.ctx))
	s.ends(caller) // nobody guards
	s.guard.start()
	for s.ctx.Err() == nil { // the gateway asks with OPTIONS until it finds it
		caller = s.calls()
		position = s.takes(s.pos1)
		s.status(200)(caller.WaitAnswer(s.ctx))
		if strings.HasPrefix(header(position.Invite, "via"), "SIP/2.0/UDP "+at(s.guard.ports.sip)) {
			break
		}
		s.status(200)(caller.Bye(s.ctx))
		s.ends(position)
	}
	s.status(200)(position.Bye(s.ctx))
	s.takes(s.supervisor)
	s.lasts(caller)
}

// stationSide is a PBX whose phones register through a guard.
type stationSide struct {
	*story
	guard                          *guard
	pbx, proxy                     string
	caller, pos1, pos2, supervisor *phone.Phone
}

func newStationSide(t *testing.T) *stationSide {
	t.Helper()
	need(t, "kamailio")
	p, more := freePorts(t), freePorts(t)
	addresses := strings.NewReplacer(
		"192.0.2.10:5060", at(p.sip), "192.0.2.5:5060", at(more.sip), "sip:192.0.2.5*", "sip:"+at(more.sip)+"*", "*@192.0.2.5*", "*@"+at(more.sip)+"*",
		"192.0.2.10", "127.0.0.1", "192.0.2.5", "127.0.0.1", "198.51.100.0/24", "127.0.0.2")
	s := &stationSide{story: newStory(t), pbx: at(more.sip), proxy: at(p.sip)}
	startKamailio(t, "# Kamailio as the PBX whose phones register through Holdline.", more.sip, addresses)
	s.guard = deployed(t, "station.yaml", p, addresses)
	s.caller, s.pos1, s.pos2, s.supervisor = user(t, "caller", p.caller), user(t, "pos-1", p.pos1), user(t, "pos-2", p.pos2), user(t, "supervisor", p.fallback)
	return s
}

// registers registers a phone at the PBX with a next hop: the guard, or the
// PBX itself. It returns the answer.
func (s *stationSide) registers(p *phone.Phone, hop string) *gosip.Response {
	s.t.Helper()
	name, _, _ := strings.Cut(strings.TrimPrefix(p.URI(), "sip:"), "@")
	address := "<sip:" + name + "@psap.example>"
	return s.status(200)(p.Request(s.ctx, hop, "sip:psap.example", phone.Request{
		Method: "REGISTER", From: address, To: address,
		Headers: [][2]string{{"Contact", "<" + p.URI() + ">;expires=300"}, {"Supported", "path"}},
	}))
}

// calls sends a 911 call to the PBX.
func (s *stationSide) calls() *phone.Call {
	s.t.Helper()
	c, err := s.caller.Call(s.ctx, phone.Invite{Dest: s.pbx, RequestURI: "sip:911@psap.example"})
	s.must(err)
	return c
}

// TestStationSideRescue: the PBX calls the registered phone through the guard
// that is in its Path; it hangs up early and the supervisor, who is registered
// at the same PBX, takes the call.
func TestStationSideRescue(t *testing.T) {
	for name, through := range map[string]bool{"the fallback registers at the PBX": false, "the fallback registers through the guard too": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStationSide(t)
			res := s.registers(s.pos1, s.proxy)
			if path := header(res, "path"); path != "<sip:"+s.proxy+";lr>" {
				t.Errorf("the registrar knows the Path %q", path)
			}
			hop := s.pbx
			if through {
				hop = s.proxy
			}
			s.registers(s.supervisor, hop)

			caller := s.calls()
			position := s.takes(s.pos1)
			s.status(200)(caller.WaitAnswer(s.ctx))
			s.talk(caller, position)
			s.talk(position, caller)
			s.status(200)(position.Bye(s.ctx))
			supervisor := s.takes(s.supervisor)
			s.talk(caller, supervisor)
			s.talk(supervisor, caller)
			s.lasts(caller)
			s.status(200)(supervisor.Reinvite(s.ctx, nil))
			s.marks(s.guard, caller.ID())
			s.status(200)(supervisor.Bye(s.ctx))
			s.ends(caller)
			s.guard.stop()
			if kinds := about(s.guard.journal()); !inOrder(kinds, []string{"call.answered", "release.intercepted", "rescue.answered", "release.allowed", "call.ended"}) {
				t.Errorf("the records are %v", kinds)
			}
		})
	}
}

// TestStationSidePhonesCallEachOther: what phones dial passes through the
// guard to the PBX and back through it to the other phone.
func TestStationSidePhonesCallEachOther(t *testing.T) {
	t.Parallel()
	s := newStationSide(t)
	s.registers(s.pos1, s.proxy)
	s.registers(s.pos2, s.proxy)
	one, err := s.pos1.Call(s.ctx, phone.Invite{Dest: s.proxy, RequestURI: "sip:pos-2@psap.example"})
	s.must(err)
	two := s.takes(s.pos2)
	s.status(200)(one.WaitAnswer(s.ctx))
	s.talk(one, two)
	s.talk(two, one)
	s.status(200)(two.Bye(s.ctx))
	s.ends(one)

	one, err = s.pos1.Call(s.ctx, phone.Invite{Dest: s.proxy, RequestURI: "sip:pos-2@psap.example"})
	s.must(err)
	ringing, err := s.pos2.Accept(s.ctx)
	s.must(err)
	s.must(ringing.Ring())
	s.status(180)(one.WaitProvisional(s.ctx))
	one.Cancel()
	s.status(487)(one.WaitAnswer(s.ctx))
	if end, err := ringing.WaitEnd(s.ctx); err != nil || end.Cause != "CANCEL" {
		t.Errorf("the other phone's call ended %+v, %v", end, err)
	}
	s.status(404)(s.pos1.Request(s.ctx, s.proxy, "sip:nobody@psap.example", phone.Request{Method: "MESSAGE", Body: []byte("x"), ContentType: "text/plain"}))
}

// header is the first value of a header.
func header(msg gosip.Message, name string) string {
	if all := msg.GetHeaders(name); len(all) > 0 {
		return all[0].Value()
	}
	return ""
}
