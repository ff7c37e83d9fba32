package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

const patternsPage = "../../docs/patterns.md"

// TestSimulationInTheDocs runs what the page shows. Run with -update to write
// the answer anew.
func TestSimulationInTheDocs(t *testing.T) {
	page, err := os.ReadFile(patternsPage)
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```sh\nholdline (policy simulate [^\n]*)\n```\n\n```text\n(.*?)```")
	found := example.FindStringSubmatchIndex(string(page))
	if found == nil {
		t.Fatal("the page has no example")
	}
	var out, trouble bytes.Buffer
	if status := run(strings.Fields(string(page[found[2]:found[3]])), &out, &trouble); status != exitOK {
		t.Fatalf("%d: %s", status, &trouble)
	}
	// The digest changes with every change of the built-in policy.
	got := regexp.MustCompile(`, digest [0-9a-f]+`).ReplaceAllString(out.String(), "")
	if *update {
		page = []byte(string(page[:found[4]]) + got + string(page[found[5]:]))
		if err := os.WriteFile(patternsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(page[found[4]:found[5]]); want != got {
		t.Errorf("the page shows\n%s\nand the command prints\n%s", want, got)
	}
}

func TestSimulateJSON(t *testing.T) {
	var out, trouble bytes.Buffer
	args := strings.Fields("policy simulate --json --takers 12 --calls 40 --learn 4 --days 5 --runs 3 --pattern houston,houston-coded --bad-rate 0.3")
	if status := run(args, &out, &trouble); status != exitOK {
		t.Fatalf("%d: %s", status, &trouble)
	}
	var got struct {
		Options  struct{ Takers, Seed int }
		Policy   string
		Honest   struct{ Calls int }
		Patterns []struct {
			Pattern  string
			Runs     int
			Calls    struct{ Median float64 }
			Counters []struct{ Never int }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Options.Takers != 12 || len(got.Policy) != 64 || got.Honest.Calls == 0 || len(got.Patterns) != 2 {
		t.Errorf("%+v", got)
	}
	for _, p := range got.Patterns {
		if p.Runs != 3 || p.Calls.Median == 0 || len(p.Counters) != 3 {
			t.Errorf("%+v", p)
		}
	}
}

func TestSimulateRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--takers 1":         "--takers is 1; it can be 6 to 2000",
		"--bad-rate 2":       "--bad-rate is 2; it is a share from 0 to 1",
		"--pattern newyork":  `there is no pattern "newyork"; there are new-orleans, houston, houston-coded`,
		"--policy nowhere":   "the policy cannot be read",
		"--false-alarms 0":   "--false-alarms is 0; it must be more than 0",
		"--spread -0.1":      "--spread is -0.1; it can be 0",
		"--days 0 --runs 0":  "--runs is 0; it can be 1 to 10000",
		"--pocket-dials 0.9": "--pocket-dials is 0.9; it is a share from 0 to 0.6",
	} {
		var out, trouble bytes.Buffer
		args := strings.Fields("policy simulate " + strings.Replace(args, " -0.1", "=-0.1", 1))
		if status := run(args, &out, &trouble); status != exitFailed || !strings.Contains(trouble.String(), want) || out.Len() > 0 {
			t.Errorf("%v: %d %s%s", args, status, &out, &trouble)
		}
	}
}
