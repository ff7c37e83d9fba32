package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"

	"filippo.io/age"

	"holdline/policy"
	"holdline/recorder/evidence"
)

// evidenceCmd makes and checks bundles of evidence.
type evidenceCmd struct {
	Make   evidenceMakeCmd   `cmd:"" default:"withargs" help:"Put together everything that is known of one call, as a signed zip file."`
	Verify evidenceVerifyCmd `cmd:"" help:"Check such a file, without the node it comes from."`
}

// evidenceMakeCmd makes a bundle.
type evidenceMakeCmd struct {
	Call string `required:"" placeholder:"ID" help:"The SIP Call-ID, or the emergency call identifier."`
	Data string `default:"./data" placeholder:"DIR" help:"The data folder (./data)."`
	Out  string `short:"o" placeholder:"FILE" help:"The file to write; left out, evidence-CALL.zip."`
	By   string `placeholder:"NAME" help:"Who asks for it; left out, the user of this system."`

	Identity string `placeholder:"FILE" help:"A file with the age identity that opens encrypted recordings, as recording.encrypt.identity; left out, they stay encrypted."`
}

// Run implements the command.
func (c evidenceMakeCmd) Run(a app) error {
	if c.Out == "" {
		c.Out = "evidence-" + fileName(c.Call) + ".zip"
	}
	if c.By == "" {
		c.By = systemUser()
	}
	identities, err := identitiesIn(c.Identity)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is not replaced; name another file with --out", c.Out)
	}
	if err != nil {
		return fmt.Errorf("writing the evidence: %w", err)
	}
	m, err := evidence.Write(context.Background(), evidence.Options{Data: c.Data, Call: c.Call, By: c.By, Policy: builtinRules, Identities: identities}, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(c.Out))
	}
	for _, n := range m.Notes {
		fmt.Fprintln(a.err, "note:", n)
	}
	_, err = fmt.Fprintf(a.out, "%s: %d files of call %s, signed by key %s\n", c.Out, len(m.Files), m.Call, m.KeyID)
	return err
}

// identitiesIn reads a file that age-keygen wrote; no file has none.
func identitiesIn(path string) ([]age.Identity, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	ids, err := age.ParseIdentities(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s has no identity as age-keygen writes it: %w", path, err)
	}
	return ids, nil
}

// systemUser is who runs this command, as the system knows it: what the
// environment says can be missing, as under cron, and be anybody's name.
func systemUser() string {
	if u, err := osuser.Current(); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}

// builtinRules are the rules that come with Holdline, if the digest is theirs.
func builtinRules(digest string) []byte {
	if p := policy.Builtin(); p.Digest() == digest {
		return p.Source()
	}
	return nil
}

// fileName makes an identifier part of a file's name.
func fileName(id string) string {
	id = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '@' || r == '-' {
			return r
		}
		return '_'
	}, id)
	return id[:min(len(id), 64)]
}

// evidenceVerifyCmd checks a bundle.
type evidenceVerifyCmd struct {
	File string `arg:"" help:"The zip file."`
	Key  string `placeholder:"KEY" help:"The public key to trust: a fingerprint (sha256:...), or a journal.pub file that was kept elsewhere. Left out, the key in the file."`
}

// Run implements the command.
func (c evidenceVerifyCmd) Run(a app) error {
	key := c.Key
	if key != "" && !strings.HasPrefix(key, "sha256:") {
		raw, err := os.ReadFile(key)
		if err != nil {
			return fmt.Errorf("--key is neither a fingerprint (sha256:...) nor a file: %w", err)
		}
		key = strings.TrimSpace(string(raw))
	}
	f, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("opening the evidence: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("opening the evidence: %w", err)
	}
	r, err := evidence.Verify(f, info.Size(), key)
	if err != nil {
		if bad, ok := errors.AsType[*evidence.Error](err); ok {
			for _, p := range bad.Problems {
				fmt.Fprintln(a.out, "BAD:", p)
			}
			return fmt.Errorf("%s does not verify", filepath.Base(c.File))
		}
		return fmt.Errorf("%s: %w", c.File, err)
	}
	fmt.Fprintf(a.out, "ok: call %s of node %s, made %s for %q\n%d files, %d records in the signed journal, %d recordings and %d messages that are those it names\nkey %s\n",
		r.Manifest.Call, r.Manifest.Node, r.Manifest.Made.Format("2006-01-02T15:04:05Z"), r.Manifest.By,
		len(r.Manifest.Files), r.Records, r.Audio, r.Messages, r.Manifest.KeyID)
	for _, n := range r.Manifest.Notes {
		fmt.Fprintln(a.out, "note:", n)
	}
	if c.Key == "" {
		fmt.Fprintln(a.out, "The key is the one in the file: compare it with the one noted when the node was installed.")
	}
	return nil
}
