package source

import "testing"

func TestProblemsInOrder(t *testing.T) {
	ps := Problems{
		{File: "rules.yaml", Line: 1, Column: 2, Message: "third"},
		{File: "main.yaml", Line: 9, Column: 1, Message: "second", Excerpt: "\tä: x"},
		{File: "main.yaml", Line: 2, Column: 4, Message: "first"},
		{File: "rules.yaml", Line: 1, Column: 2, Message: "third"},
		{File: "none.yaml", Message: "before the other files"},
	}
	want := "main.yaml:2:4: first\nmain.yaml:9:1: second\n  9 | \tä: x\n    | ^\nnone.yaml: before the other files\nrules.yaml:1:2: third"
	if got := ps.Sorted("main.yaml").Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p := Problem{File: "f", Line: 10, Column: 3, Message: "m", Excerpt: "\täx"}
	if got, want := p.String(), "f:10:3: m\n  10 | \täx\n     | \t ^"; got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestSuggestions(t *testing.T) {
	for word, want := range map[string]string{
		"lisen": `; did you mean "listen"?`, "LISTEN": `; did you mean "listen"?`, "elevation": "; known here: listen, trust",
	} {
		if got := DidYouMean(word, []string{"listen", "trust"}); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
	if got := DidYouMean("x", nil); got != "" {
		t.Errorf("nothing is known, and %q is suggested", got)
	}
}
