// Package rule rewrites logical plans into cheaper ones with the same meaning.
//
// The idea: a rule is one function from plan to plan in a file of its own; Optimize runs them in one fixed
// order, each once, because each is written to be complete after one pass. Streams and batch queries share all
// of them; they differ only in how the order of inner joins is chosen.
//
// Pure functions of immutable plans; any goroutine may call them.
//
// Invariants: a rule keeps the output columns (types and order) of the plan it is given; it never evaluates
// volatile functions more or fewer times per row than before; Optimize keeps the root's column names.
//
// It does not choose exchanges (planner/stream) or indexes (planner/batch). Start at Optimize and the phases list.
package rule

import (
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// Mode says what the plan is for.
type Mode uint8

// The modes.
const (
	Stream Mode = iota // joins stay in FROM order unless that makes a cross join
	Batch              // joins are ordered by how few rows they are expected to have
)

// phases lists the rules in order; each line has the reason for its place.
var phases = []struct {
	name string
	run  func(plan.Node, Mode) plan.Node
}{
	{"fold constants", noMode(foldConstants)},    // first: later rules look for constants
	{"factor ORs", noMode(factorOr)},             // before filters move: what it takes out can be pushed, and become a key
	{"merge projections", noMode(mergeProjects)}, // before filters move, so that they pass one projection and not five
	{"push filters", pushFilters},                // also orders joins, finds their keys and simplifies outer ones
	{"windows to top-n", noMode(windowToTopN)},   // after filters have come to stand on windows
	{"push filters", pushFilters},                // again: top-n lets conditions on its partition through, as did the window
	{"limits to top-n", noMode(limitToTopN)},     // anywhere before pruning: needs the sort's columns
	{"remove distinct", noMode(removeDistinct)},  // before pruning takes keys away
	{"reduce group keys", reduceGroupKeys},       // likewise
	{"prune columns", noMode(pruneColumns)},      // after everything that reads columns is where it will stay
	{"merge projections", noMode(mergeProjects)}, // what pruning left stacked
	{"fold constants", noMode(foldConstants)},    // what merging brought together
}

func noMode(f func(plan.Node) plan.Node) func(plan.Node, Mode) plan.Node {
	return func(n plan.Node, _ Mode) plan.Node { return f(n) }
}

// Optimize rewrites a bound plan.
func Optimize(n plan.Node, m Mode) plan.Node {
	want := n.Columns()
	for _, p := range phases {
		n = p.run(n, m)
	}
	return keepNames(n, want)
}

// keepNames gives the root its column names back where a rule has dropped a renaming projection.
func keepNames(n plan.Node, want []plan.Column) plan.Node {
	have := n.Columns()
	same := true
	for i := range want {
		same = same && have[i].Name == want[i].Name
	}
	if same {
		return n
	}
	if p, ok := n.(*plan.Project); ok {
		return &plan.Project{Input: p.Input, Exprs: p.Exprs, Names: names(want)}
	}
	return &plan.Project{Input: n, Exprs: columns(n), Names: names(want)}
}

func names(cols []plan.Column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}

// columns lists n's columns as expressions.
func columns(n plan.Node) []expr.Expr {
	cols := n.Columns()
	out := make([]expr.Expr, len(cols))
	for i, c := range cols {
		out[i] = &expr.Col{Index: i, Ty: c.Type, Name: c.Name}
	}
	return out
}

// pick projects n to the listed columns.
func pick(n plan.Node, list []int) plan.Node {
	cols := n.Columns()
	p := &plan.Project{Input: n, Exprs: make([]expr.Expr, len(list)), Names: make([]string, len(list))}
	for i, c := range list {
		p.Exprs[i], p.Names[i] = &expr.Col{Index: c, Ty: cols[c].Type, Name: cols[c].Name}, cols[c].Name
	}
	return p
}

// withFilter puts conjuncts on n; none: n itself.
func withFilter(n plan.Node, preds []expr.Expr) plan.Node {
	if len(preds) == 0 {
		return n
	}
	if f, ok := n.(*plan.Filter); ok {
		preds = append(expr.Conjuncts(f.Cond), preds...)
		n = f.Input
	}
	return &plan.Filter{Input: n, Cond: expr.And(preds)}
}

// colsWithin says that e reads only columns for which in holds.
func colsWithin(e expr.Expr, in func(int) bool) bool {
	ok := true
	expr.Columns(e, func(i int) { ok = ok && in(i) })
	return ok
}

func isVolatile(e expr.Expr) bool { return expr.VolatilityOf(e) == expr.Volatile }

// substitute replaces input columns by expressions.
func substitute(e expr.Expr, by []expr.Expr) expr.Expr {
	return expr.Transform(e, func(x expr.Expr) expr.Expr {
		if c, ok := x.(*expr.Col); ok {
			return by[c.Index]
		}
		return x
	})
}
