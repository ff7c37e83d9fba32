package node

import (
	"context"
	"path/filepath"
	"time"

	"holdline/console"
	"holdline/recorder/capture"
)

// messagesIn finds the messages of calls in a data folder.
func messagesIn(data string) console.Messages {
	dir := filepath.Join(data, "signalling")
	return func(_ context.Context, callIDs []string, from, to time.Time) ([]capture.Found, error) {
		return capture.Find(dir, callIDs, from, to)
	}
}
