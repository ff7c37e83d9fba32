package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// expression is a compiled condition, or a part of a reason.
type expression struct {
	text    string
	program *vm.Program
	facts   []string // the facts it uses, in its order
}

// fault is what is wrong with an expression, and where in its text.
type fault struct {
	offset  int // in characters, from 0
	message string
}

// Bounds of one expression: far more than a person writes, and few enough that
// it is judged in microseconds.
const (
	maxExpression = 2000 // characters
	maxNodes      = 500  // parts of the syntax tree
)

// maxError bounds what is written of a failed evaluation, in bytes: it may
// quote a fact.
const maxError = 200

// functions are those of the expression language that neither loop nor make
// values larger than their arguments.
func functions() []string {
	return []string{
		"abs", "ceil", "float", "floor", "hasPrefix", "hasSuffix", "int", "len", "lower", "max", "min", "round",
		"string", "trim", "trimPrefix", "trimSuffix", "upper",
	}
}

// compile checks and compiles an expression over the facts. A condition must
// be true or false.
func compile(text string, condition bool) (*expression, *fault) {
	if n := utf8.RuneCountInString(text); n > maxExpression {
		return nil, &fault{0, fmt.Sprintf("the expression has %d characters; %d are allowed, make several rules of it", n, maxExpression)}
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, faultOf(err)
	}
	w := walker{tree: factTree()}
	w.node(tree.Node)
	if w.fault != nil {
		return nil, w.fault
	}
	options := []expr.Option{expr.Env(&view{}), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins()}
	for _, name := range functions() {
		options = append(options, expr.EnableBuiltin(name))
	}
	if condition {
		options = append(options, expr.AsBool())
	}
	program, err := expr.Compile(text, options...)
	if err != nil {
		return nil, faultOf(err)
	}
	return &expression{text: text, program: program, facts: w.facts}, nil
}

// run evaluates e over v. It never panics: the virtual machine turns what goes
// wrong in it into an error.
func (e *expression) run(machine *vm.VM, v *view) (any, error) {
	out, err := machine.Run(e.program, v)
	if err == nil {
		return out, nil
	}
	message := err.Error()
	if fe, ok := errors.AsType[*file.Error](err); ok {
		message = fe.Message // without the excerpt of several lines
	}
	if len(message) > maxError {
		message = strings.ToValidUTF8(message[:maxError], "") + "..."
	}
	return nil, errors.New(message)
}

// faultOf takes the place and the words out of an error of the library.
func faultOf(err error) *fault {
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		return &fault{0, plain(err.Error())}
	}
	return &fault{fe.From, plain(fe.Message)}
}

// Words of the library that the manual does not use.
var (
	wrongResult = regexp.MustCompile(`^expected bool, but got (\w+)$`)
	numberType  = regexp.MustCompile(`\b(?:float64|int64|int)\b`)
	earlyEnd    = regexp.MustCompile(`^unexpected token EOF$`)
	stray       = regexp.MustCompile(`unexpected token \w+\("(.*)"\)`)
)

// plain puts the library's messages into the words of the manual.
func plain(message string) string {
	if m := wrongResult.FindStringSubmatch(message); m != nil {
		return "a condition must be true or false; this is a " + plain(m[1])
	}
	message = numberType.ReplaceAllString(message, "number")
	message = earlyEnd.ReplaceAllString(message, "the expression ends here, and something is missing")
	return strings.TrimSpace(stray.ReplaceAllString(message, "`$1` is not understood here"))
}
