package recorder

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// TestRecordingsAreEncrypted: a finished recording is there for whoever has
// the identity, and for nobody else.
func TestRecordingsAreEncrypted(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	options := AudioOptions{Dir: dir, Recipients: []age.Recipient{id.Recipient()}, Identities: []age.Identity{id}}
	a, _, err := OpenAudio(options)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	tap := a.NewTap()
	rec, _, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	tap.Packet(rec, 0, 0, 0, testStart, rtpPacket(0, 1, 0, 7, tone(muLaw, 440, 0, 160)))
	tap.Packet(rec, 0, 255, 1, testStart, rtpPacket(99, 1, 0, 8, []byte("text")))
	c := stopTest(t, a, tap, rec)
	if c.Err != nil || !strings.HasSuffix(c.Path, ".wav.age") || c.PlainSHA256 == "" || c.PlainSHA256 == c.SHA256 ||
		len(c.Extra) != 1 || !strings.HasSuffix(c.Extra[0], ".rtpdump.age") || len(c.PlainExtraSHA256) != 1 {
		t.Fatalf("closed: %+v", c)
	}
	if _, err := os.Stat(strings.TrimSuffix(c.Path, ".age")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the clear recording is still there: %v", err)
	}
	raw, err := os.ReadFile(c.Path)
	if err != nil || bytes.Contains(raw, []byte("WAVE")) {
		t.Errorf("the file is in clear, or cannot be read: %v", err)
	}
	p, err := a.Open("call")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := io.ReadAll(p)
	if err != nil || !bytes.HasPrefix(opened, []byte("RIFF")) || len(opened) < headerSize+320 {
		t.Errorf("decrypted: %d bytes, %v", len(opened), err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range [][]age.Identity{nil, {other}} {
		if _, err := Unlock(bytes.NewReader(raw), with); !errors.Is(err, ErrLocked) {
			t.Errorf("opened by somebody else: %v", err)
		}
	}
}

// TestEncryptionThatFails leaves the recording in clear and says so.
func TestEncryptionThatFails(t *testing.T) {
	a, tap := openAudioTest(t, t.TempDir())
	a.opts.Recipients = []age.Recipient{brokenRecipient{}}
	rec, _, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	tap.Packet(rec, 0, 0, 0, testStart, rtpPacket(0, 1, 0, 7, tone(muLaw, 440, 0, 160)))
	c := stopTest(t, a, tap, rec)
	if c.Err != nil || !strings.HasSuffix(c.Path, ".wav") || c.SHA256 == "" {
		t.Errorf("closed: %+v", c)
	}
	if _, err := a.Open("call"); err != nil {
		t.Errorf("the recording in clear cannot be opened: %v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !strings.Contains(a.reason, "cannot be encrypted") {
		t.Errorf("nobody was told: %q", a.reason)
	}
}

type brokenRecipient struct{}

func (brokenRecipient) Wrap([]byte) ([]*age.Stanza, error) { return nil, errors.New("no") }
