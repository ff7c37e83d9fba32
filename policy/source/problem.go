// Package source reports what is wrong with a file that a person wrote: where it
// stands, with the line and a caret under the place, and what was probably meant.
package source

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// Problem is one thing that is wrong with a file, and where.
type Problem struct {
	File    string
	Line    int    // from 1; 0 when the problem is not in a line, such as a file that cannot be read
	Column  int    // from 1, in characters
	Message string // what is wrong and how to put it right
	Excerpt string // the offending line; "" to show none
}

// String returns "file:line:column: message", and below it the offending line
// with a caret under the place.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	head := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Excerpt == "" {
		return head
	}
	number := strconv.Itoa(p.Line)
	gutter := strings.Repeat(" ", len(number))
	return fmt.Sprintf("%s\n  %s | %s\n  %s | %s^", head, number, p.Excerpt, gutter, caretIndent(p.Excerpt, p.Column))
}

// caretIndent is as wide as the text before column, tabs kept, so that the
// caret stands under the right character in any terminal.
func caretIndent(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= column-1 {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Problems is the error of a file: everything that is wrong with it,
// in the order of the file.
type Problems []Problem

// Error returns every problem, one after the other.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted orders the problems by their place, those of the file called first
// before those of files that it names, and removes what was found twice.
func (ps Problems) Sorted(first string) Problems {
	other := func(p Problem) int {
		if p.File == first {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(other(a), other(b)), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}

// DidYouMean returns `; did you mean "x"?` with the candidate nearest to word,
// or the candidates themselves when none is near.
func DidYouMean(word string, candidates []string) string {
	best, distance := "", len(word)/3+2
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), c); d < distance {
			best, distance = c, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(candidates) == 0:
		return ""
	default:
		return "; known here: " + strings.Join(candidates, ", ")
	}
}

// Quote shows a value of the file in a message without letting it run on.
func Quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return strconv.Quote(s)
}
