package console

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"holdline/policy"
	"holdline/recorder"
	"holdline/recorder/capture"
)

// pastCall gives a console a call that is over, with messages and a recording.
func pastCall(t *testing.T) func(*Options) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(path, testWAV(8000), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		j := o.Journal.(*memory)
		o.Recordings = shelf{"a/b@c": path}
		o.Past = &Past{
			Journal: j, Find: func(string) string { return "" }, Complete: policy.Intake.Complete,
			Read: func(ctx context.Context, call string, each func(recorder.Record) error) error {
				return j.Read(ctx, "*", func(r recorder.Record) error {
					if r.Call != call {
						return nil
					}
					return each(r)
				})
			},
		}
		caller, ours, taker := netip.MustParseAddrPort("192.0.2.1:5060"), netip.MustParseAddrPort("192.0.2.9:5060"), netip.MustParseAddrPort("192.0.2.5:5071")
		o.Messages = func(_ context.Context, ids []string, _, _ time.Time) (out []capture.Found, _ error) {
			for i, m := range []struct {
				from, to netip.AddrPort
				raw      string
			}{
				{caller, ours, "INVITE urn:service:sos SIP/2.0\r\nc: application/sdp\r\nCSeq: 1 INVITE\r\nX-Secret: <script>\r\n\r\nv=0"},
				{ours, taker, "INVITE sip:pos-1@192.0.2.5:5071 SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n"},
				{taker, ours, "SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\n\r\n"},
			} {
				out = append(out, capture.Found{Packet: capture.Packet{At: epoch.Add(time.Duration(i) * time.Second / 2), Comment: ids[0]}, Network: "udp", From: m.from, To: m.to, Raw: []byte(m.raw)})
			}
			return out, nil
		}
		j.add("a/b@c", "call.offered", `{"position":"pos-1","uri":"sip:pos-1@192.0.2.5:5071","from":"sip:secret@example.com","kind":"emergency"}`)
		j.add("a/b@c", "release.intercepted", `{"position":"pos-1","rule":"intake-incomplete","why":"nothing is secret"}`)
	}
}

// testWAV is a recording: half a second of silence, then a loud caller.
func testWAV(frames int) []byte {
	le := binary.LittleEndian
	chunk := func(id string, body []byte) []byte {
		return append(le.AppendUint32([]byte(id), uint32(len(body))), body...)
	}
	format := le.AppendUint16(le.AppendUint16(nil, formatMuLaw), 2)
	began := append([]byte(epoch.Format(time.RFC3339Nano)), 0)
	if len(began)%2 == 1 {
		began = append(began, 0)
	}
	b := append([]byte("RIFF\x00\x00\x00\x00WAVE"), chunk("fmt ", append(format, make([]byte, 14)...))...)
	b = append(b, chunk("LIST", append([]byte("INFO"), chunk("ICRD", began)...))...)
	b = le.AppendUint32(append(b, "data"...), 0x7ffff000) // it goes on
	for i := range frames {
		left := byte(0xff)
		if i >= frames/2 {
			left = byte(i%2) << 7 // the lowest and the highest code in turn
		}
		b = append(b, left, 0xff)
	}
	return b
}

// TestCallPage: one timeline of events in words and of messages, for a call
// that is over, and who looked at it is journaled once.
func TestCallPage(t *testing.T) {
	b := newBench(t, pastCall(t))
	page := b.do("GET", "/calls/a%2Fb@c", "").Body.String()
	for _, want := range []string{
		"The call was offered to pos-1", "Holdline kept the caller", "INVITE &#43; SDP", "486 Busy Here (INVITE)",
		">Holdline</text>", ">pos-1</text>", ">192.0.2.5:5071</text>", "X-Secret: &lt;script&gt;", `src="/v1/recordings/a%2Fb@c"`, `"event strong verdict"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if strings.Index(page, "INVITE &#43; SDP") > strings.Index(page, "Holdline kept the caller") {
		t.Error("the messages are not on the timeline of the events")
	}
	if t.Failed() {
		t.Log(page)
	}
	page = b.do("GET", "/calls/a%2Fb@c", "").Body.String()
	if got := b.kinds(kindCallViewed); len(got) != 1 || !strings.Contains(got[0], `"from":"10.1.2.3"`) || !strings.Contains(page, "10.1.2.3 looked at the call") {
		t.Errorf("journaled: %v", got)
	}
	if w := b.do("GET", "/calls/nobody", ""); w.Code != 404 {
		t.Errorf("an unknown call: %d %s", w.Code, w.Body)
	}
}

// TestCallPageOfATester has states and nobody's words or messages.
func TestCallPageOfATester(t *testing.T) {
	g := newGatedBench(t)
	pastCall(t)(&g.console.o)
	page := g.do("GET", "/calls/a%2Fb@c", "", g.signIn("the-tester")).Body.String()
	if low := strings.ToLower(page); strings.Contains(low, "secret") || strings.Contains(page, "<pre>") || strings.Contains(page, "/v1/recordings/") || strings.Contains(page, "/v1/evidence/") {
		t.Errorf("a tester sees\n%s", page)
	}
	if !strings.Contains(page, "Holdline kept the caller") || !strings.Contains(page, "486 Busy Here (INVITE)") {
		t.Errorf("a tester does not see how the call went\n%s", page)
	}
}

// TestPlayedOnce: the pieces that a player fetches are one playing, and none of
// them can be had without it.
func TestPlayedOnce(t *testing.T) {
	b := newBench(t, pastCall(t))
	for _, piece := range []string{"bytes=100-200", "bytes=0-", "bytes=300-"} {
		b.do("GET", "/v1/recordings/a%2Fb@c", "", "Range: "+piece)
	}
	if got := b.kinds(kindRecordPlay); len(got) != 1 {
		t.Errorf("journaled: %v", got)
	}
}

func TestPeaks(t *testing.T) {
	b := newBench(t, pastCall(t))
	var p Peaks
	w := b.do("GET", "/v1/recordings/a%2Fb@c/peaks", "")
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if !p.Began.Equal(epoch) || p.Seconds != 1 || p.Bucket != 0.02 || len(p.Left) != 100 || len(p.Right) != 100 {
		t.Fatalf("began %v, %v s in stretches of %v, %d and %d values", p.Began, p.Seconds, p.Bucket, len(p.Left), len(p.Right))
	}
	for i := range p.Left {
		loud := 0
		if i >= 50 {
			loud = 125 * (i%2*2 - 1) // lowest, highest
		}
		if p.Left[i] != loud || p.Right[i] != 0 {
			t.Errorf("value %d: %d and %d, want %d and 0", i, p.Left[i], p.Right[i], loud)
		}
	}
	if w := b.do("GET", "/v1/recordings/nobody/peaks", ""); w.Code != 404 {
		t.Errorf("no recording: %d", w.Code)
	}
	for _, broken := range []string{"", "RIFF0123WAVE", "RIFF0123WAVEdata\x04\x00\x00\x00abcd"} {
		if p, err := readPeaks(strings.NewReader(broken)); err == nil {
			t.Errorf("%q is drawn as %+v", broken, p)
		}
	}
}

// TestG711 compares the tables with values of ITU-T G.711.
func TestG711(t *testing.T) {
	for code, want := range map[byte]int{0x00: -32124, 0x80: 32124, 0xff: 0, 0x7f: 0, 0xef: 132} {
		if got := fromMuLaw(code); got != want {
			t.Errorf("mu-law %#x: %d, want %d", code, got, want)
		}
	}
	for code, want := range map[byte]int{0xd5: 8, 0x55: -8, 0x2a: -32256, 0xaa: 32256} {
		if got := fromALaw(code); got != want {
			t.Errorf("A-law %#x: %d, want %d", code, got, want)
		}
	}
}

// TestCallPageInABrowser: the waveform is drawn, a message unfolds, and a hold
// is placed.
func TestCallPageInABrowser(t *testing.T) {
	b := newBench(t, pastCall(t))
	ctx, see := openTab(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(b.base+"/calls/a%2Fb@c")); err != nil {
		t.Fatal(err)
	}
	see("the waveform", `document.querySelector("#drawing path.caller")?.getAttribute("d").length > 500`)
	see("the caller's loudness", `document.querySelector("#drawing path.caller").getBBox().height > 50 && document.querySelector("#drawing path.heard").getBBox().height < 2`)
	see("the verdict on it", `document.querySelector("#drawing .mark.verdict title").textContent === "Holdline kept the caller"`)
	see("a time to play from", `document.querySelector("#timeline .event button.at") !== null`)
	see("a raw message", `(document.querySelector("#timeline summary").click(), document.querySelector("#timeline pre").checkVisibility())`)
	see("only events", `(document.getElementById("words-only").click(), !document.querySelector("#timeline .message").checkVisibility())`)
	hold := chromedp.Evaluate[bool](`(document.querySelector("#hold input").value = "subpoena 24-118", document.querySelector("#hold button").click() === undefined)`)
	if _, err := chromedp.Run(ctx, hold); err != nil {
		t.Fatal(err)
	}
	see("the hold", `document.querySelector(".deeds").textContent.includes("On legal hold") && document.querySelector(".deeds").textContent.includes("subpoena 24-118")`)

	b.board.set(callView("live@x", "bridged"))
	b.journal.add("live@x", "call.answered", `{"position":"pos-2"}`)
	if err := chromedp.Do(ctx, chromedp.Navigate(b.base+"/calls/live@x")); err != nil {
		t.Fatal(err)
	}
	see("a call in progress", `document.getElementById("call").dataset.live === "true" && document.getElementById("timeline").textContent.includes("pos-2 answered") && document.getElementById("more").hidden`)
	b.journal.add("live@x", "rescue.prompted", `{"played":true}`)
	see("that more has happened", `!document.getElementById("more").hidden`)
}

// TestLostPeopleSeeAPage: what is not there is said to people in words, and to
// programs as JSON.
func TestLostPeopleSeeAPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for path, want := range map[string]string{"/calls/nope<x": "There is no call nope&lt;x.", "/nowhere": "There is no page at this address."} {
		w := b.do("GET", path, "", "Accept: text/html,*/*")
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), "Not found</h1>") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if w := b.do("GET", path, ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"error":`) {
			t.Errorf("%s for a program: %d %s", path, w.Code, w.Body)
		}
	}
	if w := b.do("GET", "/search", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "No call is like this.") {
		t.Errorf("an empty search: %s", w.Body)
	}
}
