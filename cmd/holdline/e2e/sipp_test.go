package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMainStory runs the script that testers run.
func TestMainStory(t *testing.T) {
	t.Parallel()
	need(t, "sipp", "curl")
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	// The script spreads its ports over twenty from a first one.
	first := 24000 + os.Getpid()%200*20
	for !free(first) || !free(first+10) || !free(first+11) || !free(first+12) || !free(first+13) || !free(first+19) {
		first += 20
	}
	ctx, cancel := context.WithTimeout(t.Context(), slow)
	defer cancel()
	script := exec.CommandContext(ctx, "bash", filepath.Join(scenarios, "run"))
	script.Env = append(os.Environ(), "HOLDLINE="+path, fmt.Sprintf("PORT=%d", first), "TMPDIR="+t.TempDir())
	out, err := script.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "VERDICT: the caller was kept") {
		t.Errorf("%v\n%s", err, out)
	}
}

// cast is who plays what; "" is nobody.
type cast struct{ caller, pos1, pos2, fallback string }

func TestStories(t *testing.T) {
	for name, story := range map[string]struct {
		cast  cast
		want  []string // records in this order, among others
		never []string // records that must not be there
		by    string   // who ended the call
		rule  string   // that let the position go; "" is any
	}{
		"an honest position is not in the way": {
			cast:  cast{caller: "caller-simple", pos1: "position-completes"},
			want:  []string{"call.offered", "call.answered", "recording.started", "intake.marked", "intake.marked", "intake.marked", "release.requested", "release.allowed", "call.ended", "recording.closed"},
			never: []string{"release.intercepted", "rescue.offered"},
			by:    "position", rule: "intake-claimed",
		},
		"what an INFO says is for the guard alone": {
			cast:  cast{caller: "caller-simple", pos1: "position-completes-info"},
			want:  []string{"call.answered", "intake.marked", "intake.marked", "intake.marked", "release.requested", "release.allowed", "call.ended"},
			never: []string{"release.intercepted", "rescue.offered"}, by: "position",
		},
		"a busy position is skipped": {
			cast: cast{caller: "caller-simple", pos1: "refuse", pos2: "position-completes"},
			want: []string{"call.offered", "call.failed", "call.offered", "call.answered", "release.allowed", "call.ended"}, by: "position",
		},
		"a position that rings out is cancelled": {
			cast: cast{caller: "caller-simple", pos1: "no-answer", pos2: "position-completes"},
			want: []string{"call.offered", "call.failed", "call.offered", "call.answered", "release.allowed", "call.ended"}, by: "position",
		},
		"a dead position is skipped early": {
			cast: cast{caller: "caller-simple", pos1: "silent", pos2: "position-completes"},
			want: []string{"call.offered", "call.failed", "call.offered", "call.answered", "release.allowed", "call.ended"}, by: "position",
		},
		"when no position takes the call the fallback queue does": {
			cast: cast{caller: "caller-simple", pos1: "refuse", pos2: "refuse", fallback: "position-completes"},
			want: []string{"call.offered", "call.failed", "call.offered", "call.failed", "rescue.offered", "rescue.answered", "release.allowed", "call.ended"}, by: "position",
		},
		"the fallback taker may also end the call": {
			cast: cast{caller: "caller-simple", pos1: "position-hangs-up", fallback: "position-completes"},
			want: []string{"call.answered", "release.requested", "release.intercepted", "rescue.offered", "rescue.answered", "release.allowed", "call.ended"}, by: "position",
		},
		"the caller may leave during the rescue": {
			cast:  cast{caller: "caller-leaves", pos1: "position-hangs-up", fallback: "no-answer"},
			want:  []string{"call.answered", "release.intercepted", "rescue.offered", "call.ended"},
			never: []string{"rescue.answered"}, by: "caller",
		},
		"the caller may cancel": {
			cast:  cast{caller: "caller-cancels", pos1: "no-answer"},
			want:  []string{"call.offered", "call.ended"},
			never: []string{"call.answered", "rescue.offered"}, by: "caller",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, "sipp")
			records := play(t, story.cast)
			kinds := about(records)
			if !inOrder(kinds, story.want) {
				t.Errorf("the records are %v, want among them %v", kinds, story.want)
			}
			for _, k := range story.never {
				if slices.Contains(kinds, k) {
					t.Errorf("there is a %s", k)
				}
			}
			if by := find(t, records, "call.ended").Data["by"]; by != story.by {
				t.Errorf("ended by %v, want %s", by, story.by)
			}
			if rules, causes := judgedAndTold(records); story.rule != "" && (!slices.Equal(rules, []string{story.rule}) || !slices.Equal(causes, []string{"review"})) {
				t.Errorf("judged by %v, alerts of %v", rules, causes)
			}
			if story.cast.pos1 == "silent" {
				offered, failed := find(t, records, "call.offered"), find(t, records, "call.failed")
				if d := failed.Time.Sub(offered.Time); d < 1500*time.Millisecond || d > 5*time.Second {
					t.Errorf("the dead position was given up after %v", d)
				}
			}
		})
	}
}

// play runs a cast around a guard of its own; every scenario must pass.
func play(t *testing.T, c cast) []record {
	t.Helper()
	return playWith(t, "holdline.yaml", c)
}

// playWith is play with one of the testers' configurations.
func playWith(t *testing.T, config string, c cast) []record {
	t.Helper()
	g := serveAs(t, config)
	var parties []*party
	for _, p := range []struct {
		scenario string
		port     int
	}{{c.pos1, g.ports.pos1}, {c.pos2, g.ports.pos2}, {c.fallback, g.ports.fallback}} {
		if p.scenario != "" {
			parties = append(parties, sipp(t, p.scenario, p.port, 0))
		}
	}
	parties = append(parties, sipp(t, c.caller, g.ports.caller, g.ports.sip))
	for _, p := range parties {
		p.passes()
	}
	if t.Failed() {
		t.Logf("%s", g.log)
	}
	g.stop()
	return g.journal()
}

// inOrder tells whether want is in kinds, in that order, with others between.
func inOrder(kinds, want []string) bool {
	for _, k := range kinds {
		if len(want) > 0 && k == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// TestScenariosNotice lets SIPp's ends talk to each other without Holdline
// between them: the caller's scenario must notice that it was left, and the
// fallback's that nothing says the call was rescued.
func TestScenariosNotice(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	p := freePorts(t)
	position := sipp(t, "position-hangs-up", p.pos1, 0)
	left := sipp(t, "caller", p.caller, p.pos1)
	fallback := sipp(t, "fallback", p.fallback, 0)
	plain := sipp(t, "caller", p.sip, p.fallback)
	position.passes()
	left.ends(1)
	plain.passes()
	fallback.ends(1)
}

// TestCrash kills the program in the middle of a call: what was recorded and
// journaled until then must be there and be proved.
func TestCrash(t *testing.T) {
	t.Parallel()
	need(t, "sipp")
	g := serve(t)
	position := sipp(t, "position-completes", g.ports.pos1, 0)
	sipp(t, "caller-simple", g.ports.caller, g.ports.sip)
	for deadline := time.Now().Add(slow); !strings.Contains(position.file("messages"), "ACK sip:"); time.Sleep(50 * time.Millisecond) { // between two looks
		if time.Now().After(deadline) {
			t.Fatalf("the call is not up\n%s", position.file("messages"))
		}
	}
	var recording string
	for deadline := time.Now().Add(slow); recording == ""; time.Sleep(50 * time.Millisecond) { // between two looks
		for _, f := range wavs(t, g.dir) {
			if info, err := os.Stat(f); err == nil && info.Size() > 16000 { // a second of both sides
				recording = f
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is recorded\n%s", g.log)
		}
	}
	g.kill()
	g.start()
	g.stop()
	records := g.journal()
	if kinds := about(records); !inOrder(kinds, []string{"call.offered", "call.answered", "recording.started", "recording.closed"}) {
		t.Errorf("the records are %v", kinds)
	}
	audio, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	if size := len(audio); size < 16000 || string(audio[:4]) != "RIFF" || int(le32(audio[4:])) != size-8 {
		t.Errorf("the recording of %d bytes says it has %d", size, le32(audio[4:])+8)
	}
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func wavs(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".wav") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDemo runs the newcomer's first command.
func TestDemo(t *testing.T) {
	t.Parallel()
	need(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), slow)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "demo", "--once", "--data", t.TempDir()).Output()
	if err != nil || !strings.Contains(string(out), "The caller was kept") {
		t.Errorf("%v\n%s", err, out)
	}
}
