package e2e

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/zaf/g711"

	"holdline/cmd/holdline/config"
	"holdline/sip/phone"
)

// chromium starts a browser whose microphone hears a tone, on the console's page.
func (s *studio) chromium(tone float64) context.Context {
	s.t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		need(s.t, "chromium")
	}
	sound := filepath.Join(s.t.TempDir(), "microphone.wav")
	s.must(os.WriteFile(sound, wav(phone.Tone(tone, 10*time.Second)), 0o600))
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("use-file-for-fake-audio-capture", sound), chromedp.Flag("autoplay-policy", "no-user-gesture-required"))
	alloc, stop := chromedp.NewExecAllocator(s.ctx, options...)
	s.t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(alloc)
	s.t.Cleanup(closeTab)
	s.must(chromedp.Do(tab, chromedp.Navigate(s.base+"/")))
	return tab
}

// wav is a file with 8 kHz mono samples of 16 bits.
func wav(ulaw []byte) []byte {
	out := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(36+2*len(ulaw)))
	out = binary.LittleEndian.AppendUint32(append(out, "WAVEfmt "...), 16)
	for _, v := range []uint16{1, 1, 8000, 0, 16000, 0, 2, 16} { // PCM, mono, rate, bytes a second, a sample, bits
		out = binary.LittleEndian.AppendUint16(out, v)
	}
	out = binary.LittleEndian.AppendUint32(append(out, "data"...), uint32(2*len(ulaw)))
	for _, b := range ulaw {
		out = binary.LittleEndian.AppendUint16(out, uint16(g711.DecodeUlawFrame(b)))
	}
	return out
}

// runs evaluates JavaScript in which await may be used; what it returns is text.
func (s *studio) runs(tab context.Context, js string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(tab, 30*time.Second)
	defer cancel()
	// The page keeps the outcome, which is then waited for: whether the protocol
	// waits for promises differs.
	wrapped := fmt.Sprintf(`(() => { window.outcome = null;
		(async () => { %s })().then((v) => { window.outcome = "ok " + (v ?? ""); }, (e) => { window.outcome = "error " + e.message; }); return true; })()`, js)
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](wrapped))
	s.must(err)
	_, err = chromedp.Run(ctx, chromedp.Poll[bool](`window.outcome !== null`, chromedp.WithPollingTimeout(25*time.Second)))
	s.must(err)
	out, err := chromedp.Run(ctx, chromedp.Evaluate[string](`window.outcome`))
	s.must(err)
	text, ok := strings.CutPrefix(out, "ok ")
	if !ok {
		s.t.Fatalf("in the browser: %s\n%s", out, js)
	}
	return text
}

// browserHears waits until the loudest tone that the browser plays, among the
// voices, are these: measured by its own analyser.
func (s *studio) browserHears(tab context.Context, want ...float64) {
	s.t.Helper()
	wanted, err := json.Marshal(want)
	s.must(err)
	s.runs(tab, fmt.Sprintf(`
		const want = %s, all = [%v, %v, %v], last = [];
		if (!window.ear) {
			const context = new AudioContext();
			await context.resume();
			window.ear = context.createAnalyser();
			window.ear.fftSize = 8192;
			context.createMediaStreamSource(window.part.audio.srcObject).connect(window.ear);
		}
		const bins = new Float32Array(window.ear.frequencyBinCount);
		const level = (f) => bins[Math.round(f * window.ear.fftSize / window.ear.context.sampleRate)];
		const until = performance.now() + 15000;
		for (let same = 0; same < 5;) {
			await new Promise((next) => requestAnimationFrame(next));
			window.ear.getFloatFrequencyData(bins);
			const heard = all.filter((f) => level(f) > -45);
			same = JSON.stringify(heard) === JSON.stringify(want) ? same + 1 : 0;
			if (performance.now() > until) throw new Error("hears " + JSON.stringify(heard) + ", levels " + all.map(level));
		}`, wanted, callerTone, takerTone, supervisorTone))
}

// A supervisor listens with the browser, whispers, barges in, takes the call
// over and leaves: every direction is heard, by the sound.
func TestSupervisorInTheBrowserIsHeard(t *testing.T) {
	t.Parallel()
	var pos *phone.Phone
	s := newStudio(t, func(c *config.Config) {
		pos = newPhone(t, "pos-1")
		c.Positions = []config.Position{{ID: "pos-1", URI: pos.URI(), Calls: 1}}
	})
	tab := s.chromium(supervisorTone)
	call, taken := s.calls(newPhone(t, "caller"), pos)
	id, err := json.Marshal(call.ID())
	s.must(err)
	s.runs(tab, fmt.Sprintf(`
		window.holdline = await import("/static/join.js");
		const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
		window.part = await holdline.join(%s, "listen", { by: "chief", microphone: plain, onEnd: (why) => { window.endedBecause = why; } });`, id))
	s.browserHears(tab, callerTone, takerTone)
	s.hears("the caller", call, takerTone)
	s.hears("the taker", taken, callerTone)

	s.runs(tab, `await holdline.switchMode(part, "whisper")`)
	s.hears("the taker", taken, callerTone, supervisorTone)
	s.hears("the caller", call, takerTone)

	s.runs(tab, `await holdline.switchMode(part, "barge")`)
	s.hears("the caller", call, takerTone, supervisorTone)
	s.browserHears(tab, callerTone, takerTone)

	s.runs(tab, `await holdline.takeOver(part)`)
	if _, err := taken.WaitEnd(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.hears("the caller", call, supervisorTone)
	s.browserHears(tab, callerTone)
	s.continuous("the caller", call)

	s.runs(tab, `await holdline.leave(part)`) // a release like any other: the caller is kept
	s.hears("the caller", call)
	if e := call.End(); e != nil {
		t.Fatalf("the caller's call ended: %+v", e)
	}
}

// The buttons of the module work a call, and say what went wrong; a browser
// that is closed is taken out of the call.
func TestSupervisorsButtons(t *testing.T) {
	t.Parallel()
	var pos *phone.Phone
	s := newStudio(t, func(c *config.Config) {
		pos = newPhone(t, "pos-1")
		c.Positions = []config.Position{{ID: "pos-1", URI: pos.URI(), Calls: 1}}
	})
	tab := s.chromium(supervisorTone)
	call, taken := s.calls(newPhone(t, "caller"), pos)
	id, err := json.Marshal(call.ID())
	s.must(err)
	press := func(what, state string) {
		t.Helper()
		s.runs(tab, fmt.Sprintf(`
			const button = document.querySelector("#mine [data-join=%s]");
			button.click();
			while (!(%s)) await new Promise((next) => requestAnimationFrame(next));`, what, state))
	}
	s.runs(tab, fmt.Sprintf(`
		window.holdline = await import("/static/join.js");
		const element = document.createElement("div");
		element.id = "mine"; // the live page has buttons of its own
		document.body.append(element);
		holdline.buttons(element, %s, { by: "chief", microphone: { noiseSuppression: false, echoCancellation: false, autoGainControl: false } });`, id))
	press("barge", `button.getAttribute("aria-pressed") === "true"`)
	s.hears("the caller", call, takerTone, supervisorTone)
	press("listen", `button.getAttribute("aria-pressed") === "true"`)
	s.hears("the caller", call, takerTone)
	press("leave", `button.disabled`)
	press("whisper", `button.getAttribute("aria-pressed") === "true"`)
	s.hears("the taker", taken, callerTone, supervisorTone)

	s.must(chromedp.Do(tab, chromedp.Navigate("about:blank"))) // closed without a word
	s.hears("the taker", taken, callerTone)
	if e := taken.End(); e != nil {
		t.Fatalf("the taker's call ended: %+v", e)
	}
}
