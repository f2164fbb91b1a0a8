package archtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// layer is a top-level folder, and what it may import of ours besides itself.
type layer struct {
	name string
	may  []string
	// why is printed for any other import.
	why string
}

// layers is the architecture. A package belongs to the first layer whose name it is or lies below.
var layers = []layer{
	{"cmd", []string{"*"}, ""},
	{"examples", []string{"*"}, ""},
	{"bench", []string{"*"}, ""},
	{"internal/server", []string{"*"}, ""}, // composition: builds a node from its parts
	{"internal/engine", []string{"planner", "executor", "storage", "meta", "connector", "internal"},
		"the engine composes executor, storage and meta, and knows nothing of sessions and the wire: what it needs from them is a function in its Config"},
	{"internal/e2e", []string{"*"}, ""},     // tests of the whole
	{"internal/cdctest", []string{"*"}, ""}, // tests of the whole with other databases
	{"internal/demo", []string{"*"}, ""},    // a server with an example in it
	{"frontend", []string{"planner", "internal"},
		"the front end speaks SQL and plans; it reaches the engine through what it declares, so that it can run on a node of its own"},
	{"planner", []string{"internal"},
		"a plan is plain data: planner and executor meet in internal/plan and internal/expr, never in each other"},
	{"executor", []string{"storage", "connector", "internal"},
		"operators run plans, they do not make them and know no catalog service"},
	{"storage", []string{"internal"},
		"the store keeps bytes for whoever asks; it knows no operator, job or leader"},
	{"meta", []string{"storage", "internal"},
		"decisions are pure machines over facts; carrying them out is the engine's"},
	{"connector", []string{"internal"},
		"a connector turns foreign bytes into chunks and back, wherever it runs"},
	{"sqllogictest", nil,
		"the runner speaks the wire protocol only, so that it can run against any server"},
	{"internal", []string{"internal"},
		"internal packages are leaves that every layer uses; one that needs a layer belongs into that layer"},
}

// composition is what only the outermost packages may import: everything comes together there.
var composition = []string{"internal/server", "internal/engine", "internal/e2e", "internal/cdctest", "internal/demo", "cmd", "bench", "examples"}

// exception allows one edge that a layer's rule forbids.
type exception struct{ from, to, why string }

// exceptions are debts: each line says why the edge is there and what would remove it.
var exceptions = []exception{
	{"frontend/session", "internal/engine",
		"a session calls the engine of its own process by its concrete type; an interface declared in session removes the edge when front ends run apart"},
	{"frontend/catalog", "internal/engine",
		"system relations show the state of jobs, taken from the engine of the same process; goes with the same interface"},
	{"connector/cdc", "storage/row",
		"a snapshot and a log name the same row by its key, compared as tables compare keys; goes when the encoding of keys moves to internal"},
	{"frontend/session", "executor/batch",
		"for the options of a batch query (memory, temporary folder) and the iterator of system relations; both go with that interface"},
}

// CheckImports holds the import graph against the tables above.
func CheckImports(t *Tree) []string {
	var out []string
	used := map[exception]bool{}
	for _, p := range t.Packages {
		from := layerOf(p.Path)
		for _, target := range slices.Sorted(maps.Keys(p.Imports())) {
			file := p.Imports()[target]
			why := forbidden(p.Path, from, target)
			if why == "" {
				continue
			}
			if i := slices.IndexFunc(exceptions, func(e exception) bool { return e.from == p.Path && e.to == target }); i >= 0 {
				used[exceptions[i]] = true
				continue
			}
			out = append(out, fmt.Sprintf("%s imports %s (%s): %s", p.Path, target, file, why))
		}
	}
	for _, e := range exceptions {
		if !used[e] && t.has(e.from) {
			out = append(out, fmt.Sprintf("the exception for %s importing %s is not needed any more: remove it", e.from, e.to))
		}
	}
	return out
}

func (t *Tree) has(path string) bool {
	return slices.ContainsFunc(t.Packages, func(p *Package) bool { return p.Path == path })
}

// forbidden says why a package must not import target; "" if it may.
func forbidden(from string, l *layer, target string) string {
	if l == nil {
		return "its folder is not part of the architecture: name it in internal/archtest/rules.go, with what it may import"
	}
	if isBelow(target, l.name) && (l.name != "internal" || layerOf(target) == l) || slices.Contains(l.may, "*") {
		return ""
	}
	for _, c := range composition {
		if isBelow(target, c) {
			return c + " composes the layers and is imported by none of them; " + l.why
		}
	}
	for _, m := range l.may {
		if isBelow(target, m) {
			return ""
		}
	}
	return l.why
}

func isBelow(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// layerOf finds the layer of a package, nil if it has none. The root's folder-less package has none.
func layerOf(path string) *layer {
	i := slices.IndexFunc(layers, func(l layer) bool { return isBelow(path, l.name) })
	if i < 0 {
		return nil
	}
	return &layers[i]
}

// problems sorts what a rule found, for a stable report.
func problems(list []string) []string {
	slices.SortFunc(list, cmp.Compare[string])
	return list
}
