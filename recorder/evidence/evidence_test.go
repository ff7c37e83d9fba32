package evidence

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdline/recorder"
	"holdline/recorder/capture"
)

const callID = "a/b c@x"

// made is a data directory with one rescued call in it, and others around it.
func made(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	j, err := recorder.OpenJournal(recorder.JournalOptions{Dir: dir, Node: "psap-a"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	put := func(call, kind string, data any) {
		done := make(chan struct{})
		j.Commit(func(bool) { close(done) }, recorder.Entry{Time: time.Now(), Call: call, Kind: kind, Data: data})
		<-done
	}
	type m = map[string]any
	put("", "node.started", m{"policy": "sha256:77", "rules": "rules: []\n"})
	put("other", "call.offered", m{"position": "pos-1"})
	put(callID, "call.offered", m{"position": "pos-1", "from": "sip:+15045550123@x", "emergencyId": "urn:emergency:uid:callid:1:x"})
	put(callID, "release.requested", m{"position": "pos-1", "how": "bye", "talkMs": 1500})
	put(callID, "release.intercepted", m{"position": "pos-1", "rule": "intake-incomplete", "why": "<no> intake", "policy": "sha256:77"})
	log := capture.New(capture.Options{Dir: filepath.Join(dir, "signalling")})
	for i, raw := range []string{
		"INVITE sip:911@psap SIP/2.0\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 0\r\n",
		"SIP/2.0 200 OK\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n\r\nc=IN IP4 192.0.2.8\r\nm=audio 5000 RTP/AVP 0\r\n",
	} {
		from, to := "192.0.2.7:5060", "192.0.2.8:5060"
		if i == 1 {
			from, to = to, from
		}
		log.Seen(capture.Message{At: now, Network: "udp", From: from, To: to, Raw: fmt.Appendf(nil, raw, callID)})
	}
	sum := make(chan capture.Sum, 1)
	log.Over(callID, func(s capture.Sum) { sum <- s })
	put(callID, "signalling.closed", closedData{Sum: <-sum, From: now, To: now})
	put(callID, "recording.closed", record(t, dir, now))
	put(callID, "call.ended", m{"by": "caller", "reason": "bye"})
	put("other", "call.ended", m{"by": "caller"})
	for _, c := range []io.Closer{log, j} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// record makes a recording of two packets of each side.
func record(t *testing.T, dir string, at time.Time) recordingData {
	t.Helper()
	a, _, err := recorder.OpenAudio(recorder.AudioOptions{Dir: filepath.Join(dir, "recordings")})
	if err != nil {
		t.Fatal(err)
	}
	tap := a.NewTap()
	rec, _, err := a.Start(callID, at)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		for side := range uint8(2) {
			pkt := []byte{0x80, 0, 0, byte(n)}
			pkt = binary.BigEndian.AppendUint32(pkt, uint32(n*frame))
			pkt = binary.BigEndian.AppendUint32(pkt, uint32(side))
			tap.Packet(rec, side, 0, 0, at.Add(time.Duration(n)*20*time.Millisecond).UnixNano(),
				append(pkt, bytes.Repeat([]byte{0x10 + side}, frame)...))
		}
	}
	closed := make(chan recorder.Closed, 1)
	a.Stop(rec, func(c recorder.Closed) { closed <- c })
	tick := time.NewTicker(time.Millisecond) // as the packet loop does
	defer tick.Stop()
	var c recorder.Closed
	for c.Path == "" {
		select {
		case c = <-closed:
		case <-tick.C:
			tap.Tick(time.Now().UnixNano())
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if c.Err != nil || c.SHA256 == "" {
		t.Fatalf("recording: %+v", c)
	}
	return recordingData{Path: c.Path, SHA256: c.SHA256}
}

func bundle(t *testing.T, o Options) ([]byte, Manifest) {
	t.Helper()
	var buf bytes.Buffer
	m, err := Write(t.Context(), o, &buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), m
}

func verify(b []byte, key string) (Report, error) {
	return Verify(bytes.NewReader(b), int64(len(b)), key)
}

func TestBundleVerifies(t *testing.T) {
	dir := made(t)
	for _, id := range []string{callID, "urn:emergency:uid:callid:1:x"} {
		b, m := bundle(t, Options{Data: dir, Call: id, By: "auditor"})
		if len(m.Notes) > 0 || m.Call != callID || m.Node != "psap-a" {
			t.Errorf("manifest: %+v", m)
		}
		r, err := verify(b, m.KeyID)
		if err != nil || r.Records != 7 || r.Audio != 1 || r.Messages != 2 {
			t.Errorf("report %+v: %v", r, err)
		}
	}
	if _, err := Write(t.Context(), Options{Data: dir, Call: "nobody"}, io.Discard); !errors.Is(err, ErrNoCall) {
		t.Errorf("a call that never was: %v", err)
	}
}

// TestEveryChangeIsFound changes one file of a bundle after the other.
func TestEveryChangeIsFound(t *testing.T) {
	b, m := bundle(t, Options{Data: made(t), Call: callID, By: "auditor"})
	if _, err := verify(b, "sha256:"+strings.Repeat("0", 64)); err == nil {
		t.Error("another key is taken for the node's")
	}
	names := []string{fileManifest, fileSignature}
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	for _, name := range names {
		for what, change := range map[string]func([]byte) []byte{
			"changed": func(d []byte) []byte { d[len(d)/2] ^= 1; return d },
			"removed": func([]byte) []byte { return nil },
		} {
			if _, err := verify(rewrite(t, b, name, change), ""); err == nil {
				t.Errorf("%s was %s, and nobody noticed", name, what)
			}
		}
	}
	if _, err := verify(rewrite(t, b, "", nil), ""); err != nil {
		t.Errorf("rewritten without a change: %v", err)
	}
}

// rewrite makes the bundle anew with one file changed, or without it.
func rewrite(t *testing.T, b []byte, name string, change func([]byte) []byte) []byte {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	out := zip.NewWriter(&buf)
	for _, f := range in.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == name {
			if data = change(data); data == nil {
				continue
			}
		}
		w, err := out.Create(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestWhatIsMissingIsSaid keeps a bundle useful when a recording is gone.
func TestWhatIsMissingIsSaid(t *testing.T) {
	dir := made(t)
	for _, gone := range []string{"recordings", "signalling"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	_, m := bundle(t, Options{Data: dir, Call: callID})
	if notes := strings.Join(m.Notes, "\n"); !strings.Contains(notes, "is not there any more") || !strings.Contains(notes, "messages of this call were not kept") {
		t.Errorf("notes: %s", notes)
	}
}

func TestCaptureHasMessagesAndAudio(t *testing.T) {
	dir := made(t)
	b, m := bundle(t, Options{Data: dir, Call: callID})
	if len(m.Notes) > 0 {
		t.Errorf("notes: %v", m.Notes)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open(fileCapture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	messages, audio := 0, map[byte]int{}
	err = capture.Read(f, func(k capture.Packet) error {
		if k.Comment != "" {
			messages++
		} else {
			audio[k.Data[len(k.Data)-1]]++
		}
		return nil
	})
	if err != nil || messages != 2 || audio[0x10] != 2 || audio[0x11] != 2 {
		t.Errorf("%d messages, audio %v: %v", messages, audio, err)
	}
	page, err := z.Open(fileSummary)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	text, err := io.ReadAll(page)
	if err != nil || !bytes.Contains(text, []byte("Holdline kept the caller")) || bytes.Contains(text, []byte("<no>")) {
		t.Errorf("summary: %v\n%s", err, text)
	}
}
