package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdline/policy"
	"holdline/recorder"
)

// story is a journal with releases: what the guard writes, in its shape.
type story struct {
	t   *testing.T
	dir string
	j   *recorder.Journal
	at  time.Time
}

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{t: t, dir: t.TempDir(), at: time.Date(2026, 8, 14, 18, 0, 0, 0, time.UTC)}
	j, err := recorder.OpenJournal(recorder.JournalOptions{Dir: s.dir, Node: "psap-t", Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	s.j = j
	return s
}

// write records one thing, a minute after the one before.
func (s *story) write(call, kind string, data any) {
	s.t.Helper()
	s.at = s.at.Add(time.Minute)
	durable := make(chan bool, 1)
	s.j.Commit(func(ok bool) { durable <- ok }, recorder.Entry{Time: s.at, Call: call, Kind: kind, Data: data})
	if !<-durable {
		s.t.Fatal("the record is not on disk")
	}
}

// release records a release as policy p judges it.
func (s *story) release(call string, p *policy.Policy, f policy.Facts) {
	s.t.Helper()
	f.At = s.at.Add(time.Minute)
	v := p.Judge(f)
	s.write(call, "release.requested", map[string]any{
		"leg": "tag-" + f.Position, "position": f.Position, "agent": f.Agent, "intake": f.Intake, "facts": f,
	})
	kind := "release.allowed"
	if v.Decision == policy.Intercept {
		kind = "release.intercepted"
	}
	s.write(call, kind, map[string]any{
		"leg": "tag-" + f.Position, "position": f.Position, "agent": f.Agent,
		"decision": v.Decision, "rule": v.Rule, "why": v.Why, "policy": v.Policy, "skipped": v.Skipped,
	})
}

func (s *story) end() string {
	s.t.Helper()
	if err := s.j.Close(); err != nil {
		s.t.Fatal(err)
	}
	return s.dir
}

// evening is a shift with one release of each sort, under the built-in policy.
func evening(t *testing.T) string {
	t.Helper()
	s, p := newStory(t), policy.Builtin()
	s.write("", "node.started", map[string]any{"version": "1", "policy": p.Digest()})
	mark := func(source string, fields ...policy.Field) policy.Intake {
		in := policy.Intake{}
		for _, f := range fields {
			in[f] = policy.Mark{Value: "x", By: "pos-1", Source: source, At: s.at}
		}
		return in
	}
	bye := func(f policy.Facts) policy.Facts {
		f.Release, f.Position = policy.ReleaseBye, "pos-1"
		if f.Kind == "" {
			f.Kind = policy.Emergency
		}
		return f
	}
	s.release("early@caller", p, bye(policy.Facts{Agent: "ann", Talk: 5 * time.Second, Service: "urn:service:sos", CallerSpeech: policy.Measured(1200 * time.Millisecond)}))
	s.release("coded@caller", p, bye(policy.Facts{Talk: 17 * time.Second, Intake: mark("dtmf", policy.Disposition)}))
	s.release("hasty@caller", p, bye(policy.Facts{Talk: 2 * time.Second, Intake: mark("dtmf", policy.Location, policy.Callback, policy.Nature)}))
	s.release("done@caller", p, bye(policy.Facts{Talk: 95 * time.Second, Priority: "1", Intake: mark("http", policy.Incident)}))
	s.release("test@caller", p, bye(policy.Facts{Kind: policy.Test, Talk: time.Second, Priority: "1"}))
	s.write("crossed@caller", "release.requested", map[string]any{"leg": "t", "position": "pos-2"})
	s.write("crossed@caller", "release.allowed", map[string]any{
		"leg": "t", "position": "pos-2", "decision": "allow", "rule": "call-over", "why": "the leg was already over when this BYE came", "policy": "",
	})
	s.write("early@caller", "call.offered", map[string]any{"emergencyId": "urn:emergency:uid:callid:early:psap"})
	s.write("early@caller", "call.ended", map[string]any{"by": "caller", "note": `"kind":"release.requested"`})
	return s.end()
}

func TestPolicyShow(t *testing.T) {
	sample, err := os.ReadFile("../../configs/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := command("policy", "show")
	head := "# policy.yaml (built in), digest " + policy.Builtin().Digest() + "\n"
	if status != exitOK || stdout != head+string(sample) || stderr != "" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	if p, err := policy.Parse("shown.yaml", []byte(stdout)); err != nil || p.Digest() != policy.Builtin().Digest() {
		t.Errorf("what is shown is not the policy: %v", err)
	}
	status, stdout, stderr = command("policy", "show", "--config", withPolicy(t, t.TempDir(), "rules: [{name: all, verdict: allow, why: x}]"))
	if status != exitOK || !strings.HasSuffix(stdout, "\nrules: [{name: all, verdict: allow, why: x}]") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	status, _, stderr = command("policy", "show", "--config", withPolicy(t, t.TempDir(), "rules: [{name: all, verdict: alow, why: x}]"))
	if status != exitFailed || !strings.Contains(stderr, `policy.yaml:1:30: unknown verdict "alow"; did you mean "allow"?`) {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// withPolicy writes a configuration whose policy is rules, and returns its name.
func withPolicy(t *testing.T, dir, rules string) string {
	t.Helper()
	for name, text := range map[string]string{
		"holdline.yaml": configuration(dir, freePort(t), "policy: {file: policy.yaml}"), "policy.yaml": rules,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "holdline.yaml")
}

// TestCheckCompilesThePolicy: its problems are reported in its own lines.
func TestCheckCompilesThePolicy(t *testing.T) {
	file := withPolicy(t, t.TempDir(), "rules:\n  - name: all\n    when: talk > 20 and kin == 3\n    verdict: allow\n    why: x\n")
	status, stdout, _ := command("check", "--config", file)
	want := filepath.Join(filepath.Dir(file), "policy.yaml") + `:3:25: there is no fact "kin"; did you mean "kind"?
  3 |     when: talk > 20 and kin == 3
    |                         ^
`
	if status != exitFailed || stdout != want {
		t.Errorf("status %d\n got %s\nwant %s", status, stdout, want)
	}
}

func TestPolicyExplain(t *testing.T) {
	dir := evening(t)
	tests := map[string][]string{
		"builtin": {"--call", "early@caller"},
		"other":   {"--call", "hasty@caller", "--policy", "testdata/policy/strict.yaml"},
		"test":    {"--call", "test@caller"},
		"crossed": {"--call", "crossed@caller"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := command(append([]string{"policy", "explain", "--data", dir}, args...)...)
			if status != exitOK || stderr != "" {
				t.Errorf("status %d, %q", status, stderr)
			}
			golden(t, "policy/explain-"+name+".txt", stdout)
		})
	}
	_, byID, _ := command("policy", "explain", "--data", dir, "--call", "early@caller")
	if _, stdout, stderr := command("policy", "explain", "--data", dir, "--call", "urn:emergency:uid:callid:early:psap"); stdout != byID || stdout == "" {
		t.Errorf("by the emergency call identifier: %q, %q", stdout, stderr)
	}
	status, stdout, stderr := command("policy", "explain", "--data", dir, "--call", "nobody")
	if status != exitFailed || stdout != "" || !strings.Contains(stderr, `no position left call "nobody"`) {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	status, _, stderr = command("policy", "explain", "--data", "testdata/none", "--call", "x")
	if status != exitFailed || !strings.Contains(stderr, "testdata/none") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// TestPolicyExplainFindsThePolicy: the rules that judged are in the journal,
// also when they have long been replaced.
func TestPolicyExplainFindsThePolicy(t *testing.T) {
	const rules = "rules: [{name: mine, when: talk < 20 and kind != 'test', verdict: intercept, why: 'only {talk} s'}]"
	old, err := policy.Parse("old.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	lost, err := policy.Parse("lost.yaml", []byte(strings.Replace(rules, "20", "30", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s := newStory(t)
	s.write("", "node.started", map[string]any{"policy": policy.Builtin().Digest()})
	s.write("", "node.reloaded", map[string]any{"policy": old.Digest(), "rules": rules})
	s.release("a@b", old, policy.Facts{Kind: policy.Emergency, Position: "pos-1", Talk: 3 * time.Second})
	s.release("a@b", lost, policy.Facts{Kind: policy.Emergency, Position: "sip:f@x", Rescues: 1, Talk: 3 * time.Second})
	_, stdout, stderr := command("policy", "explain", "--data", s.end(), "--call", "a@b")
	for _, want := range []string{
		"pos-1 left call a@b: intercept by rule mine\n  only 3 s\n  mine  holds  intercept  talk < 20 and kind != 'test'\n",
		"talk = 3\n",
		"sip:f@x left call a@b: intercept by rule mine\n",
		"the policy with digest " + lost.Digest() + " is not in this journal; name its file with --policy\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s%s", want, stdout, stderr)
		}
	}
}

func TestPolicyReplay(t *testing.T) {
	dir := evening(t)
	tests := map[string][]string{
		"strict": {"--policy", "testdata/policy/strict.yaml"},
		"same":   {"--policy", "../../configs/policy.yaml"},
		"since":  {"--policy", "testdata/policy/strict.yaml", "--since", "2026-08-14T18:05:30Z"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := command(append([]string{"policy", "replay", "--data", dir}, args...)...)
			if status != exitOK || stderr != "" {
				t.Errorf("status %d, %q", status, stderr)
			}
			golden(t, "policy/replay-"+name+".txt", strings.ReplaceAll(stdout, policy.Builtin().Digest(), "DIGEST"))
		})
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("rules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ policy, since, want string }{
		{bad, "1h", "bad.yaml:1:8: there are 0 rules"},
		{"testdata/none.yaml", "1h", "testdata/none.yaml: the policy cannot be read: no such file or directory"},
		{"../../configs/policy.yaml", "yesterday", `--since "yesterday" is not a time`},
	} {
		status, stdout, stderr := command("policy", "replay", "--data", dir, "--policy", tc.policy, "--since", tc.since)
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%+v: status %d, %q, %q", tc, status, stdout, stderr)
		}
	}
}

// TestPolicyReload: SIGHUP takes a policy over, and a bad one changes nothing.
func TestPolicyReload(t *testing.T) {
	const first = "rules: [{name: first, verdict: intercept, when: kind != \"test\", why: x}]\n"
	const second = "rules: [{name: second, verdict: intercept, when: kind != \"test\", why: x}]\n"
	var file string
	set := func(rules string) {
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, func(s *service) {
		file = filepath.Join(s.dir, "policy.yaml")
		set(first)
		s.write("policy: {file: policy.yaml}")
	})
	set("rules: [{name: second, verdict: alow, why: x}]\n")
	s.signals <- syscall.SIGHUP
	refused := s.wait("configuration refused, the old one stays")
	if text, _ := refused["error"].(string); !strings.Contains(text, `policy.yaml:1:33: unknown verdict "alow"`) {
		t.Errorf("refused with %v", refused)
	}
	set(second)
	s.signals <- syscall.SIGHUP
	s.wait("configuration taken over")
	if status := s.end(syscall.SIGTERM); status != exitOK {
		t.Errorf("status %d", status)
	}
	_, journal, _ := command("journal", "export", "--data", filepath.Join(s.dir, "data"))
	for kind, rules := range map[string]string{"node.started": first, "node.reloaded": second} {
		p, err := policy.Parse("x", []byte(rules))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(journal, `"policy":"`+p.Digest()+`"`); got != 1 {
			t.Errorf("%s: the digest is in the journal %d times", kind, got)
		}
	}
}
