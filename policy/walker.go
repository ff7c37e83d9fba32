package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"holdline/policy/source"
)

// walker looks through the syntax tree of an expression for what the library
// would allow and a policy must not have: anything that loops or grows, facts
// that do not exist, and words that a fact never is.
type walker struct {
	tree  map[string]factNode
	facts []string
	fault *fault
}

// factNode is a fact, or what facts have in common: intake, intake.location.
type factNode struct {
	fact  *Fact
	parts []string // the names below it
}

// factTree is every fact by name, with the names on the way to it.
func factTree() map[string]factNode {
	tree := map[string]factNode{}
	for _, f := range FactList() {
		tree[f.Name] = factNode{fact: &f}
		for name := f.Name; name != ""; {
			over, part := "", name
			if i := strings.LastIndexByte(name, '.'); i >= 0 {
				over, part = name[:i], name[i+1:]
			}
			n := tree[over]
			if slices.Contains(n.parts, part) {
				break
			}
			n.parts = append(n.parts, part)
			tree[over] = n
			name = over
		}
	}
	return tree
}

// refuse notes the first fault.
func (w *walker) refuse(n ast.Node, format string, args ...any) {
	if w.fault == nil {
		w.fault = &fault{n.Location().From, fmt.Sprintf(format, args...)}
	}
}

func (w *walker) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.IdentifierNode, *ast.MemberNode:
		w.fact(n)
	case *ast.UnaryNode:
		w.node(n.Node)
	case *ast.BinaryNode:
		w.binary(n)
	case *ast.ConditionalNode:
		w.nodes(n.Cond, n.Exp1, n.Exp2)
	case *ast.ArrayNode:
		w.nodes(n.Nodes...)
	case *ast.BuiltinNode:
		w.function(n, n.Name, n.Arguments)
	case *ast.CallNode:
		w.function(n, n.Callee.String(), n.Arguments)
	case *ast.NilNode:
		w.refuse(n, `there is no nil; an unknown text is "" and an unknown number is -1`)
	case *ast.VariableDeclaratorNode:
		w.refuse(n, "let is not available; write the expression out, or make two rules of it")
	default:
		w.refuse(n, "%s cannot be used in a policy", source.Quote(n.String()))
	}
}

func (w *walker) nodes(ns ...ast.Node) {
	for _, n := range ns {
		w.node(n)
	}
}

func (w *walker) function(n ast.Node, name string, arguments []ast.Node) {
	if !slices.Contains(functions(), name) {
		w.refuse(n, "there is no function %s%s", source.Quote(name), source.DidYouMean(name, functions()))
		return
	}
	w.nodes(arguments...)
}

func (w *walker) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "..":
		w.refuse(n, "a range cannot be used in a policy; compare with >= and <=")
		return
	case "matches":
		if _, ok := n.Right.(*ast.StringNode); !ok {
			w.refuse(n, "what stands right of matches must be a text in quotes")
			return
		}
	}
	w.nodes(n.Left, n.Right)
	switch n.Operator {
	case "==", "!=", "in", "not in":
		w.words(n.Left, n.Right)
		w.words(n.Right, n.Left)
	}
}

// fact resolves a name to a fact.
func (w *walker) fact(n ast.Node) *Fact {
	name, ok := path(n)
	if !ok {
		w.refuse(n, "%s cannot be used in a policy; only facts have parts", source.Quote(n.String()))
		return nil
	}
	over := ""
	for part := range strings.SplitSeq(name, ".") {
		parts := w.tree[over].parts
		if !slices.Contains(parts, part) {
			w.unknown(n, over, part, parts)
			return nil
		}
		over = strings.TrimPrefix(over+"."+part, ".")
	}
	found := w.tree[name]
	if found.fact == nil {
		w.refuse(n, "%s alone says nothing; use one of its parts: %s", name, strings.Join(found.parts, ", "))
		return nil
	}
	if !slices.Contains(w.facts, name) {
		w.facts = append(w.facts, name)
	}
	return found.fact
}

// unknown reports part, which over does not have, where it stands in n.
func (w *walker) unknown(n ast.Node, over, part string, parts []string) {
	for m, ok := n.(*ast.MemberNode); ok; m, ok = m.Node.(*ast.MemberNode) {
		if name, _ := path(m.Node); name == over {
			n = m
			break
		}
		if _, last := m.Node.(*ast.MemberNode); !last {
			n = m.Node
		}
	}
	if over == "" {
		w.refuse(n, "there is no fact %s%s", source.Quote(part), source.DidYouMean(part, parts))
		return
	}
	if w.tree[over].fact != nil {
		w.refuse(n, "%s is a %s and has no parts", over, w.tree[over].fact.Type)
		return
	}
	w.refuse(n, "%s has no %s%s", over, source.Quote(part), source.DidYouMean(part, parts))
}

// path is the dotted name of a fact.
func path(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.MemberNode:
		over, ok := path(n.Node)
		part, isWord := n.Property.(*ast.StringNode)
		if !ok || !isWord || n.Optional || strings.Contains(part.Value, ".") {
			return "", false
		}
		return over + "." + part.Value, true
	default:
		return "", false
	}
}

// words checks that a fact with a list of values is compared with one of them:
// a typing error would be a condition that never holds.
func (w *walker) words(fact, with ast.Node) {
	name, ok := path(fact)
	if !ok || w.fault != nil {
		return
	}
	f := w.tree[name].fact
	if f == nil || f.Values == nil {
		return
	}
	values := []ast.Node{with}
	if array, ok := with.(*ast.ArrayNode); ok {
		values = array.Nodes
	}
	for _, v := range values {
		if s, ok := v.(*ast.StringNode); ok && !slices.Contains(f.Values, s.Value) {
			w.refuse(s, "%s is never %s%s", name, source.Quote(s.Value), source.DidYouMean(s.Value, notEmpty(f.Values)))
		}
	}
}

func notEmpty(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(s string) bool { return s == "" })
}
