package eido

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// object is a JSON object whose names are in lower case, without namespace and
// without the $ or @ before them: nc:LocationType, $id and LocationType are
// found as locationtype and id.
type object map[string]any

func named(m map[string]any) object {
	o := make(object, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		name := strings.ToLower(key)
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			name = name[i+1:]
		}
		name = strings.TrimLeft(name, "$@#")
		if _, twice := o[name]; !twice || m[key] != nil {
			o[name] = m[key]
		}
	}
	return o
}

func (o object) keys() []string { return slices.Sorted(maps.Keys(o)) }

// part is what a name stands for in a document: incidentComponent,
// IncidentInformationType and incidentInformationComponent are all its
// incident. It is "" for a name that is no component's.
func part(name string) string {
	base, isPart := name, false
	for _, suffix := range []string{"component", "type", "information"} {
		if rest, cut := strings.CutSuffix(base, suffix); cut {
			base, isPart = rest, true
		}
	}
	if !isPart {
		return ""
	}
	switch base {
	case "incident", "call", "callback", "location", "person", "dispatch", "disposition", "agent", "agency", "emergencyresource":
		return base
	}
	return ""
}

// isDocument tells whether the object is an EIDO, by what it has.
func (o object) isDocument() bool {
	for name := range o {
		if part(name) != "" || name == "eidoversion" || name == "eidomessageidentifier" || strings.HasPrefix(name, "incidenttypecommon") {
			return true
		}
	}
	return false
}

// parts are the components of one sort, whether it is a list or a single
// object. Empty ones are none: an empty list of dispatches dispatched nobody.
func (o object) parts(sort string) []object {
	var found []object
	for _, name := range o.keys() {
		if part(name) == sort || sort == "disposition" && name == "disposition" {
			found = append(found, objects(o[name])...)
		}
	}
	return found
}

func objects(v any) []object {
	var found []object
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok && len(m) > 0 {
				found = append(found, named(m))
			}
		}
	case map[string]any:
		if len(v) > 0 {
			found = append(found, named(v))
		}
	}
	return found
}

// maxText bounds a value, in characters.
const maxText = 500

// text returns the first of names that has a value, as text.
func (o object) text(names ...string) string {
	for _, name := range names {
		if s := text(o[name], 0); s != "" {
			return s
		}
	}
	return ""
}

// text is a value as words: a list is its first one, an object what names it.
func text(v any, depth int) string {
	switch v := v.(type) {
	case string:
		s := strings.Join(strings.Fields(strings.ToValidUTF8(v, "")), " ")
		if utf8.RuneCountInString(s) > maxText {
			s = string([]rune(s)[:maxText])
		}
		return s
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	case []any:
		for _, e := range v {
			if s := text(e, depth+1); s != "" && depth < maxNesting {
				return s
			}
		}
	case map[string]any:
		if depth < maxNesting {
			o := named(v)
			for _, name := range []string{"text", "value", "description", "code", "name", "uri", "ref", "id"} {
				if s := text(o[name], depth+1); s != "" {
					return s
				}
			}
		}
	}
	return ""
}

// texts are all values of the names, those of lists one by one.
func (o object) texts(names ...string) []string {
	var out []string
	for _, name := range names {
		list, ok := o[name].([]any)
		if !ok {
			list = []any{o[name]}
		}
		for _, e := range list {
			if s := text(e, 0); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
