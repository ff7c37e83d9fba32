package console

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"holdline/media"
	"holdline/policy"
	"holdline/sip"
)

// unreadable is a script that lists what somebody could not read or use: texts
// with a contrast below 4.5 (WCAG 2.2, 1.4.3), controls that have no name or are
// smaller than 24 pixels (2.5.8), and a page that is wider than the screen.
const unreadable = `(() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (c) => { pixel.clearRect(0, 0, 1, 1); pixel.fillStyle = c; pixel.fillRect(0, 0, 1, 1); return [...pixel.getImageData(0, 0, 1, 1).data]; };
  const over = (a, b) => [0, 1, 2].map((i) => (a[i] * a[3] + b[i] * (255 - a[3])) / 255).concat(255);
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, k, i) => { const v = c[i] / 255; return sum + k * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const around = (e) => { const all = []; for (; e; e = e.parentElement) all.unshift(getComputedStyle(e)); return all; };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = texts.nextNode();) {
    const e = n.parentElement;
    if (!n.textContent.trim() || e.closest("script, style, noscript, select") || !e.checkVisibility()) continue;
    const all = around(e), style = getComputedStyle(e);
    const back = all.reduce((b, s) => over(rgba(s.backgroundColor), b), [255, 255, 255, 255]);
    const ink = rgba(e.closest("svg") ? style.fill : style.color);
    ink[3] *= all.reduce((o, s) => o * s.opacity, 1);
    const [a, b] = [light(over(ink, back)), light(back)], ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push("contrast " + ratio.toFixed(2) + ": " + n.textContent.trim().slice(0, 40));
  }
  for (const e of document.querySelectorAll("a, button, input, select, summary, [role=img]")) {
    if (!e.checkVisibility()) continue;
    if (!(e.getAttribute("aria-label") || e.textContent.trim() || e.title || e.labels?.[0]?.textContent)) found.push("no name: " + e.outerHTML.slice(0, 80));
    if (e.tagName === "BUTTON" && e.getBoundingClientRect().height < 24) found.push("too small: " + e.textContent);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("wider than the screen: " + document.documentElement.scrollWidth);
  for (const mark of ["main", "header", "h1", location.pathname === "/signin" ? "form" : "nav[aria-label]", "html[lang]"]) if (!document.querySelector(mark)) found.push("no " + mark);
  return found.join("\n");
})()`

// TestPagesCanBeRead: on a desk, a tablet and a phone, dark and light, with
// callers alone, an alert and a call in progress on them.
func TestPagesCanBeRead(t *testing.T) {
	b := newBench(t)
	alone, bridged := callView("alone@x", "waiting"), callView("one@x", "bridged")
	alone.From, alone.Waiting, alone.Rescues = `"A caller with a name that is rather long, Esq." <sip:5045550100@a-gateway-with-a-long-name.example:5060>`, time.Now(), 1
	sound := &sip.Sound{Activity: media.BySamples, Received: time.Now().Add(time.Hour)}
	bridged.Taker, bridged.Legs = "pos-1", []sip.LegView{{Role: "taker", State: "confirmed", Since: epoch, Sound: sound}}
	bridged.Intake = policy.Intake{policy.Location: {Value: "1240 Oak Street"}}
	b.board.set(alone, bridged)
	b.journal.add("alone@x", "alert.raised", `{"id":"a/7","cause":"intercept","why":"nothing is marked"}`)
	ctx, _ := openTab(t)
	canBeRead(ctx, t, b.base, "/", "/search", "/reports", "/agents", "/tv", "/calls/one@x")
}

// TestFormsCanBeRead: the sign-in, and the users behind it.
func TestFormsCanBeRead(t *testing.T) {
	g := newGatedBench(t)
	ctx, _ := openTab(t)
	canBeRead(ctx, t, g.base, "/signin")
	if _, err := chromedp.RunResponse(ctx, chromedp.SendKeys("[name=name]", "the-admin"), chromedp.SendKeys("[name=password]", goodPassword+"\r")); err != nil {
		t.Fatal(err)
	}
	canBeRead(ctx, t, g.base, "/users")
}

// canBeRead looks at pages on every size of screen.
func canBeRead(ctx context.Context, t *testing.T, base string, pages ...string) {
	t.Helper()
	for _, size := range [][2]int64{{1400, 1000}, {820, 1180}, {400, 800}} {
		for _, page := range pages {
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(base+page)); err != nil {
				t.Fatal(err)
			}
			for _, theme := range []string{"light", "dark"} {
				found, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.documentElement.dataset.theme = "`+theme+`"; `+unreadable))
				if err != nil || found != "" {
					t.Errorf("%s, %s, %d wide: %v\n%s", page, theme, size[0], err, found)
				}
			}
		}
	}
}
