package bind

import (
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// PostgreSQL's limits.
const (
	maxGroupingSets = 4096
	maxCube         = 12
	maxGroupingArgs = 31
)

// groupBy is a bound GROUP BY: the keys, and the sets of them (as indexes) that rows are grouped by, one after the other.
// sets nil: one set of all keys.
type groupBy struct {
	keys []expr.Expr
	sets [][]int
	// given: there is a GROUP BY, even if without keys.
	given bool
}

// bindGroups binds GROUP BY.
func (s *selection) bindGroups() *groupBy {
	g := &groupBy{given: len(s.sel.GroupBy) > 0}
	sets := [][]int{nil}
	for _, item := range s.sel.GroupBy {
		next := s.groupSets(g, item)
		if len(sets)*len(next) > maxGroupingSets {
			fail(tooManySets(item.Pos))
		}
		var product [][]int
		for _, a := range sets {
			for _, b := range next {
				product = append(product, append(slices.Clone(a), b...))
			}
		}
		sets = product
	}
	for i := range sets {
		slices.Sort(sets[i])
		sets[i] = slices.Compact(sets[i])
	}
	if s.sel.GroupDistinct {
		sets = distinctSets(sets)
	}
	if len(sets) > 1 {
		g.sets = sets
	}
	return g
}

func tooManySets(pos int) *sqlerr.Error {
	return sqlerr.New(sqlerr.StatementTooComplex, "too many grouping sets present (maximum %d)", maxGroupingSets).At(pos)
}

func distinctSets(sets [][]int) [][]int {
	var out [][]int
	for _, a := range sets {
		if !slices.ContainsFunc(out, func(b []int) bool { return slices.Equal(a, b) }) {
			out = append(out, a)
		}
	}
	return out
}

// groupSets lists the sets that one element of GROUP BY stands for.
func (s *selection) groupSets(g *groupBy, item parser.GroupItem) [][]int {
	var parts [][]int
	for _, e := range item.Exprs {
		parts = append(parts, s.groupKeys(g, e))
	}
	switch item.Kind {
	case parser.GroupExpr:
		return parts
	case parser.GroupRollup:
		return rollup(parts)
	case parser.GroupCube:
		if len(parts) > maxCube {
			fail(sqlerr.New(sqlerr.TooManyColumns, "CUBE is limited to %d elements", maxCube).At(item.Pos))
		}
		return cube(parts)
	case parser.GroupSets:
		var out [][]int
		for _, sub := range item.Sets {
			if out = append(out, s.groupSets(g, sub)...); len(out) > maxGroupingSets {
				fail(tooManySets(item.Pos))
			}
		}
		return out
	}
	return [][]int{nil}
}

// rollup is all parts, all but the last, …, none.
func rollup(parts [][]int) [][]int {
	out := make([][]int, 0, len(parts)+1)
	for n := len(parts); n >= 0; n-- {
		out = append(out, slices.Concat(parts[:n]...))
	}
	return out
}

// cube is all subsets of the parts.
func cube(parts [][]int) [][]int {
	out := make([][]int, 0, 1<<len(parts))
	for mask := 1<<len(parts) - 1; mask >= 0; mask-- {
		var set []int
		for i, p := range parts {
			if mask>>(len(parts)-1-i)&1 != 0 {
				set = append(set, p...)
			}
		}
		out = append(out, set)
	}
	return out
}

// groupKeys binds an expression, or several in parentheses, and returns their places among the keys.
func (s *selection) groupKeys(g *groupBy, e parser.Expr) []int {
	if r, ok := e.(*parser.Row); ok && !r.Explicit {
		var out []int
		for _, el := range r.Elems {
			out = append(out, s.groupKeys(g, el)...)
		}
		return out
	}
	return []int{g.add(s.groupKey(e))}
}

func (g *groupBy) add(e expr.Expr) int {
	for i, k := range g.keys {
		if sameExpr(k, e) {
			return i
		}
	}
	g.keys = append(g.keys, e)
	return len(g.keys) - 1
}

// groupKey binds a key: an ordinal, an output name or an expression.
func (s *selection) groupKey(e parser.Expr) expr.Expr {
	var out expr.Expr
	if i := s.outputRef(e, "GROUP BY", true); i >= 0 {
		out = s.out[i].e
		s.refuseInGroup(out, e.At())
	} else {
		x := s.ctx("GROUP BY")
		own := *s.coll
		own.noAggs, own.noWindows = true, true
		x.sel = &own
		out = x.value(e)
		s.coll.srfs = own.srfs
	}
	s.mustBeComparable(out.Type(), e.At())
	return out
}

// groupingCall binds GROUPING(a, b): the bits say which of the keys are not in the row's grouping set.
func (x *exprCtx) groupingCall(e *parser.FuncCall) expr.Expr {
	if x.sel == nil || x.sel.noAggs || x.inFilter {
		clause := x.clause
		if x.inFilter {
			clause = "FILTER"
		}
		fail(sqlerr.New(sqlerr.GroupingError, "grouping operations are not allowed in %s", clause).At(e.Pos))
	}
	if x.inAgg {
		fail(sqlerr.New(sqlerr.GroupingError, "aggregate function calls cannot be nested").At(e.Pos))
	}
	if len(e.Args) > maxGroupingArgs {
		fail(sqlerr.New(sqlerr.TooManyArguments, "GROUPING must have fewer than 32 arguments").At(e.Pos))
	}
	c := &groupingCall{pos: e.Pos}
	for _, a := range e.Args {
		in := *x
		in.inAgg = true
		c.args = append(c.args, typed{in.value(a.Value), a.Value.At()})
	}
	for i, other := range x.sel.groupings {
		if slices.EqualFunc(other.args, c.args, func(a, b typed) bool { return sameExpr(a.e, b.e) }) {
			return &slot{slotGrouping, i, sqltypes.Int4}
		}
	}
	x.sel.groupings = append(x.sel.groupings, c)
	return &slot{slotGrouping, len(x.sel.groupings) - 1, sqltypes.Int4}
}

// groupingCall is a bound GROUPING, over the columns of the FROM clause.
type groupingCall struct {
	args []typed
	pos  int
}

// groupingValue is the value of a GROUPING call over the aggregation's columns: a constant for each set.
func (g *grouping) groupingValue(c *groupingCall) expr.Expr {
	keys := make([]int, len(c.args))
	for i, a := range c.args {
		if keys[i] = g.keyOf(a.e); keys[i] < 0 {
			fail(sqlerr.New(sqlerr.GroupingError, "arguments to GROUPING must be grouping expressions of the associated query level").At(a.pos))
		}
	}
	out := &expr.Case{Ty: sqltypes.Int4, Else: &expr.Const{Ty: sqltypes.Int4, Val: int64(0)}}
	set := &expr.Col{Index: len(g.keys), Ty: sqltypes.Int8, Name: "grouping_set"}
	for i, has := range g.sets {
		bits := int64(0)
		for _, k := range keys {
			bits <<= 1
			if !slices.Contains(has, k) {
				bits |= 1
			}
		}
		if bits != 0 {
			out.Whens = append(out.Whens, expr.When{
				Cond: g.operator("=", c.pos, set, &expr.Const{Ty: sqltypes.Int8, Val: int64(i)}),
				Then: &expr.Const{Ty: sqltypes.Int4, Val: bits},
			})
		}
	}
	if len(out.Whens) == 0 {
		return out.Else
	}
	return out
}

// expand puts the grouping sets under an aggregation over in, whose group columns so far are the keys. A set without keys
// has a group even when there are no rows; for each such set a row is added that makes the group and is in no
// aggregate.
func (g *grouping) expand(in plan.Node, agg *plan.Agg) plan.Node {
	x := &plan.Expand{Input: in, Keys: agg.GroupBy}
	var empty []int
	for i, set := range g.sets {
		has := make([]bool, len(g.keys))
		for _, k := range set {
			has[k] = true
		}
		x.Sets = append(x.Sets, has)
		if len(set) == 0 {
			empty = append(empty, i)
		}
	}
	cols := x.Columns()
	width := len(in.Columns())
	agg.GroupBy = seq(width, len(cols))
	if len(empty) == 0 {
		return x
	}
	for i := range agg.Aggs {
		if agg.Aggs[i].Filter < 0 {
			agg.Aggs[i].Filter = len(cols)
		}
	}
	rows := appendColumns(x, []expr.Expr{expr.True()})
	seeds := &plan.Values{Out: rows.Columns()}
	for _, set := range empty {
		var row []expr.Expr
		for _, c := range cols[:len(cols)-1] {
			row = append(row, expr.Null(c.Type))
		}
		row = append(row, &expr.Const{Ty: sqltypes.Int8, Val: int64(set)}, &expr.Const{Ty: sqltypes.Bool, Val: false})
		seeds.Rows = append(seeds.Rows, row)
	}
	return &plan.Union{Inputs: []plan.Node{rows, seeds}}
}
