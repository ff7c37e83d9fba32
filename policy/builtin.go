package policy

import (
	_ "embed"
	"sync"
)

// builtinYAML is the built-in policy; configs/policy.yaml is the same file for
// those who begin their own with it.
//
//go:embed builtin.yaml
var builtinYAML []byte

// BuiltinName is the name of the built-in policy in messages.
const BuiltinName = "policy.yaml (built in)"

// builtin is compiled once: it never changes, and whoever asks whether an
// intake is complete asks it for every call.
var builtin = sync.OnceValue(func() *Policy {
	p, err := Parse(BuiltinName, builtinYAML)
	if err != nil { // a test holds that this cannot be; were it so, callers are kept
		return newPolicy(BuiltinName, builtinYAML)
	}
	return p
})

// Builtin returns the policy that serves when no policy file is configured:
// a position may leave an emergency call once intake is complete, and may
// leave test calls and administrative calls at any time.
func Builtin() *Policy { return builtin() }
