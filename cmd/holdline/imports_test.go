package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is which rooms each room may import. The way through the house is
// one way: wire, sip, policy, media and recorder, console; cmd wires.
func mayImport() map[string][]string {
	return map[string][]string{
		"media":    {},
		"policy":   {},
		"recorder": {},
		"configs":  {},
		"sip":      {"media", "policy", "recorder"},
		"console":  {"media", "policy", "recorder", "sip"},
		"cmd":      {"configs", "console", "media", "policy", "recorder", "sip"},
	}
}

// TestImportDirections keeps the rooms apart: what is not in mayImport is a new
// direction, to be agreed on and not slipped in. sipgo's types stay in sip/.
func TestImportDirections(t *testing.T) {
	const root = "../.."
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files++
		checkImports(t, filepath.ToSlash(rel), path)
		return nil
	})
	if err != nil || files < 10 {
		t.Fatalf("%d files were looked at: %v", files, err)
	}
}

func checkImports(t *testing.T, name, path string) {
	t.Helper()
	room, _, _ := strings.Cut(name, "/")
	allowed, known := mayImport()[room]
	if !known {
		t.Errorf("%s is in no room that there is", name)
		return
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Logf("%s is not looked at: %v", name, err) // the compiler says more
		return
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(imported, "github.com/emiago/sipgo") && room != "sip" && !playsPhones(name) {
			t.Errorf("%s imports %s, which belongs into sip/", name, imported)
		}
		other, isOurs := strings.CutPrefix(imported, "holdline/")
		other, _, _ = strings.Cut(other, "/")
		if isOurs && other != room && !slices.Contains(allowed, other) {
			t.Errorf("%s imports %s; %s may import %v", name, imported, room, allowed)
		}
	}
}

// playsPhones is where phones are played that talk to the guard from outside:
// their messages are sipgo's.
func playsPhones(name string) bool {
	return strings.HasPrefix(name, "cmd/holdline/demo/") || strings.HasPrefix(name, "cmd/holdline/e2e/") ||
		strings.HasPrefix(name, "cmd/holdline/bench/")
}
