package evidence

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"holdline/recorder"
	"holdline/recorder/capture"
)

// maxFile bounds one file of a bundle that is read: a day of stereo G.711.
const maxFile = 2 << 30

// Report is what Verify checked.
type Report struct {
	Manifest Manifest
	Records  int
	Audio    int // recordings that are those the journal names
	Messages int // that are those the journal names
	Problems []string
}

// Error is the error of a bundle that is not what was signed.
type Error struct{ Problems []string }

func (e *Error) Error() string {
	return fmt.Sprintf("evidence does not verify: %s", strings.Join(e.Problems, "; "))
}

// verifier is one check of a bundle.
type verifier struct {
	files  map[string]*zip.File
	data   map[string][]byte // of the files that are looked into
	hashes map[string]string
	report Report
}

// Verify checks a bundle offline. key is the public key to trust, in the
// encoding of signed notes, or its fingerprint; "" takes the one in the
// bundle, and then it only shows that the bundle is whole. The error is an
// *Error when something in it is not what was signed.
func Verify(r io.ReaderAt, size int64, key string) (Report, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return Report{}, fmt.Errorf("this is no bundle of evidence, which is a zip file: %w", err)
	}
	v := &verifier{files: map[string]*zip.File{}, data: map[string][]byte{}, hashes: map[string]string{}}
	for _, f := range z.File {
		if v.files[f.Name] != nil {
			v.problem("%s is in it twice", f.Name)
		}
		v.files[f.Name] = f
	}
	for _, name := range []string{fileManifest, fileSignature, fileKey, fileRecords, fileProof} {
		v.data[name] = v.read(name)
	}
	if v.signature(key) {
		v.listed()
		v.journal()
	}
	if len(v.report.Problems) > 0 {
		return v.report, &Error{v.report.Problems}
	}
	return v.report, nil
}

func (v *verifier) problem(format string, args ...any) {
	v.report.Problems = append(v.report.Problems, fmt.Sprintf(format, args...))
}

// read returns a file's contents, and remembers its hash.
func (v *verifier) read(name string) []byte {
	f := v.files[name]
	if f == nil {
		v.problem("%s is missing", name)
		return nil
	}
	in, err := f.Open()
	if err != nil {
		v.problem("%s cannot be read: %v", name, err)
		return nil
	}
	defer func() { _ = in.Close() }()
	h := sha256.New()
	var buf bytes.Buffer
	var to io.Writer = h
	if !strings.HasPrefix(name, "recordings/") {
		to = io.MultiWriter(h, &buf)
	}
	if _, err := io.Copy(to, io.LimitReader(in, maxFile)); err != nil {
		v.problem("%s cannot be read: %v", name, err)
		return nil
	}
	v.hashes[name] = hex.EncodeToString(h.Sum(nil))
	return buf.Bytes()
}

// signature checks that the list of files was signed by the key. Nothing else
// means anything without it.
func (v *verifier) signature(want string) bool {
	key := string(v.data[fileKey])
	if strings.Contains(want, "+") {
		key = want
	}
	text, id, err := recorder.OpenSigned(v.data[fileSignature], key)
	switch {
	case err != nil:
		v.problem("the list of files is not signed by this key: %v", err)
		return false
	case want != "" && key != want && id != want:
		v.problem("it is signed by key %s, not by %s", id, want)
		return false
	case text != fmt.Sprintf("%s\nsha256 %s\n", Format, v.hashes[fileManifest]):
		v.problem("the list of files is not the one that was signed")
		return false
	}
	if err := json.Unmarshal(v.data[fileManifest], &v.report.Manifest); err != nil {
		v.problem("the list of files cannot be read: %v", err)
		return false
	}
	if v.report.Manifest.KeyID != id {
		v.problem("the list of files names key %s, but it is signed by %s", v.report.Manifest.KeyID, id)
	}
	return true
}

// listed compares every file with the list.
func (v *verifier) listed() {
	known := map[string]bool{fileManifest: true, fileSignature: true}
	for _, f := range v.report.Manifest.Files {
		known[f.Name] = true
		if _, ok := v.hashes[f.Name]; !ok && v.files[f.Name] != nil {
			data := v.read(f.Name)
			if f.Name == fileCapture {
				v.data[f.Name] = data
			}
		}
		switch {
		case v.files[f.Name] == nil:
			v.problem("%s is missing", f.Name)
		case v.hashes[f.Name] != f.SHA256:
			v.problem("%s was changed", f.Name)
		}
	}
	for name := range v.files {
		if !known[name] {
			v.problem("%s was added", name)
		}
	}
}

// journal checks that the records are in the signed journal, and that what is
// beside them is what they name.
func (v *verifier) journal() {
	var proof recorder.Proof
	if err := json.Unmarshal(v.data[fileProof], &proof); err != nil {
		v.problem("the proof cannot be read: %v", err)
		return
	}
	if proof.KeyID != v.report.Manifest.KeyID {
		v.problem("the journal is signed by key %s, the list of files by %s", proof.KeyID, v.report.Manifest.KeyID)
	}
	var records []recorder.Record
	for line := range bytes.Lines(v.data[fileRecords]) {
		var r recorder.Record
		if err := json.Unmarshal(line, &r); err != nil {
			v.problem("record %d cannot be read: %v", len(records)+1, err)
			return
		}
		records = append(records, r)
	}
	if err := proof.Check(records); err != nil {
		v.problem("%v", err)
		return
	}
	v.report.Records = len(records)
	for _, r := range records {
		if r.Kind == "recording.closed" {
			v.audio(r)
		}
	}
	v.messages(records)
}

// audio compares recordings with the hashes in the journal. One that is not
// in the bundle was named as missing when the bundle was made.
func (v *verifier) audio(r recorder.Record) {
	var d recordingData
	if json.Unmarshal(r.Data, &d) != nil {
		return
	}
	paths, sums := append([]string{d.Path}, d.Extra...), append([]string{d.SHA256}, d.ExtraSHA...)
	sums = append(sums, make([]string, max(0, len(paths)-len(sums)))...)[:len(paths)]
	plain := append([]string{d.Plain}, d.PlainEx...)
	for i, path := range append([]string{d.Path}, d.Extra...) { // those that were opened for the bundle
		if bare, ok := strings.CutSuffix(path, ".age"); ok && i < len(plain) {
			paths, sums = append(paths, bare), append(sums, plain[i])
		}
	}
	for i, path := range paths {
		have, ok := v.hashes["recordings/"+filepath.Base(path)]
		switch {
		case !ok || sums[i] == "":
		case have != sums[i]:
			v.problem("recording %s is not the one that record %d names", filepath.Base(path), r.Seq)
		default:
			v.report.Audio++
		}
	}
}

// messages compares the messages in the capture with their sums.
func (v *verifier) messages(records []recorder.Record) {
	found, err := capture.Messages(bytes.NewReader(v.data[fileCapture]))
	if err != nil {
		v.problem("the capture cannot be read: %v", err)
		return
	}
	for _, d := range signalling(records) {
		switch got := capture.SumOf(d.CallID, d.Messages, found); {
		case d.Lost:
		case got.SHA256 != d.SHA256 || got.Messages != d.Messages:
			v.problem("the messages of Call-ID %s are not those that the journal names", d.CallID)
		default:
			v.report.Messages += got.Messages
		}
	}
}
