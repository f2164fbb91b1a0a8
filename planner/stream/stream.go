// Package stream makes plans for streaming jobs: where rows must move between actors, what state each operator keeps,
// and how the result is stored.
//
// The idea: facts about the optimised plan are derived bottom-up; an operator that needs equal keys in one actor gets an
// Exchange below it unless its input is spread that way already; on top goes Materialize, with a derived unique key
// as storage key, or Sink.
//
// Pure functions; any goroutine may call them.
//
// Invariants of a plan made here: the inputs of a stateful operator are spread by hash of exactly its key columns in
// the order that the node lists them (Agg: GroupBy; Join: LeftKeys and RightKeys; TopN and MaxOneRow: PartitionBy; SetOp:
// all columns), or come to one actor, when it has no key. All inputs of a node with several are alike in this. With a
// parallelism of 1 there are no exchanges. State ordinals begin at 1, are unique, and are the same for the same plan.
//
// It does not run, place or scale anything. Start at Plan.
package stream

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/planner/rule"
)

// Root says what a job's result becomes.
type Root struct {
	// Table is the relation that the job keeps; of a sink, its id.
	Table catalog.ID
	// Key is the storage order wanted (an index's columns); a unique key is put behind it. nil: the planner chooses.
	Key []plan.SortKey
	// Dist is the distribution wanted, within Key; nil: the planner chooses.
	Dist []int
	// Sink is the node on top of a sink's job, without Input and State; nil: the result is materialized.
	Sink *plan.Sink
	// EmitOnClose: rows leave once, when watermarks have passed them.
	EmitOnClose bool
	// Zoned: the view's time zone is not UTC, so that not all days are equally long.
	Zoned bool
}

// Facts describe the job's relation, for the catalog.
type Facts struct {
	Key        []plan.SortKey // empty: a bag
	Dist       []int
	UniqueKeys [][]int
	AppendOnly bool
	Watermarks []int // columns
	// States is how many state tables the job has: ordinals 1 … States.
	States int
}

// Plan turns a bound query into the plan of a job with the given number of actors per fragment.
func Plan(n plan.Node, root Root, parallelism int) (plan.Node, *Facts, error) {
	want := n.Columns()
	n = rule.Optimize(n, rule.Stream)
	n, err := withoutOrder(n)
	if err != nil {
		return nil, nil, err
	}
	n = temporalFilters(n, !root.Zoned)
	if root.EmitOnClose {
		if n, err = emitOnClose(n); err != nil {
			return nil, nil, err
		}
	}
	if err := check(n); err != nil {
		return nil, nil, err
	}
	n = mergeScans(renamed(rangeJoins(dynamicFilters(n)), want))
	d := &distributor{parallelism: parallelism}
	spreadNode, sp := d.visit(n)
	top, facts, err := d.root(spreadNode, sp, root)
	if err != nil {
		return nil, nil, err
	}
	facts.AppendOnly, facts.Watermarks = plan.AppendOnly(n), plan.MarkCols(n)
	top, facts.States = number(share(top))
	return top, facts, nil
}

// renamed restores column names that dropping a projection lost.
func renamed(n plan.Node, want []plan.Column) plan.Node {
	for i, c := range n.Columns() {
		if c.Name != want[i].Name {
			p := &plan.Project{Input: n}
			for k, o := range n.Columns() {
				p.Exprs = append(p.Exprs, &expr.Col{Index: k, Ty: o.Type, Name: o.Name})
				p.Names = append(p.Names, want[k].Name)
			}
			return p
		}
	}
	return n
}

// withoutOrder drops sorts, which mean nothing for a relation that is kept, and makes a top-n of each limit.
func withoutOrder(n plan.Node) (plan.Node, error) {
	var bad error
	n = plan.Transform(n, func(x plan.Node) plan.Node {
		switch y := x.(type) {
		case *plan.Sort:
			return y.Input
		case *plan.Limit:
			top, err := limitAsTopN(y)
			if err != nil {
				bad = err
				return x
			}
			return top
		}
		return x
	})
	return n, bad
}

func limitAsTopN(l *plan.Limit) (plan.Node, error) {
	top := &plan.TopN{Input: l.Input, Limit: -1}
	for _, part := range []struct {
		e  expr.Expr
		to *int64
	}{{l.Limit, &top.Limit}, {l.Offset, &top.Offset}} {
		if part.e == nil {
			continue
		}
		c, ok := part.e.(*expr.Const)
		v, isInt := int64(0), false
		if ok {
			v, isInt = c.Val.(int64)
		}
		if !isInt {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "LIMIT and OFFSET of a view must be constants")
		}
		*part.to = v
	}
	return top, nil
}

// root puts Materialize or Sink on top.
func (d *distributor) root(n plan.Node, sp spread, root Root) (plan.Node, *Facts, error) {
	keys := plan.UniqueKeys(n)
	facts := &Facts{UniqueKeys: keys}
	if root.Sink != nil {
		s := *root.Sink
		if s.Single {
			n, _ = d.single(n, sp)
		} else if len(s.Key) > 0 { // changes of one key must reach the target in one order
			n, _ = d.hash(n, sp, s.Key)
		}
		s.Input = n
		return &s, facts, nil
	}
	m := &plan.Materialize{Table: root.Table, Dist: root.Dist}
	if root.Key != nil {
		if len(keys) == 0 {
			return nil, nil, sqlerr.New(sqlerr.FeatureNotSupported, "cannot create an index on a relation without a unique key").
				WithHint("Give the table a primary key, or make the view's rows unique, for example with DISTINCT or GROUP BY.")
		}
		m.Key = withKey(root.Key, keys[0])
		if m.Dist == nil {
			m.Dist = []int{root.Key[0].Col}
		}
		m.Input, _ = d.hash(n, sp, m.Dist)
	} else {
		d.storage(m, n, sp, keys)
	}
	facts.Key, facts.Dist = m.Key, m.Dist
	return m, facts, nil
}

// withKey appends the columns of a unique key that are missing from key.
func withKey(key []plan.SortKey, unique []int) []plan.SortKey {
	out := append([]plan.SortKey(nil), key...)
next:
	for _, c := range unique {
		for _, k := range out {
			if k.Col == c {
				continue next
			}
		}
		out = append(out, plan.SortKey{Col: c})
	}
	return out
}

func ascending(cols []int) []plan.SortKey { return withKey(nil, cols) }

// storage chooses key and distribution of a view's table so that rows need not move once more, if that can be.
func (d *distributor) storage(m *plan.Materialize, n plan.Node, sp spread, keys [][]int) {
	switch {
	case len(keys) == 0 && plan.AppendOnly(n): // rows are numbered where they come: none has to meet another
		if sp.kind == byHash {
			m.Dist = sp.cols
		}
	case len(keys) == 0: // a bag: equal rows must meet
		if sp.kind != byHash {
			n, sp = d.hash(n, sp, comparable(n))
		}
		m.Dist = sp.cols
	case len(keys[0]) == 0: // one row at most
		m.Key = ascending([]int{0})
		n, _ = d.single(n, sp)
	case sp.kind == onOne:
		m.Key = ascending(keys[0])
	case sp.kind == byHash:
		best := keys[0]
		for _, k := range keys {
			if containsAll(k, sp.cols) {
				best = k
				break
			}
		}
		m.Key, m.Dist = withKey(ascending(best), sp.cols), sp.cols
	default:
		m.Key, m.Dist = ascending(keys[0]), keys[0]
		n, _ = d.hash(n, sp, keys[0])
	}
	m.Input = n
}

func containsAll(set, cols []int) bool {
	for _, c := range cols {
		if !contains(set, c) {
			return false
		}
	}
	return true
}

func contains(set []int, c int) bool {
	for _, x := range set {
		if x == c {
			return true
		}
	}
	return false
}
