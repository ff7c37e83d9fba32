package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"holdline/cmd/holdline/config"
	"holdline/recorder"
)

// TestStopIsTheLastRecord: what the parts note while they are stopped, like the
// recordings that are closed then, comes before node.stopped. Whoever reads the
// journal may take node.stopped for the end.
func TestStopIsTheLastRecord(t *testing.T) {
	dir := t.TempDir()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := pc.LocalAddr().(*net.UDPAddr).Port
	if err := pc.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("holdline.yaml", fmt.Appendf(nil, `
data: %s
sip: {listen: ["udp://127.0.0.1:%d"], trust: ["127.0.0.0/8"]}
media: {address: 127.0.0.1, ports: 20000-20099}
positions: [{id: pos-1, uri: "sip:pos-1@127.0.0.1:9"}]
routes: [{match: "*", to: [pos-1]}]
fallback: [{to: ["sip:fallback@127.0.0.1:9"]}]
console: {listen: "127.0.0.1:0"}
`, dir, port))
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	n.stops.push("late part", func(context.Context) error {
		n.record("recording.closed", "late@test", struct{}{})
		return nil
	})
	for range 2 { // a second Stop adds nothing
		if err := n.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := recorder.Export(dir, recorder.Query{}, &out); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(out.String()) {
		var r struct{ Kind string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Kind != "node.degraded" { // a slow disk
			kinds = append(kinds, r.Kind)
		}
	}
	if want := []string{"node.started", "recording.closed", "node.stopped"}; !slices.Equal(kinds, want) {
		t.Errorf("records: %v, want %v", kinds, want)
	}
}
