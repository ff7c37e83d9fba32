package console

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdline/media"
	"holdline/sip"
)

func TestMetersTellWhoSpeaks(t *testing.T) {
	t.Parallel()
	began := epoch.Add(-time.Minute)
	for name, x := range map[string]struct {
		now, before *sip.Sound
		state       string
		share       int
		since       time.Time
	}{
		"speaks": {
			&sip.Sound{Activity: media.BySamples, SpeechMS: 5700, Spoke: epoch.Add(-time.Second), Received: epoch},
			&sip.Sound{Activity: media.BySamples, SpeechMS: 5000}, "speaking", 70,
			time.Time{},
		},
		"has spoken":     {&sip.Sound{Activity: media.BySamples, SpeechMS: 5000, Spoke: epoch.Add(-9 * time.Second), Received: epoch}, nil, "silent", 0, epoch.Add(-9 * time.Second)},
		"never spoke":    {&sip.Sound{Activity: media.BySamples, Received: epoch}, nil, "silent", 0, began},
		"hums":           {&sip.Sound{Activity: media.BySamples, NoiseMS: 900, Received: epoch}, &sip.Sound{Activity: media.BySamples, NoiseMS: 400}, "noise", 50, began},
		"is gone":        {&sip.Sound{Activity: media.BySamples, Received: epoch.Add(-3 * time.Second)}, nil, "no sound", 0, began},
		"pauses":         {&sip.Sound{Activity: media.BySamples, Received: epoch.Add(-3 * time.Second), Pauses: true}, nil, "silent", 0, began},
		"cannot be told": {&sip.Sound{Received: epoch}, nil, "unknown", 0, began},
	} {
		m, ok := meterOf("c1", sip.LegView{Role: "taker", Since: began, Sound: x.now}, x.before, epoch)
		if want := (Meter{"c1", "taker", x.state, x.share, x.since}); !ok || m != want {
			t.Errorf("%s: %+v, want %+v", name, m, want)
		}
	}
	for _, l := range []sip.LegView{{Role: "taker"}, {Role: "listener", Sound: &sip.Sound{}}} {
		if m, ok := meterOf("c1", l, nil, epoch); ok {
			t.Errorf("a meter of %+v: %+v", l, m)
		}
	}
}

// TestMetersAreStreamed: all of them first, then what changed, and nothing of
// who is on the line.
func TestMetersAreStreamed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	call := callView("c1", "bridged")
	silent := &sip.Sound{Activity: media.BySamples, Received: time.Now().Add(time.Hour)}
	call.Legs = []sip.LegView{{Role: "caller", State: "confirmed", Since: epoch, Sound: silent}, {Role: "taker", State: "confirmed", Since: epoch, Sound: silent}}
	b.board.set(call)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", b.base+"/v1/meters", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	next := func() (meters []Meter) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var answer struct{ Meters []Meter }
				if err := json.Unmarshal([]byte(data), &answer); err != nil {
					t.Fatal(err)
				}
				return answer.Meters
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return nil
	}
	if got := next(); len(got) != 2 || got[0].State != "silent" || got[1].State != "silent" {
		t.Errorf("at first: %+v", got)
	}
	call.Legs = slices.Clone(call.Legs)
	call.Legs[1].Sound = &sip.Sound{Activity: media.BySamples, SpeechMS: 600, Spoke: time.Now().Add(time.Hour), Received: silent.Received}
	b.board.set(call)
	if got := next(); len(got) != 1 || got[0] != (Meter{"c1", "taker", "speaking", 60, time.Time{}}) {
		t.Errorf("then: %+v", got)
	}
}

func TestPartiesAreNamedAsPeopleNameThem(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]party{
		`"Dana \"D\" Caller" <sip:5045550100@gw.example:5060>;tag=7`: {`Dana "D" Caller`, "504-555-0100"},
		`Dana <tel:+15045550100>`:                                    {"Dana", "504-555-0100"},
		`<sip:+15045550100;cpc=payphone@gw>`:                         {"504-555-0100", ""},
		`"5045550100" <sip:5045550100@gw>`:                           {"504-555-0100", ""},
		`sip:112@gw.example`:                                         {"112", ""},
		`"Anonymous" <sip:anonymous@anonymous.invalid>`:              {"Anonymous", "anonymous@anonymous.invalid"},
		`"<script>x</script>" <sip:5045550666@x>`:                    {"<script>x</script>", "504-555-0666"},
		``: {},
	} {
		if got := partyOf(from); got != want {
			t.Errorf("%q is %+v, want %+v", from, got, want)
		}
	}
}
