package console

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"holdline/policy"
	"holdline/policy/ledger"
)

// TestKeysOfTheLivePage: a shift is run from the keyboard. The selection stays
// where it is when the page is drawn anew, and an open item is closed with d.
// The screen on the wall follows too.
func TestKeysOfTheLivePage(t *testing.T) {
	account := ledger.New(ledger.Options{})
	b := newBench(t, func(o *Options) { o.Account = account })
	b.board.set(callView("one@x", "bridged"), callView("two@x", "bridged"))
	account.Apply(policy.Record{
		Seq: 1, Time: time.Now().Add(-time.Minute), Call: "lost@x", Kind: "call.offered",
		Data: []byte(`{"kind":"emergency","from":"<sip:5045550100@x>","to":"urn:service:sos"}`),
	})
	account.Apply(policy.Record{
		Seq: 2, Time: time.Now(), Call: "lost@x", Kind: "call.ended",
		Data: []byte(`{"cause":"caller-bye","by":"caller"}`),
	})
	ctx, see := openTab(t)
	press := func(keys string) {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.KeyEvent(keys)); err != nil {
			t.Fatal(err)
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(b.base+"/")); err != nil {
		t.Fatal(err)
	}
	see("the connection", `document.getElementById("link").textContent === "live"`)
	see("who is owed a callback", `document.getElementById("owed").textContent.includes("504-555-0100")`)
	press("jjj")
	see("the second call selected", `document.activeElement.dataset.call === "two@x"`)
	b.board.set(callView("two@x", "bridged"), callView("three@x", "bridged"))
	b.journal.add("one@x", "call.ended", `{}`)
	see("the page drawn anew", `document.querySelectorAll("#calls tr").length === 2 && document.getElementById("calls").textContent.includes("three@x")`)
	see("the same call selected", `document.activeElement.dataset.call === "two@x"`)

	press("kk") // over three@x
	see("the open item selected", `document.activeElement.dataset.key === "o lost@x"`)
	press("d")
	b.journal.await(t, "callback.done")

	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(document.activeElement.blur(), true)`)); err != nil {
		t.Fatal(err)
	}
	alone := callView("three@x", "waiting")
	alone.Waiting = time.Now()
	b.board.set(callView("two@x", "bridged"), alone)
	b.journal.add("three@x", "alert.raised", `{"id":"a7","cause":"intercept","why":"nothing is marked"}`)
	see("the alert", `document.querySelectorAll("#waiting > li").length === 1 && document.querySelectorAll("#alerts > li").length === 1`)
	press("a")
	b.journal.await(t, "alert.acknowledged")
	b.board.set(callView("two@x", "bridged"))

	press("?")
	see("the keys", `document.getElementById("help").open`)
	click := chromedp.Evaluate[bool](`(document.querySelector("#help button").click(), document.getElementById("theme").click(), true)`)
	if _, err := chromedp.Run(ctx, click); err != nil {
		t.Fatal(err)
	}
	see("the other colours", `["dark", "light"].includes(document.documentElement.dataset.theme)`)

	if err := chromedp.Do(ctx, chromedp.Navigate(b.base+"/tv")); err != nil {
		t.Fatal(err)
	}
	see("the wall", `document.getElementById("link").textContent === "live" && !document.querySelector(".tile.first.urgent")`)
	alone = callView("two@x", "waiting")
	alone.Waiting = time.Now()
	b.board.set(alone)
	b.journal.add("two@x", "release.intercepted", `{}`)
	see("a caller alone on the wall", `document.querySelector(".tile.first.urgent")?.textContent.includes("longest 0:0") === true`)
}

// await waits for a record of a kind.
func (j *memory) await(t *testing.T, kind string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		j.mu.Lock()
		for _, r := range j.records {
			if r.Kind == kind {
				j.mu.Unlock()
				return
			}
		}
		changed := j.changed
		j.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			t.Fatalf("there is no %s", kind)
		}
	}
}
