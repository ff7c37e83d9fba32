package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder fills a Config from the syntax tree of a file. It walks the tree
// itself, rather than let the library unmarshal, because the library stops at
// the first mistake and forgets where the values stood.
type decoder struct {
	file     string
	lines    []string
	src      []byte
	problems Problems
	broken   bool                       // the file is not YAML: nothing was decoded
	places   map[string]*token.Position // where each value stands, by path: sip.listen[0]
	keys     map[string]*token.Position // where each key stands
	bad      map[string]bool            // values that could not be read
	anchors  map[string]ast.Node
}

func newDecoder(file string, src []byte) *decoder {
	return &decoder{
		file:    file,
		src:     src,
		lines:   strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n"),
		places:  map[string]*token.Position{},
		keys:    map[string]*token.Position{},
		bad:     map[string]bool{},
		anchors: map[string]ast.Node{},
	}
}

// given tells whether the file has a value at the path.
func (d *decoder) given(format string, args ...any) bool {
	_, ok := d.places[fmt.Sprintf(format, args...)]
	return ok
}

// at reports a problem with the value at path, or with the nearest thing
// around it that the file does have.
func (d *decoder) at(path, format string, args ...any) {
	for p := path; p != ""; p = parent(p) {
		if pos := d.places[p]; pos != nil {
			d.report(pos, format, args...)
			return
		}
	}
	d.report(nil, format, args...)
}

// parent returns the path of what surrounds path: a.b[1].c, a.b[1], a.b, a.
func parent(path string) string {
	i := strings.LastIndexAny(path, ".[")
	if i < 0 {
		return ""
	}
	return path[:i]
}

func (d *decoder) report(pos *token.Position, format string, args ...any) {
	p := Problem{File: d.file, Message: fmt.Sprintf(format, args...)}
	if pos != nil {
		p.Line, p.Column = pos.Line, pos.Column
		if i := pos.Line - 1; i >= 0 && i < len(d.lines) {
			p.Excerpt = d.lines[i]
		}
	}
	d.problems = append(d.problems, p)
}

// refuse reports that the value at path could not be read, so that nothing
// more is said of what is missing in it.
func (d *decoder) refuse(path string, pos *token.Position, format string, args ...any) {
	d.bad[path] = true
	d.report(pos, format, args...)
}

// refused tells whether the value at path, or one around it, could not be read.
func (d *decoder) refused(path string) bool {
	for p := path; p != ""; p = parent(p) {
		if d.bad[p] {
			return true
		}
	}
	return d.bad[""]
}

// decode parses the file into c.
func (d *decoder) decode(c *Config) {
	if !utf8.Valid(d.src) {
		d.broken = true
		d.report(nil, "the file is not UTF-8 text; save it as UTF-8")
		return
	}
	file, err := parser.ParseBytes(d.src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.broken = true
		d.syntax(err)
		return
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) > 1 {
		d.report(bodies[1].GetToken().Position, "a second document starts here; the configuration is one document, remove the line ---")
	}
	if len(bodies) > 0 {
		d.value(bodies[0], reflect.ValueOf(c).Elem(), "", false)
	}
}

// syntax reports an error of the YAML parser.
func (d *decoder) syntax(err error) {
	var ye yaml.Error
	if !errors.As(err, &ye) || ye.GetToken() == nil {
		d.report(nil, "this is not YAML: %v", err)
		return
	}
	text := ye.GetMessage()
	if strings.Contains(text, "'\t'") {
		text = "there is a tab; indent with spaces"
	}
	d.report(ye.GetToken().Position, "this is not YAML: %s", text)
}

// value decodes node into v, which stands at path. one allows a single value
// where a list is expected.
func (d *decoder) value(node ast.Node, v reflect.Value, path string, one bool) {
	node = d.resolve(node)
	if node == nil {
		return
	}
	if path != "" {
		d.places[path] = start(node)
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		d.text(node, path, u)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(node, v, path)
	case reflect.Slice:
		d.sequence(node, v, path, one)
	case reflect.Map:
		d.words(node, v, path)
	default:
		d.scalar(node, v, path)
	}
}

// resolve follows anchors and aliases to the node they stand for.
func (d *decoder) resolve(node ast.Node) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			d.anchors[n.Name.GetToken().Value] = n.Value
			node = n.Value
		case *ast.AliasNode:
			target, ok := d.anchors[n.Value.GetToken().Value]
			if !ok {
				d.report(n.GetToken().Position, "there is no anchor &%s before this place", n.Value.GetToken().Value)
				return nil
			}
			return target
		case *ast.TagNode:
			node = n.Value
		default:
			return node
		}
	}
}

// start is where a node begins, which for a mapping is its first key.
func start(node ast.Node) *token.Position {
	switch n := node.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken().Position
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken().Position
	}
	return node.GetToken().Position
}

// entries returns the keys and values of a mapping; ok is false, and a problem
// reported, when node is something else. A mapping of which every key is
// commented out is empty, not wrong.
func (d *decoder) entries(node ast.Node, path string) (es []*ast.MappingValueNode, ok bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	case *ast.NullNode:
		return nil, true
	}
	d.refuse(path, start(node), "%s must be a mapping of keys to values, not %s", orFile(path), describe(node))
	return nil, false
}

// mapping decodes a struct, and reports keys it does not have.
func (d *decoder) mapping(node ast.Node, v reflect.Value, path string) {
	es, ok := d.entries(node, path)
	if !ok {
		return
	}
	fields, names := fieldsOf(v.Type())
	for _, e := range es {
		key := e.Key.GetToken().Value
		pos := e.Key.GetToken().Position
		f, known := fields[key]
		if !known {
			d.report(pos, "unknown key %s%s", quote(key), didYouMean(key, names))
			continue
		}
		p := join(path, key)
		if !d.first(p, pos) {
			continue
		}
		if _, null := e.Value.(*ast.NullNode); null && v.Field(f.index).Kind() != reflect.Struct {
			d.places[p] = pos
			d.refuse(p, pos, "%s has no value; give it one or remove the key", p)
			continue
		}
		d.value(e.Value, v.Field(f.index), p, f.one)
	}
}

// first notes where the key at path stands, and reports it if it is there for
// the second time.
func (d *decoder) first(path string, pos *token.Position) bool {
	if before := d.keys[path]; before != nil {
		d.report(pos, "%s is given twice, first in line %d; remove one", path, before.Line)
		return false
	}
	d.keys[path] = pos
	return true
}

// field is where a key goes.
type field struct {
	index int
	one   bool
}

// fieldsOf returns the keys of a struct, by name and in their order.
func fieldsOf(t reflect.Type) (map[string]field, []string) {
	fields, names := map[string]field{}, []string{}
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields[name] = field{i, option == "one"}
		names = append(names, name)
	}
	return fields, names
}

// sequence decodes a list. What was in v, a default, is replaced.
func (d *decoder) sequence(node ast.Node, v reflect.Value, path string, one bool) {
	var items []ast.Node
	switch n := node.(type) {
	case *ast.SequenceNode:
		items = n.Values
	case ast.ScalarNode:
		if !one {
			d.refuse(path, start(node), "%s must be a list; write [%s]", path, strings.TrimSpace(n.String()))
			return
		}
		items = []ast.Node{n}
	default:
		d.refuse(path, start(node), "%s must be a list, not %s", path, describe(node))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i), false)
	}
	v.Set(list)
}

// words decodes a mapping of words to words, replacing the default.
func (d *decoder) words(node ast.Node, v reflect.Value, path string) {
	es, ok := d.entries(node, path)
	if !ok {
		return
	}
	m := map[string]string{}
	for _, e := range es {
		key := e.Key.GetToken().Value
		p := join(path, key)
		if !d.first(p, e.Key.GetToken().Position) {
			continue
		}
		d.places[p] = e.Key.GetToken().Position
		if s, ok := d.literal(e.Value, p); ok {
			m[key] = s
		}
	}
	v.Set(reflect.ValueOf(m))
}

// text decodes a scalar into a type that reads text.
func (d *decoder) text(node ast.Node, path string, u encoding.TextUnmarshaler) {
	s, ok := d.literal(node, path)
	if !ok {
		return
	}
	if err := u.UnmarshalText([]byte(s)); err != nil {
		d.refuse(path, start(node), "%s: %v", path, err)
	}
}

// scalar decodes a word, a number or a truth value.
func (d *decoder) scalar(node ast.Node, v reflect.Value, path string) {
	s, ok := d.literal(node, path)
	if !ok {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		b, ok := node.(*ast.BoolNode)
		if !ok {
			d.refuse(path, start(node), "%s must be true or false, not %s", path, quote(s))
			return
		}
		v.SetBool(b.Value)
	case reflect.Int:
		n, err := strconv.Atoi(s)
		if err != nil {
			d.refuse(path, start(node), "%s must be a whole number, not %s", path, quote(s))
			return
		}
		v.SetInt(int64(n))
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			d.refuse(path, start(node), "%s must be a number, not %s", path, quote(s))
			return
		}
		v.SetFloat(f)
	default:
		v.SetString(s)
	}
}

// literal returns the text of a scalar as it was meant: 5045551000 stays that,
// whatever number YAML would make of it.
func (d *decoder) literal(node ast.Node, path string) (string, bool) {
	switch n := d.resolve(node).(type) {
	case nil:
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		d.refuse(path, start(n), "%s has no value; give it one or remove it", path)
	case ast.ScalarNode:
		return n.GetToken().Value, true
	default:
		if s, ok := glued(n); ok {
			return s, true
		}
		d.refuse(path, start(n), "%s must be a single value, not %s", path, describe(n))
	}
	return "", false
}

// glued returns the text of a single value with a colon in it. YAML makes a
// mapping only of a colon that a space follows (YAML 1.2 section 7.3.3), but
// the parser takes {to: [sip:b@10.0.0.1]} for one too.
func glued(node ast.Node) (string, bool) {
	n, ok := node.(*ast.MappingNode)
	if !ok || len(n.Values) != 1 || n.IsFlowStyle && n.GetToken().Value == "{" {
		return "", false
	}
	kv := n.Values[0]
	value, ok := kv.Value.(ast.ScalarNode)
	if !ok || kv.Start == nil {
		return "", false
	}
	key, v, colon := kv.Key.GetToken(), value.GetToken(), kv.Start.Position.Offset
	if key.Position.Offset+len([]rune(key.Value)) != colon || v.Position.Offset != colon+1 {
		return "", false
	}
	return key.Value + ":" + v.Value, true
}

// describe names the shape of a node in a message.
func describe(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	default:
		return "the value " + quote(strings.TrimSpace(node.GetToken().Value))
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func orFile(path string) string {
	if path == "" {
		return "the configuration"
	}
	return path
}
