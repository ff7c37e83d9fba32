package node

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/console"
	"holdline/console/browser"
	"holdline/sip"
)

// supervisors is who may join calls, as the guard knows it.
func supervisors(c *config.Config) sip.Supervisors {
	s := sip.Supervisors{
		Ring: c.Supervisors.Ring.Std(),
		Dial: map[sip.Mode]string{
			sip.ModeListen: c.Supervisors.Dial.Listen, sip.ModeWhisper: c.Supervisors.Dial.Whisper, sip.ModeBarge: c.Supervisors.Dial.Barge,
		},
		Keys:   c.Supervisors.Keys,
		Assist: sip.Assist{Code: c.Assist.DTMF, Kind: sip.AssistKind(c.Assist.Kind), Mode: sip.Mode(c.Assist.Mode)},
	}
	for _, p := range c.Supervisors.Phones {
		s.Phones = append(s.Phones, sip.SupervisorPhone{ID: p.ID, URI: p.URI, Networks: config.Prefixes(p.Networks)})
	}
	return s
}

// openBrowsers opens the gateway for supervisors' browsers; nil when it is
// switched off. Only an address that was asked for is worth refusing to start.
func (n *Node) openBrowsers(c *config.Config) (console.Browsers, error) {
	w := c.Console.WebRTC
	if !w.Enabled {
		return nil, nil //nolint:nilnil // switched off is no error
	}
	g, err := browser.New(browser.Options{
		Listen: w.At(c.Console.Listen.AddrPort), Media: c.Media.Address[0].Addr, Log: n.log.Named("browser"),
	})
	switch {
	case err != nil && w.Given():
		return nil, fmt.Errorf("console.webrtc.listen: %w", err)
	case err != nil:
		n.log.Warn("supervisors cannot join with the browser", zap.Error(err))
		return nil, nil //nolint:nilnil // calls come first
	}
	n.stops.push("browsers", func(context.Context) error { return g.Close() })
	return g, nil
}
