package node

import (
	"encoding/binary"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"

	"holdline/media"
	"holdline/recorder"
)

// A supervisor first whispers and then barges in. The recording of the call
// has what the caller heard, and the supervisor's file all that was said.
func TestSupervisorsInRecordings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		audio, _, err := recorder.OpenAudio(recorder.AudioOptions{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		net := media.NewMemoryNetwork()
		engine, err := media.New(media.Options{
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Network: net, Loops: 1,
			NewTap: func() media.Tap { return audio.NewTap() },
		})
		if err != nil {
			t.Fatal(err)
		}
		call, err := engine.Open("call", nil)
		if err != nil {
			t.Fatal(err)
		}
		notes := []float64{437, 713, 1129}
		var phones []*media.MemoryConn
		var to []netip.AddrPort
		for i := range notes {
			at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), 4000)
			phone, err := net.Listen(at)
			if err != nil {
				t.Fatal(err)
			}
			id, ports, err := call.AddLeg([]media.Kind{media.Audio}, false)
			if err != nil {
				t.Fatal(err)
			}
			call.SetRemote(id, 0, media.Remote{RTP: at, Codecs: []media.Codec{{PT: 0, Name: "PCMU", Rate: 8000, Channels: 1}}})
			phones, to = append(phones, phone), append(to, ports[0].RTP)
		}
		rec, path, err := audio.Start("call", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		call.Record(rec)
		call.Bridge(1)
		call.Attend(2, media.Whisper)
		for k := range 200 {
			if k == 100 {
				call.Attend(2, media.Barge)
			}
			time.Sleep(20 * time.Millisecond)
			for i, hz := range notes {
				raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(k), Timestamp: uint32(160 * k), SSRC: uint32(i)}, Payload: note(hz, 160*k)}).Marshal()
				if _, err := phones[i].WriteToAddrPort(raw, to[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		ended := make(chan struct{})
		call.Close(func() { close(ended) })
		<-ended
		closed := make(chan recorder.Closed, 1)
		audio.Stop(rec, func(c recorder.Closed) { closed <- c })
		c := <-closed
		if c.Err != nil || c.Path != path || len(c.Extra) != 1 || c.Extra[0] != strings.TrimSuffix(path, ".wav")+"-supervisor-1.wav" {
			t.Fatalf("closed: %+v", c)
		}
		whisper, barge := [2]int{4000, 14000}, [2]int{20000, 30000}
		main, track := play(t, c.Path), play(t, c.Extra[0])
		loud(t, "the caller says", main[0], whisper, notes, 437)
		loud(t, "the caller hears during the whisper", main[1], whisper, notes, 713)
		loud(t, "the caller hears after barging in", main[1], barge, notes, 713, 1129)
		loud(t, "the supervisor says", track[0], whisper, notes, 1129)
		loud(t, "the supervisor says", track[0], barge, notes, 1129)
		loud(t, "the supervisor hears", track[1], whisper, notes, 437, 713)
		for _, p := range phones {
			_ = p.Close()
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		if err := audio.Close(); err != nil {
			t.Error(err)
		}
	})
}

// note is 20 ms of a sine in mu-law.
func note(hz float64, from int) []byte {
	b := make([]byte, 160)
	for i := range b {
		b[i] = g711.EncodeUlawFrame(int16(6000 * math.Sin(2*math.Pi*hz*float64(from+i)/8000)))
	}
	return b
}

// play reads the two channels of a recording, by what its header says.
func play(t *testing.T, path string) (ch [2][]float64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 4096 || string(b[:4]) != "RIFF" || b[20] != 7 || string(b[4088:4092]) != "data" {
		t.Fatalf("%s is not a mu-law recording", path)
	}
	for i, code := range b[4096:][:binary.LittleEndian.Uint32(b[4092:])] {
		ch[i%2] = append(ch[i%2], float64(g711.DecodeUlawFrame(code)))
	}
	return ch
}

// loud checks which of the notes are in a part of a channel.
func loud(t *testing.T, what string, x []float64, part [2]int, notes []float64, want ...float64) {
	t.Helper()
	if len(x) < part[1] {
		t.Fatalf("%s: %d samples", what, len(x))
	}
	x = x[part[0]:part[1]]
	for _, hz := range notes {
		var re, im float64
		for i, v := range x {
			w := 1 - math.Cos(2*math.Pi*float64(i)/float64(len(x)))
			re += w * v * math.Cos(2*math.Pi*hz*float64(i)/8000)
			im += w * v * math.Sin(2*math.Pi*hz*float64(i)/8000)
		}
		level, expected := 2*math.Hypot(re, im)/float64(len(x)), 0.0
		for _, w := range want {
			if w == hz {
				expected = 6000
			}
		}
		if math.Abs(level-expected) > 600 {
			t.Errorf("%s: %.0f Hz with %.0f, want %.0f", what, hz, level, expected)
		}
	}
}
