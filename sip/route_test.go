package sip

import (
	"testing"

	"holdline/policy"
)

func TestRoute(t *testing.T) {
	s := Settings{Routes: []Route{
		{Match: "urn:service:sos*", To: []string{"pos-1"}},
		{Match: "sip:911@*", To: []string{"pos-2"}},
		{Match: "sip:5045551000@*", To: []string{"pos-3"}, Kind: policy.Admin},
	}}
	for _, c := range []struct {
		uri, to string
		kind    policy.CallKind
		ok      bool
	}{
		{"urn:service:sos", "pos-1", policy.Emergency, true},
		{"URN:SERVICE:SOS.fire", "pos-1", policy.Emergency, true},
		{"urn:service:test.sos", "pos-1", policy.Test, true},
		{"urn:service:test:sos", "pos-1", policy.Test, true},
		{"sip:911@psap.example;user=phone", "pos-2", policy.Emergency, true},
		{"sip:5045551000@gw", "pos-3", policy.Admin, true},
		{"sip:9111@psap", "", "", false},
	} {
		r, ok := s.route(c.uri)
		if ok != c.ok || r.Kind != c.kind || ok && r.To[0] != c.to {
			t.Errorf("%s: %+v, %v", c.uri, r, ok)
		}
	}
	if r, ok := (&Settings{}).route("urn:service:sos.police"); !ok || r.Kind != policy.Emergency {
		t.Error("an emergency call that no route names must be taken all the same")
	}
}

func TestDeskKeyKnowsOneTargetByTwoSpellings(t *testing.T) {
	if a, b := deskKey("sip:pos-1@LOCALHOST;transport=udp"), deskKey("sip:pos-1@localhost:5060"); a != b {
		t.Errorf("%s and %s", a, b)
	}
	s := Settings{Positions: []Position{{ID: "pos-1", URI: "sip:pos-1@127.0.0.1:5071"}}}
	s.index()
	if got := s.target("sip:pos-1@127.0.0.1:5071;transport=tcp"); got.Key != "pos-1" || got.Limit != 1 {
		t.Errorf("a position by its URI is %+v", got)
	}
}
