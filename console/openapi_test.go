package console

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"holdline/console/alerting"
	"holdline/console/sources"
	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/policy/pattern"
	"holdline/sip"
)

// description is the part of an OpenAPI document that can drift from the code.
type description struct {
	Paths      map[string]map[string]any
	Components map[string]map[string]any
}

func readDescription(t *testing.T) description {
	t.Helper()
	var d description
	if err := yaml.Unmarshal(openAPI, &d); err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return d
}

// TestOpenAPIDescribesTheRoutes: what the server answers and what is described
// are the same, in both directions.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	b := newBench(t)
	served := map[string]bool{}
	for _, r := range b.console.routes() {
		if r.pattern == "/{$}" || strings.HasPrefix(r.pattern, "/static/") || slices.Contains([]string{"/calls/{id}", "/signin", "/signin/oidc", "/signin/oidc/callback", "/signout", "/setup", "/users", "/agents", "/tv", "/search", "/reports"}, r.pattern) {
			continue // the page is for people
		}
		for m := range r.methods {
			served[m+" "+r.pattern] = true
		}
	}
	described := map[string]bool{}
	for path, operations := range readDescription(t).Paths {
		for m := range operations {
			if m != "parameters" {
				described[strings.ToUpper(m)+" "+path] = true
			}
		}
	}
	if !maps.Equal(served, described) {
		t.Errorf("served    %v\ndescribed %v", slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(described)))
	}
}

// TestOpenAPIReferencesResolve follows every $ref.
func TestOpenAPIReferencesResolve(t *testing.T) {
	d := readDescription(t)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				parts := strings.Split(ref, "/")
				if len(parts) != 4 || d.Components[parts[2]][parts[3]] == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	for _, p := range d.Paths {
		walk(p)
	}
	for _, c := range d.Components {
		walk(c)
	}
}

// TestOpenAPISchemasHaveOnlyWhatASchemaHas finds descriptions that YAML cuts at a
// comma, because nobody put them into quotes.
func TestOpenAPISchemasHaveOnlyWhatASchemaHas(t *testing.T) {
	known := []string{
		"$ref", "additionalProperties", "anyOf", "allOf", "oneOf", "const", "default", "description", "enum", "example", "examples",
		"format", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "minProperties", "pattern", "properties", "required", "type",
	}
	var look func(name string, v any)
	look = func(name string, v any) {
		schema, _ := v.(map[string]any)
		for key, x := range schema {
			if !slices.Contains(known, key) {
				t.Errorf("%s has %q", name, key)
			}
			switch x := x.(type) {
			case map[string]any:
				if key != "properties" {
					look(name+"."+key, x)
					continue
				}
				for property, p := range x {
					look(name+"."+property, p)
				}
			case []any:
				for _, one := range x {
					look(name+"."+key, one)
				}
			}
		}
	}
	for name, s := range readDescription(t).Components["schemas"] {
		look(name, s)
	}
}

// TestOpenAPISchemasMatchTheTypes: every JSON field is described and no other.
func TestOpenAPISchemasMatchTheTypes(t *testing.T) {
	schemas := readDescription(t).Components["schemas"]
	for name, v := range map[string]any{
		"Call": sip.CallView{}, "Leg": sip.LegView{}, "Sound": sip.Sound{}, "Meter": Meter{}, "Verdict": sip.VerdictView{}, "Mark": policy.Mark{},
		"Alert": alerting.Alert{}, "Situation": alerting.Situation{}, "Action": alerting.Action{}, "Channel": alerting.Status{}, "ChannelTest": alerting.Tested{}, "Agent": AgentView{}, "Join": joinAnswer{}, "Assist": sip.AssistView{}, "Failure": failure{},
		"Document": sources.Received{}, "Joined": sources.Joined{}, "Peaks": Peaks{},
		"Surge": SurgeView{}, "Callback": ledger.Callback{}, "Unrelayed": ledger.Unrelayed{}, "Closed": ledger.Closed{},
		"Patterns": patternsAnswer{}, "PatternSignal": pattern.SignalState{}, "PatternAgent": pattern.AgentState{}, "PatternChart": pattern.ChartState{},
	} {
		schema, _ := schemas[name].(map[string]any)
		properties, _ := schema["properties"].(map[string]any)
		described := slices.Sorted(maps.Keys(properties))
		if fields := jsonFields(reflect.TypeOf(v)); !slices.Equal(fields, described) {
			t.Errorf("%s:\n has       %v\n described %v", name, fields, described)
		}
	}
}

func jsonFields(typ reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(typ) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
