package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Found is a message out of a capture.
type Found struct {
	Packet
	Network  string // udp or tcp
	From, To netip.AddrPort
	Raw      []byte
}

// Find returns the messages with any of the Call-IDs that passed between two
// moments, in the order in which they were taken down. A folder that does not exist has
// none.
func Find(dir string, callIDs []string, from, to time.Time) ([]Found, error) {
	files, err := between(dir, from, to)
	if err != nil {
		return nil, err
	}
	var out []Found
	for _, path := range files {
		if err := find(path, callIDs, &out); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	return out, nil
}

func find(path string, callIDs []string, out *[]Found) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return Read(f, func(k Packet) error {
		if !slices.Contains(callIDs, k.Comment) {
			return nil
		}
		m := Found{Packet: k}
		var err error
		if m.Network, m.From, m.To, m.Raw, err = payload(k.Data); err != nil {
			return err
		}
		*out = append(*out, m)
		return nil
	})
}

// Messages returns all messages of a capture; packets that are none, such as
// RTP, are passed over.
func Messages(r io.Reader) (out []Found, err error) {
	err = Read(r, func(k Packet) error {
		if k.Comment == "" {
			return nil
		}
		m := Found{Packet: k}
		var err error
		m.Network, m.From, m.To, m.Raw, err = payload(k.Data)
		out = append(out, m)
		return err
	})
	return out, err
}

// between lists the captures that may hold messages of that time.
func between(dir string, from, to time.Time) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		name, ok := strings.CutSuffix(d.Name(), ".pcapng")
		began, perr := time.Parse("20060102T150405.000000Z", name)
		if ok && perr == nil && !began.After(to) && began.Add(segments).After(from) {
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for messages in %s: %w", dir, err)
	}
	slices.Sort(out)
	return out, nil
}

// SumOf computes what Log said of a Call-ID's first n messages, from the
// messages.
func SumOf(callID string, n int, found []Found) Sum {
	s := Sum{CallID: callID}
	h := sha256.New()
	for _, m := range found {
		if m.Comment == callID && s.Messages < n {
			s.Messages++
			fmt.Fprintf(h, "%d:", len(m.Raw))
			h.Write(m.Raw)
			h.Write([]byte{','})
		}
	}
	s.SHA256 = hex.EncodeToString(h.Sum(nil))
	return s
}

// Renumber gives the TCP segments of an extract sequence numbers without gaps,
// so that a tool that follows streams reads them all.
func Renumber(found []Found) {
	next := map[flow]uint32{}
	for i := range found {
		if m := &found[i]; m.Network == "tcp" {
			f := flow{m.From, m.To}
			m.Data = appendSegment(nil, m.From, m.To, next[f]+1, m.Raw)
			next[f] += uint32(len(m.Raw))
		}
	}
}
