package recorder

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"
)

// Supervisors are recorded beside the call, each in a file that begins with
// the first packet, is hashed with the recording and plays on its own.
func TestSupervisorsHaveTracks(t *testing.T) {
	a, tap := openAudioTest(t, t.TempDir())
	rec, path, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	caller := sender{side: 0, seq: 1, ssrc: 1}
	for k := range 100 {
		caller.send(tap, rec, k, 0, tone(muLaw, 440, 160*k, 160))
	}
	for n := range 2 {
		for k := range 50 {
			at := testStart + int64(1+n)*1_000_000_000 + int64(k)*20_000_000
			tap.Packet(rec, 2, 8, uint8(n+1), at, rtpPacket(8, uint16(k), uint32(160*k), 7, tone(aLaw, 1000, 160*k, 160)))
			tap.Packet(rec, 3, 8, uint8(n+1), at, rtpPacket(8, uint16(k), uint32(160*k), 8, tone(aLaw, 440, 160*k, 160)))
		}
	}
	c := stopTest(t, a, tap, rec)
	base := strings.TrimSuffix(path, ".wav")
	want := []string{base + "-supervisor-1.wav", base + "-supervisor-2.wav"}
	if c.Err != nil || len(c.Extra) != 2 || c.Extra[0] != want[0] || c.Extra[1] != want[1] || c.Duration != 2*time.Second || c.Packets != 300 {
		t.Fatalf("closed: %+v", c)
	}
	_, ch := channels(t, path)
	equalAt(t, "the caller", ch[0], 0, tone(muLaw, 440, 0, 16000))
	for i, file := range c.Extra {
		l, ch := channels(t, file)
		if l != aLaw {
			t.Fatal("not A-law")
		}
		equalAt(t, "the supervisor says", ch[0], 0, tone(aLaw, 1000, 0, 8000))
		equalAt(t, "the supervisor hears", ch[1], 0, tone(aLaw, 440, 0, 8000))
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != c.ExtraSHA256[i] {
			t.Fatal("not the hash of the file")
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := readWAV(f)
		_ = f.Close()
		if err != nil || info.call != "call" || !info.began.Equal(time.Unix(0, testStart+int64(1+i)*1_000_000_000)) {
			t.Fatalf("header %+v, %v", info, err)
		}
	}
	if found, err := a.Path("call"); err != nil || found != path {
		t.Fatalf("the recording of the call is %q, %v", found, err)
	}
}

// A crash leaves a track as playable as the recording itself.
func TestTracksAreRepaired(t *testing.T) {
	dir := t.TempDir()
	a, tap := openAudioTest(t, dir)
	rec, path, err := a.Start("call", time.Unix(0, testStart))
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{id: rec, call: "call", path: path, began: time.Unix(0, testStart)}
	l := &recorderLoop{a: a}
	for k := range 100 { // as the recorder does, until it is cut off
		b := rtpPacket(0, uint16(k), uint32(160*k), 7, tone(muLaw, 1000, 160*k, 160))
		l.packet(r, 2, 0, 1, testStart+int64(k)*20_000_000, b)
	}
	r.tracks[0].flush()
	stopTest(t, a, tap, rec)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again, repaired, err := OpenAudio(AudioOptions{Dir: dir})
	t.Cleanup(func() { _ = again.Close() })
	if err != nil || len(repaired) != 1 {
		t.Fatalf("repaired %+v, %v", repaired, err)
	}
	if got := repaired[0]; got.Call != "call" || got.Duration != 2*time.Second || !strings.HasSuffix(got.Path, "-supervisor-1.wav") {
		t.Fatalf("repaired %+v", got)
	}
	_, ch := channels(t, repaired[0].Path)
	equalAt(t, "the supervisor says", ch[0], 0, tone(muLaw, 1000, 0, 16000))
}
