package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"holdline/policy/source"
)

// Bounds of a policy file.
const (
	maxFile  = 256 << 10 // bytes
	maxRules = 500
)

// ruleName is what may stand in a journal, an alert and a table.
var ruleName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// document is what a policy file says, before it is compiled. Its JSON is what the
// digest is taken of: keys in a fixed order, no comments, no layout.
type document struct {
	Timezone string     `json:"timezone"`
	Sources  trusts     `json:"sources"`
	Rules    []fileRule `json:"rules"`
}

type fileRule struct {
	Name    string   `json:"name"`
	When    string   `json:"when"`
	Verdict Decision `json:"verdict"`
	Why     string   `json:"why"`

	at   ast.Node // the rule itself
	when ast.Node
}

// Parse reads, checks and compiles src, the contents of the policy file called
// name. The error is source.Problems and holds everything that is wrong, each
// with its line and column.
func Parse(name string, src []byte) (*Policy, error) {
	r := newReader(name, src)
	p := newPolicy(name, append([]byte(nil), src...))
	c := compiler{reader: r, policy: p, file: document{Sources: defaultTrusts()}}
	if body := r.parse(); body != nil {
		c.root(body)
	}
	if len(r.problems) == 0 {
		c.promises()
	}
	if len(r.problems) > 0 {
		return nil, r.problems.Sorted(name)
	}
	p.digest = digest(c.file)
	return p, nil
}

// digest is taken of the canonical content. The first line changes when the
// same content begins to mean something else.
func digest(f document) string {
	text, err := json.Marshal(f)
	if err != nil { // strings in maps and lists cannot fail
		text = []byte(err.Error())
	}
	sum := sha256.Sum256(append([]byte("holdline.policy.1\n"), text...))
	return hex.EncodeToString(sum[:])
}

// compiler turns the tree of a file into a policy.
type compiler struct {
	*reader
	policy *Policy
	file   document
}

func (c *compiler) root(body ast.Node) {
	keys := c.mapping(body, "a policy", "timezone", "sources", "rules")
	if keys == nil {
		return
	}
	if n := keys["timezone"]; n != nil {
		c.timezone(n)
	}
	if n := keys["sources"]; n != nil {
		c.sources(n)
	}
	c.policy.sources = c.file.Sources
	list, ok := keys["rules"].(*ast.SequenceNode)
	switch {
	case keys["rules"] == nil:
		c.at(body, "there are no rules; write rules: and below it a list of them")
		return
	case !ok:
		c.at(keys["rules"], "rules must be a list: each rule begins with a dash")
		return
	case len(list.Values) == 0 || len(list.Values) > maxRules:
		c.at(list, "there are %d rules; a policy has from 1 to %d", len(list.Values), maxRules)
		return
	}
	for _, n := range list.Values {
		c.rule(n)
	}
}

func (c *compiler) timezone(n ast.Node) {
	name, ok := c.text(n, "timezone")
	if !ok {
		return
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		c.at(n, "there is no time zone %s; write it like America/Chicago", source.Quote(name))
		return
	}
	c.policy.zone, c.file.Timezone = zone, name
}

func levels() []string { return []string{string(Proves), string(Softens), string(Ignored)} }

// sources takes the trust in each source. A policy that speaks of other speaks
// of every source that it does not name, those of the call taker too.
func (c *compiler) sources(n ast.Node) {
	entries := c.entries(n, "sources")
	if slices.ContainsFunc(entries, func(e *ast.MappingValueNode) bool { return e.Key.GetToken().Value == otherSource }) {
		c.file.Sources = trusts{}
	}
	for _, e := range entries {
		name := e.Key.GetToken().Value
		if !slices.Contains(knownSources(), name) {
			c.at(e.Key, "there is no source %s%s", source.Quote(name), source.DidYouMean(name, knownSources()))
		}
		if level, ok := c.text(e.Value, name); ok {
			if !slices.Contains(levels(), level) {
				c.at(e.Value, "unknown trust %s%s", source.Quote(level), source.DidYouMean(level, levels()))
			}
			c.file.Sources[name] = Trust(level)
		}
	}
}

func decisions() []string { return []string{string(Allow), string(Intercept), string(Review)} }

// rule reads and compiles one rule.
func (c *compiler) rule(n ast.Node) {
	keys := c.mapping(n, "a rule", "name", "when", "verdict", "why")
	if keys == nil {
		return
	}
	if tag, ok := keys["when"].(*ast.TagNode); ok { // it swallows the keys after it
		c.text(tag, "when")
		return
	}
	r := fileRule{at: n, when: keys["when"]}
	r.Name = c.need(n, keys["name"], "name", "every verdict names the rule that made it")
	if r.Name != "" {
		c.ruleName(keys["name"], r.Name)
	}
	verdict := c.need(n, keys["verdict"], "verdict", "write allow, intercept or review")
	if verdict != "" && !slices.Contains(decisions(), verdict) {
		c.at(keys["verdict"], "unknown verdict %s%s", source.Quote(verdict), source.DidYouMean(verdict, decisions()))
	}
	r.Verdict = Decision(verdict)
	r.Why = c.need(n, keys["why"], "why", "say the reason in words, they stand in the alert and in the journal")
	compiled := rule{name: r.Name, decision: r.Verdict, when: c.condition(keys["when"], &r)}
	if r.Why != "" {
		why, f := compileTemplate(r.Why)
		c.fault(keys["why"], r.Why, f)
		compiled.why = why
	}
	c.file.Rules = append(c.file.Rules, r)
	c.policy.rules = append(c.policy.rules, compiled)
}

// need returns the text of a key that a rule must have.
func (c *compiler) need(rule, n ast.Node, key, why string) string {
	if n == nil {
		c.at(rule, "the rule has no %s; %s", key, why)
		return ""
	}
	text, ok := c.text(n, key)
	if ok && strings.TrimSpace(text) == "" {
		c.at(n, "%s is empty; %s", key, why)
	}
	return strings.TrimSpace(text)
}

func (c *compiler) ruleName(n ast.Node, name string) {
	if !ruleName.MatchString(name) {
		c.at(n, "the name %s may only have small letters, digits and dashes, at most 64", source.Quote(name))
	}
	if name == RuleFailSafe {
		c.at(n, "the name %s is taken by what ends every policy; choose another", name)
	}
	for _, before := range c.file.Rules {
		if before.Name == name {
			c.at(n, "the name %s is taken by the rule in line %d; names are unique", source.Quote(name), start(before.at).Line)
		}
	}
}

func (c *compiler) condition(n ast.Node, r *fileRule) *expression {
	if n == nil {
		return nil
	}
	text, ok := c.text(n, "when")
	if !ok {
		return nil
	}
	if strings.TrimSpace(text) == "" {
		c.at(n, "when is empty; leave it out for a rule that always holds")
		return nil
	}
	r.When = strings.TrimSpace(text)
	e, f := compile(text, true)
	c.fault(n, text, f)
	return e
}

// promises refuses policies that cannot be meant: rules that are never
// reached, and test calls that do not end.
func (c *compiler) promises() {
	for i, r := range c.file.Rules[:len(c.file.Rules)-1] {
		if r.when == nil {
			c.at(c.file.Rules[i+1].at, "this rule is never reached: rule %s in line %d has no condition and decides everything before it",
				r.Name, start(r.at).Line)
			return
		}
	}
	v := c.policy.Judge(Facts{Kind: Test, Release: ReleaseBye})
	if i := slices.IndexFunc(c.file.Rules, func(r fileRule) bool { return r.Name == v.Rule }); i >= 0 && v.Decision == Intercept {
		c.at(c.file.Rules[i].at, "this rule intercepts test calls, which the position itself must end (i3 section 9); "+
			`put a rule before it: {name: test-call, when: kind == "test", verdict: allow, why: test calls are not guarded}`)
	}
}
