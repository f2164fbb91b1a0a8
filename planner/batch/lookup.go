package batch

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// maxPrefixes bounds the look-ups that IN lists multiply to; beyond it a scan is as good.
const maxPrefixes = 1000

// fixed is a condition that allows a column of the relation only certain values.
type fixed struct {
	cond int // which conjunct
	vals []expr.Expr
}

// choice is a way to read a relation: by the key of a stored relation (itself or an index).
type choice struct {
	rel    *catalog.Relation
	length int  // key columns that are fixed
	point  bool // they identify one row
	local  bool // they fix the vnode, so that one place is read and not all
}

// lookup turns conditions of f on a key prefix into s's Lookup.
func lookup(f *plan.Filter, s *plan.TableScan, cat *catalog.Snapshot) plan.Node {
	base, ok := cat.Relations[s.Table]
	if !ok {
		return f
	}
	conds := expr.Conjuncts(f.Cond)
	byCol := fixedColumns(conds, s, base)
	if len(byCol) == 0 {
		return f
	}
	best := rate(base, base, byCol)
	if !best.point && base.Kind != catalog.Index {
		for _, r := range cat.Relations {
			if r.Kind == catalog.Index && r.IndexOn == base.ID && !r.Creating {
				if c := rate(r, base, byCol); c.better(best) && holdsAll(r, base, s) {
					best = c
				}
			}
		}
	}
	if best.length == 0 {
		return f
	}
	return apply(best, base, conds, s, byCol)
}

// better orders choices: one row, then one place, then more key columns; ties go to the relation with the lower id.
func (c choice) better(d choice) bool {
	switch {
	case c.length == 0 || d.length == 0:
		return c.length > d.length
	case c.point != d.point:
		return c.point
	case c.local != d.local:
		return c.local
	case c.length != d.length:
		return c.length > d.length
	}
	return d.rel.Kind == catalog.Index && c.rel.ID < d.rel.ID
}

// fixedColumns finds, for columns of the relation, the conditions that fix them.
func fixedColumns(conds []expr.Expr, s *plan.TableScan, base *catalog.Relation) map[int]fixed {
	out := map[int]fixed{}
	for i, c := range conds {
		col, vals := fixedBy(c, s, base)
		if vals == nil {
			continue
		}
		rel := s.Cols[col]
		if have, ok := out[rel]; !ok || len(vals) < len(have.vals) {
			out[rel] = fixed{i, vals}
		}
	}
	return out
}

// fixedBy reads column = value, column IN (values), and an OR of the former over one column. The values have the
// column's type.
func fixedBy(c expr.Expr, s *plan.TableScan, base *catalog.Relation) (col int, vals []expr.Expr) {
	switch x := c.(type) {
	case *expr.Call:
		if len(x.Args) != 2 || !strings.HasPrefix(x.Sig, "=(") {
			return 0, nil
		}
		for side := range 2 {
			col, ok := column(x.Args[side])
			if !ok {
				continue
			}
			if v := asKey(x.Args[1-side], base.Columns[s.Cols[col]].Type); v != nil {
				return col, []expr.Expr{v}
			}
		}
	case *expr.InList:
		col, ok := column(x.Arg)
		if !ok || x.Negate {
			return 0, nil
		}
		t := base.Columns[s.Cols[col]].Type
		vals = []expr.Expr{}
		for _, d := range x.Vals {
			v := asKey(&expr.Const{Ty: x.Arg.Type(), Val: d}, t)
			if v == nil {
				return 0, nil
			}
			vals = append(vals, v)
		}
		return col, vals
	case *expr.BoolOp:
		if !x.Or {
			return 0, nil
		}
		for i, a := range x.Args {
			k, v := fixedBy(a, s, base)
			if v == nil || i > 0 && k != col {
				return 0, nil
			}
			col, vals = k, append(vals, v...)
		}
		for _, v := range vals { // two parameters may turn out equal, and no row may be read twice
			if _, ok := v.(*expr.Const); !ok {
				return 0, nil
			}
		}
		return col, vals
	}
	return 0, nil
}

// column sees through casts that keep the bytes: varchar compares as text, a domain as its underlying type.
func column(e expr.Expr) (int, bool) {
	for {
		c, ok := e.(*expr.Cast)
		if !ok {
			break
		}
		from := c.Arg.Type()
		if !(c.Ty.Kind == sqltypes.KText && from.Kind == sqltypes.KVarchar) && !(from.IsDomain() && c.Ty == from.Underlying().Base()) {
			break
		}
		e = c.Arg
	}
	c, ok := e.(*expr.Col)
	if !ok {
		return 0, false
	}
	return c.Index, true
}

// asKey makes a key value of type t out of a constant or parameter; nil when that could change its meaning.
func asKey(e expr.Expr, t sqltypes.Type) expr.Expr {
	from := e.Type().Base()
	same := from == t.Underlying().Base() || from.Kind == sqltypes.KText && t.Kind == sqltypes.KVarchar
	switch x := e.(type) {
	case *expr.Const:
		if x.Val == nil {
			return nil
		}
		if same || from.IsInteger() && t.IsInteger() && inRange(x.Val, t) {
			return &expr.Const{Ty: t, Val: x.Val}
		}
	case *expr.Param:
		if same || from.IsInteger() && t.Kind == sqltypes.KInt8 {
			return &expr.Param{Index: x.Index, Ty: t}
		}
	}
	return nil
}

func inRange(d sqltypes.Datum, t sqltypes.Type) bool {
	v, ok := d.(int64)
	switch t.Kind {
	case sqltypes.KInt2:
		return ok && v >= -1<<15 && v < 1<<15
	case sqltypes.KInt4:
		return ok && v >= -1<<31 && v < 1<<31
	}
	return ok
}

// rate says how well the conditions on base's columns fit the key of r, which is base or an index on it.
func rate(r, base *catalog.Relation, byCol map[int]fixed) choice {
	c := choice{rel: r}
	var cols []int // of r
	prefixes := 1
	for _, k := range r.Key {
		col, ok := baseColumn(r, base, k.Col)
		if !ok {
			break
		}
		f, ok := byCol[col]
		if !ok || prefixes*max(len(f.vals), 1) > maxPrefixes {
			break
		}
		prefixes *= max(len(f.vals), 1)
		cols = append(cols, k.Col)
		c.length++
	}
	if r.Kind == catalog.Index && r.Unique && c.length < len(r.Key) {
		return choice{rel: r} // rows with NULL in a column that is not fixed are not in it
	}
	for _, u := range r.UniqueKeys {
		c.point = c.point || len(u) > 0 && within(u, cols)
	}
	c.point = c.point || c.length > 0 && c.length == len(r.Key)
	c.local = within(r.Dist, cols)
	return c
}

func within(list, in []int) bool {
	for _, x := range list {
		if !slices.Contains(in, x) {
			return false
		}
	}
	return true
}

// baseColumn maps a column of an index to its relation's column of that name.
func baseColumn(r, base *catalog.Relation, col int) (int, bool) {
	if r == base {
		return col, true
	}
	return base.Column(r.Columns[col].Name)
}

// holdsAll says that an index has all columns that the scan outputs.
func holdsAll(r, base *catalog.Relation, s *plan.TableScan) bool {
	for _, c := range s.Cols {
		if _, ok := r.Column(base.Columns[c].Name); !ok {
			return false
		}
	}
	return true
}

// apply builds the scan of the chosen relation and keeps the conditions that its Lookup does not imply.
func apply(c choice, base *catalog.Relation, conds []expr.Expr, s *plan.TableScan, byCol map[int]fixed) plan.Node {
	scan := *s
	if c.rel != base {
		scan.Table, scan.Name = c.rel.ID, c.rel.Name
		scan.Cols = make([]int, len(s.Cols))
		for i, col := range s.Cols {
			scan.Cols[i], _ = c.rel.Column(base.Columns[col].Name)
		}
		scan.Key, scan.Dist = nil, nil
	}
	scan.Lookup = [][]expr.Expr{{}}
	used := map[int]bool{}
	for _, k := range c.rel.Key[:c.length] {
		col, _ := baseColumn(c.rel, base, k.Col)
		f := byCol[col]
		used[f.cond] = true
		scan.Lookup = multiply(scan.Lookup, distinct(f.vals))
	}
	var rest []expr.Expr
	for i, e := range conds {
		if !used[i] {
			rest = append(rest, e)
		}
	}
	if len(rest) == 0 {
		return &scan
	}
	return &plan.Filter{Input: &scan, Cond: expr.And(rest)}
}

// distinct drops repeated constants, so that no row is read twice.
func distinct(vals []expr.Expr) []expr.Expr {
	var out []expr.Expr
next:
	for _, v := range vals {
		k, ok := v.(*expr.Const)
		for _, o := range out {
			if p, isConst := o.(*expr.Const); ok && isConst && sqlio.Compare(k.Ty, k.Val, p.Val) == 0 {
				continue next
			}
		}
		out = append(out, v)
	}
	return out
}

func multiply(prefixes [][]expr.Expr, vals []expr.Expr) [][]expr.Expr {
	out := make([][]expr.Expr, 0, len(prefixes)*len(vals))
	for _, p := range prefixes {
		for _, v := range vals {
			out = append(out, append(p[:len(p):len(p)], v))
		}
	}
	return out
}
