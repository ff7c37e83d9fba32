// Package evidence puts together what is known of one call, so that somebody
// who was not there can hear it, read it and check it without Holdline: its
// recordings, the messages of all its legs with the audio as a capture, its
// part of the journal with the proof that it was in it, the policy that
// decided, and a signed list of all of it. docs/evidence.md is the format.
package evidence

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"holdline/recorder"
	"holdline/recorder/capture"
)

// Format is the first line of a manifest; a change of the format changes it.
const Format = "holdline.evidence.1"

// The files of a bundle beside recordings and policies.
const (
	fileManifest  = "manifest.json"
	fileSignature = "manifest.sig"
	fileKey       = "journal.pub"
	fileRecords   = "journal/records.jsonl"
	fileProof     = "journal/proof.json"
	fileCapture   = "call.pcapng"
	fileSummary   = "summary.html"
)

// Options say what to put together.
type Options struct {
	Data string // the node's data directory
	Call string // SIP Call-ID, or emergency call identifier
	By   string // who asked for it
	Now  time.Time
	// Identities open encrypted recordings; what they do not open stays so.
	Identities []age.Identity
	// Policy returns the rules with a digest that the journal does not hold:
	// those that come with Holdline. nil when there are none.
	Policy func(digest string) []byte
}

// Manifest lists a bundle's files with their hashes. It is signed with the
// journal's key.
type Manifest struct {
	Format string    `json:"format"`
	Call   string    `json:"call"`
	Node   string    `json:"node"`
	Made   time.Time `json:"made"`
	By     string    `json:"by"`
	KeyID  string    `json:"keyId"`
	Files  []File    `json:"files"`
	Notes  []string  `json:"notes,omitempty"` // what is missing, and why
}

// File is one file of a bundle.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// ErrNoCall says that the journal knows nothing of a call.
var ErrNoCall = errors.New("the journal has no record of this call")

// builder is a bundle on its way.
type builder struct {
	o        Options
	zip      *zip.Writer
	call     string
	records  []recorder.Record // of the call, and of the node when it began
	messages []capture.Found
	manifest Manifest
}

// Write writes the bundle of a call as a zip file.
func Write(ctx context.Context, o Options, w io.Writer) (Manifest, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	b := &builder{o: o, zip: zip.NewWriter(w), manifest: Manifest{Format: Format, Made: o.Now.UTC(), By: o.By}}
	for _, step := range []func(context.Context) error{
		b.readRecords, b.addProof, b.addRecordings, b.addCapture, b.addPolicies, b.addSummary, b.sign,
	} {
		if err := step(ctx); err != nil {
			return b.manifest, fmt.Errorf("evidence of call %q: %w", o.Call, err)
		}
	}
	if err := b.zip.Close(); err != nil {
		return b.manifest, fmt.Errorf("evidence of call %q: %w", o.Call, err)
	}
	return b.manifest, nil
}

// readRecords finds the call and reads its records, and what the node said of
// itself when it started, which names the policy and the configuration.
func (b *builder) readRecords(ctx context.Context) error {
	b.call = b.o.Call
	take := func(r recorder.Record) error { b.records = append(b.records, r); return nil }
	if err := recorder.ReadDir(ctx, b.o.Data, recorder.Query{Call: b.call}, take); err != nil {
		return err
	}
	if len(b.records) == 0 {
		id, err := b.byIdentifier(ctx)
		if err != nil {
			return err
		}
		b.call = id
		if err := recorder.ReadDir(ctx, b.o.Data, recorder.Query{Call: id}, take); err != nil {
			return err
		}
	}
	first, last := b.records[0].Seq, b.records[len(b.records)-1].Seq
	var before *recorder.Record // what was in force when the call began
	var later []recorder.Record
	for _, kind := range []string{"node.started", "node.reloaded"} {
		err := recorder.ReadDir(ctx, b.o.Data, recorder.Query{Kind: kind}, func(r recorder.Record) error {
			switch {
			case r.Seq < first && (before == nil || r.Seq > before.Seq):
				before = &r
			case r.Seq > first && r.Seq < last:
				later = append(later, r)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if before != nil {
		later = append(later, *before)
	}
	b.records = append(b.records, later...)
	slices.SortFunc(b.records, func(a, c recorder.Record) int { return int(int64(a.Seq) - int64(c.Seq)) })
	b.manifest.Call, b.manifest.Node = b.call, b.records[0].Node
	return nil
}

// byIdentifier finds the Call-ID of an emergency call identifier.
func (b *builder) byIdentifier(ctx context.Context) (string, error) {
	found := ""
	err := recorder.ReadDir(ctx, b.o.Data, recorder.Query{Kind: "call.offered"}, func(r recorder.Record) error {
		var d struct {
			EmergencyID string `json:"emergencyId"`
		}
		if json.Unmarshal(r.Data, &d) == nil && d.EmergencyID != "" && d.EmergencyID == b.o.Call {
			found = r.Call
		}
		return nil
	})
	if err == nil && found == "" {
		err = ErrNoCall
	}
	return found, err
}

func (b *builder) addProof(context.Context) error {
	var lines []byte
	seqs := make([]uint64, len(b.records))
	for i, r := range b.records {
		lines = append(r.AppendJSON(lines), '\n')
		seqs[i] = r.Seq
	}
	proof, err := recorder.Prove(b.o.Data, seqs)
	if err != nil {
		return err
	}
	b.manifest.KeyID = proof.KeyID
	text, err := json.MarshalIndent(proof, "", " ")
	if err != nil {
		return fmt.Errorf("writing the proof: %w", err)
	}
	if err := b.add(fileRecords, lines); err != nil {
		return err
	}
	if err := b.add(fileProof, text); err != nil {
		return err
	}
	return b.add(fileKey, []byte(proof.Key+"\n"))
}

// recordingData is what recording.closed says.
type recordingData struct {
	Path     string   `json:"path"`
	SHA256   string   `json:"sha256"`
	Extra    []string `json:"extra"`
	ExtraSHA []string `json:"extraSha256"`
	Plain    string   `json:"plainSha256"`
	PlainEx  []string `json:"plainExtraSha256"`
	Error    string   `json:"error"`
}

// recordings are the recordings that the call's records name.
func (b *builder) recordings() (out []recordingData) {
	for _, r := range b.records {
		var d recordingData
		if r.Kind == "recording.closed" && json.Unmarshal(r.Data, &d) == nil && d.Path != "" {
			out = append(out, d)
		}
	}
	return out
}

func (b *builder) addRecordings(context.Context) error {
	all := b.recordings()
	if len(all) == 0 {
		b.note("there is no finished recording of this call")
	}
	for _, d := range all {
		for _, path := range append([]string{d.Path}, d.Extra...) {
			if err := b.addRecording(path); err != nil {
				return err
			}
		}
		if d.Error != "" {
			b.note("the recording is not whole: " + d.Error)
		}
	}
	return nil
}

func (b *builder) addRecording(path string) error {
	f, err := os.Open(recorder.Find(b.o.Data, path))
	if errors.Is(err, os.ErrNotExist) {
		b.note("the recording " + filepath.Base(path) + " is not there any more")
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a recording: %w", err)
	}
	defer func() { _ = f.Close() }()
	name := "recordings/" + filepath.Base(path)
	opened, err := b.unlock(name, f)
	switch {
	case errors.Is(err, recorder.ErrLocked):
		b.note("the recording " + filepath.Base(path) + " is encrypted; whoever has the identity opens it with age")
		return b.copy(name, f)
	case err != nil:
		return err
	}
	return b.copy(strings.TrimSuffix(name, ".age"), opened)
}

// unlock decrypts a recording if it has to be. When it cannot be, the file is
// at its beginning.
func (b *builder) unlock(name string, f *os.File) (io.Reader, error) {
	if !strings.HasSuffix(name, ".age") {
		return f, nil
	}
	data, err := recorder.Unlock(f, b.o.Identities)
	if errors.Is(err, recorder.ErrLocked) {
		if _, serr := f.Seek(0, io.SeekStart); serr != nil {
			return nil, fmt.Errorf("reading a recording: %w", serr)
		}
	}
	return bytes.NewReader(data), err
}

// addPolicies adds every policy that judged a release of the call.
func (b *builder) addPolicies(context.Context) error {
	known := map[string]string{}
	for _, r := range b.records {
		var d struct{ Policy, Rules string }
		if strings.HasPrefix(r.Kind, "node.") && json.Unmarshal(r.Data, &d) == nil && d.Rules != "" {
			known[d.Policy] = d.Rules
		}
	}
	done := map[string]bool{}
	for _, r := range b.records {
		var d struct{ Policy string }
		if !strings.HasPrefix(r.Kind, "release.") || json.Unmarshal(r.Data, &d) != nil || d.Policy == "" || done[d.Policy] {
			continue
		}
		done[d.Policy] = true
		rules := []byte(known[d.Policy])
		if len(rules) == 0 && b.o.Policy != nil {
			rules = b.o.Policy(d.Policy)
		}
		if len(rules) == 0 {
			b.note("the policy " + d.Policy + " is not at hand")
			continue
		}
		if err := b.add("policy/"+short(d.Policy)+".yaml", rules); err != nil {
			return err
		}
	}
	return nil
}

// short makes a digest a file's name.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(16, len(digest))]
}

// sign writes the manifest and its signature, the last two files.
func (b *builder) sign(context.Context) error {
	text, err := json.MarshalIndent(b.manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	text = append(text, '\n')
	sum := sha256.Sum256(text)
	signed, err := recorder.Sign(b.o.Data, fmt.Appendf(nil, "%s\nsha256 %s\n", Format, hex.EncodeToString(sum[:])))
	if err != nil {
		return err
	}
	if err := b.put(fileManifest, text); err != nil {
		return err
	}
	return b.put(fileSignature, signed)
}

func (b *builder) note(s string) { b.manifest.Notes = append(b.manifest.Notes, s) }

// add writes a file and lists it.
func (b *builder) add(name string, data []byte) error {
	return b.copy(name, strings.NewReader(string(data)))
}

func (b *builder) copy(name string, from io.Reader) error {
	w, err := b.create(name)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), from)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	b.manifest.Files = append(b.manifest.Files, File{Name: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))})
	return nil
}

// put writes a file that is not on the list: the list itself.
func (b *builder) put(name string, data []byte) error {
	w, err := b.create(name)
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func (b *builder) create(name string) (io.Writer, error) {
	return b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.o.Now.UTC()})
}
