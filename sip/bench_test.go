package sip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
	"holdline/policy"
)

func benchPorts() []media.Ports {
	return []media.Ports{{RTP: netip.MustParseAddrPort("10.0.0.9:20000"), RTCP: netip.MustParseAddrPort("10.0.0.9:20001")}}
}

// BenchmarkSDPRewrite is what happens to every offer and answer: it is read
// and written again with our own ports.
func BenchmarkSDPRewrite(b *testing.B) {
	body, ports, o := sdp("caller"), benchPorts(), origin{}
	b.ReportAllocs()
	for b.Loop() {
		s, err := parseSDP(body)
		if err != nil {
			b.Fatal(err)
		}
		if len(s.rewrite(ports, &o)) == 0 {
			b.Fatal("nothing was written")
		}
	}
}

// BenchmarkINVITEPass is an INVITE on its way through: from its bytes to those
// of the INVITE for the position, without sockets and transactions.
func BenchmarkINVITEPass(b *testing.B) {
	settings := usualSettings()
	g, err := New(Options{Node: "bench", Media: &mediaFake{}, Journal: &journalFake{}, Settings: settings})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Stop()
	var text strings.Builder
	fmt.Fprintf(&text, "INVITE sip:911@10.0.0.9 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"+
		"From: <sip:caller@10.0.0.1>;tag=a\r\nTo: <sip:911@10.0.0.9>\r\nCall-ID: bench\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@10.0.0.1:5060>\r\n")
	for _, h := range i3Headers {
		fmt.Fprintf(&text, "%s: %s\r\n", h[0], h[1])
	}
	body := sdp("caller")
	fmt.Fprintf(&text, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	raw, parser := []byte(text.String()), gosip.NewParser()
	session, err := (&mediaFake{}).Open("bench", func(media.Event) {})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		msg, err := parser.ParseSIP(raw)
		if err != nil {
			b.Fatal(err)
		}
		c := g.newCall(msg.(*gosip.Request), nil, Route{Match: "sip:911@*", Kind: policy.Emergency})
		c.media, c.Offer = session, string(body)
		l := &leg{}
		l.Dialog = Dialog{
			CallID: c.ID, LocalTag: "b", Local: c.From, Remote: c.To, Target: uriFor("pos-1"),
			Network: "udp", Next: hosts["pos-1"], Socket: guardAddr, User: "911",
		}
		out, err := c.inviteTo(l)
		if err != nil || len(out.String()) < len(raw)/2 {
			b.Fatalf("%v: %v", err, out)
		}
	}
}
