package edge

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// A refusal whose ACK was lost is acknowledged again at once, each time.
func TestRepeatedRefusalIsAcknowledgedAtOnce(t *testing.T) {
	client, from, _ := server(t, "udp://127.0.0.1:0")
	target, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	target.SetReadDeadline(time.Now().Add(10 * time.Second))
	req := gosip.NewRequest("INVITE", gosip.Uri{Scheme: "sip", User: "x", Host: "127.0.0.1"})
	via := &gosip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: "127.0.0.1", Port: int(from.Port())}
	via.Params.Add("branch", "z9hG4bKrefused")
	req.AppendHeader(via)
	for _, h := range [][2]string{{"Route", "<sip:127.0.0.1;lr>"}, {"From", "<sip:a@b>;tag=1"}, {"To", "<sip:c@d>"}, {"Call-ID", "r"}, {"CSeq", "7 INVITE"}} {
		req.AppendHeader(gosip.NewHeader(h[0], h[1]))
	}
	req.SetBody(nil)
	req.SetTransport("UDP")
	req.SetDestination(target.LocalAddr().String())
	answers := make(chan Response, 10)
	client.Send(req, func(r Response) { answers <- r })

	read := func() string {
		b := make([]byte, 4096)
		n, _, err := target.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	invite := read()
	top := strings.Split(invite, "\r\n")[1]
	refusal := fmt.Sprintf("SIP/2.0 486 Busy Here\r\n%s\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: r\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n", top)
	var first string
	for i := range 4 {
		if _, err := target.WriteTo([]byte(refusal), net.UDPAddrFromAddrPort(from)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if r := <-answers; r.Err != nil || r.StatusCode != 486 {
				t.Fatalf("answer %+v", r)
			}
		}
		ack := read()
		if i == 0 {
			first = ack
		}
		for _, want := range []string{"ACK sip:x@127.0.0.1 SIP/2.0\r\n", "branch=z9hG4bKrefused", "Route: <sip:127.0.0.1;lr>", "To: <sip:c@d>;tag=2", "CSeq: 7 ACK"} {
			if !strings.Contains(ack, want) {
				t.Errorf("ACK %d lacks %q:\n%s\nthe first was\n%s", i+1, want, ack, first)
			}
		}
	}
	select {
	case r := <-answers:
		t.Errorf("a repetition came up: %+v", r)
	default:
	}
}
