package console

import (
	"maps"
	"slices"
	"testing"
)

// TestEveryRouteHasAPermission: no route is added without saying who may use it.
func TestEveryRouteHasAPermission(t *testing.T) {
	b := newBench(t)
	var served []string
	for _, r := range b.console.routes() {
		for m := range r.methods {
			served = append(served, m+" "+r.pattern)
		}
	}
	slices.Sort(served)
	if named := slices.Sorted(maps.Keys(permissions())); !slices.Equal(served, named) {
		t.Errorf("served %v\nnamed  %v", served, named)
	}
}
