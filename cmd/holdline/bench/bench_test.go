package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	var few times
	if few.quantile(0.99) != 0 {
		t.Error("no measurements have a quantile")
	}
	h := &histogram{}
	for i := range 100 {
		d := time.Duration(i+1) * time.Millisecond
		few = append(few, d)
		h.add(int64(d))
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := few.quantile(q); got != want {
			t.Errorf("quantile %.2f of single measurements is %v, want %v", q, got, want)
		}
		if got := h.quantile(q); got != want {
			t.Errorf("quantile %.2f of the histogram is %v, want %v", q, got, want)
		}
	}
	h.add(int64(time.Hour))
	h.add(-5)
	if got := h.quantile(1); got != 200*time.Millisecond {
		t.Errorf("what is out of range is told as %v", got)
	}
	if got := few.summary(); got != "50.00 / 99.00 / 100.00" {
		t.Errorf("summary %q", got)
	}
}

func TestRates(t *testing.T) {
	b := &bench{}
	if err := b.setRates("100, 2500.5"); err != nil || len(b.rates) != 2 || b.rates[1] != 2500.5 || b.middle() != 2500.5 {
		t.Errorf("rates %v: %v", b.rates, err)
	}
	for _, bad := range []string{"", "fast", "100,", "0", "-3"} {
		if err := (&bench{}).setRates(bad); err == nil || !strings.Contains(err.Error(), "write for example") {
			t.Errorf("-rates %q: %v", bad, err)
		}
	}
}

func TestLongPartsRunOnlyByName(t *testing.T) {
	for _, p := range parts() {
		if asked(p, nil) == p.long || !asked(p, map[string]bool{p.name: true}) || asked(p, map[string]bool{"none": true}) {
			t.Errorf("part %s is asked for when it should not be, or not when it should", p.name)
		}
	}
	if err := run([]string{"nonsense"}); err == nil || !strings.Contains(err.Error(), "signalling") {
		t.Errorf("an unknown part: %v", err)
	}
}

// The answer of a scripted phone must be one that a strict peer takes.
func TestScriptedAnswer(t *testing.T) {
	req := []byte("INVITE sip:pos-1@127.0.0.1:7071 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7060;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP 127.0.0.1:7070;branch=z9hG4bK2\r\n" +
		"Record-Route: <sip:127.0.0.1;lr>\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:c@d>\r\nCall-ID: 17-7070@bench\r\nCSeq: 3 INVITE\r\nContact: <sip:e@127.0.0.1:7060>\r\n\r\n" + sdpBody(4002))
	want := "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:7060;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP 127.0.0.1:7070;branch=z9hG4bK2\r\n" +
		"Record-Route: <sip:127.0.0.1;lr>\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:c@d>;tag=t\r\nCall-ID: 17-7070@bench\r\nCSeq: 3 INVITE\r\nContact: <sip:f@g>\r\nContent-Length: 0\r\n\r\n"
	if got := string(reply(req, "200 OK", "t", "sip:f@g", "")); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if i, ok := callIndex(req); !ok || i != 17 {
		t.Errorf("call %d, %v", i, ok)
	}
	if _, ok := callIndex([]byte("OPTIONS x SIP/2.0\r\nCall-ID: ready\r\n\r\n")); ok {
		t.Error("a message of no call has a number")
	}
	if got := audioPort(req); got != 4002 {
		t.Errorf("audio port %d", got)
	}
	if got := string(uriOf(header(req, "Contact"))); got != "sip:e@127.0.0.1:7060" {
		t.Errorf("contact %q", got)
	}
	if got := string(tagOf([]byte("<sip:a@b>;tag=x;y=z"))); got != "x" {
		t.Errorf("tag %q", got)
	}
}

func TestWheelKeepsTime(t *testing.T) {
	var w wheel
	now := time.Now()
	if len(w.due(now)) != 0 {
		t.Error("an empty wheel has something due")
	}
	w.add(now.Add(30*time.Millisecond), func() {})
	w.add(now.Add(-time.Second), func() {}) // late already: at the next turn
	if got := len(w.due(now.Add(10 * time.Millisecond))); got != 1 {
		t.Errorf("%d due after 10 ms, want the late one", got)
	}
	if got := len(w.due(now.Add(100 * time.Millisecond))); got != 1 {
		t.Errorf("%d due after 100 ms, want 1", got)
	}
	if got := len(w.due(now.Add(time.Second))); got != 0 {
		t.Errorf("%d due twice", got)
	}
}

func TestWhatIsLeftIsReadBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heap")
	leave(file)
	l, err := readLeft(file)
	if err != nil || l.heap < 1000 || l.goroutines < 1 {
		t.Errorf("left %+v: %v", l, err)
	}
	if _, err := parseLeft(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was read is there again: %v", err)
	}
}

func TestScratchIsEmpty(t *testing.T) {
	parent := t.TempDir()
	dir, cost, err := bestScratch(parent)
	if err != nil || cost <= 0 {
		t.Fatalf("cost %v: %v", cost, err)
	}
	defer os.RemoveAll(dir)
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(dir) {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if inside, err := os.ReadDir(dir); err != nil || len(inside) != 0 {
		t.Errorf("in the scratch folder: %v, %v", inside, err)
	}
}

func TestPlotHasAPointForEachFigure(t *testing.T) {
	svg := plotGrowth([]grown{
		{calls: 100, call: 1, memory: 50, packet: 9, media: true, answer: time.Millisecond},
		{calls: 5000, call: 1.1, memory: 45, answer: 2 * time.Millisecond},
	})
	circles := 0
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 7 { // no packets were sent beside 5,000 calls
		t.Errorf("%d points, want 7", circles)
	}
}
