package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/cmd/holdline/node"
	"holdline/recorder"
)

// settings is the configuration of the demo: one position, one fallback
// taker, and ports that the system chooses.
func settings(dir, position, fallback string) *config.Config {
	c := config.Default()
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	c.Node, c.Data = "demo", dir
	c.SIP.Listen = []config.Listen{{Network: "udp", Addr: loopback}}
	c.Media.Ports = config.PortRange{}
	c.Positions = []config.Position{{ID: "pos-1", URI: position, Calls: 1, Agent: "agent-7"}}
	c.Routes = []config.Route{{Match: "urn:service:sos*", To: []string{"pos-1"}, Ring: config.Duration(15 * time.Second), Kind: "emergency"}}
	c.Fallback = []config.Tier{{To: []string{fallback}, Strategy: "ring-all", Ring: config.Duration(20 * time.Second)}}
	c.Console.Listen = config.HostPort{AddrPort: loopback}
	c.Redials.Within = 0 // every call is a first one: the position is offered a caller whom it dropped
	return &c
}

// house is a whole Holdline in this process.
type house struct {
	node *node.Node
	http *http.Client
}

func openHouse(c *config.Config, version string, log *zap.Logger) (*house, error) {
	n, err := node.Start(node.Options{Config: c, Version: version, Log: log})
	if err != nil {
		return nil, fmt.Errorf("starting Holdline: %w", err)
	}
	return &house{node: n, http: &http.Client{Transport: &http.Transport{}}}, nil
}

// stopWait is how long the node may take to stop.
const stopWait = 10 * time.Second

func (h *house) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	err := h.node.Stop(ctx)
	h.http.CloseIdleConnections()
	return err
}

func (h *house) consoleURL() string { return "http://" + h.node.ConsoleAddr().String() + "/" }

func (h *house) sip() (string, error) {
	if a := h.node.SIPAddrs(); len(a) > 0 {
		return a[0].String(), nil
	}
	return "", errors.New("the guard does not listen")
}

// records hands every record of the journal to each, from those written
// already on, until ctx ends; it reads the console's event stream, as the live
// page does.
func (h *house) records(ctx context.Context, each func(recorder.Record)) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.consoleURL()+"v1/events?after=0", http.NoBody)
	if err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	res, err := h.http.Do(req)
	if err != nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was read to its end, or is not wanted any more
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("reading the events: %s", res.Status)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20) // a record carries whole SIP messages
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var r recorder.Record
		if err := json.Unmarshal([]byte(data), &r); err != nil {
			return fmt.Errorf("reading an event: %w", err)
		}
		each(r)
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading the events: %w", err)
	}
	return nil
}
