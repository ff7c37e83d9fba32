package node

import (
	"testing"

	"holdline/cmd/holdline/config"
)

// Links in alerts, and the one for the first admin, are ones that can be opened.
func TestConsoleURL(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8911": "http://127.0.0.1:8911/",
		"0.0.0.0:8911":   "http://" + hostName() + ":8911/",
		"[::]:8911":      "http://" + hostName() + ":8911/",
	} {
		if got := consoleURLAt(&config.Config{}, addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}
