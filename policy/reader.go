package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"holdline/policy/source"
)

// reader walks the syntax tree of a policy file and notes what is wrong with
// it, and where.
type reader struct {
	name     string
	src      []byte
	lines    []string
	problems source.Problems
}

func newReader(name string, src []byte) *reader {
	return &reader{name: name, src: src, lines: strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n")}
}

// parse returns the document, or nil when there is none and a problem is noted.
func (r *reader) parse() (body ast.Node) {
	switch {
	case len(r.src) > maxFile:
		r.report(0, 0, "the file has %d bytes; a policy has at most %d", len(r.src), maxFile)
		return nil
	case !utf8.Valid(r.src):
		r.report(0, 0, "the file is not UTF-8 text; save it as UTF-8")
		return nil
	}
	file, err := parser.ParseBytes(r.src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			r.at(doc.Body, "a second document starts here; a policy is one document, remove the line ---")
		default:
			body = doc.Body
		}
	}
	if body == nil {
		r.report(0, 0, "the file is empty; begin with a copy of configs/policy.yaml")
	}
	return body
}

func (r *reader) syntax(err error) {
	var ye yaml.Error
	if !errors.As(err, &ye) || ye.GetToken() == nil {
		r.report(0, 0, "this is not YAML: %v", err)
		return
	}
	p := ye.GetToken().Position
	r.report(p.Line, p.Column, "this is not YAML: %s; a condition with : # or leading quotes goes between single quotes", ye.GetMessage())
}

// report notes a problem; line 0 is the file as a whole.
func (r *reader) report(line, column int, format string, args ...any) {
	p := source.Problem{File: r.name, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
	if line > 0 && line <= len(r.lines) {
		p.Excerpt = r.lines[line-1]
	}
	r.problems = append(r.problems, p)
}

// at notes a problem with a node.
func (r *reader) at(n ast.Node, format string, args ...any) {
	p := start(n)
	r.report(p.Line, p.Column, format, args...)
}

// start is where a node begins, which for a mapping is its first key.
func start(n ast.Node) *token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken().Position
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken().Position
	}
	return n.GetToken().Position
}

// entries returns the keys and values of a mapping, each key once.
func (r *reader) entries(n ast.Node, what string) []*ast.MappingValueNode {
	var all, once []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		all = n.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{n}
	case *ast.NullNode:
	default:
		r.at(n, "%s must be a mapping of keys to values", what)
	}
	lines := map[string]int{}
	for _, e := range all {
		t := e.Key.GetToken()
		if line, twice := lines[t.Value]; twice {
			r.at(e.Key, "%s is given twice, first in line %d; remove one", t.Value, line)
			continue
		}
		lines[t.Value] = t.Position.Line
		once = append(once, e)
	}
	return once
}

// mapping returns the values of a mapping that may have the given keys only;
// nil when it is no mapping.
func (r *reader) mapping(n ast.Node, what string, known ...string) map[string]ast.Node {
	before := len(r.problems)
	values := map[string]ast.Node{}
	for _, e := range r.entries(n, what) {
		key := e.Key.GetToken().Value
		isKnown := false
		for _, k := range known {
			isKnown = isKnown || k == key
		}
		if !isKnown {
			r.at(e.Key, "unknown key %s%s", source.Quote(key), source.DidYouMean(key, known))
			continue
		}
		values[key] = e.Value
	}
	if len(values) == 0 && len(r.problems) > before {
		return nil
	}
	return values
}

// text returns the text of a scalar as it was meant.
func (r *reader) text(n ast.Node, key string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		r.at(n, "%s has no value; give it one or remove it", key)
	case *ast.TagNode:
		r.at(n, "YAML takes what begins with ! for something else; write not instead of !, or put all of it between single quotes")
	case *ast.AnchorNode, *ast.AliasNode:
		r.at(n, "anchors and aliases are not used in a policy; write the text out")
	case ast.ScalarNode:
		return n.GetToken().Value, true
	default:
		r.at(n, "%s must be one text; a text with : or that begins with a bracket goes between single quotes", key)
	}
	return "", false
}

// fault reports what is wrong with an expression, at the character of the file
// that it is about.
func (r *reader) fault(n ast.Node, text string, f *fault) {
	if f == nil {
		return
	}
	line, column, ok := r.locate(n, text, f.offset)
	if !ok {
		p := start(n)
		r.report(p.Line, p.Column, "%s", f.message)
		return
	}
	r.report(line, column, "%s", f.message)
}

// locate finds the character of the file that is the one at offset of a
// scalar's text. Line breaks and indents of the file stand for the space that
// YAML makes of them; a text with escapes is not found.
func (r *reader) locate(n ast.Node, text string, offset int) (line, column int, ok bool) {
	p := n.GetToken().Position
	line, column = p.Line-1, p.Column-1
	if _, literal := n.(*ast.LiteralNode); literal {
		line, column = line+1, 0
	} else if t := n.GetToken().Type; t == token.SingleQuoteType || t == token.DoubleQuoteType {
		column++
	}
	at := cursor{lines: r.lines, line: line, column: column}
	for i, want := range []rune(text) {
		if !at.follow(want, i == 0) {
			return 0, 0, false
		}
		if i == offset {
			return at.line + 1, at.column + 1, true
		}
		at.column++
	}
	return at.line + 1, at.column + 1, true // the fault is that it ends here
}

// cursor moves through the lines of a file.
type cursor struct {
	lines        []string
	line, column int
}

// follow moves to the next character that stands for want.
func (c *cursor) follow(want rune, first bool) bool {
	for c.line < len(c.lines) {
		line := []rune(c.lines[c.line])
		switch {
		case c.column >= len(line): // the line break, and the next line's indent
			if unicode.IsSpace(want) && !first {
				c.skip()
				c.column-- // what follows the space is where skip went
				return true
			}
			c.skip()
		case line[c.column] == want:
			return true
		case unicode.IsSpace(line[c.column]) && first:
			c.column++
		default:
			return false
		}
	}
	return false
}

// skip goes to the first character of the next line that is not empty.
func (c *cursor) skip() {
	for c.line++; c.line < len(c.lines); c.line++ {
		line := []rune(c.lines[c.line])
		for i, r := range line {
			if !unicode.IsSpace(r) {
				c.column = i
				return
			}
		}
	}
	c.column = 0
}
