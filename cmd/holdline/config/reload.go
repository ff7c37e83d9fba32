package config

import (
	"reflect"
	"slices"
)

// Fixed returns the keys in which next differs from c and which cannot change
// while calls are up: sockets that are open and files that are being written.
func (c *Config) Fixed(next *Config) []string {
	var keys []string
	changed := func(key string, is bool) {
		if is {
			keys = append(keys, key)
		}
	}
	changed("node", c.Node != next.Node)
	changed("data", c.Data != next.Data)
	changed("sip.listen", !slices.Equal(c.SIP.Listen, next.SIP.Listen))
	changed("media.address", !slices.Equal(c.Media.Address, next.Media.Address))
	changed("media.ports", c.Media.Ports != next.Media.Ports)
	changed("media.nat", !slices.Equal(c.Media.NAT, next.Media.NAT))
	changed("rescue.prompt", c.Rescue.Prompt != next.Rescue.Prompt)
	changed("rescue.text", c.Rescue.Text != next.Rescue.Text)
	changed("recording.enabled", c.Recording.Enabled != next.Recording.Enabled)
	changed("recording.signalling", c.Recording.Signalling != next.Recording.Signalling)
	changed("recording.encrypt", !c.Recording.Encrypt.Equal(next.Recording.Encrypt))
	changed("console.listen", c.Console.Listen != next.Console.Listen)
	changed("console.webrtc", c.Console.WebRTC != next.Console.WebRTC)
	changed("console.auth", !reflect.DeepEqual(c.Console.Auth, next.Console.Auth))
	changed("console.tls", c.Console.TLS != next.Console.TLS)
	return keys
}

// With returns next with the keys of c that cannot change while calls are up:
// the configuration that is in force after a reload.
func (c *Config) With(next *Config) *Config {
	n := *next
	n.Node, n.Data, n.SIP.Listen = c.Node, c.Data, c.SIP.Listen
	n.Media, n.Recording, n.Console = c.Media, c.Recording, c.Console
	n.Rescue.Prompt, n.Rescue.Text = c.Rescue.Prompt, c.Rescue.Text
	return &n
}
