package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdline/policy"
)

const policyPage = "../../docs/policy.md"

// TestFactsInTheDocs: the page describes every fact, as the program does. Run
// with -update to write the table anew.
func TestFactsInTheDocs(t *testing.T) {
	var table strings.Builder
	table.WriteString("<!-- facts -->\n| fact | type | what |\n| --- | --- | --- |\n")
	for _, f := range policy.FactList() {
		if strings.Count(f.Name, ".") == 2 && !strings.HasPrefix(f.Name, "intake.location.") {
			continue // the same for every field
		}
		name := strings.Replace(f.Name, "intake.location.", "intake.FIELD.", 1)
		typ := f.Type
		if f.Unit != "" {
			typ += ", " + f.Unit
		}
		doc := f.Doc
		if f.Values != nil {
			values := slices.DeleteFunc(slices.Clone(f.Values), func(v string) bool { return v == "" })
			doc += " One of `" + strings.Join(values, "`, `") + "`."
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", name, typ, doc)
	}
	var fields []string
	for _, f := range policy.Fields() {
		fields = append(fields, "`"+string(f)+"`")
	}
	fmt.Fprintf(&table, "\nFIELD is one of %s.\n<!-- /facts -->", strings.Join(fields, ", "))
	page, err := os.ReadFile(policyPage)
	if err != nil {
		t.Fatal(err)
	}
	between := regexp.MustCompile(`(?s)<!-- facts -->.*<!-- /facts -->`)
	if *update {
		page = between.ReplaceAllLiteral(page, []byte(table.String()))
		if err := os.WriteFile(policyPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := between.FindString(string(page)); got != table.String() {
		t.Errorf("the table of facts is\n%s\nand should be\n%s", got, table.String())
	}
}

// TestPoliciesInTheDocs: every policy on the page compiles, and judges as its
// comments say: facts as in the journal -> verdict by rule.
func TestPoliciesInTheDocs(t *testing.T) {
	said := regexp.MustCompile(`(?m)^# (\{.*\}) -> (\w+) by ([a-z0-9-]+)$`)
	for _, block := range blocks(t, policyPage, "yaml") {
		p, err := policy.Parse("docs/policy.md", []byte(block))
		if err != nil {
			t.Errorf("%v\n%s", err, block)
			continue
		}
		examples := said.FindAllStringSubmatch(block, -1)
		if len(examples) == 0 {
			t.Errorf("nothing is said about\n%s", block)
		}
		for _, m := range examples {
			var f policy.Facts
			if err := json.Unmarshal([]byte(m[1]), &f); err != nil {
				t.Errorf("%s: %v", m[1], err)
			}
			if v := p.Judge(f); string(v.Decision) != m[2] || v.Rule != m[3] || v.Skipped != nil {
				t.Errorf("%s gets %+v", m[0], v)
			}
		}
	}
}

// TestPolicyCommandsInTheDocs runs the commands of the page.
func TestPolicyCommandsInTheDocs(t *testing.T) {
	fill := strings.NewReplacer("$DATA", evening(t), "$CALL", "early@caller", "configs/policy.yaml", "../../configs/policy.yaml")
	ran := 0
	for _, block := range blocks(t, policyPage, "sh") {
		for line := range strings.Lines(block) {
			args := strings.Fields(fill.Replace(line))
			if status, stdout, stderr := command(args[1:]...); args[0] != "holdline" || status != exitOK || stdout == "" {
				t.Errorf("%sstatus %d, %s", line, status, cmp.Or(stderr, stdout))
			}
			ran++
		}
	}
	if ran < 5 {
		t.Errorf("%d commands were run", ran)
	}
}
