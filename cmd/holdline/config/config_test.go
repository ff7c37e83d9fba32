package config

import (
	"encoding/binary"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdline/configs"
)

var update = flag.Bool("update", false, "rewrite the golden files with what is reported now")

// compare sees through the types that wrap netip's.
var compare = cmp.Options{
	cmp.Comparer(func(a, b Network) bool { return a == b }),
	cmp.Comparer(func(a, b Address) bool { return a == b }),
	cmp.Comparer(func(a, b HostPort) bool { return a == b }),
	cmp.Comparer(func(a, b Listen) bool { return a == b }),
	cmpopts.IgnoreFields(Config{}, "Digest"), cmpopts.IgnoreUnexported(Policy{}, Channel{}, EIDO{}, Logger{}),
}

const minimal = `
positions: [{id: pos-1, uri: "sip:pos-1@10.0.0.11"}]
routes: [{match: "urn:service:sos*", to: [pos-1]}]
fallback: [{to: ["sip:chief@10.0.0.20"]}]
`

// TestSampleIsTheDefault holds the promise of the sample's first lines: every
// key that is left out has the value shown there.
func TestSampleIsTheDefault(t *testing.T) {
	sample, err := Parse("holdline.yaml", configs.Holdline)
	if err != nil {
		t.Fatalf("the sample has problems:\n%v", err)
	}
	want := Default()
	want.Node, want.Positions, want.Routes, want.Fallback = sample.Node, sample.Positions, sample.Routes, sample.Fallback
	want.Media.NAT, want.SIP.NAT = []Network{}, []Network{}
	want.Supervisors.Phones = []SupervisorPhone{}
	want.Alerts.Channels, want.Alerts.Escalation = []Channel{}, []Escalation{}
	if d := cmp.Diff(want, *sample, compare); d != "" {
		t.Errorf("the sample differs from the defaults (-default +sample):\n%s", d)
	}
	if sample.Positions[0] != (Position{ID: "pos-1", URI: "sip:pos-1@127.0.0.1:5071", Calls: 1}) || sample.Positions[1].Calls != 1 {
		t.Errorf("positions of the sample: %+v", sample.Positions)
	}
}

// TestSampleShowsEveryKey keeps the manual complete.
func TestSampleShowsEveryKey(t *testing.T) {
	for _, key := range []string{
		"node", "data", "listen", "trust", "dead_after", "address", "ports", "nat", "id", "uri", "calls", "agent",
		"match", "to", "ring", "kind", "strategy", "header", "dtmf", "prompt", "text", "display_prefix", "redials", "automatic", "from", "delay", "pause", "attempts", "within", "talk", "false_alarms_per_month", "incident", "alerts", "file", "enabled", "level", "personal_data",
		"url", "channels", "escalation", "name", "timeout", "secret_file", "secret_env", "mode", "server", "tls", "user", "password_file", "password_env", "from", "after",
		"severity", "causes", "unresolved",
		"keep", "subscribe", "token", "token_file", "expires", "roots", "certificate", "key", "keys", "unsigned", "positions", "rate", "secret", "secret_file", "window",
		"auth", "required", "session", "idle", "max", "oidc", "issuer", "client_id", "client_secret_file", "roles", "claim", "map", "cert",
	} {
		if !strings.Contains(string(configs.Holdline), key+":") {
			t.Errorf("configs/holdline.yaml does not show %q", key)
		}
	}
}

func TestMinimalFileGetsDefaults(t *testing.T) {
	got, err := Parse("holdline.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Positions = []Position{{ID: "pos-1", URI: "sip:pos-1@10.0.0.11", Calls: 1}}
	want.Routes = []Route{{Match: "urn:service:sos*", To: []string{"pos-1"}, Ring: Duration(15 * time.Second), Kind: "emergency"}}
	want.Fallback = []Tier{{To: []string{"sip:chief@10.0.0.20"}, Strategy: "ring-all", Ring: Duration(20 * time.Second)}}
	if d := cmp.Diff(want, *got, compare); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if len(got.Digest) != 64 {
		t.Errorf("digest %q, want 64 hex digits", got.Digest)
	}
}

func TestAcceptedForms(t *testing.T) {
	tests := map[string]struct {
		yaml string
		want func(*Config) (got, want any)
	}{
		"numbers stay words":     {"node: 5045551000", func(c *Config) (any, any) { return c.Node, "5045551000" }},
		"two media addresses":    {"media: {address: [192.0.2.1, '2001:db8::1']}", func(c *Config) (any, any) { return len(c.Media.Address), 2 }},
		"unquoted listener":      {"sip: {listen: [udp://127.0.0.1:5060]}", func(c *Config) (any, any) { return c.SIP.Listen[0].String(), "udp://127.0.0.1:5060" }},
		"unquoted codes":         {"intake: {trust: [10.0.0.0/8], dtmf: {'#9': disposition=test}}", func(c *Config) (any, any) { return c.Intake.DTMF["#9"], "disposition=test" }},
		"ipv6 listener":          {"sip: {listen: ['udp://[::1]:5060']}", func(c *Config) (any, any) { return c.SIP.Listen[0].String(), "udp://[::1]:5060" }},
		"single trusted address": {"sip: {trust: [10.1.2.3]}", func(c *Config) (any, any) { return c.SIP.Trust[0].String(), "10.1.2.3/32" }},
		"codes replaced":         {"intake: {dtmf: {'#9': incident}}", func(c *Config) (any, any) { return len(c.Intake.DTMF), 1 }},
		"no codes":               {"intake: {dtmf: {}}", func(c *Config) (any, any) { return len(c.Intake.DTMF), 0 }},
		"commented-out section":  {"policy:\n  # file: policy.yaml", func(c *Config) (any, any) { return c.Policy.File, "" }},
		"prefix switched off":    {"rescue: {display_prefix: ''}", func(c *Config) (any, any) { return c.Rescue.DisplayPrefix, "" }},
		"anchor and alias":       {"log: &l {level: warn}\nnode: a", func(c *Config) (any, any) { return c.Log.Level, "warn" }},
		"windows line ends":      {"log:\r\n  level: warn\r\n", func(c *Config) (any, any) { return c.Log.Level, "warn" }},
		"console port chosen":    {"console: {listen: '127.0.0.1:0'}", func(c *Config) (any, any) { return c.Console.Listen.Port(), uint16(0) }},
		"intake trust of nobody": {"intake: {trust: []}", func(c *Config) (any, any) { return c.Intake.Trust != nil, true }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("holdline.yaml", []byte(tc.yaml+"\n"+minimal))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := tc.want(c); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// TestBadFiles compares everything that is reported for each file of
// testdata/bad with the .txt beside it. Run with -update after a change and
// read the difference.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d bad files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file)
			if err == nil {
				t.Fatalf("the file was accepted: %+v", c)
			}
			if _, ok := errors.AsType[Problems](err); !ok {
				t.Fatalf("error is a %T, want Problems", err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	_, err := Load("testdata/none.yaml")
	if err == nil || err.Error() != "testdata/none.yaml: there is no such file; name the configuration with --config FILE" {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Parse("x.yaml", []byte{0xff, 0xfe, 'a'}); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("binary file: %v", err)
	}
	if c, err := Load(""); err != nil || c.Node != "psap-a" {
		t.Errorf("configuration in the binary: %+v, %v", c, err)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prompt.wav"), tone(), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(filepath.Join(dir, "holdline.yaml"), []byte("rescue: {prompt: prompt.wav}\n"+minimal))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "prompt.wav"); c.Rescue.Prompt != want {
		t.Errorf("prompt is %s, want %s", c.Rescue.Prompt, want)
	}
}

// tone is a tenth of a second of 16-bit mono sound as a WAV file.
func tone() []byte {
	const rate, samples = 8000, 800
	le := binary.LittleEndian
	b := []byte("RIFF")
	b = le.AppendUint32(b, 36+2*samples)
	b = append(b, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...) // 16 bytes follow: PCM, one channel
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, 2*rate)
	b = append(b, "\x02\x00\x10\x00data"...) // 2 bytes a sample, 16 bits
	b = le.AppendUint32(b, 2*samples)
	for i := range samples {
		b = le.AppendUint16(b, uint16(i%80*100))
	}
	return b
}

func TestFixedNamesWhatNeedsARestart(t *testing.T) {
	parse := func(s string) *Config {
		c, err := Parse("holdline.yaml", []byte(s+"\n"+minimal))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	base := parse("node: a")
	if keys := base.Fixed(parse("node: a\nlog: {level: debug}\nsip: {trust: [10.0.0.0/8]}\nrescue: {display_prefix: X}")); keys != nil {
		t.Errorf("reloadable keys are refused: %v", keys)
	}
	got := base.Fixed(parse("node: b\ndata: /x\nmedia: {ports: 30000-31000}\nconsole: {listen: '127.0.0.1:1', auth: {required: always}}\nsip: {listen: ['udp://127.0.0.1:1']}"))
	want := []string{"node", "data", "sip.listen", "media.ports", "console.listen", "console.auth"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	changed := parse("node: b\nlog: {level: debug}\nmedia: {ports: 30000-31000}\nrescue: {text: x, display_prefix: y}")
	in := base.With(changed)
	if keys := base.Fixed(in); keys != nil || in.Log.Level != "debug" || in.Rescue.DisplayPrefix != "y" {
		t.Errorf("in force after a reload: %+v, of which %v should not have changed", in, keys)
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		earlier, later string
		want           bool
	}{
		{"*", "sip:911@*", true},
		{"urn:service:sos*", "urn:service:sos.police", true},
		{"urn:service:sos*", "URN:service:SOS", true},
		{"urn:service:sos", "urn:service:sos*", false},
		{"sip:pos-*@*", "sip:pos-1@*", true},
		{"sip:pos-1@*", "sip:pos-*@*", false},
		{"sip:91?@*", "sip:911@*", true},
		{"sip:91?@*", "sip:91*@*", false},
		{"sip:911@*", "sip:911@*", true},
	}
	for _, tc := range tests {
		if got := covers(tc.earlier, tc.later); got != tc.want {
			t.Errorf("covers(%q, %q) = %v, want %v", tc.earlier, tc.later, got, tc.want)
		}
	}
}

// FuzzParse holds that no file makes the program fail, and that what is
// refused is refused with a place and a reason.
func FuzzParse(f *testing.F) {
	f.Add(configs.Holdline)
	f.Add([]byte(minimal))
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("fuzz.yaml", src)
		if err == nil && len(c.Fallback) == 0 {
			t.Error("accepted without a fallback queue")
		}
		if err != nil && err.Error() == "" {
			t.Error("refused without a reason")
		}
	})
}
