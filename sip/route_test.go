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

// Whoever takes a caller over is counted as who they are, whatever their phone
// writes into Contact or From.
func TestDeskOfARequest(t *testing.T) {
	s := Settings{Positions: []Position{
		{ID: "pos-1", URI: "sip:pos-1@10.0.0.11:5060"},
		{ID: "pos-2", URI: "sip:pos-2@10.0.0.12"},
		{ID: "pos-3", URI: "sip:pos-3@10.0.0.9"},
		{ID: "pos-4", URI: "sip:pos-4@10.0.0.9"},
	}}
	s.index()
	for _, c := range []struct{ contact, source, from, want string }{
		{"sip:pos-1@10.0.0.11", "10.0.0.11:5060", "sip:pos-1@10.0.0.11", "pos-1"},
		{"sip:200@10.0.0.12:5060;ob", "10.0.0.12:5060", "sip:200@pbx.example", "pos-2"},
		{"sip:200@10.0.0.12:5060;ob", "10.0.0.12:5060", "sip:pos-1@10.0.0.11", "pos-2"}, // says to be somebody else
		{"sip:200@10.0.0.9", "10.0.0.9:5060", "sip:pos-4@10.0.0.9", "pos-4"},
		{"sip:200@10.0.0.9", "10.0.0.9:5060", "sip:200@10.0.0.9", ""},
		{"sip:200@10.0.0.50", "10.0.0.50:5060", "sip:200@10.0.0.50", ""},
	} {
		got := s.deskOf(c.contact, c.source, c.from)
		if got.Desk != (c.want != "") || got.Desk && got.Name != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
