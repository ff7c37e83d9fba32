package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/vm"
)

// template is the reason of a rule: text with expressions in braces.
type template []segment

// segment is text, or an expression when there is one.
type segment struct {
	text string
	expr *expression
}

// maxWhy bounds a reason, in bytes: it is written to the journal and shown in
// alerts.
const maxWhy = 1000

// compileTemplate reads "talked for {talk} s"; braces of the text are doubled.
func compileTemplate(text string) (template, *fault) {
	var t template
	var plain strings.Builder
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case (r == '{' || r == '}') && i+1 < len(runes) && runes[i+1] == r:
			plain.WriteRune(r)
			i++
		case r == '}':
			return nil, &fault{i, "this } closes nothing; write }} for a brace in the text"}
		case r == '{':
			end := closing(runes, i)
			if end < 0 {
				return nil, &fault{i, "this { is not closed; write {{ for a brace in the text"}
			}
			e, f := compile(string(runes[i+1:end]), false)
			if f != nil {
				return nil, &fault{i + 1 + f.offset, f.message}
			}
			if plain.Len() > 0 {
				t = append(t, segment{text: plain.String()})
				plain.Reset()
			}
			t = append(t, segment{expr: e})
			i = end
		default:
			plain.WriteRune(r)
		}
	}
	if plain.Len() > 0 {
		t = append(t, segment{text: plain.String()})
	}
	return t, nil
}

// closing is where the expression that begins after the brace at i ends; -1
// when it does not. Braces between quotes belong to the expression.
func closing(runes []rune, i int) int {
	var quote rune
	for i++; i < len(runes); i++ {
		switch r := runes[i]; {
		case quote != 0 && r == '\\':
			i++
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'' || r == '`':
			quote = r
		case r == '}':
			return i
		}
	}
	return -1
}

// words renders the reason. A part that fails becomes a question mark: the
// verdict stands whatever can be said of it.
func (t template) words(machine *vm.VM, v *view) string {
	if len(t) == 1 && t[0].expr == nil {
		return t[0].text
	}
	var b strings.Builder
	for _, s := range t {
		if s.expr == nil {
			b.WriteString(s.text)
			continue
		}
		out, err := s.expr.run(machine, v)
		if err != nil {
			b.WriteByte('?')
			continue
		}
		b.WriteString(show(out))
	}
	if b.Len() > maxWhy {
		return strings.ToValidUTF8(b.String()[:maxWhy], "")
	}
	return b.String()
}

// show writes a value into a sentence: numbers with at most one decimal.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}
