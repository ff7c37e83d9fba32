package policy

import (
	"testing"
	"time"
)

// busyFacts are those of a release on which every rule is asked.
func busyFacts() Facts {
	at := time.Date(2026, 8, 14, 18, 0, 30, 0, time.UTC)
	in := marked("location", "callback")
	for f, m := range in {
		m.At = at.Add(-10 * time.Second)
		in[f] = m
	}
	return Facts{
		Kind: Emergency, Service: "urn:service:sos.fire", Release: ReleaseBye, Position: "pos-1", Agent: "agent-7",
		Talk: 12 * time.Second, CallerSpeech: Measured(4 * time.Second), Intake: in, At: at,
	}
}

func BenchmarkJudge(b *testing.B) {
	p, f := Builtin(), busyFacts()
	b.ReportAllocs()
	for b.Loop() {
		if v := p.Judge(f); v.Decision != Intercept {
			b.Fatal(v)
		}
	}
}

func BenchmarkBuiltin(b *testing.B) {
	for b.Loop() {
		Builtin()
	}
}

// TestJudgeIsFrugal: the caller waits for the verdict, and thousands of calls
// share two cores.
func TestJudgeIsFrugal(t *testing.T) {
	p, f := Builtin(), busyFacts()
	const most = 20 // allocations: one for each rule, and some
	if n := testing.AllocsPerRun(100, func() { p.Judge(f) }); n > most {
		t.Errorf("a verdict takes %v allocations, want at most %d", n, most)
	}
}
