package console

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"holdline/sip"
)

// TestLivePageInABrowser: the page follows what happens without being loaded
// again, and its button acknowledges an alert.
func TestLivePageInABrowser(t *testing.T) {
	b := newBench(t)
	b.board.set(callView("one@x", "bridged"))
	b.journal.add("one@x", "call.offered", `{}`)
	ctx, see := openTab(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(b.base+"/")); err != nil {
		t.Fatal(err)
	}
	see("the connection", `document.getElementById("link").textContent === "live"`)
	see("the call", `document.getElementById("calls").textContent.includes("one@x")`)
	see("the event of before", `document.getElementById("events").textContent.includes("call.offered")`)

	alone := callView("one@x", "waiting")
	alone.Waiting, alone.From = time.Now(), `<img src=x onerror="document.title='owned'">`
	b.board.set(alone)
	b.journal.add("one@x", "alert.raised", `{"id":"a/7","cause":"intercept","why":"nothing is marked"}`)
	see("the caller who waits", `document.getElementById("waiting").textContent.includes("onerror") && document.title !== "owned"`)
	see("a running clock", `/^0:0[1-9]/.test(document.querySelector("#waiting .clock").textContent)`)
	see("the alert", `document.getElementById("alerts").textContent.includes("intercept: nothing is marked")`)
	see("how long the caller is alone", `/caller ALONE 0:0[0-9]/.test(document.getElementById("alerts").textContent)`)
	see("that it rang", `Number(document.body.dataset.rang) === 1`)

	click := chromedp.Evaluate[bool](`document.querySelector("#alerts button").click() === undefined`)
	if _, err := chromedp.Run(ctx, click); err != nil {
		t.Fatal(err)
	}
	see("the end of the alert", `document.querySelectorAll("#alerts li").length === 0 && !document.getElementById("no-alerts").hidden`)
	list, err := b.console.desk.List(t.Context(), false)
	if err != nil || len(list) != 1 || list[0].Acknowledged == nil {
		t.Errorf("alerts: %+v, %v", list, err)
	}
}

// openTab opens a browser for a test; see waits until an expression of
// JavaScript is true in its page.
func openTab(t *testing.T) (ctx context.Context, see func(what, js string)) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(alloc)
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(tab, time.Minute)
	t.Cleanup(cancel)
	return ctx, func(what, js string) {
		t.Helper()
		poll := chromedp.Poll[bool](js, chromedp.WithPollingTimeout(20*time.Second))
		if seen, err := chromedp.Run(ctx, poll); err != nil || !seen {
			page, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
			t.Fatalf("%s is not seen: %v\n%s", what, err, page)
		}
	}
}

// TestPageComesBackWhenItsStreamWasRefused: a browser does not ask again for a
// stream that was answered with an error, as after a restart of the node behind
// a proxy, or when too many are open. The page does.
func TestPageComesBackWhenItsStreamWasRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range maxStreams {
		b.console.streams <- struct{}{}
	}
	ctx, see := openTab(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(b.base+"/")); err != nil {
		t.Fatal(err)
	}
	see("that what is shown may be old", `document.getElementById("link").textContent.startsWith("connection lost")`)
	for range maxStreams {
		<-b.console.streams
	}
	see("the connection", `document.getElementById("link").textContent === "live"`)
	b.board.set(callView("one@x", "bridged"))
	b.journal.add("one@x", "call.offered", `{}`)
	see("the call", `document.getElementById("calls").textContent.includes("one@x")`)
}

// TestAlertsAreHeard: once somebody has pressed the button, a new alert makes a
// sound, and none after the button was pressed again.
func TestAlertsAreHeard(t *testing.T) {
	b := newBench(t)
	b.board.set(callView("one@x", "waiting"))
	ctx, see := openTab(t)
	err := chromedp.Do(ctx, chromedp.Navigate(b.base+"/"))
	if err == nil {
		_, err = chromedp.Run(ctx, chromedp.Evaluate[bool](`(() => {
			window.tones = 0;
			const start = OscillatorNode.prototype.start;
			OscillatorNode.prototype.start = function (...at) {
				if (this.context.state === "running") window.tones++;
				return start.apply(this, at);
			};
			return true; })()`))
	}
	if err != nil {
		t.Fatal(err)
	}
	see("the connection", `document.getElementById("link").textContent === "live"`)
	press := chromedp.Click("#sound")
	if err := chromedp.Do(ctx, press); err != nil {
		t.Fatal(err)
	}
	see("the sound is on", `document.getElementById("sound").textContent === "Sound: on" && window.tones === 1`)
	b.journal.add("one@x", "alert.raised", `{"id":"a/1","cause":"intercept","why":"nothing is marked"}`)
	see("an urgent alert is heard", `window.tones === 7`)
	if err := chromedp.Do(ctx, press); err != nil {
		t.Fatal(err)
	}
	b.journal.add("two@x", "alert.raised", `{"id":"a/2","cause":"intercept","why":"nothing is marked"}`)
	see("the second alert", `Number(document.body.dataset.rang) === 3`)
	see("it is not heard", `window.tones === 7`)
}

// set replaces the calls.
func (b *board) set(calls ...sip.CallView) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = calls
}

// findBrowser skips the test where there is no browser; in CI that is a failure.
func findBrowser(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("none of %s is installed", strings.Join(names, ", "))
	}
	t.Skip("no browser is installed")
	return ""
}
