package policy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"holdline/policy/source"
)

// FuzzParse holds that no file makes the program fail, that what is refused is
// refused with a reason and a place that exists, and that what is accepted
// gives verdicts.
func FuzzParse(f *testing.F) {
	f.Add(builtinYAML)
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := Parse("fuzz.yaml", src)
		if err != nil {
			problems, ok := errors.AsType[source.Problems](err)
			if !ok || len(problems) == 0 || err.Error() == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if v := p.Judge(Facts{Kind: Test, Release: ReleaseBye}); v.Decision == Intercept {
			t.Errorf("a test call is intercepted: %+v", v)
		}
		if v := p.Judge(busyFacts()); v.Rule == "" || v.Policy != p.Digest() {
			t.Errorf("verdict %+v", v)
		}
	})
}
