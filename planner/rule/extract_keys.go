package rule

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// JoinKeys turns equalities between the two sides of a join into keys: a join, or a projection of one that drops computed keys
// again.
func JoinKeys(j *plan.Join) plan.Node { return extractKeys(j) }

// extractKeys turns equalities between the two sides of a join into keys. A side that is computed becomes a column
// of a projection below the join; the output columns stay as they were.
func extractKeys(j *plan.Join) plan.Node {
	k := &keyFinder{j: *j, lw: len(j.Left.Columns()), rw: len(j.Right.Columns())}
	k.j.LeftKeys, k.j.RightKeys = slices.Clone(j.LeftKeys), slices.Clone(j.RightKeys)
	k.j.NullSafe = slices.Clone(j.NullSafe)
	var rest []expr.Expr
	for _, c := range expr.Conjuncts(j.Cond) {
		if !k.take(c) {
			rest = append(rest, c)
		}
	}
	if len(k.j.LeftKeys) == len(j.LeftKeys) {
		return j
	}
	return k.finish(rest)
}

// keyFinder collects keys of one join.
type keyFinder struct {
	j           plan.Join
	lw, rw      int
	left, right []expr.Expr // computed key columns, behind each side's own
}

// take makes conjunct c a key if it can.
func (k *keyFinder) take(c expr.Expr) bool {
	nullSafe := false
	if n, ok := c.(*expr.Not); ok {
		d, isCall := n.Arg.(*expr.Call)
		if !isCall || !strings.HasPrefix(d.Sig, "isdistinct(") {
			return false
		}
		c, nullSafe = d, true
	}
	call, ok := c.(*expr.Call)
	if !ok || len(call.Args) != 2 || !nullSafe && !plan.IsEquality(call) || isVolatile(call) {
		return false
	}
	l, r := call.Args[0], call.Args[1]
	if !k.onLeft(l) || !k.onRight(r) {
		l, r = r, l
	}
	if !k.onLeft(l) || !k.onRight(r) {
		return false
	}
	if l, r, ok = SameType(l, r); !ok {
		return false
	}
	li := k.column(l, &k.left, k.lw)
	ri := k.column(expr.MapColumns(r, func(i int) int { return i - k.lw }), &k.right, k.rw)
	for i := range k.j.LeftKeys {
		if k.j.LeftKeys[i] == li && k.j.RightKeys[i] == ri {
			return true
		}
	}
	k.j.LeftKeys, k.j.RightKeys = append(k.j.LeftKeys, li), append(k.j.RightKeys, ri)
	for len(k.j.NullSafe) < len(k.j.LeftKeys)-1 && (nullSafe || k.j.NullSafe != nil) {
		k.j.NullSafe = append(k.j.NullSafe, false)
	}
	if nullSafe || k.j.NullSafe != nil {
		k.j.NullSafe = append(k.j.NullSafe, nullSafe)
	}
	return true
}

func (k *keyFinder) onLeft(e expr.Expr) bool {
	return plan.ReadsColumns(e) && colsWithin(e, func(i int) bool { return i < k.lw })
}

func (k *keyFinder) onRight(e expr.Expr) bool {
	return plan.ReadsColumns(e) && colsWithin(e, func(i int) bool { return i >= k.lw })
}

// column returns the column of e on its side, computed if it is not one.
func (k *keyFinder) column(e expr.Expr, computed *[]expr.Expr, width int) int {
	if c, ok := e.(*expr.Col); ok {
		return c.Index
	}
	*computed = append(*computed, e)
	return width + len(*computed) - 1
}

// SameType brings the two sides of an equality to one type in which it means the same; false if there is none that
// does not depend on settings.
func SameType(l, r expr.Expr) (expr.Expr, expr.Expr, bool) {
	a, b := l.Type().Base(), r.Type().Base()
	if a == b {
		return l, r, a.Kind != sqltypes.KRecord
	}
	rank := func(t sqltypes.Type) (group, rank int) {
		switch t.Kind {
		case sqltypes.KInt2:
			return 1, 1
		case sqltypes.KInt4:
			return 1, 2
		case sqltypes.KInt8:
			return 1, 3
		case sqltypes.KFloat4:
			return 2, 1
		case sqltypes.KFloat8:
			return 2, 2
		case sqltypes.KDate:
			return 3, 1
		case sqltypes.KTimestamp:
			return 3, 2
		case sqltypes.KVarchar, sqltypes.KName:
			return 4, 1
		case sqltypes.KText:
			return 4, 2
		}
		return 0, 0
	}
	ga, ra := rank(a)
	gb, rb := rank(b)
	switch {
	case ga == 0 || ga != gb:
		return nil, nil, false
	case ra < rb:
		return &expr.Cast{Arg: l, Ty: b}, r, true
	}
	return l, &expr.Cast{Arg: r, Ty: a}, true
}

// finish builds the join over projections that compute its keys and drops those columns again.
func (k *keyFinder) finish(rest []expr.Expr) plan.Node {
	k.j.Left = withComputed(k.j.Left, k.left)
	k.j.Right = withComputed(k.j.Right, k.right)
	grown := len(k.left)
	k.j.Cond = expr.And(mapAll(rest, func(i int) int {
		if i >= k.lw {
			return i + grown
		}
		return i
	}))
	if len(k.left)+len(k.right) == 0 {
		return &k.j
	}
	out := make([]int, 0, k.lw+k.rw)
	for i := range k.lw {
		out = append(out, i)
	}
	if k.j.Kind < plan.Semi {
		for i := range k.rw {
			out = append(out, k.lw+grown+i)
		}
	}
	if len(out) == len(k.j.Columns()) {
		return &k.j
	}
	return pick(&k.j, out)
}

func withComputed(n plan.Node, more []expr.Expr) plan.Node {
	if len(more) == 0 {
		return n
	}
	p := &plan.Project{Input: n, Exprs: append(columns(n), more...), Names: names(n.Columns())}
	for range more {
		p.Names = append(p.Names, "key")
	}
	return p
}

// impliedConstants gives the right side of a join what its keys imply: l.k = r.k and l.k = 5 make r.k = 5. left are
// conditions on the left side.
func impliedConstants(j *plan.Join, left []expr.Expr) []expr.Expr {
	lw := len(j.Left.Columns())
	pairs := map[int][]int{}
	for i := range j.LeftKeys {
		if j.NullSafe == nil || !j.NullSafe[i] {
			pairs[j.LeftKeys[i]] = append(pairs[j.LeftKeys[i]], j.RightKeys[i])
		}
	}
	for _, c := range expr.Conjuncts(j.Cond) {
		if call, ok := c.(*expr.Call); ok && len(call.Args) == 2 && plan.IsEquality(call) {
			a, aok := call.Args[0].(*expr.Col)
			b, bok := call.Args[1].(*expr.Col)
			if aok && bok && a.Ty.Base() == b.Ty.Base() {
				l, r := min(a.Index, b.Index), max(a.Index, b.Index)
				if l < lw && r >= lw {
					pairs[l] = append(pairs[l], r-lw)
				}
			}
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	right := j.Right.Columns()
	var out []expr.Expr
	for _, c := range left {
		col, ok := plan.FixedColumn(c)
		if !ok {
			continue
		}
		for _, r := range pairs[col] {
			if right[r].Type.Base() == j.Left.Columns()[col].Type.Base() {
				out = append(out, expr.MapColumns(c, func(int) int { return r }))
			}
		}
	}
	return out
}
